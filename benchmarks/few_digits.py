"""Small training sets of digits, for runs of a few seconds that differ in an option.

A seed draws the training images from the 1,442 of scikit-learn's digits, and as many as
40 other images of each class for validation. The 355 test images are always the same.
"""

import os
from collections.abc import Sequence

import numpy as np

from slim_zoo.catalog import datasets as catalog
from slim_zoo.datasets import dataset_utils, digits, labels

NAME = 'few_digits'
_SIZE = 28
_VALIDATED = 40  # Images of each class.


def write(folder: str, seed: int, counts: Sequence[int],
          chosen: Sequence[int] = range(10)) -> None:
  """Writes the splits train, validation and test, with their description.

  Args:
    folder: to write to; created if missing.
    seed: of the draw.
    counts: training images of each chosen digit.
    chosen: the digits; the first one is class 0.
  """
  pixels, classes = digits.load_images()
  of_split = {split: np.asarray(indices)
              for split, indices in digits.split_indices(classes).items()}
  random = np.random.default_rng(seed)
  splits = {'train': [], 'validation': [], 'test': []}
  for label, (digit, count) in enumerate(zip(chosen, counts, strict=True)):
    drawn = random.permutation(of_split['train'][classes[of_split['train']] == digit])
    test = of_split['test'][classes[of_split['test']] == digit]
    for split, indices in (('train', drawn[:count]),
                           ('validation', drawn[count:count + _VALIDATED]),
                           ('test', test)):
      splits[split] += [(index, label) for index in indices]
  os.makedirs(folder, exist_ok=True)
  spec = catalog.DatasetSpec(
      NAME, {split: len(rows) for split, rows in splits.items()}, len(chosen),
      {split: f'{NAME}_{split}.tfrecord' for split in splits}, channels=1,
      image_size=(_SIZE, _SIZE))
  for split, rows in splits.items():
    dataset_utils.write_records(
        os.path.join(folder, spec.pattern(split)),
        [dataset_utils.image_to_tfexample(
            digits.encode(pixels[index]), b'png', _SIZE, _SIZE, label)
         for index, label in rows])
  labels.write_label_file(
      {label: digits.CLASS_NAMES[digit] for label, digit in enumerate(chosen)}, folder)
  with open(os.path.join(folder, catalog.DESCRIPTION_FILENAME), 'w',
            encoding='utf-8') as file:
    file.write(catalog.description(spec))
