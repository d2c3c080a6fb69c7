"""Clips as TFRecords: writing, and reading as batches."""

import io
import json
import os
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from examples.optical_flow import clips, photographs
from slim_zoo import diagnostics
from slim_zoo.files import atomic
from slim_zoo.input import plain_records
from slim_zoo.tf_compat import tf

_FACTS = 'clips.json'
_FRAMES = ('first', 'middle', 'second')
# Training and test clips are random in different ways also with one seed.
_STREAMS = {'train': 0, 'test': 1}


def write(folder: str, counts: dict[str, int], size: int, seed: int) -> None:
  """Writes SPLIT.tfrecord of each split, and clips.json.

  Args:
    folder: is created.
    counts: the number of clips by split, 'train' or 'test'.
    size: height and width of the frames.
    seed: the same seed gives the same clips.

  Raises:
    UserError: a photograph is missing.
    OSError: a file cannot be written.
  """
  os.makedirs(folder, exist_ok=True)
  for split, count in counts.items():
    images = photographs.load_split(split)
    random = np.random.default_rng([seed, _STREAMS[split]])
    with atomic.replacing(_path(folder, split)) as path:
      plain_records.write(path, (
          encode(clips.draw(random, images, size)) for _ in range(count)))
    print(f"{count:,} clips of {size} x {size}: '{_path(folder, split)}'", flush=True)
  facts = {'size': size, 'seed': seed, **counts}
  atomic.write_text(os.path.join(folder, _FACTS), json.dumps(facts) + '\n')


def encode(clip: clips.Clip) -> bytes:
  """Returns a clip as a serialized tf.train.Example: a PNG image and the flow."""
  frames = io.BytesIO()
  Image.fromarray(np.hstack([getattr(clip, name) for name in _FRAMES])).save(
      frames, 'PNG', compress_level=1)
  # Half precision is exact to 0.01 pixels for a flow below 16 pixels.
  return plain_records.example({
      'frames': plain_records.texts(frames.getvalue()),
      'flow': plain_records.texts(zlib.compress(clip.flow.astype('<f2').tobytes(), 1))})


def read_facts(folder: str) -> dict:
  """Returns the size of the frames, the seed and the number of clips by split.

  Raises:
    UserError: the folder has no clips.
  """
  facts = atomic.read_json(os.path.join(folder, _FACTS))
  if facts is None:
    raise diagnostics.UserError(
        f"no clips in '{folder}': expected the file {_FACTS}; write them with"
        f' python -m examples.optical_flow data --data_dir={folder}')
  return facts


def batches(folder: str, split: str, batch_size: int,
            seed: int | None = None) -> dict[str, tf.Tensor]:
  """Returns the tensors of the next batch of clips.

  Args:
    folder: of `write`.
    split: 'train' or 'test'.
    batch_size: clips of a batch.
    seed: of the order and the augmentation of training, which has no end. None: the
      clips once in their order; the last batch may be smaller.

  Returns:
    'first', 'middle' and 'second': float32 [batch, size, size, 3] from 0 to 1;
    'flow': float32 [batch, size, size, 2].

  Raises:
    UserError: the folder has no clips.
  """
  facts = read_facts(folder)
  dataset = tf.data.TFRecordDataset(_path(folder, split))
  if seed is not None:
    dataset = dataset.cache().repeat().shuffle(min(facts[split], 1000), seed)
  dataset = dataset.map(lambda record: _decode(record, facts['size']), 2)
  if seed is not None:
    dataset = dataset.map(lambda clip: _augment(clip, seed))
  dataset = dataset.batch(batch_size, drop_remainder=seed is not None).prefetch(2)
  return tf.data.make_one_shot_iterator(dataset).get_next()


def read(folder: str, split: str, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
  """Yields the batches of a split in their order; see `batches`."""
  with tf.Graph().as_default(), tf.Session() as session:
    batch = batches(folder, split, batch_size)
    while True:
      try:
        values = session.run(batch)
      except tf.errors.OutOfRangeError:
        return
      yield values


def _path(folder, split):
  return os.path.join(folder, f'{split}.tfrecord')


def _decode(record, size):
  features = tf.io.parse_single_example(record, {
      name: tf.io.FixedLenFeature([], tf.string) for name in ('frames', 'flow')})
  frames = tf.cast(tf.io.decode_png(features['frames'], 3), tf.float32) / 255
  frames = tf.split(tf.reshape(frames, [size, 3 * size, 3]), 3, 1)
  flow = tf.io.decode_raw(
      tf.io.decode_compressed(features['flow'], 'ZLIB'), tf.float16)
  return {**dict(zip(_FRAMES, frames, strict=True)),
          'flow': tf.cast(tf.reshape(flow, [size, size, 2]), tf.float32)}


def _augment(clip, seed):
  """Mirrors a clip at random and changes the strength of its colours.

  A mirrored flow has the opposite sign along the axis.
  """
  mirrored = tf.random.uniform([2], seed=seed) < 0.5
  strength = tf.random.uniform([3], 0.7, 1.3, seed=seed + 1)
  for axis, sign in ((0, (1.0, -1.0)), (1, (-1.0, 1.0))):
    flipped = {name: tf.reverse(value, [axis]) for name, value in clip.items()}
    flipped['flow'] *= sign
    clip = {name: tf.where(mirrored[axis], flipped[name], value)
            for name, value in clip.items()}
  frames = {name: tf.minimum(clip[name] * strength, 1) for name in _FRAMES}
  return {**frames, 'flow': clip['flow']}
