"""Knows which records went into a pipeline and which came out as images.

An image that cannot be decoded is skipped, so that one bad file does not
end a run. This log notices each by the gap it leaves and names it.
"""

import threading
from collections.abc import Callable

from slim_zoo.input import records


class AllUnreadableError(RuntimeError):
  """No image came out of the pipeline for far too many records."""


class RecordLog:
  """Follows records through a pipeline that keeps their order.

  Records are numbered in the order they are read; `issue` is called as
  they go in, `deliver` as their images come out.

  Args:
    files: the record files; a record's key is [index of its file, position in it].
    patience: how many records may be under way, or lost, before `issue` raises.
    first: the number of the first record.
    explain: called with the key of a record that gave no image; returns why, in words
      behind the name of the record.
  """

  def __init__(self, files: list[str], patience: int, first: int = 0,
               explain: Callable[[tuple[int, int]], str] | None = None):
    self.files, self._patience, self._first = files, patience, first
    self._explain = explain
    self._lock = threading.Lock()
    self.restart()

  def restart(self):
    """Forgets everything: the pipeline begins at its first record again."""
    with self._lock:
      self._under_way = {}
      self._newest = self._first - 1
      self._lost = []

  def issue(self, numbers, keys):
    """Notes that records go in.

    Args:
      numbers: int64 [n].
      keys: int64 [n, 2].

    Raises:
      AllUnreadableError: nothing came out for `patience` records.
    """
    with self._lock:
      for number, key in zip(numbers.tolist(), keys.tolist(), strict=True):
        self._under_way[number] = tuple(key)
      silent = int(numbers[-1]) - self._newest
      if silent > self._patience:
        reason = f': {self._explain(tuple(key))}' if self._explain else ''
        raise AllUnreadableError(
            f'hardly one of the last {silent} records holds an image that can be'
            f' decoded and a label; one that does not is'
            f' {records.describe(self.files, *key)}{reason}')

  def deliver(self, numbers):
    """Notes that the images of records came out; int64 [n], in their order."""
    with self._lock:
      for number in numbers.tolist():
        self._lost += [(missing, self._under_way.pop(missing, None))
                       for missing in range(self._newest + 1, number)]
        self._under_way.pop(number, None)
        self._newest = number

  def records_read(self) -> int:
    """Returns the number of the record that comes next, after those delivered."""
    with self._lock:
      return self._newest + 1

  def finish(self):
    """Notes that nothing more will come out: what is still under way is lost."""
    with self._lock:
      self._lost += self._under_way.items()
      self._under_way.clear()

  def take_lost(self) -> list[tuple[int, tuple[int, int] | None]]:
    """Returns (number, key) of each record lost since the last call.

    The key is None if the record was not issued here, but read by another process.
    """
    with self._lock:
      lost, self._lost = self._lost, []
    return lost

  def describe(self, key: tuple[int, int] | None) -> str:
    """Returns words that find a record: its file, position and image name."""
    if key is None:
      return 'a record that another process read'
    return records.describe(self.files, *key)
