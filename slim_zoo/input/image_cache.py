"""Copies of record files whose images are decoded, so that nobody need do it again.

A copy has the same records in the same places, each with its pixels in place of the
encoded image: as decoded, for training, or as prepared for the network, where that is
the same each time. It takes about ten times the space of JPEGs, or twenty. What cannot
be decoded is copied as it is, and skipped where it is read, as in the original. The
name of a copy tells of what it is one and what was done: records that changed get a new
one, and so does another preprocessing. All may be removed at any time.
"""

import contextlib
import hashlib
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from google.protobuf import text_format

from slim_zoo import diagnostics
from slim_zoo.datasets import dataset_utils
from slim_zoo.files import staging
from slim_zoo.input import chunks, fingerprint, records
from slim_zoo.progress import Progress
from slim_zoo.tf_compat import tf

_VERSION = 1
_PIXELS, _SHAPE = 'decoded/pixels', 'decoded/shape'
# Images whose mean size stands for that of all.
_SAMPLE = 32


class CopyDecoder:
  """Reads the items of a copy's records, as the decoder of the originals does theirs.

  Args:
    decoder: of the originals, such as slim's TFExampleDecoder.
    prepare: called as prepare(number=0, image=..., and 'object/bbox'=... where records
      have boxes) before an image is stored; None: it is stored as decoded.

  Attributes:
    shape: the static shape of what is stored.
    dtype: its type.
    digest: tells it from what other decoders and preparations store.
  """

  def __init__(self, decoder, prepare: Callable | None = None):
    self._decoder, self._prepare = decoder, prepare
    with tf.Graph().as_default() as graph:
      image = self.from_original(tf.placeholder(tf.string, []))
    self.shape, self.dtype = image.shape, image.dtype
    self.digest = _digest(_operations(graph))

  def list_items(self) -> list[str]:
    """Returns the names of the items."""
    return self._decoder.list_items()

  def from_original(self, record: tf.Tensor) -> tf.Tensor:
    """Returns the stored form of an original record, a string scalar."""
    items = [item for item in ('image', 'object/bbox') if item in self.list_items()
             and (item == 'image' or self._prepare)]
    values = dict(zip(items, self._decoder.decode(record, items), strict=True))
    return (values['image'] if self._prepare is None else
            self._prepare(number=tf.constant(0, tf.int64), **values))

  def decode(self, serialized_example: tf.Tensor, items: Sequence[str] | None = None
             ) -> list[tf.Tensor]:
    """Returns the items of a record, all by default; see the original's decoder."""
    items = self.list_items() if items is None else items
    others = [item for item in items if item != 'image']
    values = dict(zip(others, self._decoder.decode(serialized_example, others),
                      strict=True)) if others else {}
    if 'image' in items:
      values['image'] = self._image(serialized_example)
    return [values[item] for item in items]

  def _image(self, record):
    features = tf.parse_single_example(record, {
        _PIXELS: tf.FixedLenFeature([], tf.string),
        _SHAPE: tf.FixedLenFeature([self.shape.rank], tf.int64)})
    image = tf.reshape(tf.decode_raw(features[_PIXELS], self.dtype), features[_SHAPE])
    image.set_shape(self.shape)
    return image


def make(files: Sequence[str], decoder: CopyDecoder, folder: str,
         num_threads: int = 4) -> list[str]:
  """Returns a copy of each file; makes those that are missing.

  Args:
    files: record files.
    decoder: of the copies; says what is stored.
    folder: for the copies; made where there is none.
    num_threads: images decoded at the same time.

  Raises:
    UserError: a file is damaged; or the disk has no room for the copies.
    OSError: the folder cannot be written.
  """
  copies = {path: os.path.join(folder, _name(path, decoder)) for path in files}
  missing = [path for path, copy in copies.items() if not os.path.exists(copy)]
  if missing:
    total = records.count_records(missing)
    with (staging.created(folder),
          Progress(f"decoded images in '{folder}'", total, 'images') as progress):
      _check_space(missing[0], decoder, folder, total)
      done = itertools.count(1)
      for path in missing:
        name = os.path.basename(copies[path])
        with staging.replacing(folder, name) as new:
          dataset_utils.write_records(
              os.path.join(new, name),
              _watched(_copied(path, decoder, num_threads), progress, done))
  return list(copies.values())


