"""Options of an evaluation: the checkpoint, the images, the folder of the report."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks, published, view_kinds
from slim_zoo.checkpoints import checkpoint_names, trained_network
from slim_zoo.config.data import Network, Records
from slim_zoo.config.devices import Devices
from slim_zoo.config.evaluation_processes import Server
from slim_zoo.config.options import Config, Group, option
from slim_zoo.config.other_test_sets import OtherTestSets
from slim_zoo.config.precision import InferencePrecision
from slim_zoo.config.report_page import ReportPage
from slim_zoo.config.segmentation import refuse
from slim_zoo.config.test_time_augmentation import Views
from slim_zoo.config.tracking import Tracking

# Options that do not fit segmentation, with the reason.
_WHOLE = 'images are evaluated whole'
_PAGE = 'report.html is for images with one class each'
NOT_WITH_MASKS = {
    'tta': 'the masks of several views are not averaged',
    'labels_offset': 'classes are the values of the masks',
    'eval_image_size': _WHOLE, 'train_image_size': _WHOLE,
    'cache_dir': 'the cache has no masks',
    'quantize': 'segmentation networks are not quantized',
    'precision': 'segmentation networks are evaluated in float32',
    'master': 'the network runs in this process',
    **dict.fromkeys(('grad_cam', 'near_duplicates_of', 'compare_with'), _PAGE)}


@dataclasses.dataclass(frozen=True)
class EvaluatedCheckpoint(Group):
  """Which weights are evaluated."""

  checkpoint_path: str = option(
      '/tmp/tfmodel/', 'Checkpoint to evaluate, or a folder: its latest checkpoint; or'
      ' published:NAME, as slim-zoo weights --list shows it.', is_path=True)
  moving_average_decay: float | None = option(
      None, 'Evaluate the moving averages of the weights, which training kept. Any'
      ' value above 0 reads them, such as 0.9999.', float, lower=0, upper=1)
  watch: bool = option(
      False, 'Evaluate every new checkpoint of the folder --checkpoint_path as training'
      ' writes it.')
  watch_timeout_secs: int | None = option(
      None, 'With --watch: end after so many seconds without a new checkpoint; by'
      ' default never.', int, lower=1)
  train_dir: str | None = option(
      None, 'Not used: --checkpoint_path names what is evaluated.', str, is_path=True)
  quantize: bool | None = option(
      None, 'Round weights and activations by the ranges that training with'
      ' --quantize_delay stored in the checkpoint; --noquantize does not round. By'
      ' default values are rounded if the checkpoint has ranges.', bool)

  @property
  def uses_averages(self) -> bool:
    """Whether the moving averages of the weights are evaluated."""
    return bool(self.moving_average_decay)

  def check(self) -> None:
    """Refuses options that do not fit together.

    Raises:
      UserError: the first fault.
    """
    if self.watch_timeout_secs and not self.watch:
      raise diagnostics.UserError('--watch_timeout_secs has no effect without --watch')
    if self.watch and (
        published.name_in(self.checkpoint_path) is not None
        or any(os.path.isfile(self.checkpoint_path + suffix)
               for suffix in ('', '.index'))):
      raise diagnostics.UserError(
          f'--watch needs a folder of checkpoints, {self.checkpoint_path} is one'
          ' checkpoint')

  def check_there(self) -> None:
    """Refuses a missing checkpoint; with --watch the folder may still be empty.

    Raises:
      UserError: there is no checkpoint.
    """
    if not self.watch:
      checkpoint_names.check_there(self.checkpoint_path)

  def notes(self) -> list[str]:
    """Returns a line for each option without effect."""
    if self.train_dir is None:
      return []
    return [f'--train_dir={self.train_dir} is not used: --checkpoint_path='
            f'{self.checkpoint_path} names what is evaluated']


@dataclasses.dataclass(frozen=True)
class EvaluatedNetwork(Network):
  """The network, and the size of its images."""

  eval_image_size: int | None = option(
      None, 'Height and width of the images; by default those in the run card beside'
      ' the checkpoint, or those of the network.', int, lower=1)
  train_image_size: int | None = option(
      None, 'The same as --eval_image_size; the name of the flag of training.', int,
      lower=1)

  @property
  def image_size(self) -> int | None:
    """Height and width of the images, from either option."""
    return self.eval_image_size or self.train_image_size

  def check_image_size(self, model_name_is_given: bool) -> None:
    """Refuses two different sizes, and a size that is too small for the network.

    Args:
      model_name_is_given: whether the user set the network; a run card may name another
        one, whose sizes are checked later.

    Raises:
      UserError: the first fault.
    """
    if None not in (self.eval_image_size, self.train_image_size) and (
        self.eval_image_size != self.train_image_size):
      raise diagnostics.UserError(
          f'--eval_image_size={self.eval_image_size} and --train_image_size='
          f'{self.train_image_size} both give the size of the images: leave out one of'
          ' them')
    if self.image_size and model_name_is_given:
      networks.check_image_size(
          self.model_name, self.image_size,
          flag='eval_image_size' if self.eval_image_size else 'train_image_size')


@dataclasses.dataclass(frozen=True)
class EvaluatedRecords(Records):
  """The images of the evaluation."""

  dataset_split_name: str = option('test', 'Split of the data set.')
  cache_dir: str | None = option(
      None, 'Folder of the cache: records with preprocessed images, which are faster to'
      ' read. They take about 20 times the space. They are made before the first batch'
      ' and reused later.', str, is_path=True)
  batch_size: int = option(100, 'Images in a batch.', lower=1)
  max_num_batches: int | None = option(
      None, 'Stop after so many batches; by default after the last image.', int,
      lower=1)


@dataclasses.dataclass(frozen=True)
class Recalibration(Group):
  """New statistics of batch norm before the evaluation."""

  recalibrate_batch_norm: bool = option(
      False, 'First estimate the statistics of batch norm again, over training images.'
      ' They are written, with all other variables, to a checkpoint whose name ends in'
      ' -recalibrated, which is evaluated. It is kept only if it is better on those'
      ' images.')
  recalibration_split_name: str = option(
      'train', 'Split of the images for --recalibrate_batch_norm.')
  recalibration_images: int = option(
      5000, 'Number of images for --recalibrate_batch_norm, in batches of --batch_size;'
      ' at most all images of the split.', lower=1)

  def check(self, records: Records, is_watching: bool,
            user_options: frozenset[str]) -> None:
    """Refuses options that do not fit together, and missing files.

    Args:
      records: of the evaluation.
      is_watching: whether several checkpoints are evaluated.
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    for name in ('recalibration_split_name', 'recalibration_images'):
      if name in user_options and not self.recalibrate_batch_norm:
        raise diagnostics.UserError(
            f'--{name} has no effect without --recalibrate_batch_norm')
    if not self.recalibrate_batch_norm:
      return
    if is_watching:
      raise diagnostics.UserError(
          '--recalibrate_batch_norm is for one checkpoint: leave out --watch')
    spec, split = records.spec(), self.recalibration_split_name
    if split not in spec.splits:
      raise diagnostics.UserError(
          f'--recalibration_split_name={split} is not a split of {spec.name} (known:'
          f' {", ".join(spec.splits)}): name the one that was trained on')
    dataset_catalog.split_files(spec, split, records.dataset_dir)


