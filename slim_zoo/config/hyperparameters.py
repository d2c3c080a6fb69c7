"""The parameters of a run that tables of several runs compare."""

from slim_zoo.config.options import Config, options_of

# Shown in every run, also with their default.
_ALWAYS = ('model_name', 'dataset_name', 'dataset_split_name', 'batch_size',
           'max_number_of_steps', 'learning_rate', 'learning_rate_decay_type',
           'optimizer', 'weight_decay', 'precision')
# Where a run writes, what it prints, and on which machines it is.
_GROUPS_LEFT_OUT = frozenset({'logging', 'tracking', 'distribution', 'devices'})
_LEFT_OUT = frozenset({
    'save_interval_secs', 'num_readers', 'num_preprocessing_threads', 'data_service',
    'smoke', 'find_learning_rate', 'max_loss_growth', 'watch', 'watch_timeout_secs',
    'master', 'cluster', 'task', 'worker_timeout_secs'})
# The paths that change the result.
_WEIGHTS = ('checkpoint_path', 'teacher')


def hyperparameters(config: Config) -> dict[str, bool | int | float | str]:
  """Returns the important options, and the others that the user set, by name.

  Folders, and options that change no result, are left out. A list is a text with
  commas.

  Args:
    config: of a training run or an evaluation.
  """
  chosen = {}
  for field, group in config.groups().items():
    for name, option in options_of(group).items():
      value = getattr(getattr(config, field), name)
      is_set = (name in config.user_options and field not in _GROUPS_LEFT_OUT
                and name not in _LEFT_OUT
                and (name in _WEIGHTS or not option.is_path))
      if value is not None and (is_set or name in _ALWAYS):
        value = ','.join(value) if isinstance(value, tuple) else value
        # A path may have bytes that are not UTF-8.
        chosen[name] = (value.encode(errors='replace').decode()
                        if isinstance(value, str) else value)
  return chosen
