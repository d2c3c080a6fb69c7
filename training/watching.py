"""What may be hung on the training loop."""


class Watcher:
  """Is called between steps, where all variables are of one step.

  A subclass overrides what it needs. What a method raises ends the run: a
  `UserError` as an answer to the user.
  """

  def begin(self, session, step: int, writer) -> None:
    """Is called once, before the first step that this process takes.

    Args:
      session: the session of the run.
      step: the global step that the run begins at.
      writer: a tf.summary.FileWriter, or None where nothing is to be written.
    """

  def after_step(self, session, step: int) -> str | None:
    """Is called after every step; returns a reason to stop the run, or None."""

  def before_save(self, session, step: int) -> None:
    """Is called before each checkpoint; raising keeps it from being written."""

  def after_save(self, session, step: int, path: str) -> None:
    """Is called when the checkpoint at the prefix `path` is whole."""

  def end(self, session, step: int) -> None:
    """Is called at the end of the run, before its last checkpoint."""
