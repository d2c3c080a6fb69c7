"""Intervals of a training run, and sums of its steps within them."""

import contextlib
import dataclasses
import time


class Every:
  """Checks if an interval of seconds has passed; it never has for 0."""

  def __init__(self, seconds):
    self._seconds, self._last = seconds, time.monotonic()

  def due(self):
    """Returns whether it is time, and if so begins the next interval."""
    now = time.monotonic()
    if not self._seconds or now - self._last < self._seconds:
      return False
    self._last = now
    return True


class EverySteps:
  """Says when the global step has passed a multiple of some steps; never for 0.

  A process of a job sees only some of the global steps.
  """

  def __init__(self, steps: int):
    self._steps, self._last = steps, 0

  def start(self, step: int) -> None:
    """Begins at a global step, which may be an earlier one again."""
    self._last = step

  def is_due(self, step: int) -> bool:
    """Tells whether it is time at a global step."""
    return bool(self._steps) and step // self._steps > self._last // self._steps

  def take(self, step: int) -> bool:
    """Tells whether it is time, and if so waits for the next multiple."""
    is_due = self.is_due(step)
    if is_due:
      self._last = step
    return is_due


class Interval:
  """Sums over the steps between two progress lines.

  Attributes:
    count: how many steps this process has taken in it. Other workers take steps too.
  """

  def start(self, step=0):
    """Starts the first interval of a session, from now and from a global step."""
    self._restart(step)
    self._is_first_step = True

  def _restart(self, step):
    self._is_first_step, self._after_first = False, None
    self._start, self.count, self._loss, self._waited = time.monotonic(), 0, 0.0, 0.0
    self._first_step = self._step = step
    self._paused = 0.0

  @contextlib.contextmanager
  def paused(self):
    """Excludes the time of the block from the seconds of training."""
    begin = time.monotonic()
    try:
      yield
    finally:
      self._paused += time.monotonic() - begin

  def add(self, step, loss, waited):
    """Adds a step: the global step after it, its loss, and how long it waited."""
    self.count += 1
    self._step = step
    self._loss += float(loss)
    self._waited += float(waited)
    if self._is_first_step:
      self._is_first_step, self._after_first = False, (time.monotonic(), step)

  def restart(self):
    """Returns the sums so far, and starts the next interval."""
    now = time.monotonic()
    seconds = max(now - self._start - self._paused, 1e-9)
    begin, first_step = self._start, self._first_step
    if self._after_first is not None and self._step > self._after_first[1]:
      begin, first_step = self._after_first
    step_seconds = max(now - begin, 1e-9) / max(int(self._step - first_step), 1)
    sums = Sums(max(int(self._step - self._first_step), 1), seconds,
                self._loss / max(self.count, 1), min(self._waited / seconds, 1.0),
                step_seconds)
    self._restart(self._step)
    return sums


@dataclasses.dataclass(frozen=True)
class Sums:
  """Sums of an interval: the global step rose by `steps` in `seconds` seconds.

  The loss and the wait are of this process. For the time left, `step_seconds` are those
  of a step, with the time in which it was paused. The first step of a session does not
  count for them if others follow: it prepares the graph and fills the input.
  """

  steps: int
  seconds: float
  mean_loss: float
  wait_share: float
  step_seconds: float
