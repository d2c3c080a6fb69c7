"""Digits: 1,797 gray handwritten digits from scikit-learn's wheel.

Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI Machine
Learning Repository), test part: 8x8 pixels of 17 levels. Stored like MNIST: scaled to
20x20 by bicubic interpolation, centered in 28x28 black pixels.

The split is fixed: every fifth image of each digit, in the order of the source, is for
test. That is 1,442 images for train and 355 for test.
"""

import io
import os
from collections.abc import Iterator

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.datasets import dataset_utils, labels
from slim_zoo.datasets.record_dataset import split_reader
from slim_zoo.files import staging

SPEC = DATASETS['digits']
SPLITS_TO_SIZES = dict(SPEC.splits)
CLASS_NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight',
               'nine')
get_split = split_reader('digits')

_LEVELS = 16
_DRAWN_SIZE = 20
_SIZE = 28


def load_images() -> tuple[np.ndarray, np.ndarray]:
  """Returns images uint8 [1797, 8, 8] and labels int64 [1797], as published.

  Raises:
    UserError: scikit-learn is not installed.
  """
  try:
    from sklearn import datasets
  except ImportError as error:
    raise diagnostics.UserError(
        'the digits come with scikit-learn, which is not installed: python -m pip'
        ' install "scikit-learn>=1.3"') from error
  source = datasets.load_digits()
  images = np.round(source.images * (255 / _LEVELS)).astype(np.uint8)
  return images, source.target.astype(np.int64)


def split_indices(digits: np.ndarray) -> dict[str, list[int]]:
  """Returns which images belong to train and to test, in the source's order."""
  splits, counts = {'train': [], 'test': []}, [0] * len(CLASS_NAMES)
  for index, digit in enumerate(digits):
    counts[digit] += 1
    splits['train' if counts[digit] % 5 else 'test'].append(index)
  return splits


def encode(image: np.ndarray) -> bytes:
  """Returns a digit, uint8 [8, 8], as a PNG of 28x28 pixels."""
  drawn = Image.fromarray(image).resize(
      (_DRAWN_SIZE, _DRAWN_SIZE), Image.Resampling.BICUBIC)
  canvas = Image.new('L', (_SIZE, _SIZE))
  margin = (_SIZE - _DRAWN_SIZE) // 2
  canvas.paste(drawn, (margin, margin))
  encoded = io.BytesIO()
  canvas.save(encoded, 'PNG')
  return encoded.getvalue()


def convert(dataset_dir: str) -> None:
  """Writes digits_train.tfrecord, digits_test.tfrecord and labels.txt.

  Always writes the same bytes. All files appear together, or none.

  Args:
    dataset_dir: the folder to write to; created if missing.

  Raises:
    UserError: scikit-learn is missing, or the folder contains another data set.
  """
  names = dict(enumerate(CLASS_NAMES))
  labels.check_not_others(dataset_dir, names)
  images, digits = load_images()

  def examples(indices) -> Iterator:
    for index in indices:
      yield dataset_utils.image_to_tfexample(
          encode(images[index]), b'png', _SIZE, _SIZE, digits[index],
          f'{CLASS_NAMES[digits[index]]}/{index:04d}.png'.encode())

  with staging.replacing(dataset_dir, last=labels.LABELS_FILENAME) as folder:
    for split, indices in split_indices(digits).items():
      dataset_utils.write_records(
          os.path.join(folder, SPEC.pattern(split)), examples(indices))
    labels.write_label_file(names, folder)
