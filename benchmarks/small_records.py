"""Records of small images, written as fast as the disk allows.

A thousand images of random pixels are repeated, so the content does not depend on the
number of records.
"""

import io
import os
import pathlib

import numpy as np
from PIL import Image

from slim_zoo.catalog import datasets
from slim_zoo.input import plain_records

NAME = 'small_images'
SIDE = 12
NUM_CLASSES = 10
_DIFFERENT = 1000
_FILES = 10
_SEED = 0


def make(dataset_dir: os.PathLike, num_records: int) -> None:
  """Writes records, unless they exist.

  Args:
    dataset_dir: their folder, new or with the same number of records.
    num_records: number of records, a multiple of 1000.
  """
  folder = pathlib.Path(dataset_dir)
  spec = datasets.DatasetSpec(
      NAME, {'train': num_records}, NUM_CLASSES, f'{NAME}_{{}}_*.tfrecord', channels=1)
  description_path = folder / datasets.DESCRIPTION_FILENAME
  if description_path.exists():
    return
  folder.mkdir(parents=True, exist_ok=True)
  random = np.random.default_rng(_SEED)
  framed = [_record(random, number) for number in range(_DIFFERENT)]
  share = _DIFFERENT // _FILES
  for index in range(_FILES):
    part = b''.join(framed[index * share:(index + 1) * share])
    with open(folder / f'{NAME}_train_{index}.tfrecord', 'wb') as file:
      for _ in range(num_records // _DIFFERENT):
        file.write(part)
  description_path.write_text(datasets.description(spec), encoding='utf-8')


def dataset(dataset_dir: os.PathLike):
  """Returns the records in a folder."""
  from slim_zoo.datasets import dataset_factory
  return dataset_factory.get_dataset(NAME, 'train', os.fspath(dataset_dir))


def _record(random, number):
  encoded = io.BytesIO()
  pixels = random.integers(0, 256, [SIDE, SIDE], np.uint8)
  Image.fromarray(pixels).save(encoded, 'PNG')
  return plain_records.framed(plain_records.example(plain_records.image_features(
      encoded.getvalue(), b'png', SIDE, SIDE, number % NUM_CLASSES, f'{number}.png')))
