"""Averages checkpoints: `average(config)` writes the mean and new statistics."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.checkpoints import (
    averaging,
    checkpoint_names,
    restore,
    run_card,
    run_checkpoints,
    values,
)
from slim_zoo.config.averaging import AverageConfig
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.evaluation import recalibration
from slim_zoo.tasks import evaluate

SUFFIX = '-averaged'


def average(config: AverageConfig) -> str:
  """Averages the weights of checkpoints; returns the prefix of the result.

  Prints the checkpoints, and the accuracy with the new statistics on training images.

  Args:
    config: the options; `config.check()` has been called.

  Raises:
    UserError: the checkpoints do not fit together, one is damaged, the result exists
      already, or there are no images for new statistics.
  """
  paths = _paths(config.checkpoints)
  target = paths[-1] + SUFFIX
  for there in (target, target + recalibration.SUFFIX):
    if checkpoint_names.first_file(there):
      raise diagnostics.UserError(
          f"'{there}' is there already: remove its files to average again")
  has_statistics = any(map(values.is_statistic, values.shapes_of(paths[-1])))
  statistics = (_statistics(config, paths[-1]) if has_statistics
                and config.statistics.recalibrate_batch_norm else None)
  averaging.average(paths, target)
  print('\n'.join(['averaged', *(f'  {path}' for path in paths), f'wrote {target}']),
        flush=True)
  return evaluate.recalibrated(statistics, target) if statistics else target


def _paths(options):
  """Returns the prefixes of the checkpoints, the newest last."""
  if options.folder is None:
    return [restore.find(path) for path in options.checkpoint_path]
  whole = sorted(
      (path for path in run_checkpoints.newest_first(options.folder)
       if checkpoint_names.first_file(path) and restore.damage_of(path) is None),
      key=checkpoint_names.step_of)
  paths, notes = options.chosen(whole)
  for note in notes:
    print(f'note: {note}', flush=True)
  return paths


def _statistics(config, newest):
  """Returns the config that estimates new statistics on training images of the run.

  Its options are checked here, before anything is written.
  """
  options = config.statistics
  card, _ = run_card.facts_of(newest)
  name = options.dataset_name or (card and card.dataset_name)
  folder = options.dataset_dir or (card and card.dataset_dir)
  if not name or not folder:
    raise diagnostics.UserError(
        'the network has batch norm, whose statistics are estimated over training'
        ' images: give --dataset_name and --dataset_dir, or'
        ' --norecalibrate_batch_norm')
  chosen = EvaluateConfig.from_options({
      'checkpoint_path': newest, 'dataset_name': name,
      'dataset_dir': os.path.expanduser(folder),
      'dataset_split_name': options.dataset_split_name,
      'batch_size': options.batch_size, 'recalibrate_batch_norm': True,
      'recalibration_split_name': options.dataset_split_name,
      'recalibration_images': options.recalibration_images})
  chosen.check()
  return dataclasses.replace(chosen, devices=config.devices)