def find_damage(copies: Sequence[str]) -> diagnostics.UserError | None:
  """Returns the error that names the first damaged copy; None if all are whole."""
  error = records.find_damage(copies)
  return error and diagnostics.UserError(
      f'{str(error).split("; get or write", maxsplit=1)[0]}; it is a cache'
      ' file: delete it, and the next run writes it again')


def _name(path, decoder):
  """Returns the name of a file's copy, which depends on what is in the file."""
  state = os.stat(path)
  known = (_VERSION, state.st_size, state.st_mtime_ns,
           fingerprint.end_checksums(path), decoder.digest)
  return f'{os.path.basename(path)}-decoded-{_digest(repr(known))}'


def _digest(text):
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def _operations(graph):
  """Returns a graph as text, the same one whenever the same functions build it."""
  definition = graph.as_graph_def()
  # The names of functions end with a number that counts all of the process.
  functions = sorted(
      definition.library.function,
      key=lambda function: int(re.search(r'\d*$', function.signature.name)[0] or 0))
  numbers = {function.signature.name: f'function {number}'
             for number, function in enumerate(functions)}
  text = ''.join(map(text_format.MessageToString, [*definition.node, *functions]))
  return re.sub(r'\w+', lambda word: numbers.get(word[0], word[0]), text)


def _check_space(path, decoder, folder, total):
  """Raises UserError where the disk has no room for copies of so many records."""
  with contextlib.closing(_decoded(path, decoder, 1)) as decoded:
    sample = [image.nbytes for _, image in itertools.islice(decoded, _SAMPLE)
              if image is not None]
  if not sample:
    return
  needed, free = total * sum(sample) / len(sample), shutil.disk_usage(folder).free
  if needed > 0.95 * free:
    raise diagnostics.UserError(
        f"the cache of {total:,} images takes about {needed / 1e9:,.1f} GB, but"
        f" --cache_dir='{folder}' has {free / 1e9:,.1f} GB left: name a folder with"
        ' more space, or leave out --cache_dir')


def _watched(copied, progress, done):
  for record in copied:
    yield record
    progress.update(next(done))


def _copied(path, decoder, num_threads) -> Iterator[bytes]:
  """Yields the records of a file's copy."""
  for record, image in _decoded(path, decoder, num_threads):
    yield record if image is None else _with_pixels(record, image)


def _with_pixels(record: bytes, image: np.ndarray) -> bytes:
  example = tf.train.Example.FromString(record)
  features = example.features.feature
  for name in records.ENCODED_FEATURES:
    if name in features:
      features[name].bytes_list.value[:] = [b'']
  features[_PIXELS].bytes_list.value.append(image.tobytes())
  features[_SHAPE].int64_list.value.extend(image.shape)
  return example.SerializeToString(deterministic=True)


def _decoded(path, decoder, num_threads) -> Iterator[tuple[bytes, np.ndarray | None]]:
  """Yields each record of a file and its image, None where it cannot be decoded.

  Raises:
    UserError: the file is damaged.
  """
  try:
    # A signal while the garbage collector closed them would be lost.
    with contextlib.closing(_images(path, decoder, num_threads)) as images:
      following, image = next(images, (None, None))
      for position, record in enumerate(tf.io.tf_record_iterator(path)):
        if position == following:
          yield record, image
          following, image = next(images, (None, None))
        else:
          yield record, None
  except tf.errors.DataLossError as error:
    raise records.find_damage([path]) or error from error


def _images(path, decoder, num_threads) -> Iterator[tuple[int, np.ndarray]]:
  """Yields the position of each record that holds an image, and the image."""
  def decode(position, record):
    return position, decoder.from_original(record)

  with tf.Graph().as_default() as graph, tf.device('/cpu:0'):
    numbered = tf.data.TFRecordDataset(path).enumerate().window(chunks.SIZE)
    images = chunks.passing_over_failures(numbered, decode, num_threads).prefetch(2)
    following = tf.data.make_one_shot_iterator(images).get_next()
  # Not as a context: callers must not get this graph as the default.
  session = tf.Session(graph=graph)
  try:
    run = session.make_callable(following)
    while True:
      try:
        position, image = run()
      except tf.errors.OutOfRangeError:
        return
      yield int(position), image
  finally:
    session.close()
