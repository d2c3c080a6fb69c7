"""Progress of long work: done, rate and time left, for terminals and log files."""

import sys
import time


def clock(seconds: float) -> str:
  """Returns a duration as people read it: '0:07', '12:40' or '3:05:00'."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}:{minutes:02d}:{seconds:02d}'
  return f'{minutes}:{seconds:02d}'


class Progress:
  """Shows how far a loop is: one rewritten line on a terminal, else plain lines.

  Use it as a context manager and call `update(done)` as often as you like: it
  writes at most every `interval` seconds, and once at the end.

  Args:
    label: what is being done, such as 'converting train'.
    total: how many units there are, or None where that is not known.
    unit: what is counted, such as 'images'.
    interval: seconds between lines; the default is 0.2 on a terminal, else 10.
    stream: where to write; the default is stderr.
    first: how many units were finished before; the rate is without them.
  """

  def __init__(self, label: str, total: int | None, unit: str,
               interval: float | None = None, stream=None, first: int = 0):
    self._label, self._total, self._unit = label, total, unit
    self._first = first
    self._stream = stream or sys.stderr
    self._rewrites = self._stream.isatty()
    self._interval = interval or (0.2 if self._rewrites else 10.0)
    self._start = self._last = time.monotonic()
    self._done = first

  def update(self, done: int) -> None:
    """Tells that `done` units are finished by now."""
    self._done = done
    now = time.monotonic()
    if now - self._last >= self._interval:
      self._last = now
      self._write(self._line(now - self._start), end='' if self._rewrites else '\n')

  def _line(self, elapsed: float) -> str:
    line = f'{self._label}: {self._counts()}'
    if self._done > self._first and elapsed > 0:
      rate = (self._done - self._first) / elapsed
      line += f', {rate / 1e6:.3g} MB/s' if self._unit == 'bytes' else f', {rate:.4g}/s'
      if self._total and self._total > self._done:
        line += f', {clock((self._total - self._done) / rate)} left'
    return line

  def _counts(self) -> str:
    """Returns the units that are done, of all: large numbers of bytes as MB."""
    counts, unit = [self._done, *([self._total] if self._total else [])], self._unit
    if unit == 'bytes' and max(counts) >= 1e6:
      return f'{"/".join(f"{count / 1e6:,.1f}" for count in counts)} MB'
    return f'{"/".join(map(str, counts))} {unit}'

  def _write(self, line: str, end: str) -> None:
    # \x1b[K clears what a longer line left behind.
    prefix, suffix = ('\r', '\x1b[K') if self._rewrites else ('', '')
    self._stream.write(f'{prefix}{line}{suffix}{end}')
    self._stream.flush()

  def __enter__(self):
    return self

  def __exit__(self, exception_type, *unused):
    elapsed = time.monotonic() - self._start
    self._write(f'{self._line(elapsed)}, {clock(elapsed)} in all', end='\n')
