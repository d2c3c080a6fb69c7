"""How a run is ended from outside: Ctrl-C and SIGTERM."""

import contextlib
import signal

import diagnostics


class StopRequest:
  """Whether a signal asked the run to end; the first one waits for the step."""

  def __init__(self):
    self.signal = None

  @contextlib.contextmanager
  def listening(self):
    """Turns SIGINT and SIGTERM into `self.signal`, a second one into an exit."""
    handlers = {number: signal.signal(number, self._note)
                for number in (signal.SIGINT, signal.SIGTERM)}
    try:
      yield self
    finally:
      for number, handler in handlers.items():
        signal.signal(number, handler)

  def _note(self, number, unused_frame):
    if self.signal is not None:
      raise KeyboardInterrupt
    self.signal = signal.Signals(number)
    print(f'{self.signal.name}: stopping after this step', flush=True)


class Stopped(diagnostics.UserError):
  """The run ended early by a signal, after saving its checkpoint."""

  def __init__(self, number, step, train_dir):
    self.exit_code = 128 + number
    super().__init__(
        f'stopped by {number.name} at step {step}, saved in {train_dir}: the same'
        ' command goes on from there')
