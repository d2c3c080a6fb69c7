"""CRC-32C, the checksum of TFRecord files, without TensorFlow.

Castagnoli 1993, IEEE Transactions on Communications 41(6): the polynomial 0x1edc6f41,
here with its bits reversed. The checksum is linear over bits: a long text is cut into
blocks, what each byte adds to its block is looked up by its value and place, and the
blocks are joined one after the other. That is numpy's work but for one step a block.

The package google-crc32c, where it is installed, takes a fortieth of that time: on
photos of 90 kB 0.01 instead of 0.55 ms each, beside 1.5 ms for decoding one.
"""

import functools

import numpy as np

try:
  import google_crc32c
except ImportError:
  google_crc32c = None

_REVERSED_POLYNOMIAL = 0x82f63b78
_MASK_DELTA = 0xa282ead8
_BLOCK = 1024
# Below this many bytes the plain loop is faster than calling numpy.
_FEW = 64


def _byte_table():
  table = []
  for value in range(256):
    for _ in range(8):
      value = value >> 1 ^ (_REVERSED_POLYNOMIAL if value & 1 else 0)
    table.append(value)
  return table


_BYTE_TABLE = _byte_table()


@functools.cache
def _block_tables() -> tuple[np.ndarray, np.ndarray]:
  """Returns what a byte adds to its block, uint32 [_BLOCK * 256], and row starts."""
  of_byte = np.array(_BYTE_TABLE, np.uint32)
  table = np.empty([_BLOCK, 256], np.uint32)
  table[-1] = of_byte
  for position in range(_BLOCK - 2, -1, -1):
    following = table[position + 1]
    table[position] = following >> 8 ^ of_byte[following & 0xff]
  return table.reshape(-1), np.arange(_BLOCK, dtype=np.intp) * 256


@functools.cache
def _register_tables(position: int) -> list[list[int]]:
  """Returns what the four bytes of the register add, if they stand at `position`."""
  table = _block_tables()[0]
  return [table[row * 256:(row + 1) * 256].tolist()
          for row in range(position, position + 4)]


def _advance(crc: int, blocks: np.ndarray) -> int:
  """Returns the register after `blocks`, uint8 [n, up to _BLOCK]."""
  table, starts = _block_tables()
  position = _BLOCK - blocks.shape[1]
  added = np.bitwise_xor.reduce(
      np.take(table, blocks + starts[position:]), axis=1)
  first, second, third, fourth = _register_tables(position)
  for value in added.tolist():
    crc = (first[crc & 0xff] ^ second[crc >> 8 & 0xff] ^ third[crc >> 16 & 0xff]
           ^ fourth[crc >> 24] ^ value)
  return crc


# Where it could not be compiled that package loops in Python.
_IS_NATIVE = google_crc32c is not None and google_crc32c.implementation == 'c'


def crc32c(data: bytes) -> int:
  """Returns the CRC-32C of bytes, an int of 32 bits."""
  return google_crc32c.value(data) if _IS_NATIVE else by_numpy(data)


def by_numpy(data: bytes) -> int:
  """Returns the CRC-32C of bytes without the package."""
  crc = 0xffffffff
  odd = len(data) % _BLOCK
  if odd < _FEW:
    for byte in data[:odd]:
      crc = crc >> 8 ^ _BYTE_TABLE[(crc ^ byte) & 0xff]
  else:
    crc = _advance(crc, np.frombuffer(data, np.uint8, odd)[np.newaxis])
  if len(data) > odd:
    blocks = np.frombuffer(data, np.uint8, offset=odd)
    crc = _advance(crc, blocks.reshape(-1, _BLOCK))
  return crc ^ 0xffffffff


def masked(data: bytes) -> int:
  """Returns the checksum as TFRecord files store it: rotated and shifted."""
  crc = crc32c(data)
  return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xffffffff
