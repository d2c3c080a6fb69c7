"""A trained network and its classes, for commands that use a checkpoint."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import networks, preprocessing_families
from slim_zoo.checkpoints import checkpoint_names, run_card, trained_network
from slim_zoo.config.options import Group, option
from slim_zoo.prediction import class_names


@dataclasses.dataclass(frozen=True)
class TrainedCheckpoint(Group):
  """Which checkpoint, and what it does not say of itself."""

  checkpoint_path: str | None = option(
      None, 'Checkpoint, or a folder: its latest checkpoint; or published:NAME, as'
      ' slim-zoo weights --list shows it.', str, is_path=True)
  model_name: str | None = option(
      None, 'Name of the network; by default read from the checkpoint.', str)
  num_classes: int | None = option(
      None, 'Number of logits; by default read from the checkpoint.', int, lower=1)
  moving_average_decay: float | None = option(
      None, 'Use the moving averages of the weights, which training kept. Any value'
      ' above 0 reads them, such as 0.9999.', float, lower=0, upper=1)
  preprocessing_name: str | None = option(
      None, 'Preprocessing family; by default read from the run card beside the'
      ' checkpoint, else the family of the network.', str)
  use_grayscale: bool | None = option(
      None, 'Turn images to one gray channel; by default read from the run card.', bool)
  eval_image_size: int | None = option(
      None, 'Height and width of the images; by default read from the run card, else'
      ' the size of the network.', int, lower=1)
  labels_file: str | None = option(
      None, 'Names of the classes: lines such as 0:daisy, or a name on each line. By'
      ' default labels.txt in --dataset_dir (if the command has this flag), beside the'
      ' checkpoint, or in the data folder of its run card.', str, is_path=True)
  labels_offset: int | None = option(
      None, 'Subtracted from every label of the labels file: 1 leaves out the'
      ' background class of ImageNet, which VGG and ResNet v1 do not have. By default'
      ' read from the run card, else 0.', int, lower=0)
  quantize: bool | None = option(
      None, 'Round weights and activations by the ranges that training with'
      ' --quantize_delay stored in the checkpoint; --noquantize does not round. By'
      ' default values are rounded if the checkpoint has ranges.', bool)

  def check(self) -> None:
    """Checks names, the checkpoint and the labels file.

    Raises:
      UserError: the first fault.
    """
    if not self.checkpoint_path:
      raise diagnostics.UserError(
          'no --checkpoint_path: name a checkpoint such as model.ckpt-1000, or a'
          ' folder')
    checkpoint_names.check_there(self.checkpoint_path)
    if self.model_name:
      networks.get_image_network(self.model_name)
      if self.eval_image_size:
        networks.check_image_size(
            self.model_name, self.eval_image_size, flag='eval_image_size')
    if self.preprocessing_name:
      preprocessing_families.check(self.preprocessing_name)
    if self.labels_file:
      class_names.read(self.labels_file)

  @property
  def has_card_of_segmentation(self) -> bool:
    """Whether the run card beside the checkpoint is of a segmentation network.

    False without a run card: then the variables of the checkpoint decide.
    """
    path = self.checkpoint_path
    checkpoint = (checkpoint_names.latest(path) if os.path.isdir(path) else
                  checkpoint_names.prefix_of(path))
    card = run_card.facts_of(checkpoint)[0] if checkpoint else None
    return card is not None and card.is_segmentation

  @property
  def network_options(self) -> trained_network.NetworkOptions:
    """What the options say of the network."""
    return trained_network.NetworkOptions(
        self.model_name, self.num_classes, self.eval_image_size,
        self.preprocessing_name, self.use_grayscale, self.labels_offset,
        bool(self.moving_average_decay), self.quantize)
