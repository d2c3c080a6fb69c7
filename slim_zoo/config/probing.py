"""Options of a probe: the checkpoints, the images, the classifiers on the features."""

import dataclasses
import importlib.util
import os

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.config.data import DatasetSplit, check_cache_dir
from slim_zoo.config.devices import Devices
from slim_zoo.config.options import Config, Group, check_png, option
from slim_zoo.config.precision import InferencePrecision
from slim_zoo.config.segmentation import check_data


@dataclasses.dataclass(frozen=True)
class ProbedCheckpoints(Group):
  """The networks whose features are compared."""

  checkpoint_path: tuple[str, ...] = option(
      (), 'Checkpoints, separated by commas. Each is a checkpoint, a folder for its'
      ' latest checkpoint, or published:NAME, as slim-zoo weights --list shows it.',
      is_path=True)

  def check(self) -> None:
    """Refuses missing checkpoints.

    Raises:
      UserError: there is none, one is not there, or one is named twice.
    """
    if not self.checkpoint_path:
      raise diagnostics.UserError(
          'no --checkpoint_path: name one checkpoint or several, such as'
          ' --checkpoint_path=published:mobilenet_v1_0.25_128,runs/pets')
    for path in self.checkpoint_path:
      checkpoint_names.check_there(path)
      if self.checkpoint_path.count(path) > 1:
        raise diagnostics.UserError(
            f'--checkpoint_path names {path} twice: leave out one of them')


@dataclasses.dataclass(frozen=True)
class ProbedImages(DatasetSplit):
  """The images whose features are computed."""

  dataset_split_name: str = option(
      'train', 'Split of the data set. Use images that no checkpoint was trained on.')
  cache_dir: str | None = option(
      None, 'Folder of the cache: the features of each checkpoint, 4 bytes for each'
      ' feature of an image. By default probe/ in the cache folder of the user,'
      ' ~/.cache/slim_zoo.', str, is_path=True)
  batch_size: int = option(32, 'Images in a batch.', lower=1)
  num_preprocessing_threads: int = option(
      4, 'Number of images decoded and preprocessed at the same time.', lower=1)

  def check(self) -> None:
    """Checks the names, the folders and the files.

    Raises:
      UserError: the first fault.
    """
    self.record_files()
    spec = self.spec()
    if spec.multi_label:
      raise diagnostics.UserError(
          f'{spec.name} is multi-label: a probe needs images with one class each')
    check_data(False, spec)
    check_cache_dir(self.cache_dir, self.dataset_dir)


@dataclasses.dataclass(frozen=True)
class Classifiers(Group):
  """The classifiers that are trained on the features."""

  folds: int = option(
      5, 'Parts of the images. Each part is classified by classifiers that are trained'
      ' on the others.', lower=2)
  neighbours: int = option(
      10, 'Number of neighbours of the k-nearest-neighbours classifier.', lower=1)
  seed: int = option(0, 'Seed of the random parts.', lower=0)


@dataclasses.dataclass(frozen=True)
class ProbeOutput(Group):
  """How the result is written."""

  format: str = option(
      'text', 'How to print the table.', choices=('text', 'json', 'markdown'))
  chart: str | None = option(
      None, 'PNG file for a chart of the accuracies with their intervals.', str,
      is_path=True)


@dataclasses.dataclass(frozen=True)
class ProbeConfig(Config):
  """All options of a probe; the groups are in the order of --help.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  checkpoints: ProbedCheckpoints
  images: ProbedImages
  classifiers: Classifiers
  precision: InferencePrecision
  output: ProbeOutput
  devices: Devices
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that do not fit together, unknown names and missing files.

    Raises:
      UserError: the first fault, or scikit-learn is not installed.
    """
    self.checkpoints.check()
    self.images.check()
    if self.output.chart:
      check_png(self.output.chart, 'chart')
      if os.path.isdir(self.output.chart):
        raise diagnostics.UserError(
            f"--chart='{self.output.chart}' is a folder: name a file in it")
    if importlib.util.find_spec('sklearn') is None:
      raise diagnostics.UserError(
          'slim-zoo probe needs scikit-learn, which is not installed: python -m pip'
          ' install "scikit-learn>=1.3,<2"')

  @property
  def folders(self) -> list[str]:
    """The folder of the chart, if one is drawn."""
    return [os.path.dirname(self.output.chart) or '.'] if self.output.chart else []
