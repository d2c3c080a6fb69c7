"""The images: which records, how many at a time, and how they become network input."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks, preprocessing_families
from slim_zoo.config.distribution import Distribution
from slim_zoo.config.options import Group, option
from slim_zoo.deployment import cluster

_FROM_CARD = ' A run card beside the checkpoint replaces the default.'


@dataclasses.dataclass(frozen=True)
class DatasetSplit(Group):
  """A split of a data set."""

  dataset_name: str = option(
      'imagenet', 'Name of a data set: one that slim-zoo download knows, the one in the'
      ' dataset.json of --dataset_dir, or tfds:NAME.')
  dataset_split_name: str = option('train', 'Split of the data set.')
  dataset_dir: str | None = option(
      None, 'Folder of the TFRecord files.', str, is_path=True)

  def spec(self) -> dataset_catalog.DatasetSpec:
    """Returns the facts of the data set.

    Raises:
      UserError: there is no such data set, or no such folder.
    """
    return dataset_catalog.find_dataset(self.dataset_name, self.dataset_dir)

  def record_files(self) -> list[str]:
    """Returns the files of the split.

    Raises:
      UserError: there is no such data set or split, or it has no files.
    """
    spec = self.spec()
    spec.check_split(self.dataset_split_name, 'dataset_split_name')
    return dataset_catalog.split_files(spec, self.dataset_split_name, self.dataset_dir)


@dataclasses.dataclass(frozen=True)
class Records(DatasetSplit):
  """Which records are read, and how."""

  cache_dir: str | None = option(
      None,
      'Folder for a cache of the decoded images, which are faster to read. The cache'
      ' takes about 10 times the space of the records. It is written before the first'
      ' batch and used again by later runs.', str, is_path=True)
  labels_offset: int = option(
      0, 'Number that is subtracted from every label. 1 leaves out the background class'
      ' of ImageNet: VGG and ResNet v1 do not have it.' + _FROM_CARD, lower=0)
  batch_size: int = option(32, 'Images in a batch.', lower=1)
  num_preprocessing_threads: int = option(
      4, 'Number of images decoded and preprocessed at the same time.', lower=1)

  def check(self) -> None:
    """Checks the names, the folder and the files.

    Raises:
      UserError: the first fault.
    """
    self.record_files()
    self.spec().check_labels_offset(self.labels_offset)
    check_cache_dir(self.cache_dir, self.dataset_dir)


def check_cache_dir(folder: str | None, dataset_dir: str | None) -> None:
  """Refuses a folder that cannot hold the cache.

  Args:
    folder: of the cache; None: there is none.
    dataset_dir: folder of the records.

  Raises:
    UserError: it is a file, or the folder of the records.
  """
  if folder is None:
    return
  if not folder or (os.path.exists(folder) and not os.path.isdir(folder)):
    raise diagnostics.UserError(
        f"--cache_dir='{folder}' is not a folder: name a new folder, or the folder of"
        ' an earlier cache')
  if os.path.realpath(folder) == os.path.realpath(dataset_dir):
    raise diagnostics.UserError(
        f'--cache_dir={folder} is --dataset_dir: files of the cache could be read as'
        ' records; name another folder')


@dataclasses.dataclass(frozen=True)
class Data(Records):
  """The records of a training run."""

  batch_size: int = option(32, 'Images in a batch, for each clone.', lower=1)
  global_batch_size: int | None = option(
      None, 'Number of images in a step, over all clones and workers. It stays the same'
      ' if the run continues with another number of workers. Each clone takes batches'
      ' of at most --batch_size images, several for a step if necessary.', int, lower=1)
  num_readers: int = option(
      4, 'Number of record files read at the same time.', lower=1)
  balance: str | None = option(
      None, 'For classes of unequal size. sampling: in each epoch, each class has the'
      ' same number of images; those of small classes are read several times, some of'
      ' large classes not at all. sqrt: their shares are as the square roots of their'
      ' sizes. weights: the loss weighs a class by its inverse frequency, as'
      ' --class_weights=inverse_frequency.', str,
      choices=('sampling', 'weights', 'sqrt'))
  reduced_decoding: bool = option(
      True, 'Decode only the crop of a JPEG with more than 2 million pixels: at 1/2,'
      ' 1/4 or 1/8 of its size if it stays at least as large as the network input. This'
      ' flag has no effect with --cache_dir, in validation, and on smaller images.')
  data_service: str | None = option(
      None, 'Address of the dispatcher of a tf.data service, grpc://HOST:PORT. The'
      ' processes of the service read, decode and augment the training images. They'
      ' need the record files at the same paths. Together the workers get each image'
      ' once in an epoch, in a random order that --seed does not repeat; a resumed run'
      ' begins a new epoch. Images that cannot be decoded are counted, but their names'
      ' are not printed. Validation does not use the service.', str)

  @property
  def service_address(self) -> str | None:
    """HOST:PORT of the dispatcher of the tf.data service; None without one."""
    return self.data_service and self.data_service.removeprefix('grpc://')

  @property
  def is_sampled(self) -> bool:
    """Whether records are read as often as a balance of the classes needs."""
    return self.balance in ('sampling', 'sqrt')

  def check_balance(self, distribution: Distribution, class_weights: str) -> None:
    """Refuses a balance that does not fit other options.

    Args:
      distribution: the machines that train.
      class_weights: of the loss.

    Raises:
      UserError: the first fault.
    """
    if self.balance is None:
      return
    flag, spec = f'--balance={self.balance}', self.spec()
    if class_weights != 'none':
      raise diagnostics.UserError(
          f'{flag} and --class_weights={class_weights} both balance the classes: leave'
          ' out one of them')
    if not self.is_sampled:
      return
    if spec.multi_label:
      raise diagnostics.UserError(
          f'{flag}: {spec.name} is multi-label, and an image counts for several'
          ' classes; use --balance=weights')
    if self.data_service:
      raise diagnostics.UserError(
          f'{flag} with --data_service={self.data_service}: the service reads each'
          ' record once in an epoch; leave out one of them')
    if distribution.worker_replicas > 1:
      raise diagnostics.UserError(
          f'{flag} with {distribution.worker_replicas} workers: each reads other'
          ' records, so the shares would not be exact; use --balance=weights')

  def check_service(self, distribution: Distribution, deterministic: bool) -> None:
    """Refuses a wrong address, and options that do not fit a tf.data service.

    Args:
      distribution: the machines that train.
      deterministic: whether the run is repeated bit for bit.

    Raises:
      UserError: the first fault.
    """
    if self.data_service is None:
      return
    flag = f'--data_service={self.data_service}'
    if not self.data_service.startswith('grpc://'):
      raise diagnostics.UserError(
          f'{flag}: expected the dispatcher of a tf.data service, grpc://HOST:PORT')
    try:
      cluster.check_address(self.service_address)
    except diagnostics.UserError as error:
      raise diagnostics.UserError(f'{flag}: {error}') from error
    for other, is_given, cause in (
        ('--deterministic', deterministic, 'the order of its images is not repeatable'),
        (f'--cache_dir={self.cache_dir}', self.cache_dir,
         'the service reads the records themselves'),
        (distribution.given('master'), distribution.master,
         'the steps have to run in this process'),
        (distribution.given('num_ps_tasks'), distribution.num_ps_tasks,
         'workers with parameter servers may start and end at any time, so they cannot'
         ' share the epochs of the service')):
      if is_given:
        raise diagnostics.UserError(
            f'{flag} with {other}: {cause}; leave one of them out')


@dataclasses.dataclass(frozen=True)
class Network(Group):
  """The network, and the form of its images."""

  model_name: str = option('inception_v3', 'Name of the network.' + _FROM_CARD)
  preprocessing_name: str | None = option(
      None, 'Preprocessing family; by default that of the network.' + _FROM_CARD,
      str)
  use_grayscale: bool = option(
      False, 'Convert images to one gray channel.' + _FROM_CARD)

  @property
  def preprocessing(self) -> str:
    """The name by which the preprocessing is found: of a family or a network."""
    return self.preprocessing_name or self.model_name

  def check(self) -> None:
    """Checks the names.

    Raises:
      UserError: there is no such network or preprocessing.
    """
    networks.get_image_network(self.model_name)
    if self.preprocessing_name:
      preprocessing_families.check(self.preprocessing_name)


@dataclasses.dataclass(frozen=True)
class TrainingNetwork(Network):
  """The network that is trained."""

  train_image_size: int | None = option(
      None, 'Height and width of the images; by default those of the network.'
      + _FROM_CARD, int, lower=1)
  stochastic_depth: float = option(
      0.0, 'Stochastic depth of residual networks: the probability that the last'
      ' residual block is left out, for each image of a training step. From the first'
      ' block to the last it rises linearly. 0.1 to 0.5 are usual, 0 is off.', lower=0,
      upper=0.99)

  def check(self, with_head: bool = True) -> None:
    """Checks the names and the image size.

    Args:
      with_head: whether the network classifies images.

    Raises:
      UserError: there is no such network or preprocessing, the images are too small,
        or the network has no residual blocks for stochastic depth.
    """
    super().check()
    if self.stochastic_depth:
      networks.check_stochastic_depth(self.model_name, self.stochastic_depth)
    if self.train_image_size and with_head:
      networks.check_image_size(
          self.model_name, self.train_image_size, is_training=True,
          flag='train_image_size')
