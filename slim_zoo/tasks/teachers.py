"""Finds the teacher of a training run and compares it with the run."""

import dataclasses
import functools
import os
from collections.abc import Mapping

from slim_zoo import diagnostics
from slim_zoo.catalog import complexity, networks, preprocessing_families
from slim_zoo.checkpoints import (
    comparison,
    contents,
    identified_network,
    restore,
    trained_network,
)
from slim_zoo.checkpoints.trained_network import NetworkOptions, TrainedNetwork
from slim_zoo.config.training import TrainConfig
from slim_zoo.prediction import class_names
from slim_zoo.preprocessing import value_ranges
from slim_zoo.tf_compat import tf
from slim_zoo.training import distillation, run_description


@dataclasses.dataclass(frozen=True)
class RunTeacher:
  """The teacher of a run.

  Attributes:
    network: the trained network.
    losses: the losses of distillation, for `graph.build`.
    notes: lines about unused or unknown parts of the checkpoint.
    input: the conversion of the images of the run to its input, as text.
  """

  network: TrainedNetwork
  losses: distillation.Distillation
  notes: tuple[str, ...]
  input: str

  def lines(self, config: TrainConfig) -> list[str]:
    """Returns the lines of the banner; call it when the graph is built."""
    count = run_description.millions(self.losses.teacher.parameters)
    averages = ', moving averages' if self.network.moving_averages else ''
    return [f'{self.network.model_name} of {config.distillation.teacher}, {count}'
            f' fixed parameters{averages}', self.input,
            *config.distillation.describe(), *self.notes]

  def facts(self, config: TrainConfig) -> dict:
    """Returns the entries of the run card."""
    options = config.distillation
    return {'teacher': options.teacher, 'network': self.network.model_name,
            'checkpoint': os.path.basename(self.network.checkpoint),
            'temperature': options.distillation_temperature,
            'weight': options.distillation_weight,
            'moving_averages': self.network.moving_averages,
            'hints': [hint._asdict() for hint in options.hints],
            'input': self.input}


def find(config: TrainConfig, num_classes: int, names: Mapping[int, str],
         image_size: int, casts: str, devices) -> RunTeacher | None:
  """Finds the teacher and compares it with the run; None if there is no --teacher.

  Args:
    config: config of the run.
    num_classes: number of classes of the network.
    names: names of its classes; {} if the data set has no names.
    image_size: height and width of its images.
    casts: name of the type that images and weights are cast to.
    devices: the `DeploymentConfig`.

  Raises:
    UserError: the checkpoint is damaged or of an unknown network, has other classes, or
      the images of the run cannot be converted to its input.
  """
  options = config.distillation
  if not options.is_on:
    return None
  try:
    trained, notes = _network(options)
    notes += _check_classes(trained, num_classes, names)
    words = _check_input(config, trained, image_size)
  except diagnostics.UserError as error:
    raise diagnostics.UserError(f'--teacher={options.teacher}: {error}') from error
  teacher = distillation.Teacher(trained, functools.partial(
      value_ranges.converted, source=config.network.preprocessing,
      target=trained.preprocessing_name, size=trained.image_size,
      channels=trained.channels), tf.as_dtype(casts))
  losses = distillation.Distillation(
      teacher, options.distillation_temperature, options.distillation_weight,
      options.hints, [devices.clone_device(index)
                      for index in range(config.distribution.num_clones)])
  return RunTeacher(trained, losses, tuple(notes), words)


def _network(options):
  """Returns (the trained network, notes); its image size and channels are known."""
  trained = identified_network.find(options.teacher, NetworkOptions(
      moving_averages=options.teacher_moving_averages, quantize=False))
  shapes = restore.verify(trained.checkpoint)
  has_averages = comparison.averages_complete(contents.sort(shapes))
  if options.teacher_moving_averages and not has_averages:
    raise diagnostics.UserError(
        'the checkpoint has no moving averages: leave out --teacher_moving_averages')
  # The usual note names --moving_average_decay, which is a flag of the run.
  unused = trained_network.averages_note(shapes, trained.card, are_used=False)
  notes = [note for note in trained.notes if note != unused]
  if has_averages and not options.teacher_moving_averages:
    notes.append('the checkpoint keeps moving averages of the weights, which are not'
                 ' used: --teacher_moving_averages uses them')
  if trained.multi_label:
    raise diagnostics.UserError(
        'it is multi-label: name a teacher that was trained with one class for each'
        ' image')
  size = trained.image_size or complexity.load()[trained.model_name].input_shape[-2]
  channels = trained.channels or networks.get_network(trained.model_name).channels
  return dataclasses.replace(trained, image_size=size, channels=channels), notes


def _check_classes(trained, num_classes, names):
  """Refuses other classes; returns a note if the names are not known."""
  if trained.num_classes != num_classes:
    raise diagnostics.UserError(
        f'the checkpoint has {trained.num_classes} classes, this run has {num_classes}:'
        ' name a teacher with the same classes')
  folders = [os.path.dirname(trained.checkpoint),
             trained.card and trained.card.dataset_dir]
  found, _ = class_names.find(folders, num_classes, trained.labels_offset)
  if not found or len(names) != num_classes:
    return ['the names of its classes are not known: they are assumed to have the same'
            ' order as the classes of the data set']
  for index, name in enumerate(found):
    if name != names[index]:
      raise diagnostics.UserError(
          f"class {index} of the checkpoint is '{name}', in the data set it is"
          f" '{names[index]}': name a teacher with the same classes in the same order")
  return []


def _check_input(config, trained, image_size):
  """Refuses images that cannot be converted; returns what is converted, in words."""
  source = preprocessing_families.family_of(config.network.preprocessing)
  target = preprocessing_families.family_of(trained.preprocessing_name)
  value_ranges.check_convertible(source, target)
  networks.check_image_size(trained.model_name, trained.image_size)
  changes = []
  if trained.image_size != image_size:
    changes.append(f'resized from {image_size} x {image_size} to {trained.image_size} x'
                   f' {trained.image_size}')
  if source != target:
    changes.append(f'with the values of {target} preprocessing')
  present = preprocessing_families.channels_after(
      source, config.data.spec().channels, config.network.use_grayscale)
  if present != trained.channels:
    changes.append('in gray' if trained.channels == 1 else
                   'with three equal channels')
  return ('gets the same images' if not changes else
          f'gets the same images, {", ".join(changes)}')
