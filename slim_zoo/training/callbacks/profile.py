"""A profile of some steps: which operations take the time, for TensorBoard."""

import contextlib

from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks.callback import Callback

# The v1 interface has only the older profiler.
_profiler = tf.compat.v2.profiler.experimental


class Profile(Callback):
  """Writes a trace of some steps to plugins/profile in a folder.

  Steps are counted from the start of this process: a resumed run has them too, and the
  first ones, in which graphs are optimized, can be left out.

  Args:
    folder: where TensorBoard looks for the run.
    first: the first step that is traced, from 1.
    last: the last one.
    end: global step that the run ends at; None: it never ends.
  """

  def __init__(self, folder: str, first: int, last: int, end: int | None = None):
    self._folder, self._first, self._last, self._end = folder, first, last, end
    self._steps, self._is_running = 0, False
    self._mark = contextlib.ExitStack()

  def begin(self, session, step: int, writer) -> None:
    """Starts the trace if it begins with the first step."""
    if self._end is not None and self._end - step < self._first:
      print(f'note: there will be no profile: this process has {self._end - step} steps'
            f' to do, and the profile begins with step {self._first}', flush=True)
    self._before_step(step + 1)

  def after_step(self, session, step: int) -> None:
    """Starts the trace, marks the steps, or writes the trace."""
    self._steps += 1
    if self._steps == self._last:
      self._write()
    self._before_step(step + 1)

  def end(self, session, step: int) -> None:
    """Writes the trace if the run ended before its last step."""
    if self._steps < self._first:
      self._stop(is_saved=False)
      print(f'there is no profile: the run ended before step {self._first} of this'
            ' process', flush=True)
    elif self._is_running:
      self._write()

  def _before_step(self, step):
    self._mark.close()
    if self._steps + 1 == self._first:
      _profiler.start(self._folder)
      self._is_running = True
    if self._is_running:
      # TensorBoard takes `_r` for the mark of a step.
      self._mark.enter_context(_profiler.Trace('train', step_num=step, _r=1))

  def _write(self):
    self._stop()
    print(f'profile of steps {self._first} to {self._steps} of this process:'
          f' tensorboard --logdir={self._folder} (with the package'
          ' tensorboard-plugin-profile)', flush=True)

  def _stop(self, is_saved=True):
    self._mark.close()
    if self._is_running:
      self._is_running = False
      _profiler.stop(save=is_saved)
