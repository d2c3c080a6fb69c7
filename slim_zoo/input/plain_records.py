"""TFRecord files and their tf.train.Examples, written without TensorFlow.

Converters write in many processes, in each of which TensorFlow would take seconds to
start. The bytes are those that TensorFlow writes with its features in sorted order.

A tf.train.Example is a protocol buffer: Example.features (1), Features.feature (1, a
map of key 1 and value 2), Feature.bytes_list (1), .float_list (2) or .int64_list (3),
and in each of these the values (1), numbers packed.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence

import google_crc32c

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_LENGTH_DELIMITED = 2
_MASK_DELTA = 0xa282ead8


def _varint(value: int) -> bytes:
  coded = bytearray()
  while value > 0x7f:
    coded.append(value & 0x7f | 0x80)
    value >>= 7
  coded.append(value)
  return bytes(coded)


def _field(number: int, content: bytes) -> bytes:
  tag = _varint(number << 3 | _LENGTH_DELIMITED)
  return tag + _varint(len(content)) + content


def texts(*values: bytes) -> bytes:
  """Returns a feature of byte strings."""
  return _field(_BYTES_LIST, b''.join(_field(1, value) for value in values))


def floats(values: Sequence[float]) -> bytes:
  """Returns a feature of floats."""
  packed = struct.pack(f'<{len(values)}f', *values)
  return _field(_FLOAT_LIST, _field(1, packed) if packed else b'')


def ints(*values: int) -> bytes:
  """Returns a feature of ints of 64 bits."""
  # A negative number is coded as the unsigned one with the same bits.
  packed = b''.join(_varint(value & 0xffffffffffffffff) for value in values)
  return _field(_INT64_LIST, _field(1, packed) if packed else b'')


def example(features: Mapping[str, bytes]) -> bytes:
  """Returns a tf.train.Example of features by name; each made by a function above."""
  return _field(1, b''.join(
      _field(1, _field(1, name.encode()) + _field(2, features[name]))
      for name in sorted(features)))


def image_features(data: bytes, image_format: bytes, height: int, width: int,
                   label: int, filename: str) -> dict[str, bytes]:
  """Returns the features that the records of every data set have.

  Args:
    data: the encoded image.
    image_format: b'jpeg' or b'png', as the data set spells it.
    height: in pixels.
    width: in pixels.
    label: of its class.
    filename: where the image comes from.
  """
  return {
      'image/encoded': texts(data), 'image/format': texts(image_format),
      'image/height': ints(height), 'image/width': ints(width),
      'image/class/label': ints(label),
      'image/filename': texts(filename.encode('utf-8', 'surrogateescape'))}


def masked_crc32c(data: bytes) -> int:
  """Returns the checksum of TFRecord files: CRC-32C, rotated, plus a constant."""
  checksum = google_crc32c.value(data)
  return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xffffffff


def framed(data: bytes) -> bytes:
  """Returns the bytes of a record in a TFRecord file."""
  length = struct.pack('<Q', len(data))
  return b''.join((length, struct.pack('<I', masked_crc32c(length)),
                   data, struct.pack('<I', masked_crc32c(data))))


def write(path: str, records: Iterable[bytes]) -> None:
  """Writes a TFRecord file.

  Raises:
    OSError: it cannot be written.
  """
  with open(path, 'wb') as file:
    file.writelines(framed(record) for record in records)
