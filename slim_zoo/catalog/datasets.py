"""The table of data sets, and the search for their record files.

A data set is a row of `DATASETS`, or a folder whose dataset.json (written by
slim-zoo convert-images) has the fields of a row.
"""

import dataclasses
import glob
import json
import os
import re
import shlex
from collections.abc import Mapping

from slim_zoo import diagnostics
from slim_zoo.files import file_names

DESCRIPTION_FILENAME = 'dataset.json'
DESCRIPTION_VERSION = 1
_ADVICE = (
    'name the folder of its established TFRecords, write them with: slim-zoo download'
    ' --dataset_name={name} --dataset_dir={}, or make records from a folder of class'
    ' folders with slim-zoo convert-images')
_MOST_LISTED = 5
# The value of multi_label in dataset.json if labels are a 0 or 1 for each class.
N_HOT = 'n_hot'
_LABEL_DESCRIPTIONS = {
    False: 'The class of the image, an int from 0.',
    True: 'The classes of the image, ints from 0; there may be none.'}
# The feature with the mask of an image, a PNG of class numbers, as DeepLab calls it.
MASK_FEATURE = 'image/segmentation/class/encoded'
# The value of a mask at pixels without a class.
IGNORED = 255


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
  """The content of a data set's records and the names of its files.

  Attributes:
    name: the value of --dataset_name.
    splits: number of images by split name.
    num_classes: number of different labels.
    file_pattern: the files of a split, with {} for the split's name; or a mapping from
      splits to patterns.
    channels: channels of decoded images: 1 (gray) or 3 (RGB).
    label_description: the meaning of a label.
    bounding_boxes: whether records have image/object/bbox/*.
    text_labels: whether records have image/class/text.
    default_label: the label of a record without one; None: an error.
    image_size: (height, width) if all images have the same size, else None.
    image_feature: the feature with the encoded image.
    label_feature: the feature with the label.
    multi_label: whether an image has any number of labels, or none.
    n_hot: for multi_label: whether the label feature has a 0 or 1 for each class, in
      place of the labels.
    masks: whether an image has a mask, the class of each pixel, in place of a label.
    class_names: the names of the classes by label; None: labels.txt has them.
    made_with: the options of the converter that the records depend on.
    advice: what to do if files are missing, with {} for the folder and {name} for the
      name.
  """

  name: str
  splits: Mapping[str, int]
  num_classes: int
  file_pattern: str | Mapping[str, str]
  channels: int = 3
  label_description: str = _LABEL_DESCRIPTIONS[False]
  bounding_boxes: bool = False
  text_labels: bool = False
  default_label: int | None = None
  image_size: tuple[int, int] | None = None
  image_feature: str = 'image/encoded'
  label_feature: str = 'image/class/label'
  multi_label: bool = False
  n_hot: bool = False
  masks: bool = False
  class_names: tuple[str, ...] | None = None
  made_with: Mapping[str, str | float] = dataclasses.field(default_factory=dict)
  advice: str = _ADVICE

  def check_split(self, split_name: str, option: str | None = None) -> None:
    """Raises UserError unless `split_name` is a split of this data set.

    Args:
      split_name: the name.
      option: the option that names it, for the advice.
    """
    if split_name not in self.splits:
      raise diagnostics.unknown_name(
          'split', split_name, self.splits, where=f' in {self.name}',
          advice=f'name one with --{option}' if option else '')

  def check_labels_offset(self, labels_offset: int) -> None:
    """Raises UserError unless the offset leaves at least one class."""
    if not 0 <= labels_offset < self.num_classes:
      raise diagnostics.UserError(
          f'labels_offset {labels_offset} does not fit {self.name}, whose labels'
          f' are 0 to {self.num_classes - 1}: it is subtracted from each label and'
          ' is 0, or 1 to leave out a background class')

  def missing_files_advice(self, dataset_dir: str) -> str:
    """Returns what to do if files are missing in a folder."""
    return self.advice.replace('{name}', self.name).replace(
        '{}', shlex.quote(dataset_dir))

  def pattern(self, split_name: str) -> str:
    """Returns the glob pattern of a split's files, without their folder."""
    self.check_split(split_name)
    if isinstance(self.file_pattern, str):
      return self.file_pattern.replace('{}', split_name)
    return self.file_pattern[split_name]


