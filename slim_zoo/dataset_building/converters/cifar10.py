"""CIFAR-10 from its binary or Python archive.

Krizhevsky 2009, Learning multiple layers of features from tiny images (technical
report). An image is 3072 uint8: the red plane of 32 rows, then green, then blue. In the
binary version the label is a byte before each image. The Python version is pickled
arrays; only these types are unpickled.
"""

import io
import os
import pickle
import posixpath

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.dataset_building import archives
from slim_zoo.dataset_building.conversion_plan import Plan, Split
from slim_zoo.dataset_building.converters import pixels
from slim_zoo.dataset_building.published_files import PublishedFile, Source

SPEC = DATASETS['cifar10']
CLASS_NAMES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse',
               'ship', 'truck')
OPTIONS = ()

_BINARY = 'cifar-10-binary.tar.gz'
_PICKLED = 'cifar-10-python.tar.gz'
FILES = (PublishedFile(_BINARY, (f'https://www.cs.toronto.edu/~kriz/{_BINARY}',),
                       'c32a1d4ab5d03f1284b67883e8d87530'),)

_BATCHES = {'train': [f'data_batch_{number}' for number in range(1, 6)],
            'test': ['test_batch']}
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


class _ArrayType:
  """Replaces numpy's array type in a pickle."""


class _Array:
  """Replaces a pickled array: its state is checked, then stored in `values`."""

  values = None

  def __setstate__(self, state):
    _, shape, dtype, by_columns, content = state
    if not isinstance(dtype, _Uint8):
      raise pickle.UnpicklingError('an array is not of uint8')
    if isinstance(content, str):  # A bytes object of Python 2.
      content = content.encode('latin1')
    self.values = np.frombuffer(content, np.uint8).reshape(
        shape, order='F' if by_columns else 'C')


class _Uint8:
  """Replaces a pickled dtype."""

  def __setstate__(self, state):
    pass


def _make_array(kind, shape, typecode):
  return _Array()


def _make_dtype(name, *flags):
  if name not in ('u1', b'u1', 'uint8'):
    raise pickle.UnpicklingError(f'values are {name!r}, expected u1')
  return _Uint8()


def _array_from_buffer(content, dtype, shape, order):
  array = _Array()
  array.__setstate__((1, shape, dtype, order != 'C', bytes(content)))
  return array


def _encode(text, encoding):
  """Replaces the call by which Python 3 pickles bytes in old protocols."""
  if type(text) is not str or encoding != 'latin1':
    raise pickle.UnpicklingError('the encoding of bytes is unknown')
  return text.encode('latin1')


# The functions and types that a pickle may use, and their replacements.
_REPLACEMENTS = {
    ('multiarray', '_reconstruct'): _make_array,
    ('numeric', '_frombuffer'): _array_from_buffer,
    ('numpy', 'ndarray'): _ArrayType,
    ('numpy', 'dtype'): _make_dtype,
    ('_codecs', 'encode'): _encode,
}
_MODULES = {f'{core}.{name}': name for core in ('numpy.core', 'numpy._core')
            for name in ('multiarray', 'numeric')}


class _ArraysOnly(pickle.Unpickler):
  """Reads pickles of arrays, lists, dicts and text; runs no other code."""

  def find_class(self, module, name):
    replacement = _REPLACEMENTS.get((_MODULES.get(module, module), name))
    if replacement is None or module in ('multiarray', 'numeric'):
      raise pickle.UnpicklingError(f'it wants to run {module}.{name}')
    return replacement


def _from_pickle(data: bytes, source: str) -> tuple[np.ndarray, np.ndarray]:
  """Returns labels [n] and pixels [n, 3072]; raises UserError for anything else."""
  try:
    batch = _ArraysOnly(io.BytesIO(data), encoding='latin1').load()
    by_name = {name.decode() if isinstance(name, bytes) else name: value
               for name, value in batch.items()}
    labels = np.array(by_name['labels'], np.int64)
    images = by_name['data'].values
  except Exception as error:
    # Invalid pickles raise many kinds of exceptions.
    raise diagnostics.UserError(
        f'{source} is not a batch of CIFAR-10 and is not used: {error}') from error
  if images is None or images.shape != (len(labels), _PIXELS):
    raise diagnostics.UserError(
        f'{source} is not a batch of CIFAR-10: it has {len(labels)} labels and an array'
        f' {[] if images is None else list(images.shape)}')
  return labels, images


def _from_binary(data: bytes, source: str) -> tuple[np.ndarray, np.ndarray]:
  if len(data) % (_PIXELS + 1):
    raise diagnostics.UserError(
        f'{source} is not a whole batch of CIFAR-10: {len(data)} bytes are not a'
        f' multiple of {_PIXELS + 1}')
  rows = np.frombuffer(data, np.uint8).reshape(-1, _PIXELS + 1)
  return rows[:, 0].astype(np.int64), rows[:, 1:]


def _batches(source: Source, scratch: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns labels and pixels by batch name."""
  names = {name for batch_names in _BATCHES.values() for name in batch_names}
  if not source.is_file and (folder := source.find(
      'data_batch_1.bin', 'data_batch_1', 'test_batch.bin', 'test_batch')):
    path = os.path.dirname(folder)
    files = [(name, os.path.join(path, name)) for name in sorted(os.listdir(path))]
    members = ((name, archives.decompressed_bytes(place)) for name, place in files
               if name.removesuffix('.bin') in names)
  else:
    path = source.path if source.is_file else source.need(_BINARY, _PICKLED)
    members = archives.tar_members(path, scratch)
  batches = {}
  for member, data in members:
    name = posixpath.basename(member)
    if name.removesuffix('.bin') in names:
      read = _from_binary if name.endswith('.bin') else _from_pickle
      batches[name.removesuffix('.bin')] = read(data, f"'{member}' in '{path}'")
  missing = names - set(batches)
  if missing:
    raise diagnostics.UserError(
        f"'{path}' has no {', '.join(sorted(missing))}: expected {_BINARY} or"
        f' {_PICKLED}, or the folder that one of them unpacks to')
  return batches


def _items(split: str, batches) -> list[pixels.Item]:
  items = []
  for name in _BATCHES[split]:
    labels, images = batches[name]
    if labels.size and not 0 <= labels.min() <= labels.max() < SPEC.num_classes:
      raise diagnostics.UserError(
          f'{name} holds labels {labels.min()} to {labels.max()}, those of CIFAR-10'
          f' are 0 to {SPEC.num_classes - 1}')
    planes = images.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    for index, (label, image) in enumerate(zip(labels.tolist(), planes, strict=True)):
      items.append(pixels.Item(f'{name}/{index:05d}.png', label, image.shape,
                               pixels.Content(image.tobytes())))
  return items


def plan(source: Source, scratch: str) -> Plan:
  """Returns the plan; see the package for arguments.

  Raises:
    UserError: the archive is missing, damaged or another one.
  """
  batches = _batches(source, scratch)
  return Plan(
      SPEC, {split: Split(_items(split, batches), SPEC.pattern(split), shards=1)
             for split in SPEC.splits},
      dict(enumerate(CLASS_NAMES)), pixels.make_record, part_items=pixels.PART_ITEMS)
