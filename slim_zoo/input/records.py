"""Single records of TFRecord files: counted, checked, found, read.

A TFRecord file is a row of records, each of them the length of its data (8 bytes,
little-endian), a checksum of that length (4), the data and a checksum of the data
(4). Both are masked CRC-32Cs.

Counting needs no TensorFlow.
"""

import itertools
import os
import shlex
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DatasetSpec, split_files
from slim_zoo.input.plain_records import masked_crc32c

_HEADER = struct.Struct('<QI')
_CHECKSUM_BYTES = 4
# What slim and TensorFlow Datasets call the encoded image.
ENCODED_FEATURES = ('image/encoded', 'image')
_UNZLIB = ("python3 -c 'import shutil, sys, zlib; sys.stdout.buffer.write("
           "zlib.decompress(sys.stdin.buffer.read()))'")
# (first bytes, name, command): compressions of TFRecord files, and others.
_COMPRESSIONS = (
    (b'\x1f\x8b', 'GZIP', 'gunzip'), (b'BZh', 'bzip2', 'bunzip2'),
    (b'\xfd7zXZ', 'xz', 'unxz'), (b'\x28\xb5\x2f\xfd', 'zstd', 'unzstd'),
    *((b'\x78' + level, 'ZLIB', _UNZLIB) for level in (b'\x01', b'\x5e', b'\x9c',
                                                       b'\xda')))
# (first bytes, kind) of other files that stand where records are expected.
_OTHER_KINDS = (
    (b'\xff\xd8\xff', 'a JPEG image'), (b'\x89PNG', 'a PNG image'),
    (b'PK\x03\x04', 'a ZIP archive'), (b'\x89HDF', 'an HDF5 file'),
    (b'version https://git-lfs', 'a pointer of Git LFS: run git lfs pull'),
    (b'\x93NUMPY', 'a NumPy array'))
_TEXT = frozenset(b'\t\n\r') | frozenset(range(32, 127))
# What TensorFlow Datasets calls the features that are needed.
_OTHER_NAMES = {'image': 'image/encoded', 'label': 'image/class/label'}


def _record_ranges(path: str) -> Iterator[tuple[int, int]]:
  """Yields (offset, length) of each record's data, without reading the data.

  Raises:
    UserError: the file is cut short or is not a TFRecord file.
  """
  size = os.path.getsize(path)
  with open(path, 'rb') as file:
    offset = index = 0
    while offset < size:
      header = file.read(_HEADER.size)
      if len(header) < _HEADER.size:
        raise _damage(path, index, offset, 'the file ends within it')
      length, checksum = _HEADER.unpack(header)
      if masked_crc32c(header[:8]) != checksum:
        raise _damage(path, index, offset, 'its length is damaged') if index else (
            _other_kind(path))
      data = offset + _HEADER.size
      offset_after = data + length + _CHECKSUM_BYTES
      if offset_after > size:
        raise _damage(path, index, offset, 'the file ends within it')
      yield data, length
      file.seek(offset_after)
      offset, index = offset_after, index + 1


def _other_kind(path):
  """Returns the error for a file that is not a TFRecord file; it names the kind."""
  with open(path, 'rb') as file:
    start = file.read(512)
  for signature, compression, command in _COMPRESSIONS:
    if start.startswith(signature):
      name = shlex.quote(path)
      return diagnostics.UserError(
          f"'{path}' is not a TFRecord file as it is: it is compressed ({compression}),"
          f' and records are read uncompressed; write them so, or decompress the file:'
          f' {command} < {name} > {name}.plain && mv {name}.plain {name}')
  kind = next((f', but {kind}' for signature, kind in _OTHER_KINDS
               if start.startswith(signature)), '')
  if not kind and start and all(byte in _TEXT for byte in start):
    kind = ', but text'
  return diagnostics.UserError(
      f"'{path}' is not a TFRecord file{kind}: name record files, or write some with"
      ' slim-zoo convert-images')


def _damage(path, index, offset, reason):
  return diagnostics.UserError(
      f"'{path}' is damaged at record {index} (byte {offset}): {reason}; get or write"
      ' the file again')


def count_records(files: Sequence[str]) -> int:
  """Returns how many records the files hold.

  Reads the lengths only: a damaged image inside a record is not noticed.

  Raises:
    UserError: a file is cut short or is not a TFRecord file; names it and the place.
  """
  return sum(1 for path in files for _ in _record_ranges(path))


def first_lengths(path: str, count: int) -> list[int]:
  """Returns the bytes that each of the first `count` records takes in its file.

  Raises:
    UserError: the file is cut short before, or is not a TFRecord file.
  """
  return [_HEADER.size + length + _CHECKSUM_BYTES
          for _, length in itertools.islice(_record_ranges(path), count)]


def find_damage(files: Sequence[str]) -> diagnostics.UserError | None:
  """Reads everything; returns the error that names the first damaged record.

  Returns None where all files are whole.
  """
  from slim_zoo.tf_compat import tf  # Its checksums are fast, and counting needs none.

  for path in files:
    try:
      count_records([path])  # TensorFlow takes a file cut in a header for its end.
      for _ in tf.io.tf_record_iterator(path):
        pass
    except (diagnostics.UserError, tf.errors.DataLossError):
      return _find_damaged_record(path)
  return None


