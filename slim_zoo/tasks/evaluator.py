"""The evaluator of a job evaluates each checkpoint, as eval --watch does."""

from collections.abc import Callable

from slim_zoo.checkpoints import run_card
from slim_zoo.config.evaluator import evaluation_config
from slim_zoo.config.training import TrainConfig
from slim_zoo.tasks import evaluate


def run(config: TrainConfig, command: str) -> evaluate.EvaluationResult | None:
  """Evaluates each new checkpoint of the run until the run has ended.

  Args:
    config: of the run; `config.check()` has been called.
    command: the command or the code that starts the evaluator again.

  Returns:
    The result of the last checkpoint; None if the run ended without a new one.

  Raises:
    UserError: the data set or the checkpoint does not fit.
  """
  folder, evaluation = config.run.train_dir, evaluation_config(config)
  return evaluate.evaluate(
      evaluation, command, _ended(folder, config.run.max_number_of_steps))


def _ended(folder: str, last_step: int | None) -> Callable[[], bool]:
  """Returns a function that returns whether the run has ended, by its run card."""
  def ended():
    results = (run_card.read(folder) or {}).get('results', {})
    stopped_by = results.get('stopped_by', run_card.UNDER_WAY)
    # A run that was stopped by a signal will be continued.
    return stopped_by.startswith('stopped early') or (
        stopped_by != run_card.UNDER_WAY and last_step is not None
        and results.get('step', 0) >= last_step)

  return ended
