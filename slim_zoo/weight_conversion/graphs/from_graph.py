"""Converts a frozen graph or a SavedModel to a checkpoint of a network of the zoo.

The steps: `reading` reads the graph, `finding` finds networks that fit, with `outline`
and `matching`, and `pixels` recognizes the preprocessing. The checkpoint is that of the
first network whose logits are those of the graph, on the same images.
"""

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.checkpoints import run_card
from slim_zoo.deployment import session_configs
from slim_zoo.tf_compat import tf
from slim_zoo.weight_conversion import checking, slim_networks
from slim_zoo.weight_conversion.graphs import finding, pixels, pools, reading


def convert(source: str, target: str, is_saved_model: bool,
            model_name: str | None = None, image_size: int | None = None) -> list[str]:
  """Writes the checkpoint of a graph; returns lines about it.

  Args:
    source: a file of a GraphDef, or a SavedModel.
    target: the prefix of the checkpoint.
    is_saved_model: whether the source is a SavedModel.
    model_name: a name of `catalog.networks.NETWORKS`: only this network; None: any.
    image_size: height and width of the images; None: the graph's, or the network's own.

  Raises:
    UserError: the source cannot be read, has no such network, or computes other
      logits than the checkpoint. Nothing is written then.
  """
  read = reading.read(source, is_saved_model)
  finder = finding.Finder(read.graph, image_size)
  finding.require_layers(finder, source, read.unset_variables)
  found, comparison = _first_equal(finder, source, model_name)
  usual = networks.NETWORKS[found.model_name].preprocessing
  if image_size and set(found.size) != {image_size}:
    raise diagnostics.UserError(
        f'--image_size={image_size}: the graph accepts images of {found.size[0]} x'
        f' {found.size[1]} only; leave it out')
  family, images_note = _preprocessing(finder, found, usual)
  slim_networks.write_with_card(
      found.values, target, found.model_name, found.num_classes, found.size[0],
      found.channels, family)
  lines = [
      f"'{target}': {found.model_name}, {found.num_classes} classes, images of"
      f' {found.size[0]} x {found.size[1]} x {found.channels}, found by {found.how}',
      *read.notes,
      f"images are read at '{found.images.name}', logits at '{found.logits.name}'",
      images_note]
  if found.size[0] != found.size[1]:
    lines.append(f'warning: later commands give the network images of {found.size[0]} x'
                 f' {found.size[0]}: they know no others than square ones')
  if ignored := finder.ignored(found):
    lines.append(f'ignored layers, no part of {found.model_name}:'
                 f' {diagnostics.some(ignored)}')
  return [*lines, f'check: {comparison}',
          f"'{target}{run_card.OF_ONE_CHECKPOINT}' stores the network, the image size,"
          f' the channels and {family} preprocessing for later commands']


def _preprocessing(finder, found, usual):
  """Returns the preprocessing family of a network in a graph, and a line about it."""
  values = next((values for values in (
      pixels.black_and_white(images, found.size, found.channels, sources)
      for sources in (pixels.PLACEHOLDERS, pixels.DECODERS)
      for images in finder.images_of_copies(found)) if values is not None), None)
  if values is None:
    return usual, (f'the graph does not show its preprocessing: {usual} is assumed, as'
                   f' for {found.model_name}')
  family = pixels.family_of(values, usual)
  black, white = (', '.join(f'{value:.4g}' for value in dict.fromkeys(
      np.round(row, 4).tolist())) for row in values)
  made = f'the graph scales black pixels to {black} and white pixels to {white}'
  if family:
    return family, f'{made}, as {family} preprocessing does'
  return usual, (f'warning: {made}, as no preprocessing of this project does: later'
                 f' commands use {usual} preprocessing, and may give wrong classes')


def _first_equal(finder, source, model_name):
  """Returns (the first `Found` whose logits are those of the graph, the comparison).

  Raises:
    UserError: there is none.
  """
  different = None
  for found in finder.candidates(model_name):
    comparison = _compare(finder, found)
    if comparison.same:
      return found, comparison
    different = different or (found, comparison)
  if different:
    found, comparison = different
    raise diagnostics.UserError(
        f"'{source}' has the layers of {found.model_name}, but computes other logits:"
        f' {comparison}{_likely_reason(finder, found)}')
  wanted = f'is not a graph of {model_name}' if model_name else 'has an unknown network'
  nearest = finder.nearest()
  raise diagnostics.UserError(
      f"'{source}' {wanted}{nearest and ': '}{nearest}; slim-zoo networks lists the"
      ' networks that can be converted')


def _likely_reason(finder, found):
  """Returns the end of a message: why a graph may compute other logits, or ''."""
  network = finding.build(
      found.model_name, found.num_classes, found.size, found.channels)
  if network.head.head_signature == found.head.head_signature and (
      pool := pools.difference(
          network.outline, network.head, finder.outline, found.head)):
    return f'; {pool}: the zoo has no such network'
  operations = found.logits.graph.get_operations()
  for reason, is_it in (
      ('batch norm uses the statistics of each batch: freeze a graph for inference',
       lambda one: one.type.startswith('FusedBatchNorm')
       and one.get_attr('is_training')),
      ('dropout is on: freeze a graph for inference',
       lambda one: one.type.startswith('Random')),
      ('values are rounded to 8 bits: name the checkpoint that it was made of',
       lambda one: one.type.startswith('FakeQuant'))):
    name = next((one.name for one in operations if is_it(one)), None)
    if name:
      return f"; at '{name}' {reason}"
  return ''


def _compare(finder, found) -> checking.Comparison:
  """Compares the logits of the graph and of the new network on the same images."""
  family = networks.NETWORKS[found.model_name].preprocessing
  images = checking.images(max(found.size), found.channels, family == 'vgg')
  images = images[:, :found.size[0], :found.size[1]]
  expected = _run(finder, found, images)
  network = finding.build(
      found.model_name, found.num_classes, found.size, found.channels)
  with tf.Session(graph=network.outline.graph) as session:
    slim_networks.assign(session, network.variables(), found.values)
    logits = session.run(network.logits, {network.images: images})
  return checking.compare(logits.reshape(len(images), -1), expected)


def _run(finder, found, images):
  """Returns the graph's own logits, float32 [batch, classes]."""
  batch = (found.images.shape[0] if found.images.shape.rank else None) or len(images)
  logits = []
  with tf.Session(graph=finder.outline.graph,
                  config=session_configs.unoptimized_config()) as session:
    for start in range(0, len(images), batch):
      # A graph may have a fixed batch size: the last batch is filled with other images.
      indices = (start + np.arange(batch)) % len(images)
      feeds = {found.images: images[indices].astype(
          found.images.dtype.as_numpy_dtype)}
      try:
        values = session.run(found.logits, feeds)
      except (tf.errors.OpError, ValueError) as error:
        raise diagnostics.UserError(
            f'the graph does not run on images of {found.size[0]} x {found.size[1]} x'
            f' {found.channels} (TensorFlow says: {reading.reason_of(error)}): set'
            ' --image_size to their size, if it is another') from error
      values = values.reshape(batch, -1, found.num_classes).mean(1)
      logits.append(values[:len(images) - start])
  return np.concatenate(logits)

