"""Data sets of TensorFlow Datasets, read from their prepared files.

That package prepares a data set once: TFRecord files with their own features, and
dataset_info.json and features.json that describe them. Reading them needs neither the
package nor TensorFlow. Everything else works as for other records: exact counts, named
images, shuffling.
"""

import json
import os
import re

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets

PREFIX = 'tfds:'
_NAME = re.compile(r'(?P<path>\w+(/[\w.-]+)?)(:(?P<version>\d+\.\d+\.\d+))?')
_VERSION = re.compile(r'\d+\.\d+\.\d+')
_ADVICE = ('prepare it with: slim-zoo download --dataset_name={name}'
           ' --dataset_dir={}')


def is_name(name: str) -> bool:
  """Returns whether a data set's name is a TensorFlow Datasets name."""
  return name.startswith(PREFIX)


def parse(name: str) -> tuple[str, str | None]:
  """Returns NAME or NAME/CONFIG, and the version or None.

  Raises:
    UserError: the name is not a TensorFlow Datasets name.
  """
  match = _NAME.fullmatch(name.removeprefix(PREFIX))
  if not match:
    raise diagnostics.UserError(
        f"'{name}' is not a name of TensorFlow Datasets: expected {PREFIX}NAME,"
        f' {PREFIX}NAME/CONFIG or {PREFIX}NAME/CONFIG:1.0.0, such as {PREFIX}mnist')
  return match['path'], match['version']


def find(name: str, dataset_dir: str | None) -> datasets.DatasetSpec:
  """Returns a prepared data set.

  Args:
    name: tfds:NAME or tfds:NAME/CONFIG, with or without a version; without one the
      newest prepared version is used.
    dataset_dir: the data_dir of TensorFlow Datasets.

  Raises:
    UserError: it is not prepared there, or does not have images with one label.
  """
  path, version = parse(name)
  if not dataset_dir:
    raise diagnostics.UserError(
        f'no dataset_dir: give the folder that {name} is prepared in, the data_dir of'
        ' TensorFlow Datasets')
  folder = _prepared(name, path, version, dataset_dir)
  try:
    return _read(name, dataset_dir, folder)
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise diagnostics.UserError(
        f"'{os.path.join(dataset_dir, folder)}' does not describe a data set of"
        f' TensorFlow Datasets ({error!r}): prepare it again') from error


def _prepared(name, path, version, dataset_dir) -> str:
  """Returns the folder of the data set below `dataset_dir`."""
  parent = os.path.join(dataset_dir, path)
  entries = os.listdir(parent) if os.path.isdir(parent) else []
  versions = sorted(
      (entry for entry in entries if _VERSION.fullmatch(entry) and os.path.exists(
          os.path.join(parent, entry, 'dataset_info.json'))),
      key=lambda entry: [int(part) for part in entry.split('.')])
  if version in versions:
    return os.path.join(path, version)
  if versions and version is None:
    return os.path.join(path, versions[-1])
  configs = sorted(
      entry for entry in entries if not _VERSION.fullmatch(entry)
      and os.path.isdir(os.path.join(parent, entry)))
  if versions:
    problem = f"version {version} is missing, there are {', '.join(versions)}"
  elif configs and '/' not in path:
    problem = (f"it has the configurations {', '.join(configs)}: give one, such as"
               f' {PREFIX}{path}/{configs[0]}')
  else:
    problem = _ADVICE.replace('{name}', name).replace('{}', dataset_dir)
  raise diagnostics.UserError(
      f"{name} is not prepared in '{dataset_dir}': {problem}")


def _load(dataset_dir, folder, filename):
  with open(os.path.join(dataset_dir, folder, filename), encoding='utf-8') as file:
    return json.load(file)


def _read(name, dataset_dir, folder) -> datasets.DatasetSpec:
  """Returns the description in a folder; raises on anything unexpected."""
  info = _load(dataset_dir, folder, 'dataset_info.json')
  features = _load(dataset_dir, folder, 'features.json')
  features = features['featuresDict']['features']
  image, label = (_feature(features, key, kind, name) for key, kind in (
      ('image', 'Image'), ('label', 'ClassLabel')))
  if info.get('fileFormat', 'tfrecord') != 'tfrecord':
    raise diagnostics.UserError(
        f"{name} is prepared as {info['fileFormat']}: prepare it as tfrecord")
  dimensions = image['image']['shape']['dimensions']
  if image['image'].get('dtype', 'uint8') != 'uint8':
    raise diagnostics.UserError(
        f"the images of {name} are of {image['image']['dtype']}, expected uint8")
  height, width, channels = (int(size) for size in dimensions)
  splits = {split['name']: [int(length) for length in split['shardLengths']]
            for split in info['splits'] if split.get('shardLengths')}
  return datasets.DatasetSpec(
      name, {split: sum(lengths) for split, lengths in splits.items()},
      int(label['classLabel']['numClasses']),
      {split: os.path.join(folder, f"{info['name']}-{split}.tfrecord-?????-of-"
                                   f'{len(lengths):05d}')
       for split, lengths in splits.items()},
      channels=1 if channels == 1 else 3,
      image_size=(height, width) if height > 0 and width > 0 else None,
      image_feature='image', label_feature='label',
      class_names=_class_names(dataset_dir, folder), advice=_ADVICE)


def _feature(features, key, kind, name):
  """Returns the description of a feature; raises UserError if it is missing."""
  description = features.get(key)
  if description is None or not description['pythonClassName'].endswith(f'.{kind}'):
    kinds = ', '.join(
        f"{feature} ({value['pythonClassName'].rsplit('.', 1)[-1]})"
        for feature, value in features.items())
    raise diagnostics.UserError(
        f'{name} has the features {kinds}: expected image (Image) and label'
        ' (ClassLabel), one label for each image')
  return description


def _class_names(dataset_dir, folder):
  """Returns the names of the classes, or None."""
  path = os.path.join(dataset_dir, folder, 'label.labels.txt')
  if not os.path.exists(path):
    return None
  with open(path, encoding='utf-8') as file:
    return tuple(file.read().splitlines())