DATASETS = {spec.name: spec for spec in (
    DatasetSpec(
        'cifar10', {'train': 50000, 'test': 10000}, 10,
        'cifar10_{}.tfrecord', image_size=(32, 32)),
    DatasetSpec(
        'digits', {'train': 1442, 'test': 355}, 10,
        'digits_{}.tfrecord', channels=1, image_size=(28, 28),
        label_description='The digit in the image, 0 to 9.',
        advice='write them with: slim-zoo download --dataset_name={name}'
               ' --dataset_dir={}'),
    DatasetSpec(
        'flowers', {'train': 3320, 'validation': 350}, 5,
        'flowers_{}_*.tfrecord'),
    DatasetSpec(
        'imagenet', {'train': 1281167, 'validation': 50000}, 1001,
        '{}-*', bounding_boxes=True, text_labels=True, default_label=-1,
        label_description='ILSVRC 2012 class, 1 to 1000; 0 is background.'),
    DatasetSpec(
        'mnist', {'train': 60000, 'test': 10000}, 10,
        'mnist_{}.tfrecord', channels=1, image_size=(28, 28),
        label_description='The digit in the image, 0 to 9.'),
    DatasetSpec(
        'shapes', {'train': 400, 'test': 100}, 4,
        'shapes_{}.tfrecord', image_size=(64, 64), masks=True,
        class_names=('background', 'circle', 'square', 'triangle'),
        advice='write them with: slim-zoo download --dataset_name={name}'
               ' --dataset_dir={}'),
    DatasetSpec(
        'visualwakewords', {'train': 82783, 'val': 40504}, 2,
        '{}.record-*', label_description='1 if a person is in the image.'),
)}


def find_dataset(name: str, dataset_dir: str | None = None) -> DatasetSpec:
  """Returns the data set `name`.

  A dataset.json with that name in the folder has priority over the table, so a folder
  of your own images may be called 'flowers' too.

  Args:
    name: a name of `DATASETS`, the name in the folder's dataset.json, or tfds:NAME (see
      `tfds.find`).
    dataset_dir: the folder of the records, if there is one.

  Raises:
    UserError: the data set does not exist, or the folder's dataset.json is damaged or
      describes another data set.
  """
  if name.startswith('tfds:'):
    from slim_zoo.catalog import tfds  # tfds imports this module.
    return tfds.find(name, dataset_dir)
  described = read_description(dataset_dir) if dataset_dir else None
  if described is not None and described.name == name:
    return described
  if name in DATASETS:
    return DATASETS[name]
  if described is not None:
    raise diagnostics.UserError(
        f"'{dataset_dir}' holds the data set '{described.name}', not '{name}': use"
        f' --dataset_name={described.name}, or name another folder')
  if dataset_dir and not os.path.isdir(dataset_dir):
    _check_folder(dataset_dir, name)
  if not dataset_dir:
    raise diagnostics.unknown_name('data set', name, DATASETS)
  raise diagnostics.UserError(diagnostics.sentences(
      diagnostics.unknown_name('data set', name, DATASETS,
                               f", and no {DESCRIPTION_FILENAME} in '{dataset_dir}'"),
      'slim-zoo convert-images writes one for a folder of images; for records of your'
      f' own, docs/losses.md lists the fields of {DESCRIPTION_FILENAME}'))


def split_files(spec: DatasetSpec, split_name: str, dataset_dir: str | None,
                file_pattern: str | None = None) -> list[str]:
  """Returns the paths of a split's record files, sorted.

  Args:
    spec: the data set.
    split_name: one of its splits.
    dataset_dir: the folder of the records.
    file_pattern: glob pattern in place of the data set's own, with %s or {} for the
      split's name.

  Raises:
    UserError: the split, folder or files do not exist, or files are missing; the
      message has the pattern and the content of the folder.
  """
  spec.check_split(split_name)
  _check_folder(dataset_dir, spec.name)
  if file_pattern:
    pattern = file_pattern.replace('%s', split_name).replace('{}', split_name)
  else:
    pattern = spec.pattern(split_name)
  files = sorted(
      path for path in glob.glob(os.path.join(glob.escape(dataset_dir), pattern))
      if os.path.isfile(path))
  if not files:
    raise diagnostics.UserError(_no_files(spec, split_name, dataset_dir, pattern))
  if not file_pattern:
    _check_all_shards(files, pattern, spec, dataset_dir)
  return files


def _check_folder(dataset_dir, name):
  """Raises UserError unless `dataset_dir` is an existing folder."""
  if not dataset_dir:
    raise diagnostics.UserError(
        f'no dataset_dir: give the folder of the TFRecords of {name}, such as'
        ' --dataset_dir=data')
  if os.path.isdir(dataset_dir):
    return
  if os.path.exists(dataset_dir):
    raise diagnostics.UserError(
        f"'{dataset_dir}' is a file: dataset_dir is the folder of the TFRecords of"
        f' {name}')
  parent, last = os.path.split(os.path.normpath(dataset_dir))
  siblings = os.listdir(parent or '.') if os.path.isdir(parent or '.') else []
  raise diagnostics.UserError(
      f"no folder '{dataset_dir}' (dataset_dir)"
      f'{diagnostics.suggestion(last, siblings)}')


