"""Lines of text as TFRecords: writing them, and reading them as batches.

The digits for training and for test are the fixed split of `slim_zoo.datasets.digits`,
so no digit of a test line is in a training line.
"""

import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from examples.read_text import lines
from slim_zoo import diagnostics
from slim_zoo.datasets import digits
from slim_zoo.files import atomic
from slim_zoo.input import plain_records
from slim_zoo.input import records as record_files
from slim_zoo.tf_compat import tf

SPLITS = ('train', 'test')
_SHUFFLED = 4096


class Batch(NamedTuple):
  """Lines of text as tensors.

  Attributes:
    images: uint8 [batch, lines.HEIGHT, lines.WIDTH].
    labels: int64 [batch, lines.MOST_DIGITS], from the left; -1 behind the last digit.
    boxes: float32 [batch, lines.MOST_DIGITS, 4], see `lines.Line`; 0 behind the last.
  """

  images: tf.Tensor
  labels: tf.Tensor
  boxes: tf.Tensor


def digits_of(split: str) -> lines.Digits:
  """Returns the real digits of a split, 'train' or 'test'.

  Raises:
    UserError: there is no such split, or scikit-learn is not installed.
  """
  if split not in SPLITS:
    raise diagnostics.unknown_name('split', split, SPLITS)
  images, labels = digits.load_images()
  indices = digits.split_indices(labels)[split]
  return lines.prepare(images[indices], labels[indices], indices)


def record(line: lines.Line) -> bytes:
  """Returns a line as a tf.train.Example."""
  encoded = io.BytesIO()
  Image.fromarray(line.image).save(encoded, 'PNG', compress_level=1)
  return plain_records.example({
      'image/encoded': plain_records.texts(encoded.getvalue()),
      'image/text': plain_records.texts(line.text.encode()),
      'image/digits/label': plain_records.ints(*line.labels.tolist()),
      'image/digits/box': plain_records.floats(line.boxes.ravel().tolist()),
      'image/digits/source': plain_records.ints(*line.sources.tolist())})


def digits_of_file(path: str) -> lines.Digits:
  """Returns digits of an .npz file, see `lines.prepare` for its images and labels.

  Raises:
    UserError: the file has no such arrays.
    OSError: it cannot be read.
  """
  try:
    with np.load(path) as arrays:
      return lines.prepare(arrays['images'], arrays['labels'])
  except (KeyError, ValueError, zipfile.BadZipFile) as error:
    if isinstance(error, diagnostics.UserError):
      raise
    raise diagnostics.UserError(
        f"'{path}' has no digits: expected an .npz file with the arrays images, uint8"
        ' [count, height, width], and labels, int [count]') from error


def compose(source: lines.Digits, count: int, seed: int) -> list[lines.Line]:
  """Returns lines, the same for the same seed."""
  return [lines.compose(source, seed, number) for number in range(count)]


def write(path: str, composed: Iterable[lines.Line]) -> None:
  """Writes lines to a TFRecord file.

  Raises:
    OSError: the file cannot be written.
  """
  with atomic.replacing(path) as unfinished:
    plain_records.write(unfinished, map(record, composed))


def write_once(folder: str, split: str, count: int, seed: int) -> str:
  """Writes composed lines of a split unless they are there; returns the file.

  Args:
    folder: created if it is missing.
    split: 'train' or 'test', which decides on the digits.
    count: number of lines.
    seed: of the lines.

  Raises:
    UserError: there is no such split, or scikit-learn is not installed.
    OSError: the file cannot be written.
  """
  path = os.path.join(folder, f'{split}-{count}-lines-seed-{seed}.tfrecord')
  if not os.path.exists(path):
    source = digits_of(split)
    os.makedirs(folder, exist_ok=True)
    print(f'composing {count:,} lines for {path}', flush=True)
    write(path, (lines.compose(source, seed, number) for number in range(count)))
  return path


def parse(data: tf.Tensor) -> Batch:
  """Returns the line of a record, string [], without the dimension of the batch."""
  features = tf.io.parse_single_example(data, {
      'image/encoded': tf.FixedLenFeature([], tf.string),
      'image/digits/label': tf.VarLenFeature(tf.int64),
      'image/digits/box': tf.VarLenFeature(tf.float32)})
  image = tf.image.decode_png(features['image/encoded'], channels=1)
  image = tf.reshape(image, [lines.HEIGHT, lines.WIDTH])
  labels = features['image/digits/label'].values
  behind = lines.MOST_DIGITS - tf.size(labels)
  labels = tf.pad(labels, [[0, behind]], constant_values=-1)
  boxes = tf.reshape(features['image/digits/box'].values, [-1, 4])
  boxes = tf.pad(boxes, [[0, behind], [0, 0]])
  labels.set_shape([lines.MOST_DIGITS])
  boxes.set_shape([lines.MOST_DIGITS, 4])
  return Batch(image, labels, boxes)


def training_batches(path: str, batch_size: int, seed: int) -> tf.data.Iterator:
  """Returns an iterator over shuffled batches, without an end."""
  dataset = tf.data.TFRecordDataset(path).repeat().shuffle(_SHUFFLED, seed=seed)
  dataset = dataset.map(parse).batch(batch_size, drop_remainder=True).prefetch(4)
  return tf.data.make_one_shot_iterator(dataset)


def read(path: str, count: int | None = None) -> Iterator[lines.Line]:
  """Yields the lines of a file, or its first `count` ones.

  Raises:
    UserError: the file is damaged.
    OSError: it cannot be read.
  """
  total = record_files.count_records([path])
  for data in record_files.read_records(path, range(min(count or total, total))):
    features = record_files.features_of(data)
    with Image.open(io.BytesIO(features['image/encoded'][0])) as image:
      pixels = np.asarray(image)
    yield lines.Line(
        pixels, np.array(features['image/digits/label'], np.int64),
        np.reshape(np.array(features['image/digits/box'], np.float32), [-1, 4]),
        np.array(features['image/digits/source'], np.int64))
