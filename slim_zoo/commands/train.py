"""Trains an image classification network with slim on TFRecords.

  slim-zoo train --dataset_name=digits --dataset_dir=data/digits \\
      --model_name=lenet --train_dir=runs/lenet --max_number_of_steps=1000

The same command continues a run that was stopped, whatever stopped it.
"""

import os
import shlex

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.adopted import adopt_run_facts
from slim_zoo.config.clusters import adopt_cluster
from slim_zoo.config.training import TrainConfig

option_flags.define(TrainConfig)


def main(unused_argv):
  """Reads the flags into a config, checks it, and trains."""
  config = TrainConfig.from_options(option_flags.given_options(TrainConfig))
  if config.run.smoke:
    return _smoke_test(config)
  config, note = adopt_run_facts(adopt_cluster(config, os.environ))
  if note:
    print(f'note: {note}', flush=True)
  config.check()
  config.check_folders()
  config.distribution.set_environment()
  config.precision.set_environment()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(config.devices.settings)
  if config.run.find_learning_rate:
    return _search(config)
  from slim_zoo.tasks import train
  words = option_flags.repeating_words(TrainConfig, without=['seed'])
  result = train.train(config, lambda seed: shlex.join(
      running.command_line([*words, f'--seed={seed}'])))
  print(_last_line(result))


def _smoke_test(config):
  """Tries the flags on generated images."""
  config.precision.set_environment()
  start_up.load_tensorflow(config.devices.settings)
  from slim_zoo.tasks import smoke
  result = smoke.smoke_test(config)
  print(f'smoke test passed: {result.step} steps on generated images; nothing is kept')


def _search(config):
  """Searches for a learning rate."""
  from slim_zoo.tasks import rate_finder
  found = rate_finder.find(config)
  print(f'the loss is smallest at a learning rate of {found.least:.2g}'
        if found.suggested else
        'the loss did not fall at any learning rate: are the images and labels right?')
  print(f'wrote {found.picture}')
  if found.suggested:
    print(f'try --learning_rate={found.suggested:.1g}')


def _last_line(result):
  """Returns what the run ended with, in words."""
  if result.was_finished:
    return result.end
  if result.step is None:
    return 'other workers took the last step before this one took any'
  if not result.is_chief:
    return f'step {result.step}: {result.end}, the chief saves the checkpoints'
  return f'step {result.step}: {result.end}, the checkpoint is in {result.train_dir}'


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