def _no_files(spec, split_name, dataset_dir, pattern):
  """Returns the error for a split without files, with advice."""
  entries = sorted(os.listdir(dataset_dir))
  problem = f"no file '{pattern}' ({split_name} of {spec.name}) in '{dataset_dir}'"
  if not entries:
    content = 'the folder is empty'
  else:
    shown = [entry + '/' * os.path.isdir(os.path.join(dataset_dir, entry))
             for entry in entries[:_MOST_LISTED]]
    more = len(entries) - len(shown)
    content = f"it holds {', '.join(shown)}" + f' and {more} more' * bool(more)
  below = glob.glob(os.path.join(glob.escape(dataset_dir), '*', pattern))
  description = read_description(dataset_dir)
  if below:
    advice = f'use --dataset_dir={shlex.quote(os.path.dirname(min(below)))}'
  elif description is not None and description.name != spec.name:
    advice = f'use --dataset_name={description.name}'
  else:
    advice = spec.missing_files_advice(dataset_dir)
  return f'{problem}: {content}; {advice}'


def _check_all_shards(files, pattern, spec, dataset_dir):
  """Raises UserError if there are fewer files than the pattern names."""
  total = re.search(r'-of-(\d{5})', pattern)
  if total and len(files) != int(total[1]):
    raise diagnostics.UserError(
        f"{len(files)} of the {int(total[1])} files '{pattern}' are in"
        f" '{dataset_dir}': {spec.missing_files_advice(dataset_dir)}")


def read_description(dataset_dir: str) -> DatasetSpec | None:
  """Returns the data set in a folder's dataset.json; None without that file.

  Raises:
    UserError: its dataset.json is damaged.
  """
  path = os.path.join(dataset_dir, DESCRIPTION_FILENAME)
  try:
    with open(path, encoding='utf-8') as file:
      return _parse_description(json.load(file))
  except (FileNotFoundError, NotADirectoryError):
    return None
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    detail = f'it has no {error}' if isinstance(error, KeyError) else error
    raise diagnostics.UserError(
        f"'{path}' is not a description of a data set ({detail}): convert the images"
        ' again with slim-zoo convert-images, or remove the file if it has another'
        ' purpose'
    ) from error


def description(spec: DatasetSpec, established: bool = False) -> str:
  """Returns the text of dataset.json for a data set with a pattern per split.

  Args:
    spec: the data set.
    established: whether everything except the splits equals the row of `DATASETS`.
  """
  more = {'established': True, 'made_with': spec.made_with} if established else {}
  if spec.masks:
    more['masks'] = True
    if spec.image_size:
      more['image_size'] = list(spec.image_size)
  if spec.multi_label:
    more['multi_label'] = N_HOT if spec.n_hot else True
  return json.dumps({
      'format_version': DESCRIPTION_VERSION, 'name': spec.name,
      'num_classes': spec.num_classes, 'channels': spec.channels,
      'splits': {name: {'images': count, 'files': spec.pattern(name)}
                 for name, count in spec.splits.items()},
      **more,
  }, indent=2) + '\n'


def _parse_description(values):
  """Returns the DatasetSpec in parsed JSON; raises on anything unexpected."""
  def count(mapping, key):
    if type(mapping[key]) is not int or mapping[key] < 1:
      raise ValueError(f'{key} is {mapping[key]!r}, expected an int from 1')
    return mapping[key]

  def text(mapping, key):
    value = mapping[key]
    if not file_names.is_file_name(value):
      raise ValueError(f'{key} is {value!r}, expected a name')
    return value

  if count(values, 'format_version') > DESCRIPTION_VERSION:
    raise ValueError(
        f"format_version {values['format_version']} is newer than this program's"
        f' {DESCRIPTION_VERSION}')
  if values['channels'] not in (1, 3):
    raise ValueError(f"channels is {values['channels']!r}, expected 1 or 3")
  if not values['splits']:
    raise ValueError('there is no split')
  splits = values['splits'].items()
  counts = {name: count(split, 'images') for name, split in splits}
  patterns = {name: text(split, 'files') for name, split in splits}
  name = text(values, 'name')
  multi_label = values.get('multi_label', False)
  if type(multi_label) is not bool and multi_label != N_HOT:
    raise ValueError(
        f'multi_label is {multi_label!r}, expected true, false or "{N_HOT}"')
  masks, size = values.get('masks', False), values.get('image_size')
  if type(masks) is not bool or (masks and multi_label):
    raise ValueError(f'masks is {masks!r}, expected true or false, without multi_label')
  if size is not None and (
      type(size) is not list or [type(side) for side in size] != [int, int]):
    raise ValueError(f'image_size is {size!r}, expected [height, width]')
  if values.get('established') is True and name in DATASETS:
    return dataclasses.replace(
        DATASETS[name], splits=counts, file_pattern=patterns,
        made_with=dict(values.get('made_with', {})))
  return DatasetSpec(
      name, counts, count(values, 'num_classes'), patterns,
      channels=values['channels'], multi_label=bool(multi_label),
      n_hot=multi_label == N_HOT, masks=masks, image_size=size and tuple(size),
      label_description=_LABEL_DESCRIPTIONS[bool(multi_label)],
      advice='convert the images again with slim-zoo convert-images')
