"""Where a run begins: from its own checkpoint, from another one, or from nothing."""

import dataclasses

from checkpoints import restore
from tf_compat import slim, tf


@dataclasses.dataclass(frozen=True)
class StartingPoint:
  """What was found before the graph is built.

  Attributes:
    step: the global step to begin at.
    resumed: the checkpoint of this run, or None.
    restored: the checkpoint to begin from, where there is none to resume.
    not_used: a checkpoint that was given, but the run is already under way.
  """

  step: int = 0
  resumed: str | None = None
  restored: str | None = None
  not_used: str | None = None

  def is_finished(self, max_number_of_steps: int | None) -> bool:
    """Tells whether the run has taken all its steps."""
    return (self.resumed is not None and max_number_of_steps is not None
            and self.step >= max_number_of_steps)

  def prepare(self, exclude_scopes: list[str], ignore_missing_vars: bool):
    """Compares the checkpoint with the graph, says what it gives.

    Args:
      exclude_scopes: scopes not to restore from another checkpoint.
      ignore_missing_vars: whether other variables may be missing in it.

    Returns:
      (lines, init_fn): lines of text, and the function for slim.learning.train,
      None if it has nothing to do.

    Raises:
      UserError: the checkpoint does not fit the graph.
    """
    if self.resumed:
      plan = restore.plan_restore(self.resumed, tf.global_variables(), [])
      plan.check_resumes()
      lines = [f'resumes step {self.step} of {self.resumed}']
      if self.not_used:
        lines.append(f'--checkpoint_path={self.not_used} is not used: this run has'
                     ' its own checkpoints; another --train_dir starts anew')
      return lines, None
    if self.restored:
      plan = restore.plan_restore(
          self.restored, slim.get_model_variables(), exclude_scopes)
      plan.check(ignore_missing_vars)
      return [plan.describe()], restore.restore_fn(plan)
    return ['begins with random weights'], None


def find(train_dir: str, checkpoint_path: str | None) -> StartingPoint:
  """Looks for the run's own checkpoint first, then for the given one.

  Raises:
    UserError: there is no checkpoint at `checkpoint_path`, or it is damaged.
  """
  latest = tf.train.latest_checkpoint(train_dir)
  if latest:
    restore.verify(latest)
    return StartingPoint(
        restore.global_step_of(latest), resumed=latest, not_used=checkpoint_path)
  if checkpoint_path:
    path = restore.find(checkpoint_path)
    restore.verify(path)
    return StartingPoint(restored=path)
  return StartingPoint()
