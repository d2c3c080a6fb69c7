"""Shapes: 500 generated images of circles, squares and triangles, with masks.

They are for a first try of segmentation. An image has 64x64 pixels, a background with a
gradient and noise, and one to four shapes of any colour, which may cover one another.
The masks have the classes background, circle, square and triangle. 400 images are for
train and 100 for test.
"""

import io
import os
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.datasets import dataset_utils, labels
from slim_zoo.datasets.record_dataset import split_reader
from slim_zoo.files import staging

SPEC = DATASETS['shapes']
get_split = split_reader('shapes')
_SIZE, _MOST_SHAPES, _NOISE = 64, 4, 20
_RADII = (6, 16)
# Of the first image of each split; image n of it has the seed plus n.
_SEEDS = {'train': 0, 'test': 1_000_000}


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the image and the mask of a seed.

  Returns:
    (uint8 [64, 64, 3], uint8 [64, 64] of classes 0 to 3).
  """
  random = np.random.default_rng(seed)
  corners = random.integers(40, 216, [2, 2, 3]).astype(np.uint8)
  picture = Image.fromarray(corners).resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
  mask = Image.new('L', (_SIZE, _SIZE))
  for _ in range(random.integers(1, _MOST_SHAPES + 1)):
    label = int(random.integers(1, SPEC.num_classes))
    colour = tuple(random.integers(0, 256, 3).tolist())
    place = random.integers(0, _SIZE, 2).tolist()
    radius = int(random.integers(*_RADII))
    angle = float(random.uniform(0, 2 * np.pi))
    for image, fill in ((picture, colour), (mask, label)):
      _draw_shape(ImageDraw.Draw(image), label, place, radius, angle, fill)
  noisy = np.asarray(picture) + random.normal(0, _NOISE, [_SIZE, _SIZE, 3])
  return np.clip(noisy, 0, 255).astype(np.uint8), np.asarray(mask)


def _draw_shape(drawing, label, place, radius, angle, fill):
  x, y = place
  if SPEC.class_names[label] == 'circle':
    drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill)
    return
  corners = 4 if SPEC.class_names[label] == 'square' else 3
  angles = angle + 2 * np.pi * np.arange(corners) / corners
  drawing.polygon([(x + radius * np.cos(turn), y + radius * np.sin(turn))
                   for turn in angles], fill)


def encode(pixels: np.ndarray) -> bytes:
  """Returns a PNG of uint8 [height, width] or [height, width, 3]."""
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG')
  return file.getvalue()


def convert(dataset_dir: str) -> None:
  """Writes shapes_train.tfrecord, shapes_test.tfrecord and labels.txt.

  All files appear together, or none.

  Args:
    dataset_dir: the folder to write to; created if missing.

  Raises:
    UserError: the folder contains another data set.
  """
  names = dict(enumerate(SPEC.class_names))
  labels.check_not_others(dataset_dir, names)

  def examples(split) -> Iterator:
    for number in range(SPEC.splits[split]):
      image, mask = draw(_SEEDS[split] + number)
      yield dataset_utils.mask_to_tfexample(
          encode(image), b'png', _SIZE, _SIZE, encode(mask),
          f'{split}/{number:04d}.png'.encode())

  with staging.replacing(dataset_dir, last=labels.LABELS_FILENAME) as folder:
    for split in SPEC.splits:
      dataset_utils.write_records(
          os.path.join(folder, SPEC.pattern(split)), examples(split))
    labels.write_label_file(names, folder)
