"""Finds the segmentation network of a checkpoint and its class names."""

import dataclasses

from slim_zoo.checkpoints import segmentation_network
from slim_zoo.checkpoints.segmentation_network import SegmentationNetwork
from slim_zoo.config.trained_network import TrainedCheckpoint
from slim_zoo.prediction import answers, class_names


def find(options: TrainedCheckpoint) -> SegmentationNetwork:
  """Reads a checkpoint and its run card; prints notes to stderr.

  Args:
    options: of the command.

  Raises:
    UserError: the checkpoint, the options and the labels do not fit together.
  """
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
