"""Limits how many requests are computed, and how large they are, at the same time."""

import contextlib
import threading
from collections.abc import Iterator

from slim_zoo.serving.messages import RequestError


class Turns:
  """Gives turns to requests.

  Args:
    count: how many have one at the same time.
    seconds: how long a request waits for its turn.
  """

  def __init__(self, count: int, seconds: float = 2.0):
    self._turns, self._count = threading.BoundedSemaphore(count), count
    self._seconds = seconds

  @contextlib.contextmanager
  def take(self) -> Iterator[None]:
    """Waits for a turn, and holds it for the block.

    Raises:
      RequestError: 503, there was none in time.
    """
    if not self._turns.acquire(timeout=self._seconds):
      raise RequestError(
          503, f'the server is busy (--max_concurrency={self._count}): send the request'
          ' again', {'Retry-After': '1'})
    try:
      yield
    finally:
      self._turns.release()


class Room:
  """Gives room for the bodies of requests.

  Args:
    most: bytes of all bodies together.
    seconds: how long a request waits for room.

  Attributes:
    free: bytes that are not taken.
  """

  def __init__(self, most: int, seconds: float = 2.0):
    self._most = self.free = most
    self._seconds, self._change = seconds, threading.Condition()

  @contextlib.contextmanager
  def take(self, count: int) -> Iterator[None]:
    """Waits for room, and holds it for the block.

    Args:
      count: bytes, up to `most`.

    Raises:
      RequestError: 503, there was none in time.
    """
    with self._change:
      if not self._change.wait_for(lambda: self.free >= count, self._seconds):
        raise RequestError(
            503, f'the server is busy (it holds up to {self._most:,} bytes of requests,'
            ' --max_request_mb times --max_concurrency): send the request again',
            {'Retry-After': '1'})
      self.free -= count
    try:
      yield
    finally:
      with self._change:
        self.free += count
        self._change.notify_all()
