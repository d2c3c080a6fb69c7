"""Sends the numbers of a run to a tracker, in a thread that the run never waits for.

A server that does not answer costs one line: what was not sent is tried again, and at
the end of the run the thread is waited for only a short time.
"""

import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from slim_zoo.tracking.stored_runs import StoredRuns
from slim_zoo.tracking.tracker import FAILED, STOPPED, Record, Tracker

# Seconds between two deliveries, and the longest pause after failures.
_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
# Records of one delivery, and those that are kept while a server does not answer.
_DELIVERED, _KEPT = 200, 20_000
_LETTERS = 200
# How long the end of a run waits for all trackers. A command ends at once 10 seconds
# after a signal.
_SECONDS, _SECONDS_AFTER_SIGNAL = 60.0, 8.0
# The user and the password in an address.
_LOGIN = re.compile(r'(?<=//)[^/\s]+@')


class Sender:
  """Sends records to one tracker, in order and each step once.

  Args:
    tracker: gets them.
    runs: has the id of the run, and the steps that were sent; None: it is a new run
      that is not stored.
    resumes: whether the run goes on from a checkpoint; else it is a new run.
    pause: seconds between two deliveries.
    say: prints a line.
  """

  def __init__(self, tracker: Tracker, runs: StoredRuns | None, resumes: bool,
               pause: float = _PAUSE, say: Callable[[str], None] | None = None):
    self._tracker, self._runs, self._pause = tracker, runs, pause
    self._say = say or (lambda line: print(line, flush=True))
    run, steps = (runs.find(tracker.name, tracker.store)
                  if runs and resumes else (None, {}))
    self._known_run, self._run = run, None
    # Of each kind, the last step of the records, and of those that were sent.
    self._last, self._sent = dict(steps), dict(steps)
    self._queue, self._unsent, self._lost = queue.SimpleQueue(), [], 0
    self._ends, self._has_failed, self._end = threading.Event(), False, None
    self._error = ''
    self._thread = threading.Thread(
        target=self._work, name=f'{tracker.name} tracker', daemon=True)

  @property
  def run(self) -> str | None:
    """The id of the run; None before it is known."""
    return self._run or self._known_run

  @property
  def name(self) -> str:
    """The name of the tracker."""
    return self._tracker.name

  def start(self) -> None:
    """Begins to send."""
    self._thread.start()

  def record(self, step: int, kind: str, values: Mapping[str, float | None]) -> None:
    """Notes numbers, and returns at once.

    A step that the run comes to again, after a kill, is not sent again.

    Args:
      step: the global step.
      kind: of the numbers; each has its own steps.
      values: by tag; None is left out.
    """
    known = {tag: float(value) for tag, value in values.items() if value is not None}
    if not known or step <= self._last.get(kind, -1):
      return
    # The libraries take Python's own numbers only.
    self._last[kind] = step = int(step)
    self._queue.put(Record(step, kind, known, time.time()))

  def end(self, status: str, files: Iterable[tuple[str, str]]) -> None:
    """Lets the thread send the rest and end the run; does not wait for it.

    Args:
      status: see `Tracker.end`.
      files: (path, folder) of the files to send, see `Tracker.add`.
    """
    self._end = (status, list(files))
    self._ends.set()

  def join(self, seconds: float) -> None:
    """Waits for the thread, up to some seconds; says what was not sent."""
    self._thread.join(seconds)
    if self._thread.is_alive():
      self._has_failed = True  # What it finds later is not said.
      self._say(f'note: {self.name}: not everything was sent, because it did not'
                ' answer in time')
    elif self._end is not None:
      self._say(f'note: {self.name}: not everything was sent: {self._error}')
    elif self._lost:
      self._say(f'note: {self.name}: {self._lost:,} records were not sent: it did not'
                f' answer, and {_KEPT:,} records are kept')

  # --- In the thread.

  def _work(self):
    pause = 0.0
    while not self._ends.wait(pause):
      pause = (self._pause if self._succeeds(self._deliver)
               else min(max(2 * pause, self._pause), _LONGEST_PAUSE))
    self._succeeds(self._finish, is_last=True)

  def _succeeds(self, action, is_last=False):
    """Runs an action; returns whether it raised nothing.

    Says the first error, but not that of the last action: `join` says it.
    """
    try:
      action()
      return True
    # Of any library, or of its server.
    except Exception as error:
      line = next(iter(str(error).strip().splitlines()), '') or type(error).__name__
      self._error = _LOGIN.sub('', line)[:_LETTERS]
      if not self._has_failed and not is_last:
        self._has_failed = True
        self._say(f'note: {self.name} fails: {self._error}; the run continues and tries'
                  ' again')
      return False

  def _deliver(self):
    """Sends what is there. What fails stays for the next time."""
    while not self._queue.empty():
      self._unsent.append(self._queue.get())
    if len(self._unsent) > _KEPT:
      self._lost += len(self._unsent) - _KEPT
      del self._unsent[:-_KEPT]
    if self._run is None:
      self._run = self._tracker.start(self._known_run)
      self._store()
      self._say(f'{self.name}: {self._tracker.describe()}')
    while self._unsent:
      records = self._unsent[:_DELIVERED]
      self._tracker.log(records)
      del self._unsent[:_DELIVERED]
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
  """Ends a run in all trackers, and waits a limited time for all of them together.

  Args:
    senders: that were started.
    status: see `Tracker.end`; after a stop by a signal the time is shorter.
    files: (path, folder) of the files to send, see `Tracker.add`.
  """
  files = list(files)
  for sender in senders:
    sender.end(status, files)
  overdue = time.monotonic() + (
      _SECONDS_AFTER_SIGNAL if status == STOPPED else _SECONDS)
  for sender in senders:
    sender.join(max(0.0, overdue - time.monotonic()))
