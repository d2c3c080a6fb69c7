"""Conversions of images and archives to records."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import tfds
from slim_zoo.config.options import Config, Group, option, options_of
from slim_zoo.config.segmentation import SEGMENTATION, TASKS
from slim_zoo.prediction import class_names

# Data sets that need no download: a module of slim_zoo.datasets makes them.
GENERATED = ('digits', 'shapes')

# Lists of images, see `dataset_building.image_list`.
LIST_SUFFIXES = ('.csv', '.tsv', '.jsonl', '.ndjson', '.json')
# Data sets whose classes folders may be named after, see
# `dataset_building.imagenet_folders`.
KNOWN_CLASSES = ('imagenet',)
# Where images come from, in words, and the options that are for some of them only.
_FOLDERS, _LIST, _SOURCE = 'folders of classes', '--image_list', '--source'
_MASKS, _KNOWN = '--segmentation', '--classes_of'
_FOR = {
    'image_dir': (_FOLDERS, _LIST, _MASKS, _KNOWN),
    'validation_share': (_FOLDERS, _LIST, _SOURCE, _MASKS),
    'multi_label': (_LIST, _SOURCE), 'label_separator': (_LIST, _SOURCE),
    'label_column': (_LIST, _SOURCE), 'path_column': (_LIST,),
    'split_column': (_LIST,), 'image_column': (_SOURCE,),
    'split_folders': (_FOLDERS, _SOURCE), 'class_folders': (_FOLDERS,),
    'classes_of': (_FOLDERS,), 'labels_file': (_MASKS, _SOURCE)}


def _check_named(group: Group, names: tuple[str, ...]) -> None:
  """Raises UserError for the first option without a value."""
  for name in names:
    if not getattr(group, name):
      raise diagnostics.UserError(
          f'--{name} is missing: {options_of(type(group))[name].help}')


def _check_part(group: Group, name: str, whole: str) -> None:
  """Raises UserError for an option that is not a part of a whole, from 0 to below 1."""
  value, usual = getattr(group, name), options_of(type(group))[name].default
  if not 0 <= value < 1:
    raise diagnostics.UserError(
        f'--{name}={value} is not a part of {whole}: expected a number from 0 to below'
        f' 1, such as {usual}')


@dataclasses.dataclass(frozen=True)
class ImageFolder(Group):
  """A folder of images, and the records made of it."""

  image_dir: str | None = option(
      None, 'The folder that holds one folder of images for each class. JPEG and PNG'
      ' are stored byte for byte; BMP, GIF, TIFF, WebP and odd kinds of JPEG and PNG'
      ' are re-encoded.', str, is_path=True, takes_bytes=True)
  image_list: str | None = option(
      None, 'In place of class folders: a list of paths and classes. CSV with a header'
      ' (.csv, .tsv) or an object on each line (.jsonl), with the columns path, label'
      ' and, if the list has splits, split. Paths are relative to --image_dir, by'
      ' default the folder of the list.', str, is_path=True)
  source: str | None = option(
      None, 'Read images from other files, in place of class folders: tar shards'
      ' (.tar, .tar.gz, .tgz) of KEY.jpg with KEY.cls, KEY.json or KEY.txt; Parquet'
      ' files; a folder of such files; a folder that save_to_disk of Hugging Face'
      ' wrote; hf:NAME, a data set of Hugging Face. Quote patterns:'
      " 'pets-{000..009}.tar', 'data/*.parquet'.", str, is_path=True)
  classes_of: str | None = option(
      None, 'The data set that the names of the class folders come from: WordNet ids,'
      ' or numbers from 0. The labels are then those of its records. For ImageNet-V2,'
      ' -A, -R and -C. Folders above the class folders are splits.', str,
      choices=KNOWN_CLASSES)
  multi_label: bool = option(
      False, 'With --image_list or --source: an image may have several classes, or'
      ' none. They are a list in JSON and Parquet, or a text with --label_separator.'
      ' Lines of --image_list with the same path are combined.')
  label_separator: str = option(
      '|', 'With --multi_label: the separator of the classes in a text.')
  path_column: str | None = option(
      None, 'With --image_list: the column of the paths; by default path, file,'
      ' filename or image.', str)
  image_column: str | None = option(
      None, 'With --source: the column of the images; for tar shards, the suffix of the'
      ' image, if a sample has several images.', str)
  label_column: str | None = option(
      None, 'With --image_list or --source: the column of the classes; by default'
      ' label, labels or class. For tar shards, the field of KEY.json, or a suffix such'
      ' as txt.', str)
  split_column: str | None = option(
      None, 'With --image_list: the column of the splits; by default split or subset,'
      ' if there is one.', str)
  dataset_dir: str | None = option(
      None, 'The folder to write the TFRecords to. An earlier conversion of the same'
      ' name is replaced.', str, is_path=True)
  dataset_name: str | None = option(
      None, 'The name of the data set, to be used as --dataset_name in training and'
      ' evaluation.', str)
  validation_share: float = option(
      0.1, 'The part of the images that goes to the split validation, drawn by file'
      ' name: an image stays in its split when others come. Each class keeps at least'
      ' one image to train on. Unused where image_dir has folders for splits.')
  split_folders: str = option(
      'auto', 'Whether the folders in image_dir are splits (yes) or classes (no); auto:'
      ' they are splits if all have names of splits, or an error if it is not clear.'
      ' With --source: whether files are named after splits.',
      choices=('auto', 'yes', 'no'))
  class_folders: str = option(
      'auto', 'Which folders are classes, where there are several levels: those at the'
      ' top, with all below them, or the deepest, which hold the images; auto: the top,'
      ' or an error if both are likely.', choices=('auto', 'top', 'deepest'))
  max_side: int | None = option(
      None, 'Scale larger images down, so that the longest side has so many pixels.'
      ' Photographs of 12 megapixels train many times faster with 640, which is enough'
      ' for networks of 224 to 331 pixels.', int, lower=32)
  jpeg_quality: int = option(
      95, 'Quality, 1 to 100, of JPEGs that are re-encoded because they are scaled'
      ' down, turned upright or of an odd kind.', lower=1, upper=100)
  num_shards: int | None = option(
      None, 'How many files each split has; by default one for every 100 MB.', int,
      lower=1, upper=99999)
  num_workers: int = option(
      0, 'How many images are decoded at the same time; 0: as many as the machine has'
      ' cores.', lower=0)
  allow_refused: bool = option(False, 'Exit with 0 even if images were refused.')
  task: str = option(
      'classification', 'What the data set is for. With segmentation, image_dir has the'
      ' folders images and masks, or folders of splits with these. A mask is a PNG with'
      " its image's name; its pixels are class numbers, and 255 for pixels without a"
      ' class.',
      choices=TASKS)
  segmentation: bool = option(False, 'The same as --task=segmentation.')
  labels_file: str | None = option(
      None, 'With --segmentation or --source: file of the names of the classes; lines'
      ' such as 0:sky, or a name on each line. By default the classes of masks are'
      ' numbered up to the largest value, and those of --source have its names or'
      ' numbers.', str, is_path=True)

  @property
  def has_masks(self) -> bool:
    """Whether the data set is for segmentation."""
    return self.segmentation or self.task == SEGMENTATION


@dataclasses.dataclass(frozen=True)
class ConvertImagesConfig(Config):
  """Everything that decides how a folder of images becomes records."""

  images: ImageFolder
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses a conversion without folders and name, or without images to train on.

    Raises:
      UserError: the first fault.
    """
    self._check_origin()
    self._check_effects()
    has_files = self._origin in (_LIST, _SOURCE)
    if has_files and not self.images.label_separator:
      raise diagnostics.UserError('--label_separator is empty: expected one such as |')
    if self._origin == _LIST:
      self._check_list()
    needed = () if has_files else ('image_dir',)
    _check_named(self.images, (*needed, 'dataset_dir', 'dataset_name'))
    _check_part(self.images, 'validation_share', 'the images')
    if self.images.labels_file:
      self.class_names()

  def class_names(self) -> list[str] | None:
    """Returns the names in the labels file by class; None without one.

    Raises:
      UserError: it does not exist, or does not name two or more classes from 0 on.
    """
    path = self.images.labels_file
    if path is None:
      return None
    names = class_names.read(path)
    if len(names) < 2 or sorted(names) != list(range(len(names))):
      raise diagnostics.UserError(
          f"--labels_file='{path}' names the classes"
          f' {diagnostics.some([str(label) for label in sorted(names)], 8)}: expected'
          ' two or more, from 0 on without a gap')
    if self.images.has_masks and len(names) > dataset_catalog.IGNORED:
      raise diagnostics.UserError(
          f"--labels_file='{path}' names {len(names)} classes: a mask has at most"
          f' {dataset_catalog.IGNORED}')
    return [names[label] for label in range(len(names))]

  @property
  def _origin(self) -> str:
    """Where the images come from."""
    images = self.images
    if images.image_list:
      return _LIST
    if images.source:
      return _SOURCE
    if images.has_masks:
      return _MASKS
    return _KNOWN if images.classes_of else _FOLDERS

  def _check_origin(self):
    """Refuses two origins of the images."""
    images = self.images
    if images.image_list and images.source:
      raise diagnostics.UserError(
          f'--image_list={images.image_list} and --source={images.source} both name'
          ' images: leave out one of them')
    if self._origin in (_LIST, _SOURCE) and images.has_masks:
      raise diagnostics.UserError(
          f'{self._origin} names classes of images, --segmentation is for masks: leave'
          ' out one of them')

  def _check_effects(self):
    """Refuses options without an effect."""
    for name, origins in _FOR.items():
      if self._origin in (*origins, f'--{name}'):
        reason = ('without --multi_label' if name == 'label_separator'
                  and not self.images.multi_label else None)
      else:
        reason = f"with {self._origin}, only with {' or '.join(origins)}"
      if reason and name in self.user_options:
        raise diagnostics.UserError(
            f'--{name}={getattr(self.images, name)} has no effect {reason}: leave it'
            ' out')

  def _check_list(self):
    """Refuses a list that is not there."""
    path = self.images.image_list
    if not path.lower().endswith(LIST_SUFFIXES):
      raise diagnostics.UserError(
          f"--image_list='{path}': expected a name that ends in"
          f" {', '.join(LIST_SUFFIXES)}")
    if not os.path.isfile(path):
      raise diagnostics.UserError(f"--image_list='{path}': there is no such file")


