"""Trains with and without an option, and evaluates both, see `benchmarks.peers`.

The task has the name of a row of `option_rows`, a seed, the split to evaluate on, and
'starts', a folder for networks that several runs begin with or learn from. For trials,
'options' replaces options of training.
"""

import os
import shutil
import tempfile
import time

import slim_zoo
from benchmarks import few_digits, option_rows
from benchmarks.peers import reports
from slim_zoo.config.averaging import AverageConfig

# Steps between the checkpoints that are averaged.
_STEPS_BETWEEN = 25
_QUIET = {'save_summaries_secs': 0, 'sample_predictions': 0, 'log_every_n_steps': 100,
          'save_interval_secs': 0}
_ALL_IMAGES = 130  # More than any class has in the training split.
_AUGMENTED = {
    'model_name': 'lenet', 'optimizer': 'adam', 'opt_epsilon': 1e-8,
    'learning_rate': 1e-3, 'learning_rate_decay_type': 'cosine',
    'end_learning_rate': 1e-5, 'batch_size': 32, 'max_number_of_steps': 500,
    'trivial_augment': True, 'train_image_size': 32, 'preprocessing_name': 'cifarnet'}
# The networks to begin with: the digits that they are trained on, and the options.
_STARTS = {
    'teacher': (range(10), _AUGMENTED),
    'other_digits': (range(5), {
        **_AUGMENTED, 'model_name': 'mobilenet_v1_025', 'learning_rate': 4e-3})}


def _train(data, run, options):
  slim_zoo.train(dataset_name=few_digits.NAME, dataset_dir=data, train_dir=run,
                 **_QUIET, **options)
  return run


def _accuracy(data, checkpoint, split, options):
  """Returns the share of right answers."""
  with tempfile.TemporaryDirectory() as folder:
    return slim_zoo.evaluate(
        checkpoint_path=checkpoint, dataset_name=few_digits.NAME, dataset_dir=data,
        dataset_split_name=split, eval_dir=folder, **options).accuracy


def _start(name, folder):
  """Returns the folder of a network to begin with; trains it if it is not there."""
  if name is None:
    return None
  digits, options = _STARTS[name]
  data, run = (os.path.join(folder, f'{name}_{what}') for what in ('data', 'run'))
  if not os.path.exists(data):
    few_digits.write(data, 0, [_ALL_IMAGES] * len(digits), digits)
  _train(data, run, {**options, 'seed': 0})  # A finished run has nothing to do.
  return run


def _filled(options, start):
  return {name: start if value == option_rows.START else value
          for name, value in options.items()}


def _average(data, run, row, options):
  """Trains with checkpoints near the end; returns their average."""
  from slim_zoo.tasks import average
  last = options['max_number_of_steps']
  for place in range(row.averages_last - 1, -1, -1):
    _train(data, run, {**options, 'max_number_of_steps': last - place * _STEPS_BETWEEN})
  config = AverageConfig.from_options({
      'checkpoint_path': [run], 'last': row.averages_last})
  config.check()
  return average.average(config)


def measure(task) -> dict:
  """Returns the accuracies 'without' and 'with', and the seconds that it took."""
  begin = time.perf_counter()
  row, split = option_rows.ROWS[task['row']], task['split']
  os.makedirs(task['starts'], exist_ok=True)
  start = _start(row.start, task['starts'])
  common = {**_filled(row.train, start), **task.get('options', {}),
            'seed': task['seed']}
  with tempfile.TemporaryDirectory() as folder:
    data, run = os.path.join(folder, 'data'), os.path.join(folder, 'run')
    few_digits.write(data, task['seed'], row.counts, row.chosen)
    if row.averages_last:
      averaged = _average(data, run, row, common)
      found = [_accuracy(data, run, split, row.evaluate),
               _accuracy(data, averaged, split, {})]
    elif row.evaluate_with:
      _train(data, run, common)
      # In two copies: new statistics of batch norm are written beside a checkpoint.
      shutil.copytree(run, f'{run}_again')
      found = [_accuracy(data, run, split, row.evaluate),
               _accuracy(data, f'{run}_again', split, {
                   **row.evaluate, **row.evaluate_with})]
    else:
      found = [_accuracy(data, _train(data, f'{run}_{number}', {
          **common, **_filled(options, start)}), split, row.evaluate)
               for number, options in enumerate((row.without_option, row.with_option))]
  return {'without': found[0], 'with': found[1],
          'seconds': [time.perf_counter() - begin]}


if __name__ == '__main__':
  reports.print_result(measure)
