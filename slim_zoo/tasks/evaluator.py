"""The evaluator of a job: evaluates each checkpoint, as eval --watch does."""

import os
from collections.abc import Callable

from slim_zoo.checkpoints import run_card
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import session_settings
from slim_zoo.tasks import evaluate

# Options that training and evaluation have in common.
_SHARED = ('dataset_name', 'dataset_dir', 'labels_offset', 'model_name',
           'preprocessing_name', 'use_grayscale', 'train_image_size',
           'moving_average_decay', *session_settings.NAMES)
_FOLDER = 'eval'


def run(config: TrainConfig, command: str) -> evaluate.EvaluationResult | None:
  """Evaluates each new checkpoint of the run until the run has ended.

  The images are those of --validation_split_name, or of the split `test`. The report is
  in the folder eval/ below the train_dir.

  Args:
    config: of the run.
    command: the command or the code that starts the evaluator again.

  Returns:
    The result of the last checkpoint; None if the run ended without a new one.

  Raises:
    UserError: the data set or the checkpoint does not fit.
  """
  values, folder = config.values(), config.run.train_dir
  options = {name: values[name] for name in _SHARED if name in config.user_options}
  if config.validation.validation_split_name:
    options['dataset_split_name'] = config.validation.validation_split_name
  options.update(checkpoint_path=folder, watch=True,
                 eval_dir=os.path.join(folder, _FOLDER))
  evaluation = EvaluateConfig.from_options(options)
  evaluation.check()
  evaluation.make_eval_dir()
  return evaluate.evaluate(
      evaluation, command, _ended(folder, config.run.max_number_of_steps))


def _ended(folder: str, last_step: int | None) -> Callable[[], bool]:
  """Returns a function that tells by the run card whether the run has ended."""
  def ended():
    results = (run_card.read(folder) or {}).get('results', {})
    stopped_by = results.get('stopped_by', run_card.UNDER_WAY)
    # A run that a signal stopped goes on.
    return stopped_by.startswith('stopped early') or (
        stopped_by != run_card.UNDER_WAY and last_step is not None
        and results.get('step', 0) >= last_step)

  return ended