@dataclasses.dataclass(frozen=True)
class Results(Group):
  """Where the results go."""

  eval_dir: str = option(
      '/tmp/tfmodel/', 'Folder for the summaries and, below report/, the report.',
      is_path=True)

  @property
  def report_dir(self) -> str:
    """The folder of the report."""
    return os.path.join(self.eval_dir, 'report')


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Config):
  """All options of an evaluation; the groups are in the order of --help.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  checkpoint: EvaluatedCheckpoint
  network: EvaluatedNetwork
  data: EvaluatedRecords
  views: Views
  test_sets: OtherTestSets
  recalibration: Recalibration
  precision: InferencePrecision
  results: Results
  page: ReportPage
  tracking: Tracking
  server: Server
  devices: Devices
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that do not fit together, unknown names and missing files.

    Raises:
      UserError: the first fault.
    """
    self.checkpoint.check()
    self.precision.check(self.server.master)
    self.network.check()
    self.data.check()
    self.network.check_image_size('model_name' in self.user_options)
    self.checkpoint.check_there()
    self.test_sets.check(self.data.spec(), self.server.master)
    self.recalibration.check(self.data, self.checkpoint.watch, self.user_options)
    self.server.check(self.user_options, self.precision.precision)
    self.tracking.check(self.server.is_chief)
    if self.is_segmentation:
      refuse(NOT_WITH_MASKS, self.values(), self.user_options)
    if self.server.is_chief:
      self.page.check(self.data, self.part, self.user_options)

  @property
  def part(self) -> str | None:
    """The part of the split that is evaluated, in words; None: all images."""
    batches = self.data.max_num_batches
    return f'the first {batches} batches only' if batches else None

  @property
  def is_segmentation(self) -> bool:
    """Whether the images have masks."""
    return self.data.spec().masks

  def notes(self) -> list[str]:
    """Returns a line for each option without effect."""
    return [*self.checkpoint.notes(), *self.views.notes, *self.lines_without_effect(
        self.devices.without_effect(self.server.master)), *self.lines_without_effect(
            self.tracking.without_effect())]

  @property
  def folders(self) -> list[str]:
    """The folders of the results; of several processes only the chief writes them."""
    return [self.results.eval_dir, *self.tracking.folders] if (
        self.server.is_chief) else []

  @property
  def network_options(self) -> trained_network.NetworkOptions:
    """The network options that the user set; the run card has the others."""
    values = self.user_values()
    return trained_network.NetworkOptions(
        model_name=values['model_name'], image_size=self.network.image_size,
        preprocessing_name=values['preprocessing_name'],
        use_grayscale=values['use_grayscale'],
        labels_offset=values['labels_offset'],
        moving_averages=self.checkpoint.uses_averages,
        quantize=self.checkpoint.quantize)

  def segmentation_header(self, network, step: int, command: str
                          ) -> dict[str, object]:
    """Returns the lines at the top of a report of segmentation.

    Args:
      network: the `SegmentationNetwork`.
      step: the global step of the checkpoint.
      command: the command that repeats the evaluation.
    """
    part = {'part': self.part} if self.part else {}
    return {
        'network': f'FCN on {network.model_name}', 'data set': self.data.dataset_name,
        'split': self.data.dataset_split_name, 'checkpoint': network.checkpoint,
        'step': step, 'strides': ', '.join(map(str, network.strides)),
        'preprocessing': network.preprocessing_name, 'image size': 'whole images',
        'command': command, 'report': self.results.report_dir, **part}

  def header(self, network: trained_network.TrainedNetwork, step: int, command: str,
             precision: str = 'float32') -> dict[str, object]:
    """Returns the lines at the top of the report: what was evaluated.

    Args:
      network: the network, with the weights of a checkpoint.
      step: the global step of the checkpoint.
      command: the command that repeats the evaluation.
      precision: the type that the network was computed in.
    """
    part = {'part': self.part} if self.part else {}
    return {
        'network': network.model_name, 'data set': self.data.dataset_name,
        'split': self.data.dataset_split_name, 'checkpoint': network.checkpoint,
        'step': step,
        **({'test-time augmentation': view_kinds.describe(self.views.tta)}
           if self.views.tta else {}),
        'preprocessing': network.preprocessing_name,
        'image size': network.image_size, 'precision': precision,
        'command': command, 'report': self.results.report_dir, **part}
