"""Callbacks: the code that runs between the steps of a training run."""

from collections.abc import Callable, Mapping, Sequence

from slim_zoo import diagnostics


class InputFailure(diagnostics.UserError):
  """The input of a callback cannot be read."""


class Callback:
  """Base class. The loop calls its methods between steps.

  Between steps, this process does not change variables: their values are those after
  the last step. A subclass overrides the methods that it needs. An error in a method
  ends the run. Before that, the methods of the other callbacks are called, and the
  weights are saved unless the error is a `numerics.BadNumbers`. A `UserError` is a
  message for the user.

  Attributes:
    is_asked_to_stop: returns whether the run ends soon: after a signal (a second one
      may kill the process), or because of weights that are not saved. The loop sets
      it.
    announce: passes the step and the numbers of a validation to `validated` of all
      callbacks. Their `CallbackList` sets it.
  """

  is_asked_to_stop: Callable[[], bool] = staticmethod(lambda: False)
  announce: Callable[[int, Mapping[str, float]], None] = staticmethod(
      lambda step, numbers: None)

  def begin(self, session, step: int, writer) -> None:
    """Runs before the first step in a session.

    Usually there is one session. If a server in another process is lost, a new session
    begins, and the run continues from its last checkpoint.

    Args:
      session: the session of the run.
      step: the global step at the start.
      writer: a tf.summary.FileWriter, or None in a process that writes no summaries.
    """

  def measured(self, step: int, loss: float, waited: float) -> None:
    """Gets the measurements of every step, before `after_step`.

    Args:
      step: the global step after it.
      loss: the total loss of the step.
      waited: the seconds that the step waited for its images.
    """

  def progress(self, step: int, numbers: Mapping[str, float]) -> None:
    """Gets the numbers of a progress line, when it is printed.

    Args:
      step: the global step.
      numbers: by the tags of TensorBoard, such as 'progress/mean_loss'.
    """

  def validated(self, step: int, numbers: Mapping[str, float]) -> None:
    """Gets the results of a validation.

    Args:
      step: the global step of the weights.
      numbers: by the tags of TensorBoard, such as 'validation/accuracy'; without it
        if the network gives NaN.
    """

  def needs_rest(self, step: int) -> bool:
    """Returns whether all workers have to pause during `after_step` at a step.

    A callback needs this if it reads variables that other workers would change.

    Args:
      step: a global step, which this process may not have reached yet.
    """
    return False

  def after_step(self, session, step: int) -> str | None:
    """Runs after every step; returns a reason to stop the run, or None."""

  def before_save(self, session, step: int) -> None:
    """Runs before each checkpoint; an error prevents the checkpoint."""

  def after_save(self, session, step: int, path: str) -> None:
    """Runs when the checkpoint at the prefix `path` is complete."""

  def end(self, session, step: int) -> None:
    """Runs at the end of the run, before its last checkpoint.

    It always runs, also if `begin` or `after_step` did not run or raised an error.
    """


class CallbackList:
  """Calls all callbacks of a run in order, also if one of them raises an error.

  A validation may fail, or a disk may be full: the other callbacks are still called,
  and the checkpoint is still written. The loop reads the first error and ends the run
  with it.

  Args:
    callbacks: the callbacks.

  Attributes:
    failure: the first error of a callback or of the loop; None if there is none.
  """

  def __init__(self, callbacks: Sequence[Callback] = ()):
    self._callbacks = tuple(callbacks)
    for callback in self._callbacks:
      callback.announce = self.validated
    self.failure = None

  def note(self, error: BaseException, where: str) -> None:
    """Keeps an error as the failure, or prints it if there is another one already.

    Args:
      error: the error.
      where: the part that failed, for the printed line.
    """
    if self.failure is None:
      self.failure = error
    elif error is not self.failure:
      text = str(error).strip().split('\n')[0]
      # Such as of a worker that is lost, on which several operations fail.
      if text and text in str(self.failure):
        return
      print(f'{where} failed after that: {text or type(error).__name__}', flush=True)

  def begin(self, session, step: int, writer) -> None:
    """Calls every `begin`; see `Callback`."""
    self._call('begin', session, step, writer)

  def measured(self, step: int, loss: float, waited: float) -> None:
    """Calls every `measured`."""
    self._call('measured', step, loss, waited)

  def progress(self, step: int, numbers: Mapping[str, float]) -> None:
    """Calls every `progress`."""
    self._call('progress', step, numbers)

  def validated(self, step: int, numbers: Mapping[str, float]) -> None:
    """Calls every `validated`."""
    self._call('validated', step, numbers)

  def needs_rest(self, step: int) -> bool:
    """Returns whether any callback's `needs_rest` is true."""
    return any(self._call('needs_rest', step))

  def after_step(self, session, step: int) -> list[str]:
    """Calls every `after_step`; returns the reasons to stop the run."""
    return [reason for reason in self._call('after_step', session, step) if reason]

  def before_save(self, session, step: int) -> None:
    """Calls `before_save` up to the first error, and raises it."""
    for callback in self._callbacks:
      callback.before_save(session, step)

  def after_save(self, session, step: int, path: str) -> None:
    """Calls every `after_save`."""
    self._call('after_save', session, step, path)

  def end(self, session, step: int) -> None:
    """Calls every `end`."""
    self._call('end', session, step)

  def _call(self, method, *arguments):
    results = []
    for callback in self._callbacks:
      try:
        results.append(getattr(callback, method)(*arguments))
      # Also KeyboardInterrupt: the weights are saved before it ends the run.
      except BaseException as error:
        self.note(error, f'{type(callback).__name__}.{method}')
    return results
