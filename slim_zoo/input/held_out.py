"""Parts of a split: a held-out share for validation, the rest, and shards of workers.

Which part a record is in depends on its place alone, its file's number and its number
in that file: not on a seed, on the order of reading or on how often a run is resumed.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from slim_zoo.input import records

# A prime. The fifth power permutes the numbers below it, as 5 does not divide
# 2**31 - 2, and products of two of them fit into an int64.
_PRIME = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Part:
  """The held-out share of a split, or the rest.

  Attributes:
    share: the part of all records that is held out, above 0 and below 1; about, as
      each record is drawn for itself.
    is_held_out: whether this is that share, or the rest.
  """

  share: float
  is_held_out: bool

  @property
  def other(self) -> 'Part':
    """The part that has the records that this one does not have."""
    return Part(self.share, not self.is_held_out)

  def keeps(self, file_index, position):
    """Returns which records are in this part.

    Args:
      file_index: int64, the index of a record's file; a NumPy array, a tensor or an
        int.
      position: likewise, how many records are before it in that file.

    Returns:
      bool, of the arguments' kind and shape.
    """
    is_held_out = scrambled(file_index, position) < int(self.share * _PRIME)
    return is_held_out if self.is_held_out else ~is_held_out

  def keys(self, files: Sequence[str]) -> np.ndarray:
    """Returns int64 [n, 2]: file index and position of each record of this part.

    Raises:
      UserError: a file is damaged.
    """
    keys = all_keys(files)
    return keys[self.keeps(keys[:, 0], keys[:, 1])]


@dataclasses.dataclass(frozen=True)
class Shard:
  """What one of several workers reads: together they read each record once.

  Which records these are depends on their places alone, as for a `Part`.

  Attributes:
    index: the number of the worker, from 0: an int, or an int64 scalar tensor.
    count: how many workers there are, likewise.
  """

  index: Any = 0
  count: Any = 1

  def of_file(self, records_of_file, file_index):
    """Returns the shard of the records of a file, a tf.data.Dataset in their order."""
    return records_of_file.shard(self.count, (self.index + file_index) % self.count)

  def keeps(self, file_index, position):
    """Tells which records are in the shard; arguments as for `Part.keeps`."""
    return (position - file_index) % self.count == self.index


def count(files: Sequence[str], part: Part | None, shard: Shard | None = None) -> int:
  """Returns how many records there are in a part, or in all of the files.

  Args:
    files: the record files.
    part: of their records; None: all.
    shard: of these records; None: all.

  Raises:
    UserError: a file is damaged.
  """
  if part is None and shard is None:
    return records.count_records(files)
  keys = all_keys(files) if part is None else part.keys(files)
  return len(keys) if shard is None else int(shard.keeps(keys[:, 0], keys[:, 1]).sum())


def all_keys(files: Sequence[str]) -> np.ndarray:
  """Returns the keys of all records, see `Part.keys`."""
  counts = [records.count_records([path]) for path in files]
  return np.concatenate(
      [np.stack([np.full(count, index, np.int64), np.arange(count)], axis=1)
       for index, count in enumerate(counts)] or [np.zeros([0, 2], np.int64)])


def scrambled(file_index, position):
  """Returns numbers below 2**31 - 1 that look random, yet repeat.

  By arithmetic that NumPy, TensorFlow and Python do alike, so that what the graph
  will hold out can be counted without it.

  Args:
    file_index: int64, the index of a record's file; a NumPy array, a tensor or an int.
    position: likewise, how many records are before it in that file.
  """
  number = (position * 48271 + file_index * 1000003 + 12345) % _PRIME
  for _ in range(3):
    square = number * number % _PRIME
    number = (square * square % _PRIME * number + 7919) % _PRIME
  return number
