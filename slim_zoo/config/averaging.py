"""Options of the average of checkpoints: which, and new statistics."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.config.devices import Devices
from slim_zoo.config.options import Config, Group, option

_LAST = 5


@dataclasses.dataclass(frozen=True)
class AveragedCheckpoints(Group):
  """The checkpoints whose weights are averaged."""

  checkpoint_path: tuple[str, ...] = option(
      (), 'Folder of a run, whose last checkpoints are averaged; or several'
      ' checkpoints of the same network, separated by commas.', is_path=True)
  last: int | None = option(
      None, 'Number of checkpoints of the folder, from the last one back; by default 5,'
      ' or all if there are fewer. A run keeps 5.', int, lower=2)

  @property
  def folder(self) -> str | None:
    """The folder whose checkpoints are averaged; None: they are named one by one."""
    path = self.checkpoint_path[0]
    return path if len(self.checkpoint_path) == 1 and os.path.isdir(path) else None

  def check(self) -> None:
    """Refuses missing checkpoints, and a single one.

    Raises:
      UserError: the first fault.
    """
    if not self.checkpoint_path:
      raise diagnostics.UserError(
          'no --checkpoint_path: name the folder of a run, or several checkpoints,'
          ' separated by commas')
    for path in self.checkpoint_path:
      checkpoint_names.check_there(path)
    if self.folder is None and len(self.checkpoint_path) == 1:
      raise diagnostics.UserError(
          f'--checkpoint_path={self.checkpoint_path[0]} is one checkpoint: name two or'
          ' more, separated by commas, or the folder of a run')
    if self.folder is None and self.last:
      raise diagnostics.UserError(
          f'--last={self.last} is for the folder of a run, and --checkpoint_path names'
          ' checkpoints: leave out one of them')

  def chosen(self, paths: list[str]) -> tuple[list[str], list[str]]:
    """Returns the checkpoints of the folder to average, and a line if they are few.

    Args:
      paths: prefixes of the whole checkpoints of the folder, the oldest first.

    Raises:
      UserError: there are too few.
    """
    wanted = self.last or _LAST
    if len(paths) < 2 or (self.last and len(paths) < self.last):
      raise diagnostics.UserError(
          f"'{self.folder}' has {len(paths)} whole checkpoint"
          f'{"" if len(paths) == 1 else "s"}, {self.last or "two or more"} are needed:'
          ' train with a smaller --save_interval_secs, or name other checkpoints')
    notes = [] if len(paths) >= wanted else [
        f"'{self.folder}' has {len(paths)} checkpoints: all are averaged"]
    return paths[-wanted:], notes


@dataclasses.dataclass(frozen=True)
class NewStatistics(Group):
  """New statistics of batch norm for the averaged weights."""

  recalibrate_batch_norm: bool = option(
      True, 'If the network has batch norm, estimate its statistics again, over'
      ' training images. They are written to a second checkpoint, whose name ends in'
      ' -recalibrated. It is kept if it is better on these images.')
  recalibration_images: int = option(
      5000, 'Number of training images for that, at most all images of the split.',
      lower=1)
  dataset_name: str | None = option(
      None, 'Data set of these images; by default that of the run card.', str)
  dataset_dir: str | None = option(
      None, 'Folder of the TFRecord files; by default that of the run card.', str,
      is_path=True)
  dataset_split_name: str = option('train', 'Split of these images.')
  batch_size: int = option(100, 'Images in a batch.', lower=1)


@dataclasses.dataclass(frozen=True)
class AverageConfig(Config):
  """All options of an average; the groups are in the order of --help.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  checkpoints: AveragedCheckpoints
  statistics: NewStatistics
  devices: Devices
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses missing checkpoints, and options that do not fit together.

    Raises:
      UserError: the first fault.
    """
    self.checkpoints.check()