@dataclasses.dataclass(frozen=True)
class PublishedData(Group):
  """A published data set, and the records made of it."""

  dataset_name: str | None = option(
      None, f"The data set: {', '.join(dataset_catalog.DATASETS)}, or tfds:NAME for one"
      ' of TensorFlow Datasets.', str)
  dataset_dir: str | None = option(
      None, 'The folder to write the TFRecords to.', str, is_path=True)
  source: str | None = option(
      None, 'The folder that holds the published archives, or the archive itself where'
      ' there is one only; by default they are downloaded. They stay as they are.'
      ' Unpacked ones are taken too.', str, is_path=True)
  num_workers: int = option(
      0, 'How many processes convert; 0: as many as the machine has cores. The records'
      ' do not depend on it.', lower=0)
  allow_refused: bool = option(False, 'Exit with 0 even if images were refused.')
  small_object_area_threshold: float = option(
      0.005, 'For visualwakewords: an object counts if its area is a larger part of the'
      ' image.')
  foreground_class_of_interest: str = option(
      'person', 'For visualwakewords: the COCO class that is looked for in the images.')


@dataclasses.dataclass(frozen=True)
class DownloadConfig(Config):
  """Everything that decides which data set is downloaded and converted."""

  data: PublishedData
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that are missing, or have no effect.

    Raises:
      UserError: the first fault.
    """
    _check_named(self.data, ('dataset_name', 'dataset_dir'))
    _check_part(self.data, 'small_object_area_threshold', 'a photograph')
    name = self.data.dataset_name
    if name in GENERATED or tfds.is_name(name):
      for unused in ('source', 'num_workers', 'allow_refused'):
        if unused in self.user_options:
          raise diagnostics.UserError(
              f'--{unused} has no effect on {name}: leave it out')

  def notes(self, dataset_name: str) -> list[str]:
    """Returns a line for each option that is for another data set."""
    if dataset_name == 'visualwakewords':
      return []
    return [f'--{name} is for visualwakewords and changes nothing here'
            for name in ('small_object_area_threshold', 'foreground_class_of_interest')
            if name in self.user_options]
