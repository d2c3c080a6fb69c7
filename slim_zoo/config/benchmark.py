"""Benchmarks: which networks are timed, what of them, and on which images."""

import dataclasses
import fnmatch
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks
from slim_zoo.config.devices import Devices
from slim_zoo.config.options import Config, Group, option
from slim_zoo.config.precision import Precision
from slim_zoo.deployment import session_settings

# What --compare varies, and the values in the order of the table.
COMPARED = {'precision': ('float32', 'bfloat16', 'float16'), 'xla': (False, True),
            'data_format': ('NHWC', 'NCHW')}
# The options that set it, if they are not of the same name.
OPTIONS_OF = {'precision': ('precision', 'mixed_precision')}


@dataclasses.dataclass(frozen=True)
class TimedNetworks(Group):
  """Which networks are timed, and what of them."""

  networks: tuple[str, ...] = option(
      (), "Names of networks, or patterns such as 'resnet*'; all: every network that"
      ' takes single images. Networks for clips are to be named.')
  mode: str = option(
      'both', 'What is timed: the forward pass of evaluation, forward and backward pass'
      ' of training, or both.', choices=('forward', 'train', 'both'))
  batch_sizes: tuple[str, ...] = option(
      ('32',), 'Images at a time, for each clone.')
  image_size: int | None = option(
      None, 'Height and width of the images; by default those of the network.', int,
      lower=1)
  frozen: bool = option(
      False, 'Time the graph that classification runs on: weights as constants, batch'
      ' norm folded. Implies --mode=forward.')
  num_clones: int = option(
      1, 'Copies of the network, each on a device of its own: a GPU, a part of the GPU'
      ' if there is one only, or a logical CPU.', lower=1)
  num_batches: int = option(100, 'Batches that are timed.', lower=1)
  num_batches_burn_in: int = option(
      10, 'Batches before them that do not count.', lower=0)

  def names(self) -> list[str]:
    """Returns the names that `networks` stands for, in its order.

    Raises:
      UserError: it is empty, or a name or a pattern fits nothing.
    """
    if not self.networks:
      raise diagnostics.UserError(
          "--networks is empty: name some, as in --networks='lenet,resnet_v?_50', or"
          ' all')
    names = []
    for pattern in self.networks:
      fitting = ([name for name, row in networks.NETWORKS.items() if row.frames is None]
                 if pattern == 'all' else fnmatch.filter(networks.NETWORKS, pattern))
      if not fitting:
        raise diagnostics.unknown_name('network', pattern, networks.NETWORKS)
      names += fitting
    return list(dict.fromkeys(names))

  def sizes_of_batches(self) -> list[int]:
    """Returns the numbers of `batch_sizes`.

    Raises:
      UserError: one is not a number.
    """
    for word in self.batch_sizes:
      if not diagnostics.whole_number(word):
        raise diagnostics.UserError(
            f"--batch_sizes has '{word}': numbers of 1 or more are expected, as in"
            ' --batch_sizes=1,32')
    if not self.batch_sizes:
      raise diagnostics.UserError('--batch_sizes is empty: give one number or more')
    return [int(word) for word in self.batch_sizes]

  @property
  def timed_mode(self) -> str:
    """What is timed: with `frozen` the forward pass."""
    return 'forward' if self.frozen else self.mode

  def check(self, precision: Precision, user_options: frozenset[str]) -> None:
    """Refuses options that make no sense.

    Args:
      precision: how the networks are computed.
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    names, _ = self.names(), self.sizes_of_batches()
    if self.frozen and 'mode' in user_options and self.mode != 'forward':
      raise diagnostics.UserError(
          f'--mode={self.mode} and --frozen: frozen weights cannot be trained, say'
          ' --mode=forward')
    # Of several networks, one that cannot be timed is skipped, with a line.
    if self.image_size and len(names) == 1:
      networks.check_image_size(
          names[0], self.image_size, is_training=self.timed_mode != 'forward',
          flag='image_size')
    if self.frozen and precision.data_format != 'NHWC':
      raise diagnostics.UserError(
          f'--data_format={precision.data_format} and --frozen: graphs are frozen with'
          ' NHWC only, leave one of the flags out')


@dataclasses.dataclass(frozen=True)
class TimedRecords(Group):
  """The records of steps on records."""

  dataset_name: str | None = option(None, 'Name of the data set in --dataset_dir.', str)
  dataset_dir: str | None = option(
      None, 'Folder of TFRecord files: time steps on records too, and name the'
      ' bottleneck.', str, is_path=True)
  dataset_split_name: str = option('train', 'Split of the data set.')
  labels_offset: int = option(0, 'Taken off every label.', lower=0)
  num_readers: int = option(4, 'Record files read at the same time.', lower=1)
  num_preprocessing_threads: int = option(
      4, 'Images decoded and preprocessed at the same time.', lower=1)

  @property
  def values(self) -> dict[str, object]:
    """The options but for the folder, by name."""
    return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
            if field.name != 'dataset_dir'}

  def check(self, names: list[str], user_options: frozenset[str]) -> None:
    """Refuses options that make no sense, and names and files that are not there.

    Args:
      names: of the networks.
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    if self.dataset_dir is None:
      for name in self.values:
        if name in user_options:
          raise diagnostics.UserError(
              f'--{name} is about records, and there is no --dataset_dir: give both or'
              ' none')
      return
    if not self.dataset_name:
      raise diagnostics.UserError('--dataset_dir needs --dataset_name')
    spec = dataset_catalog.find_dataset(self.dataset_name, self.dataset_dir)
    if spec.masks:
      raise diagnostics.UserError(
          f"the data set '{spec.name}' has masks: a benchmark reads images with labels")
    dataset_catalog.split_files(spec, self.dataset_split_name, self.dataset_dir)
    spec.check_labels_offset(self.labels_offset)
    for name in names:
      networks.get_image_network(name)


