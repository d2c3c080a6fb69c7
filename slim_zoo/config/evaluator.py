"""The options of the evaluator of a job: those of an evaluation with --watch."""

import os

from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.options import Config
from slim_zoo.deployment import session_settings

# Options that training and evaluation have in common.
_SHARED = ('dataset_name', 'dataset_dir', 'labels_offset', 'model_name',
           'preprocessing_name', 'use_grayscale', 'train_image_size',
           'moving_average_decay', 'log_to', 'log_to_project', 'log_to_name',
           'log_to_dir', *session_settings.NAMES)
_FOLDER = 'eval'


def evaluation_config(config: Config) -> EvaluateConfig:
  """Returns how the evaluator of a job evaluates.

  The images are those of --validation_split_name, or of the split `test`. The report is
  in the folder eval/ below the train_dir.

  Args:
    config: of the training run.
  """
  values = config.values()
  options = {name: values[name] for name in _SHARED if name in config.user_options}
  if values['segmentation']:
    options.pop('train_image_size', None)  # The size of the crops in training.
  if values['validation_split_name']:
    options['dataset_split_name'] = values['validation_split_name']
  folder = values['train_dir']
  options.update(
      checkpoint_path=folder, watch=True, eval_dir=os.path.join(folder, _FOLDER))
  return EvaluateConfig.from_options(options)
