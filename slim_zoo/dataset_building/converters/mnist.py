"""MNIST from its four files of raw pixels and labels.

LeCun 1998, Proceedings of the IEEE 86(11). A file starts with two zero bytes, the type
of its values (8: uint8), the number of dimensions, and each dimension as a 32-bit int,
all big-endian; then the values.
"""

import math
import struct

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.dataset_building import archives
from slim_zoo.dataset_building.conversion_plan import Plan, Split
from slim_zoo.dataset_building.converters import pixels
from slim_zoo.dataset_building.published_files import PublishedFile, Source

SPEC = DATASETS['mnist']
CLASS_NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight',
               'nine')
OPTIONS = ()

_ADDRESSES = ('https://storage.googleapis.com/cvdf-datasets/mnist/',
              'https://ossci-datasets.s3.amazonaws.com/mnist/',
              'http://yann.lecun.com/exdb/mnist/')
_MD5 = {
    'train-images-idx3-ubyte.gz': 'f68b3c2dcbeaaa9fbdd348bbdeb94873',
    'train-labels-idx1-ubyte.gz': 'd53e105ee54ea40749a09fcbcd1e9432',
    't10k-images-idx3-ubyte.gz': '9fb629c4189551a2d022fa330f9573f3',
    't10k-labels-idx1-ubyte.gz': 'ec29112dd5afa0611ce80d1b7f02629c',
}
FILES = tuple(
    PublishedFile(name, tuple(address + name for address in _ADDRESSES), md5)
    for name, md5 in _MD5.items())

_PREFIXES = {'train': 'train', 'test': 't10k'}
_UINT8 = 8


def _read(path: str, dimensions: int) -> np.ndarray:
  """Returns the values of a file; raises UserError if it is incomplete."""
  data = archives.decompressed_bytes(path)
  start = 4 + 4 * dimensions
  shape = struct.unpack(f'>{dimensions}I', data[4:start]) if len(data) >= start else ()
  if (data[:4] != bytes([0, 0, _UINT8, dimensions])
      or len(data) != start + math.prod(shape)):
    raise diagnostics.UserError(
        f"'{path}' is not a whole file of MNIST, uint8 in {dimensions} dimensions:"
        ' download it again')
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _split(source: Source, name: str) -> Split:
  prefix = _PREFIXES[name]
  paths = [source.need(f'{prefix}-{stem}.gz', f'{prefix}-{stem}',
                       f"{prefix}-{stem.replace('-idx', '.idx')}")
           for stem in ('images-idx3-ubyte', 'labels-idx1-ubyte')]
  images, labels = _read(paths[0], 3), _read(paths[1], 1)
  if len(images) != len(labels) or images.shape[1:] != SPEC.image_size:
    raise diagnostics.UserError(
        f"'{paths[0]}' holds images {list(images.shape)}, '{paths[1]}' {len(labels)}"
        f' labels: expected as many of each, and images of {SPEC.image_size}')
  if labels.max(initial=0) >= SPEC.num_classes:
    raise diagnostics.UserError(
        f"'{paths[1]}' holds a label {labels.max()}, those of MNIST are 0 to"
        f' {SPEC.num_classes - 1}')
  items = [pixels.Item(f'{name}/{index:05d}.png', label, image.shape,
                       pixels.Content(image.tobytes()))
           for index, (image, label) in enumerate(
               zip(images, labels.tolist(), strict=True))]
  return Split(items, SPEC.pattern(name), shards=1)


def plan(source: Source, scratch: str) -> Plan:
  """Returns the plan; see the package for arguments.

  Raises:
    UserError: a file is missing, damaged or of another data set.
  """
  del scratch  # The data set fits in memory.
  return Plan(SPEC, {name: _split(source, name) for name in SPEC.splits},
              dict(enumerate(CLASS_NAMES)), pixels.make_record,
              part_items=pixels.PART_ITEMS)
