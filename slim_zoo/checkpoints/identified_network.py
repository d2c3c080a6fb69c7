"""The network of a checkpoint, read from its variables, its run card and options."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.catalog import networks, published
from slim_zoo.checkpoints import (
    comparison,
    identify,
    quantization,
    restore,
    segmentation_network,
    trained_network,
    values,
)
from slim_zoo.checkpoints.trained_network import NetworkOptions, TrainedNetwork


def find(checkpoint: str, options: NetworkOptions = NetworkOptions()) -> TrainedNetwork:
  """Returns the network of a checkpoint, recognized by its variables.

  Args:
    checkpoint: a prefix, or a folder, for its latest.
    options: options of the command.

  Raises:
    UserError: there is no checkpoint, its network is unknown, a video network, or not
      the one of the options; or an option does not fit it.
  """
  path = restore.find(checkpoint)
  shapes = values.shapes_of(path)
  _check_classifies(path, shapes, 'name another checkpoint')
  card, card_note = trained_network.card_of(path, shapes)
  match = _match(path, shapes, options.model_name, card and card.model_name)
  row = networks.get_image_network(match.network)
  _check_classes(path, match, options.num_classes)
  if options.image_size:
    networks.check_image_size(
        match.network, options.image_size, flag='eval_image_size')
  network = trained_network.resolve(
      path, match.network, match.num_classes, card, options,
      channels=match.channels or row.channels, weights_size=match.image_size)
  if network.use_grayscale and network.channels != 1:
    raise diagnostics.UserError(
        f'--use_grayscale, but the network reads images of {network.channels} channels:'
        ' leave the flag out')
  return _complete(network, card_note, shapes, options.quantize)


def for_labels(checkpoint: str, num_labels: int, options: NetworkOptions,
               default_model_name: str) -> TrainedNetwork:
  """Returns the network for the labels of a data set, to restore a checkpoint into it.

  The variables are compared later, when they are restored.

  Args:
    checkpoint: its prefix.
    num_labels: number of labels of the data set.
    options: options of the command.
    default_model_name: the network without an option and a run card.

  Raises:
    UserError: the network does not exist, or the images are too small for it.
  """
  shapes = values.shapes_of(checkpoint)
  _check_classifies(checkpoint, shapes, 'or name a data set that has masks')
  card, card_note = trained_network.card_of(checkpoint, shapes)
  if card and options.model_name not in (None, card.model_name):
    card = None  # The comparison of the variables shows the difference.
  if card and card.num_classes != num_labels - card.labels_offset:
    # The offset is for the labels of another data set.
    card = dataclasses.replace(card, labels_offset=0)
  row = None if card else _published(checkpoint, shapes, options.model_name)
  model_name = (card.model_name if card else row.network if row else
                options.model_name or default_model_name)
  labels_offset = options.labels_offset
  if labels_offset is None:
    labels_offset = (card.labels_offset if card else
                     row.labels_offset(num_labels) if row else 0)
  network = trained_network.resolve(
      checkpoint, model_name, num_labels - labels_offset, card, options,
      default_model_name=default_model_name, num_labels=num_labels)
  if network.image_size:
    networks.check_image_size(model_name, network.image_size, flag='eval_image_size')
  return _complete(network, card_note, shapes, options.quantize)


def _check_classifies(path, shapes, advice):
  if segmentation_network.scored_strides(shapes):
    raise diagnostics.UserError(
        f"the checkpoint '{path}' is a segmentation network: expected a network that"
        f' classifies images, {advice}')


def _published(checkpoint, shapes, model_name):
  """Returns the row of the archive that a folder is named after, if they fit."""
  row = published.of_path(checkpoint)
  if row is None or model_name not in (None, row.network):
    return None
  fits = any(match.fits and (match.network, match.num_classes) == (
      row.network, row.num_classes) for match in identify.identify(shapes, limit=None))
  return row if fits else None


def _complete(network, card_note, shapes, quantize):
  """Adds the quantization, and notes about unused run cards, ranges and averages."""
  quantized = quantization.choose(shapes, network.card, quantize, network.checkpoint)
  averages = trained_network.averages_note(
      shapes, network.card, network.moving_averages)
  notes = filter(None, [
      *network.notes, card_note, quantization.note(shapes, network.card, quantize),
      averages])
  return dataclasses.replace(network, quantized=quantized, notes=tuple(notes))


def _match(path, shapes, model_name, likely_name) -> comparison.Match:
  """Returns the matching network: `model_name`, or any without it.

  Of several, `likely_name` has priority.
  """
  if model_name:
    networks.get_image_network(model_name)
  matches = identify.identify(shapes, limit=None)
  fitting = [match for match in matches if match.fits and not match.renamed]
  fitting.sort(key=lambda match: match.network != likely_name)
  for match in fitting:
    if model_name in (None, match.network):
      return match
  if model_name:
    advice = identify.advice(shapes, model_name) or 'slim-zoo inspect shows why'
    raise diagnostics.UserError(
        f"the checkpoint '{path}' is not of {model_name}: {advice}")
  near = f' (the nearest is {matches[0].network})' if matches else ''
  raise diagnostics.UserError(
      f"the network of the checkpoint '{path}' is unknown{near}:"
      ' slim-zoo inspect shows the differences')


def _check_classes(path, match, num_classes):
  """Raises UserError for a checkpoint without logits or with other classes."""
  if match.num_classes is None:
    raise diagnostics.UserError(
        f"the checkpoint '{path}' has no logits of {match.network}: it can be"
        ' fine-tuned, but not classify')
  if num_classes not in (None, match.num_classes):
    raise diagnostics.UserError(
        f'--num_classes={num_classes}, but the checkpoint has {match.num_classes}'
        ' classes: leave the flag out')