def _find_damaged_record(path):
  """Returns the error for a file in which some record is damaged."""
  try:
    with open(path, 'rb') as file:
      for index, (offset, length) in enumerate(_record_ranges(path)):
        file.seek(offset)
        data = file.read(length)
        (checksum,) = struct.unpack('<I', file.read(_CHECKSUM_BYTES))
        if masked_crc32c(data) != checksum:
          return _damage(path, index, offset - _HEADER.size, 'its data is damaged')
  except diagnostics.UserError as error:
    return error
  return diagnostics.UserError(f"'{path}' is damaged: get or write the file again")


def is_complete(spec: DatasetSpec, dataset_dir: str) -> bool:
  """Returns whether a folder has all records of every split of a data set."""
  try:
    return all(
        count_records(split_files(spec, split, dataset_dir)) == count
        for split, count in spec.splits.items())
  except diagnostics.UserError:
    return False


def features_of(data: bytes) -> dict[str, list]:
  """Returns the features in a record's data by name, each a list of its values.

  Names are those of slim's records, in the records of TensorFlow Datasets too.

  Raises:
    google.protobuf.message.DecodeError: it is not a tf.train.Example.
  """
  from slim_zoo.tf_compat import tf

  example = tf.train.Example.FromString(data)
  features = {
      name: list(getattr(feature, feature.WhichOneof('kind')).value)
      for name, feature in example.features.feature.items()
      if feature.WhichOneof('kind')}
  if 'image/encoded' not in features:
    features = {_OTHER_NAMES.get(name, name): features[name] for name in features}
  return features


def read_features(files: Sequence[str], file_index: int, position: int) -> dict:
  """Returns the features of one record; see `features_of`.

  Args:
    files: record files.
    file_index: the index of the record's file in them.
    position: the number of records before it in that file.

  Raises:
    IndexError: there is no such record.
    UserError: the file is damaged before it, or the record is not a tf.train.Example.
  """
  from google.protobuf import message

  path = files[file_index]
  place = next(itertools.islice(_record_ranges(path), position, None), None)
  if place is None:
    raise IndexError(f"no record {position} in '{path}'")
  offset, length = place
  with open(path, 'rb') as file:
    file.seek(offset)
    data = file.read(length)
  try:
    return features_of(data)
  except message.DecodeError as error:
    raise diagnostics.UserError(
        f"record {position} of '{path}' does not hold an image: it is"
        ' not a tf.train.Example') from error


def read_records(path: str, positions: Collection[int]) -> Iterator[bytes]:
  """Yields the data of some records of one file, in the file's order.

  Args:
    path: a TFRecord file.
    positions: how many records are before each; those past the end are left out.

  Raises:
    UserError: the file is damaged before the last of them.
  """
  selected = set(positions)
  places = itertools.islice(_record_ranges(path), max(selected, default=-1) + 1)
  with open(path, 'rb') as file:
    for position, (offset, length) in enumerate(places):
      if position in selected:
        file.seek(offset)
        yield file.read(length)


class RecordReader:
  """Reads single records; goes through the lengths of each file once.

  Args:
    files: record files.
  """

  def __init__(self, files: Sequence[str]):
    self._files, self._ranges = files, {}

  def read(self, file_index: int, position: int) -> bytes:
    """Returns the data of a record; see `read_features`.

    Raises:
      IndexError: there is no such record.
      UserError: the file is damaged.
    """
    if file_index not in self._ranges:
      self._ranges[file_index] = np.array(
          list(_record_ranges(self._files[file_index])), np.int64)
    offset, length = self._ranges[file_index][position]
    with open(self._files[file_index], 'rb') as file:
      file.seek(offset)
      return file.read(length)


def is_whole(path: str, position: int) -> bool:
  """Returns whether the data of a record has the checksum in its file."""
  place = next(itertools.islice(_record_ranges(path), position, None))
  with open(path, 'rb') as file:
    file.seek(place[0])
    data = file.read(place[1])
    return masked_crc32c(data) == int.from_bytes(file.read(_CHECKSUM_BYTES), 'little')


def labels_of(features: Mapping[str, list], n_hot: bool = False) -> list[int]:
  """Returns the labels in the features of a record, see `features_of`.

  None of them if they are not ints.
  """
  values = features.get('image/class/label', [])
  if not all(isinstance(value, int) for value in values):
    return []
  return [label for label, value in enumerate(values) if value] if n_hot else values


def read_image(files: Sequence[str], file_index: int, position: int) -> np.ndarray:
  """Returns the image of one record as stored, uint8 [h, w] or [h, w, 3].

  Arguments are those of `read_features`.

  Raises:
    UserError: the record holds no image that can be decoded.
  """
  from slim_zoo.images import image_check  # Pillow takes its time to import.

  encoded = read_features(files, file_index, position).get('image/encoded')
  try:
    return image_check.picture(encoded[0] if encoded else b'')
  except image_check.RefusedError as error:
    raise diagnostics.UserError(
        f'the image of {describe(files, file_index, position)} cannot be'
        f' decoded: {error}') from error


def describe(files: Sequence[str], file_index: int, position: int) -> str:
  """Returns words that find a record: its position, file and image name.

  Arguments are those of `read_features`; what cannot be read is left out.
  """
  try:
    names = read_features(files, file_index, position).get('image/filename')
  except (diagnostics.UserError, IndexError):
    names = None
  name = names[0] if names else None
  image = (f' ({name.decode(errors="replace")})'
           if name and isinstance(name, bytes) else '')
  return f"record {position} of '{files[file_index]}'{image}"
