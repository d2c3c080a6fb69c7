"""Limits the number of requests that are computed at the same time, and their bytes."""

import contextlib
import threading
from collections.abc import Iterator

from slim_zoo.serving.messages import RequestError


class RequestSlots:
  """Limits the number of requests that are computed at the same time.

  Args:
    count: the number of slots; a request needs one.
    seconds: how long a request waits for a free slot.
  """

  def __init__(self, count: int, seconds: float = 2.0):
    self._slots, self._count = threading.BoundedSemaphore(count), count
    self._seconds = seconds

  @contextlib.contextmanager
  def take(self) -> Iterator[None]:
    """Waits for a slot, and holds it during the block.

    Raises:
      RequestError: 503, no slot was free in time.
    """
    if not self._slots.acquire(timeout=self._seconds):
      raise RequestError(
          503, f'the server is busy (--max_concurrency={self._count}): send the request'
          ' again', {'Retry-After': '1'})
    try:
      yield
    finally:
      self._slots.release()


class BodyMemory:
  """Limits the bytes of all request bodies that are in memory.

  Args:
    max_bytes: the limit.
    seconds: how long a request waits until its body, or a part of it, fits.

  Attributes:
    free: number of bytes that are not taken.
  """

  def __init__(self, max_bytes: int, seconds: float = 2.0):
    self._max_bytes = self.free = max_bytes
    self._seconds, self._change = seconds, threading.Condition()

  @contextlib.contextmanager
  def take(self, count: int) -> Iterator[None]:
    """Waits until a body or a part fits, and holds its bytes during the block.

    Args:
      count: number of bytes, up to `max_bytes`.

    Raises:
      RequestError: 503, they did not fit in time.
    """
    with self._change:
      if not self._change.wait_for(lambda: self.free >= count, self._seconds):
        raise RequestError(
            503, f'the server is busy (it holds up to {self._max_bytes:,} bytes of'
            ' requests, --max_request_mb times --max_concurrency): send the request'
            ' again', {'Retry-After': '1'})
      self.free -= count
    try:
      yield
    finally:
      with self._change:
        self.free += count
        self._change.notify_all()
