"""Notices a step that waits in native code for another process of the job.

TensorFlow prints nothing then, and handles no signals.
"""

import collections
import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from slim_zoo.deployment import peers

# A step of a usual length is no reason to look.
_SECONDS_UNTIL_LOOK, _USUAL_LENGTHS, _REMEMBERED = 10.0, 3, 25
_SECONDS_BETWEEN_LINES = 30.0
# What a step that waits may take after a signal, and then after its release.
_SECONDS_AFTER_SIGNAL = 3.0


class StepWatch:
  """Watches the steps of a run on servers in other processes.

  Args:
    servers: addresses of the servers that a step needs, by name.
    absent: returns the names of workers that gave no sign of life lately.
    timeout_secs: how long a step may wait for a server or a worker; 0: forever.
    is_shared: whether the variables are on the servers: a step that does not end may
      be left, as a signal asks for, and the other workers continue.
    ended: returns the names of the processes that have ended and without which a step
      cannot end, even if they were started again.

  Attributes:
    release: ends a step that waits for workers; set while a session is open.
    timed_out: why the run is to end: what a step waited for too long; or None.
  """

  def __init__(self, servers: Mapping[str, str],
               absent: Callable[[], list[str]] = list, timeout_secs: float = 0,
               is_shared: bool = True, ended: Callable[[], list[str]] = list):
    self._servers, self._absent = servers, absent
    self._timeout_secs, self._is_shared, self._lost = timeout_secs, is_shared, ended
    self.release: Callable[[], None] = lambda: None
    self.timed_out = None
    self._since, self._ended = None, threading.Event()
    # Of the last steps; one of them may have waited for minutes.
    self._lengths = collections.deque([0.0], maxlen=_REMEMBERED)

  @contextlib.contextmanager
  def watching(self, end: Callable[[str], None]) -> Iterator[None]:
    """Prints what a step waits for, while the block runs.

    Args:
      end: ends the program at once with a line: the step has not even ended after
        its release.
    """
    threading.Thread(target=self._look, args=(end,), daemon=True).start()
    try:
      yield
    finally:
      self._ended.set()

  @contextlib.contextmanager
  def step(self) -> Iterator[None]:
    """Is around everything that may wait for another process."""
    start = self._since = time.monotonic()
    try:
      yield
      self._lengths.append(time.monotonic() - start)
    finally:
      self._since = None

  def age(self) -> float:
    """Returns for how many seconds the step that runs now has run; 0 for none."""
    since = self._since
    return 0.0 if since is None else time.monotonic() - since

  def hangs(self) -> bool:
    """Tells whether the step that runs now waits, and may do so for ever."""
    age = self.age()
    if age < _SECONDS_AFTER_SIGNAL:
      return False
    is_long = self._is_shared and age > self._several_lengths()
    return is_long or bool(self._missing())

  def _several_lengths(self):
    return _USUAL_LENGTHS * statistics.median(self._lengths)

  def end_after_signal(self, ended: threading.Event, end: Callable[[], None]) -> None:
    """Releases a step that waits after a signal, or ends the program.

    Args:
      ended: is set when the run has ended in order.
      end: ends the program.
    """
    released_at = None
    while not ended.wait(0.5):
      if not self.hangs():
        continue
      if released_at is None:
        released_at = time.monotonic()
        peers.native_thread(self.release).start()
      elif time.monotonic() - released_at > _SECONDS_AFTER_SIGNAL:
        end()

  def _missing(self):
    return [*(f'{name}, which does not answer' for name in peers.silent(self._servers)),
            *(f'{name}, which gives no sign of life' for name in self._absent())]

  def _look(self, end):
    next_line = 0.0
    while not self._ended.wait(1.0):
      age = self.age()
      if age < max(_SECONDS_UNTIL_LOOK, self._several_lengths()):
        next_line = 0.0
      elif self._lost():
        # TensorFlow may wait for ever, above all before the end of the first step.
        end(f'{", ".join(self._lost())} has ended')
      elif age > next_line:
        missing = self._missing()
        if missing or age > _SECONDS_BETWEEN_LINES:
          next_line = age + _SECONDS_BETWEEN_LINES
          what = '; '.join(missing) or 'the end of a step'
          print(f'waiting for {what} ({age:.0f} s)', flush=True)
          if missing and 0 < self._timeout_secs < age:
            self._time_out(f'waited {age:.0f} s for {what}', end)

  def _time_out(self, what, end):
    self.timed_out = what
    peers.native_thread(self.release).start()
    if not self._ended.wait(_SECONDS_AFTER_SIGNAL) and self.age() > self._timeout_secs:
      end(what)


class Unwatched:
  """Stands for a `StepWatch` where no step waits for another process."""

  timed_out = release = None

  def watching(self, unused_end) -> contextlib.AbstractContextManager:
    """Returns a context that does nothing."""
    return contextlib.nullcontext()

  def step(self) -> contextlib.AbstractContextManager:
    """Returns a context that does nothing."""
    return contextlib.nullcontext()
