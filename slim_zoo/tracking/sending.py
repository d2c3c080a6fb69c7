"""Sends the metrics of a run to a tracker, in a thread.

Training steps do not wait for the thread. If a server does not answer, one line is
printed and the thread tries again. The end of the run waits for a limited time.
"""

import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from slim_zoo.tracking.stored_runs import StoredRuns
from slim_zoo.tracking.tracker import FAILED, STOPPED, Record, Tracker

# Seconds between two deliveries, and the longest pause after errors.
_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
# Records of one delivery, and records that are kept while a server does not answer.
_MAX_DELIVERED, _MAX_KEPT = 200, 20_000
# Of an error message, in characters.
_MAX_MESSAGE = 200
# How long the end of a run waits for all trackers. A command must end within 10 seconds
# after a signal.
_SECONDS, _SECONDS_AFTER_SIGNAL = 60.0, 8.0
# The user and the password in an address.
_LOGIN = re.compile(r'(?<=//)[^/\s]+@')


class Sender:
  """Sends records to one tracker, in order and each step once.

  Args:
    tracker: the tracker.
    runs: file with the id of the logged run and the sent steps; None: the run is new
      and is not stored.
    resumes: whether the run continues from a checkpoint; else it is a new run.
    pause: seconds between two deliveries.
    print_line: prints a line.
  """

  def __init__(self, tracker: Tracker, runs: StoredRuns | None, resumes: bool,
               pause: float = _PAUSE,
               print_line: Callable[[str], None] | None = None):
    self._tracker, self._runs, self._pause = tracker, runs, pause
    self._print = print_line or (lambda line: print(line, flush=True))
    run, steps = (runs.find(tracker.name, tracker.store)
                  if runs and resumes else (None, {}))
    self._known_run, self._run = run, None
    # By kind: the last step of all records, and of the sent records.
    self._last, self._sent = dict(steps), dict(steps)
    self._queue, self._unsent, self._num_dropped = queue.SimpleQueue(), [], 0
    self._is_ending, self._has_failed = threading.Event(), False
    # (status, files) until the run is ended in the tracker.
    self._end, self._error = None, ''
    self._thread = threading.Thread(
        target=self._send_all, name=f'{tracker.name} tracker', daemon=True)

  @property
  def run(self) -> str | None:
    """The id of the logged run; None before it is known."""
    return self._run or self._known_run

  @property
  def name(self) -> str:
    """The name of the tracker."""
    return self._tracker.name

  def start(self) -> None:
    """Starts the thread."""
    self._thread.start()

  def record(self, step: int, kind: str, values: Mapping[str, float | None]) -> None:
    """Adds metrics to the queue; does not wait.

    Steps that are repeated after a kill are not sent again.

    Args:
      step: global step.
      kind: kind of the metrics; each kind has its own steps.
      values: values by tag; None is left out.
    """
    known = {tag: float(value) for tag, value in values.items() if value is not None}
    if not known or step <= self._last.get(kind, -1):
      return
    # The libraries accept only int and float of Python.
    self._last[kind] = step = int(step)
    self._queue.put(Record(step, kind, known, time.time()))

  def end(self, status: str, files: Iterable[tuple[str, str]]) -> None:
    """Tells the thread to send the rest and to end the run; does not wait for it.

    Args:
      status: see `Tracker.end`.
      files: (path, folder) of the files to send, see `Tracker.add`.
    """
    self._end = (status, list(files))
    self._is_ending.set()

  def join(self, seconds: float) -> None:
    """Waits for the thread, up to some seconds; prints a line if data was not sent."""
    self._thread.join(seconds)
    if self._thread.is_alive():
      self._has_failed = True  # Later errors are not printed.
      self._print(f'note: {self.name}: not everything was sent, because it did not'
                  ' answer in time')
    elif self._end is not None:
      self._print(f'note: {self.name}: not everything was sent: {self._error}')
    elif self._num_dropped:
      self._print(f'note: {self.name}: {self._num_dropped:,} records were not sent: it'
                  f' did not answer, and {_MAX_KEPT:,} records are kept')

  # --- In the thread.

  def _send_all(self):
    pause = 0.0
    while not self._is_ending.wait(pause):
      pause = (self._pause if self._succeeds(self._deliver)
               else min(max(2 * pause, self._pause), _LONGEST_PAUSE))
    self._succeeds(self._finish, is_last=True)

  def _succeeds(self, action, is_last=False):
    """Runs an action; returns whether it raised no error.

    Prints the first error, but not that of the last action: `join` prints it.
    """
    try:
      action()
      return True
    except Exception as error:  # Of any library, or of its server.
      line = next(iter(str(error).strip().splitlines()), '') or type(error).__name__
      self._error = _LOGIN.sub('', line)[:_MAX_MESSAGE]
      if not self._has_failed and not is_last:
        self._has_failed = True
        self._print(f'note: {self.name} fails: {self._error}; the run continues and'
                    ' tries again')
      return False

  def _deliver(self):
    """Sends the records of the queue; records that fail are kept for the next time."""
    while not self._queue.empty():
      self._unsent.append(self._queue.get())
    if len(self._unsent) > _MAX_KEPT:
      self._num_dropped += len(self._unsent) - _MAX_KEPT
      del self._unsent[:-_MAX_KEPT]
    if self._run is None:
      self._run = self._tracker.start(self._known_run)
      self._store()
      self._print(f'{self.name}: {self._tracker.describe()}')
    while self._unsent:
      records = self._unsent[:_MAX_DELIVERED]
      self._tracker.log(records)
      del self._unsent[:_MAX_DELIVERED]
      for record in records:
        self._sent[record.kind] = record.step
      self._store()

  def _store(self):
    if self._runs is not None:
      self._runs.put(self.name, self._tracker.store, self._run, self._sent)

  def _finish(self):
    """Sends the rest and the files, and ends the run.

    A run that not everything was sent to has failed: it must not stay open.
    """
    status, files = self._end
    try:
      self._deliver()
      for path, folder in files:
        self._tracker.add(path, folder)
    except Exception:
      if self._run is not None:
        with contextlib.suppress(Exception):
          self._tracker.end(FAILED)
      raise
    self._tracker.end(status)
    self._end = None


def finish(senders: Sequence[Sender], status: str,
           files: Iterable[tuple[str, str]]) -> None:
  """Ends a run in all trackers; waits a limited time for all of them together.

  Args:
    senders: started senders.
    status: see `Tracker.end`; for STOPPED, after a signal, the time is shorter.
    files: (path, folder) of the files to send, see `Tracker.add`.
  """
  files = list(files)
  for sender in senders:
    sender.end(status, files)
  deadline = time.monotonic() + (
      _SECONDS_AFTER_SIGNAL if status == STOPPED else _SECONDS)
  for sender in senders:
    sender.join(max(0.0, deadline - time.monotonic()))
