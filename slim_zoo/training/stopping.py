"""Ending a run from outside: Ctrl-C and SIGTERM."""

import contextlib
import os
import signal
import sys
import threading
import time

from slim_zoo import diagnostics
from slim_zoo.training import step_watch

# A terminal, or a program that passes signals on, may send one stop twice.
_SAME_STOP_SECONDS = 1.0
# The seconds in which a run may end itself while it has nothing to save.
_GRACE_SECONDS = 3.0


class StopRequest:
  """Whether a signal asked the run to end.

  The first signal waits for the step that runs, which is then saved; before the first
  step it ends the run, as there is nothing to save. A second one ends the program at
  once. Checkpoints are whole all the same: a new one counts from the moment that the
  state file names it.

  A thread hears of signals, since Python's own handlers wait until TensorFlow returns
  from a step, and the first one may compile or fill a buffer for minutes.

  Args:
    train_dir: of the run, for the messages.
    saves: whether this process saves what it has done; only the chief of a job does.
    watch: of steps that may wait for other processes, or None.

  Attributes:
    signal: the first one, or None.
    has_progress: whether a step was taken that could be saved. Set by the loop.
    is_waiting: whether the run waits for a server that was lost. Set by the loop.
  """

  def __init__(self, train_dir: str, saves: bool = True,
               watch: step_watch.StepWatch | None = None):
    self.signal, self.has_progress, self.is_waiting = None, False, False
    self._train_dir, self._first_at, self._has_raised = train_dir, None, False
    self._saves, self._watch = saves, watch
    self._lock = threading.Lock()

  @contextlib.contextmanager
  def listening(self):
    """Takes SIGINT and SIGTERM while the run continues.

    Python lets only the main thread handle signals: in another thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
      yield self
      return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    ended = threading.Event()
    listener = threading.Thread(target=self._listen, args=(reader, ended), daemon=True)
    usual = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, self._handle)
                for number in (signal.SIGINT, signal.SIGTERM)}
    listener.start()
    try:
      yield self
    except Exception as error:
      if self._has_raised and not isinstance(error, Stopped):
        # Native code that calls Python may make an error of its own of the end.
        raise self.answer(None) from error
      raise
    finally:
      ended.set()
      for number, handler in handlers.items():
        signal.signal(number, handler)
      signal.set_wakeup_fd(usual)
      os.close(writer)  # Ends the thread.
      listener.join()
      os.close(reader)

  def answer(self, step: int | None) -> 'Stopped':
    """Returns the error that ends the run, which has taken the last step `step`."""
    return Stopped(self.signal, step, self._train_dir, saves=self._saves,
                   is_waiting=self.is_waiting)

  def end_at_once(self, reason: str) -> None:
    """Ends the program with a line, whatever the main thread does."""
    _exit(diagnostics.UserError(
        f'{reason}: ended without saving; the same command continues from the last'
        f' checkpoint in {self._train_dir}'))

  def _handle(self, number, unused_frame):
    """Python's handler, in the main thread: the loop must know at its next look."""
    self._note(number)
    if not self.has_progress and not self._has_raised:
      self._has_raised = True
      raise self.answer(None)

  def _note(self, number):
    """Notes the first signal; returns whether it was this one."""
    with self._lock:
      if self.signal is not None:
        return False
      self.signal, self._first_at = signal.Signals(number), time.monotonic()
      return True

  def _unsaved(self):
    return Stopped(self.signal, None, self._train_dir, is_blocked=True)

  def _listen(self, reader, ended):
    is_announced = False
    while received := os.read(reader, 1):
      number = received[0]
      if number not in (signal.SIGINT, signal.SIGTERM):
        continue
      self._note(number)
      if not is_announced:
        is_announced = True
        if self.has_progress:
          _write(1, f'{self.signal.name}: stopping after this step; another one ends at'
                    ' once, without saving')
          if self._watch is not None:
            threading.Thread(target=self._watch.end_after_signal, daemon=True, args=(
                ended, lambda: _exit(self._unsaved()))).start()
        elif not ended.wait(_GRACE_SECONDS):
          # The main thread is inside TensorFlow.
          _exit(self.answer(None))
      elif time.monotonic() - self._first_at > _SAME_STOP_SECONDS:
        _exit(Stopped(signal.Signals(number), None, self._train_dir, is_second=True))


class Stopped(diagnostics.UserError):
  """The run ended early by a signal, after saving its checkpoint if it took a step."""

  def __init__(self, number, step, train_dir, is_second=False, is_blocked=False,
               saves=True, is_waiting=False):
    self.exit_code = 128 + number
    if is_second:
      reason = ('a second time: ended at once, the same command continues from the last'
                f' checkpoint in {train_dir}')
    elif is_blocked:
      reason = ('while a step waited for another process: ended without saving, the'
                f' same command continues from the last checkpoint in {train_dir}')
    elif not saves:
      at = (f'at step {step}' if step is not None else 'while it waited for the job'
            if is_waiting else 'before its first step')
      reason = f'{at}: the chief saves, the same command joins the job again'
    elif step is None and is_waiting:
      reason = ('while it waited for the job: the same command continues from the last'
                f' checkpoint in {train_dir}')
    elif step is None:
      reason = 'before the first step: there is nothing to save'
    else:
      reason = (f'at step {step}, saved in {train_dir}: the same command continues from'
                ' there')
    super().__init__(f'stopped by {number.name} {reason}')


class StoppedByOthers(diagnostics.UserError):
  """The run ended early, as a signal told another all-reduce worker to stop."""

  exit_code = 128 + signal.SIGTERM

  def __init__(self, step: int):
    super().__init__(f'stopped at step {step}, as another worker was told to stop: the'
                     ' same commands continue from there')


def is_stop(error: BaseException) -> bool:
  """Tells whether an error that ended a run comes of a signal."""
  if isinstance(error, SystemExit):
    # Commands raise it at a signal that nothing else waits for.
    return error.code in (128 + signal.SIGINT, 128 + signal.SIGTERM)
  return isinstance(error, (Stopped, StoppedByOthers, KeyboardInterrupt))


def _exit(answer):
  """Ends the program at once, whatever the main thread does."""
  _write(2, f'{os.path.basename(sys.argv[0])}: {answer}')
  os._exit(answer.exit_code)


def _write(descriptor, line):
  # Past Python's streams, whose locks the main thread may hold.
  with contextlib.suppress(OSError):
    os.write(descriptor, f'{line}\n'.encode(errors='replace'))
