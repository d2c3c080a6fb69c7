"""Options of an earlier run that a new run takes over, unless the user sets them."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import published
from slim_zoo.checkpoints import (
  checkpoint_names,
  run_card,
  run_checkpoints,
  trained_network,
)
from slim_zoo.config.data import Network
from slim_zoo.config.options import options_of
from slim_zoo.config.training import TrainConfig


def adopt_run_facts(config: TrainConfig) -> tuple[TrainConfig, str | None]:
  """Returns a config whose unset options are as the run card has them.

  The card is of the run in the train_dir, which continues, or of checkpoint_path. For a
  published checkpoint, 'published:NAME', the facts of the catalog are taken. Call it
  before `config.check()`: faults in the paths are for the check.

  Args:
    config: of the new run.

  Returns:
    (config, line): the line says which options come from the card, or contradict it;
    None where there is nothing to say.
  """
  checkpoint = _first_checkpoint(
      config.run.train_dir, config.initialization.checkpoint_path)
  name = published.name_in(checkpoint) if checkpoint else None
  row = published.PUBLISHED.get(name)
  card, note = (
      run_card.facts_of(checkpoint) if checkpoint and name is None else (None, None))
  known = card or row
  if known is None:
    return config, note
  if config.segmentation.is_on:
    return _adopt_for_segmentation(config, card, row)
  options, model_name = _network_options(config), (
      card.model_name if card else row.network)
  if options.model_name not in (None, model_name):
    return config, None  # The table of restored variables says what is restored.
  if (card and options.labels_offset is None
      and card.dataset_name != config.data.dataset_name):
    # The offset belongs to the labels of another data set.
    card = dataclasses.replace(card, labels_offset=config.data.labels_offset)
  network = trained_network.resolve(
      checkpoint, model_name, known.num_classes, card, options,
      size_option='train_image_size',
      default_model_name=options_of(Network)['model_name'].default,
      num_labels=_num_labels(config.data))
  adopted = dict(network.adopted)
  data = {name: adopted.pop(name) for name in ('labels_offset',) if name in adopted}
  return dataclasses.replace(
      config, network=dataclasses.replace(config.network, **adopted),
      data=dataclasses.replace(config.data, **data)), next(iter(network.notes), None)


def _adopt_for_segmentation(config, card, row):
  """Returns `adopt_run_facts` for segmentation: the facts of the backbone."""
  model_name, preprocessing_name = (
      (card.model_name, card.preprocessing_name) if card else
      (row.network, row.preprocessing))
  if 'model_name' in config.user_options and config.network.model_name != model_name:
    return config, None
  facts = {'model_name': model_name, 'preprocessing_name': preprocessing_name,
           'use_grayscale': bool(card and card.use_grayscale)}
  if card and card.is_segmentation:
    facts |= {'train_image_size': card.image_size,
              'segmentation_strides': tuple(map(str, card.strides))}
  values = config.values()
  adopted = {
      name: value for name, value in facts.items()
      if name not in config.user_options and value != values[name] and not (
          name == 'preprocessing_name' and trained_network.family(value) ==
          trained_network.family(values[name] or model_name))}
  if not adopted:
    return config, None
  of_network = {name: value for name, value in adopted.items()
                if name != 'segmentation_strides'}
  of_task = {name: value for name, value in adopted.items() if name not in of_network}
  config = dataclasses.replace(
      config, network=dataclasses.replace(config.network, **of_network),
      segmentation=dataclasses.replace(config.segmentation, **of_task))
  shown = {name: ','.join(value) if name in of_task else value
           for name, value in adopted.items()}
  source = 'the run card beside the checkpoint' if card else f'the published {row.name}'
  return config, f'from {source}: {trained_network.as_flags(shown)}'


def _num_labels(data):
  """Returns the number of labels of the data set; None if there is none."""
  try:
    return data.spec().num_classes
  except diagnostics.UserError:
    return None


def _network_options(config):
  """Returns what the user set of the options that decide the network's images."""
  values = config.user_values()
  return trained_network.NetworkOptions(
      model_name=values['model_name'], image_size=values['train_image_size'],
      preprocessing_name=values['preprocessing_name'],
      use_grayscale=values['use_grayscale'],
      labels_offset=values['labels_offset'])


def _first_checkpoint(train_dir, checkpoint_path):
  """Returns the checkpoint that the run begins from, as far as seen.

  It is a prefix, or 'published:NAME'.
  """
  for path in filter(None, (train_dir, checkpoint_path)):
    if os.path.isdir(path):
      newest = run_checkpoints.newest_first(path)
      if newest:
        return newest[0]
    elif path == checkpoint_path:
      return checkpoint_names.prefix_of(path)
  return None
