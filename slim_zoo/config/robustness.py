"""Options of a robustness test: the checkpoint, the images, the corruptions."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import corruptions
from slim_zoo.checkpoints import checkpoint_names, trained_network
from slim_zoo.config.data import DatasetSplit, Network
from slim_zoo.config.devices import Devices
from slim_zoo.config.options import Config, Group, option
from slim_zoo.config.segmentation import check_data


@dataclasses.dataclass(frozen=True)
class TestedCheckpoint(Group):
  """Which weights are tested."""

  checkpoint_path: str | None = option(
      None, 'Checkpoint to test; or a folder, whose latest checkpoint is tested; or'
      ' published:NAME, where slim-zoo weights --list shows the names.', str,
      is_path=True)
  moving_average_decay: float | None = option(
      None, 'Test the moving averages of the weights, if training kept them. Any value'
      ' above 0 turns this on, such as 0.9999.', float, lower=0, upper=1)


@dataclasses.dataclass(frozen=True)
class TestedNetwork(Network):
  """The network, and the size of its images."""

  eval_image_size: int | None = option(
      None, 'Height and width of the images; by default those in the run card beside'
      ' the checkpoint, or those of the network.', int, lower=1)


@dataclasses.dataclass(frozen=True)
class TestedImages(DatasetSplit):
  """The images that are corrupted."""

  dataset_split_name: str = option('test', 'Split of the data set.')
  labels_offset: int = option(
      0, 'Number that is subtracted from every label. 1 leaves out the background class'
      ' of ImageNet. A run card beside the checkpoint replaces the default.', lower=0)
  batch_size: int = option(
      20, 'Images in a batch. The network computes each in five severities at once, so'
      ' its batches are five times as large.', lower=1)
  num_preprocessing_threads: int = option(
      4, 'Number of images decoded and corrupted at the same time.', lower=1)

  def check(self) -> None:
    """Checks the names, the folder and the files.

    Raises:
      UserError: the first fault.
    """
    self.record_files()
    spec = self.spec()
    spec.check_labels_offset(self.labels_offset)
    check_data(False, spec)
    if spec.multi_label:
      raise diagnostics.UserError(
          f'{spec.name} is multi-label: a robustness test needs images with one class'
          ' each; name another --dataset_name')


@dataclasses.dataclass(frozen=True)
class Corruptions(Group):
  """What is done to the images, and where the results go."""

  corruptions: tuple[str, ...] = option(
      (), 'Kinds of corruptions, separated by commas, or their groups noise, blur,'
      f" weather and digital; by default all: {', '.join(corruptions.KINDS)}.")
  seed: int = option(0, 'Seed of the random parts of the corruptions.', lower=0)
  output_dir: str | None = option(
      None, 'Folder for robustness.json, robustness.csv, robustness.png and'
      ' examples.png. A test that was stopped continues with the next kind.', str,
      is_path=True)

  @property
  def kinds(self) -> tuple[str, ...]:
    """The kinds in the order of the table.

    Raises:
      UserError: there is no such kind or group.
    """
    chosen = set()
    for name in self.corruptions:
      known = (*corruptions.KINDS, *corruptions.GROUPS)
      if name not in known:
        raise diagnostics.unknown_name('corruption', name, known)
      chosen.update(corruptions.GROUPS.get(name, (name,)))
    return tuple(kind for kind in corruptions.KINDS if not chosen or kind in chosen)

  def check(self) -> None:
    """Refuses unknown kinds, and a missing folder.

    Raises:
      UserError: the first fault.
    """
    _ = self.kinds
    if not self.output_dir:
      raise diagnostics.UserError(
          'no --output_dir: name a folder for the results, such as'
          ' --output_dir=runs/pets/robustness')
    if os.path.exists(self.output_dir) and not os.path.isdir(self.output_dir):
      raise diagnostics.UserError(
          f"--output_dir='{self.output_dir}' is a file: name a folder")


@dataclasses.dataclass(frozen=True)
class RobustnessConfig(Config):
  """All options of a robustness test; the groups are in the order of --help.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  checkpoint: TestedCheckpoint
  network: TestedNetwork
  images: TestedImages
  corruptions: Corruptions
  devices: Devices
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that do not fit together, unknown names and missing files.

    Raises:
      UserError: the first fault.
    """
    if not self.checkpoint.checkpoint_path:
      raise diagnostics.UserError(
          'no --checkpoint_path: name a checkpoint, a folder of a run, or'
          ' published:NAME')
    self.network.check()
    self.images.check()
    self.corruptions.check()
    checkpoint_names.check_there(self.checkpoint.checkpoint_path)

  @property
  def folders(self) -> list[str]:
    """The folder of the results."""
    return [self.corruptions.output_dir]

  @property
  def network_options(self) -> trained_network.NetworkOptions:
    """The network options that the user set; the run card has the others."""
    values = self.user_values()
    return trained_network.NetworkOptions(
        model_name=values['model_name'], image_size=self.network.eval_image_size,
        preprocessing_name=values['preprocessing_name'],
        use_grayscale=values['use_grayscale'],
        labels_offset=values['labels_offset'],
        moving_averages=bool(self.checkpoint.moving_average_decay))
