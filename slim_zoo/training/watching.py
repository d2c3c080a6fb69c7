"""What may be hung on the training loop."""

from collections.abc import Callable

from slim_zoo import diagnostics


class InputFailure(diagnostics.UserError):
  """What a watcher reads cannot be read."""


class Watcher:
  """Is called between steps, where all variables are of one step.

  A subclass overrides what it needs. What a method raises ends the run, after the
  methods of the others were called and, unless it is a `numerics.BadNumbers`, the
  weights were saved. A `UserError` is an answer to the user.

  Attributes:
    is_asked_to_stop: tells whether the run is to end soon: by a signal, after which
      another one may follow that kills it, or with weights that are not saved. Set by
      the loop.
  """

  is_asked_to_stop: Callable[[], bool] = staticmethod(lambda: False)

  def begin(self, session, step: int, writer) -> None:
    """Is called once, before the first step that this process takes.

    Args:
      session: the session of the run.
      step: the global step that the run begins at.
      writer: a tf.summary.FileWriter, or None where nothing is to be written.
    """

  def measured(self, step: int, loss: float, waited: float) -> None:
    """Is told of every step, before `after_step`.

    Args:
      step: the global step after it.
      loss: the total loss that it found.
      waited: the seconds that it waited for its images.
    """

  def after_step(self, session, step: int) -> str | None:
    """Is called after every step; returns a reason to stop the run, or None."""

  def before_save(self, session, step: int) -> None:
    """Is called before each checkpoint; raising keeps it from being written."""

  def after_save(self, session, step: int, path: str) -> None:
    """Is called when the checkpoint at the prefix `path` is whole."""

  def end(self, session, step: int) -> None:
    """Is called at the end of the run, before its last checkpoint.

    It is called whatever ended the run, also where `begin` or `after_step` was not
    called or has raised.
    """
