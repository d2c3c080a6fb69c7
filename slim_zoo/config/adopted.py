"""Options of an earlier run that a new run takes over, unless the user sets them."""

import dataclasses
import os

from slim_zoo.checkpoints import (
  checkpoint_names,
  run_checkpoints,
  run_facts,
  trained_input,
)
from slim_zoo.config.data import Network
from slim_zoo.config.options import options_of
from slim_zoo.config.training import TrainConfig

# The facts that decide what the network's images are.
_ADOPTED = ('model_name', 'train_image_size', 'preprocessing_name', 'use_grayscale',
            'labels_offset')


def adopt_run_facts(config: TrainConfig) -> tuple[TrainConfig, str | None]:
  """Returns a config whose unset options are as the run card has them.

  The card is of the run in the train_dir, which continues, or of checkpoint_path. Call
  it before `config.check()`: faults in the paths are for the check.

  Args:
    config: of the new run.

  Returns:
    (config, line): the line says which options come from the card, or contradict it;
    None where there is nothing to say.
  """
  checkpoint = _first_checkpoint(
      config.run.train_dir, config.initialization.checkpoint_path)
  facts, note = run_facts.read(checkpoint) if checkpoint else (None, None)
  if facts is None:
    return config, note
  values = config.values()
  given = {name: values[name] if name in config.given else None for name in _ADOPTED}
  if given['model_name'] not in (None, facts.model_name):
    return config, None  # The table of restored variables says what is restored.
  if (given['labels_offset'] is None
      and facts.dataset_name != config.data.dataset_name):
    # The offset belongs to the labels of another data set.
    facts = dataclasses.replace(facts, labels_offset=config.data.labels_offset)
  made = trained_input.choose(
      facts.model_name, facts.num_classes, checkpoint, facts, trained_input.Given(
          given['train_image_size'], given['preprocessing_name'],
          given['use_grayscale'], given['labels_offset'], given['model_name']),
      size_flag='train_image_size',
      default_model_name=options_of(Network)['model_name'].default)
  taken = dict(made.taken)
  data = {name: taken.pop(name) for name in ('labels_offset',) if name in taken}
  return dataclasses.replace(
      config, network=dataclasses.replace(config.network, **taken),
      data=dataclasses.replace(config.data, **data)), made.note


def _first_checkpoint(train_dir, checkpoint_path):
  """Returns the prefix of the checkpoint that the run begins from, as far as seen."""
  for path in filter(None, (train_dir, checkpoint_path)):
    if os.path.isdir(path):
      newest = run_checkpoints.newest_first(path)
      if newest:
        return newest[0]
    elif path == checkpoint_path:
      return checkpoint_names.prefix_of(path)
  return None
