"""Finds the network of a checkpoint and its class names."""

import dataclasses

from slim_zoo.checkpoints import identified_network, segmentation_network
from slim_zoo.checkpoints.segmentation_network import SegmentationNetwork
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.config.trained_network import TrainedCheckpoint
from slim_zoo.prediction import answers, class_names


def find(options: TrainedCheckpoint, dataset_dir: str | None = None) -> TrainedNetwork:
  """Reads a checkpoint and its run card; prints notes to stderr.

  Args:
    options: of the command.
    dataset_dir: the folder of its training data; labels.txt there must fit.

  Raises:
    UserError: the checkpoint, the options and the labels do not fit together.
  """
  network = identified_network.find(options.checkpoint_path, options.network_options)
  for note in network.notes:
    answers.note(note)
  names, notes = class_names.of_network(
      network, options.labels_file, dataset_dir,
      needs_labels=bool(options.labels_offset))
  for note in notes:
    answers.note(note)
  return dataclasses.replace(network, class_names=tuple(names))


def find_segmentation(options: TrainedCheckpoint) -> SegmentationNetwork:
  """Reads a checkpoint of a segmentation network; see `find`."""
  network = segmentation_network.find(options.checkpoint_path, options.network_options)
  for note in network.notes:
    answers.note(note)
  if options.labels_file:
    names = class_names.fit(class_names.read(options.labels_file), options.labels_file,
                            network.num_classes)
  elif network.class_names:
    return network
  else:
    names = class_names.numbered(network.num_classes)
    answers.note('the classes have no names: add --labels_file')
  return dataclasses.replace(network, class_names=tuple(names))
