"""Callbacks: what runs between the steps of a training run."""

from collections.abc import Callable, Sequence

from slim_zoo import diagnostics


class InputFailure(diagnostics.UserError):
  """The input of a callback cannot be read."""


class Callback:
  """Base class. The loop calls its methods between steps.

  All variables are of one step then.

  A subclass overrides the methods that it needs. An error in a method ends the run,
  after the methods of the other callbacks were called and, unless the error is a
  `numerics.BadNumbers`, the weights were saved. A `UserError` is an answer to the user.

  Attributes:
    is_asked_to_stop: returns whether the run ends soon: by a signal, which a second
      one may follow that kills the process, or by weights that are not saved. The loop
      sets it.
  """

  is_asked_to_stop: Callable[[], bool] = staticmethod(lambda: False)

  def begin(self, session, step: int, writer) -> None:
    """Runs before the first step in a session.

    Usually there is one session. With servers in other processes there is another one
    after a server was lost: the run goes on from its last checkpoint.

    Args:
      session: the session of the run.
      step: the global step at the start.
      writer: a tf.summary.FileWriter, or None in a process that writes no summaries.
    """

  def measured(self, step: int, loss: float, waited: float) -> None:
    """Runs after every step, before `after_step`.

    Args:
      step: the global step after it.
      loss: the total loss of the step.
      waited: the seconds that the step waited for its images.
    """

  def needs_rest(self, step: int) -> bool:
    """Tells whether `after_step` reads variables that no worker may change meanwhile.

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

    It runs whatever ended the run, also if `begin` or `after_step` did not run or
    raised an error.
    """


class CallbackList:
  """Calls the callbacks of a run in their order, and leaves none out.

  A validation may fail, a disk may be full: an error of one callback prevents neither
  the calls of the others nor the checkpoint. The loop reads the first failure and ends
  the run by it.

  Args:
    callbacks: the callbacks.

  Attributes:
    failure: the first error, of a callback or noted by the loop; None without.
  """

  def __init__(self, callbacks: Sequence[Callback] = ()):
    self._callbacks = tuple(callbacks)
    self.failure = None

  def note(self, error: BaseException, where: str) -> None:
    """Keeps an error as the failure, or prints it if there is one already.

    Args:
      error: the error.
      where: the part that failed, for the printed line.
    """
    if self.failure is None:
      self.failure = error
    elif error is not self.failure:
      text = str(error).strip().split('\n')[0]
      print(f'{where} failed after that: {text or type(error).__name__}', flush=True)

  def begin(self, session, step: int, writer) -> None:
    """Calls every `begin`; see `Callback`."""
    self._call('begin', session, step, writer)

  def measured(self, step: int, loss: float, waited: float) -> None:
    """Calls every `measured`."""
    self._call('measured', step, loss, waited)

  def needs_rest(self, step: int) -> bool:
    """Tells whether any `needs_rest`."""
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
      # Ctrl-C too: the weights are saved before it ends the run.
      except BaseException as error:
        self.note(error, f'{type(callback).__name__}.{method}')
    return results
