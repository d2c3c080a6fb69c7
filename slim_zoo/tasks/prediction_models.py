"""Loads the model and its class names by the options of classify and serve.

The configs have the groups `network`, `exported`, `prediction`, `precision` and
`devices`, and the methods `check_segmentation` and `check_classification`.
"""

import dataclasses

from slim_zoo.catalog import view_kinds
from slim_zoo.checkpoints import segmentation_network
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.deployment import precision_hint, unused_gpus
from slim_zoo.prediction import (
    answers,
    checkpoint_model,
    class_names,
    exported_model,
    mask_model,
)
from slim_zoo.tasks import (
    inference_precision,
    networks_with_classes,
)


@dataclasses.dataclass(frozen=True)
class Found:
  """A model with its class names.

  Attributes:
    model: a `classifier.Model`; it is a context manager.
    class_names: names of its classes.
    source: path of the checkpoint or of the SavedModel.
    network: name of the network; None for an export.
  """

  model: object
  class_names: tuple[str, ...]
  source: str
  network: str | None = None

  @property
  def has_masks(self) -> bool:
    """Whether it is a segmentation network."""
    return isinstance(self.model, mask_model.MaskModel)


def find(config, extras: checkpoint_model.ModelOutputs, num_images: int | None = None,
         view_kind: str | None = None, notes: tuple[str, ...] = ()) -> Found:
  """Reads a checkpoint or an export; prints notes to stderr.

  Args:
    config: see above.
    extras: the results to compute besides probabilities, with a checkpoint.
    num_images: to classify, for a hint on the precision; None: no hint.
    view_kind: the kind of test-time augmentation; None: one view.
    notes: lines that are printed for a checkpoint of classes.

  Raises:
    UserError: the model and the options do not fit one another.
  """
  if config.exported.export:
    return _exported(config)
  if segmentation_network.is_segmentation(config.network.checkpoint_path):
    return _segmentation(config)
  return _checkpoint(config, extras, num_images, view_kind, notes)


def _exported(config):
  options = config.network
  folder = exported_model.find(config.exported.export)
  model = exported_model.load(folder, config.devices.settings)
  if isinstance(model, mask_model.MaskModel):
    config.check_segmentation()
  else:
    config.check_classification()
  names, notes = class_names.of_classes(
      model.num_classes, options.labels_file, options.labels_offset or 0,
      [model.labels_folder], needs_labels=bool(options.labels_offset))
  print_notes(notes)
  return Found(model, tuple(names), folder)


def _segmentation(config):
  config.check_segmentation()
  network = networks_with_classes.find_segmentation(config.network)
  print_notes([f'checkpoint {network.checkpoint}'])
  return Found(mask_model.of_network(network, config.devices.settings),
               network.class_names, network.checkpoint, network.model_name)


def _checkpoint(config, extras, num_images, view_kind, notes):
  config.check_classification()
  print_notes([*unused_gpus.notes(), *notes])
  network = networks_with_classes.find(config.network)
  print_notes([f'checkpoint {network.checkpoint}'])
  if config.prediction.multi_label is not None:
    network = dataclasses.replace(network, multi_label=config.prediction.multi_label)
  elif network.multi_label:
    print_notes(['as the data set in the run card is: --multi_label'])
  precision, notes = inference_precision.checked(config.precision.precision, network)
  print_notes(notes)
  model = checkpoint_model.CheckpointModel(
      network, extras, config.devices.settings, precision,
      is_hinted='precision' not in config.user_options and _is_long(
          network, num_images, view_kind),
      view_kind=view_kind)
  return Found(model, network.class_names, network.checkpoint, network.model_name)


def _is_long(network: TrainedNetwork, num_images, view_kind):
  return num_images is not None and precision_hint.is_long(
      network.model_name, num_images * view_kinds.count(view_kind))


def print_notes(lines) -> None:
  """Prints notes to stderr, one line each."""
  for line in lines:
    answers.note(line)