@dataclasses.dataclass(frozen=True)
class Measurements(Group):
  """Where the measurements go."""

  output: str | None = option(
      None, 'File to add a line of JSON to for each measurement. What stands in it is'
      ' not measured again.', str, is_path=True)
  plot: str | None = option(
      None, 'PNG file to draw what this command measured, or found in --output.', str,
      is_path=True)


@dataclasses.dataclass(frozen=True)
class Comparison(Group):
  """Comparison of the ways to compute a network."""

  compare: tuple[str, ...] = option(
      (), 'Time every combination of the values of these options, of precision, xla,'
      ' data_format, in turn, and print one table with the rates relative to the first'
      ' combination. A combination that this device cannot run is listed with the'
      ' reason.')
  rounds: int = option(
      7, 'With --compare: rounds, in each of which every combination runs an equal part'
      ' of --num_batches. An interval needs five.', lower=5)

  def values(self) -> dict[str, tuple]:
    """Returns the values of each compared option by name."""
    return {name: COMPARED[name] for name in dict.fromkeys(self.compare)}

  def check(self, user_options: frozenset[str]) -> None:
    """Refuses options that make no sense.

    Args:
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    if not self.compare:
      if 'rounds' in user_options:
        raise diagnostics.UserError(f'--rounds={self.rounds} has no effect without'
                                    ' --compare')
      return
    for name in self.compare:
      if name not in COMPARED:
        raise diagnostics.unknown_name('option to compare', name, COMPARED)
      for given in OPTIONS_OF.get(name, (name,)):
        if given in user_options:
          raise diagnostics.UserError(
              f'--{given} and --compare={name}: a comparison has all values of {name},'
              ' leave one of them out')
    for name in ('dataset_dir', 'output', 'plot'):
      if name in user_options:
        raise diagnostics.UserError(
            f'--{name} with --compare: a comparison is on images in memory and prints'
            ' one table; leave one of them out')


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(Config):
  """Everything that decides what is timed; groups in the order of --help.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  networks: TimedNetworks
  records: TimedRecords
  precision: Precision
  devices: Devices
  measurements: Measurements
  comparison: Comparison
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that make no sense, and names and files that are not there.

    Raises:
      UserError: the first fault.
    """
    self.precision.check_names(self.user_options)
    self.networks.check(self.precision, self.user_options)
    self.comparison.check(self.user_options)
    self.records.check(self.networks.names(), self.user_options)

  @property
  def folders(self) -> list[str]:
    """The folders of the files that are written."""
    files = self.measurements.output, self.measurements.plot
    return [os.path.dirname(path) or '.' for path in files if path]

  @property
  def session_settings(self) -> session_settings.SessionSettings:
    """The settings of all sessions of this process."""
    return dataclasses.replace(
        self.devices.settings, num_gpus=self.networks.num_clones)
