"""Flowers from flower_photos.tgz: a folder of photos for each of five classes.

The TensorFlow authors 2019. 350 of the 3,670 photos are for validation, always the
same, chosen by a hash of their names. Other numbers of photos are split in proportion.
"""

import os
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.dataset_building import archives, conversion_plan
from slim_zoo.dataset_building.conversion_plan import Plan, Record, Split
from slim_zoo.dataset_building.converters import photos
from slim_zoo.dataset_building.published_files import PublishedFile, Source
from slim_zoo.images import folder_names

SPEC = DATASETS['flowers']
CLASS_NAMES = ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
OPTIONS = ()

_ARCHIVE = 'flower_photos.tgz'
_FOLDER = 'flower_photos'
FILES = (PublishedFile(
    _ARCHIVE,
    (f'https://storage.googleapis.com/download.tensorflow.org/example_images/{_ARCHIVE}',
     f'http://download.tensorflow.org/example_images/{_ARCHIVE}')),)

_FORMAT_NAMES = {'jpeg': b'jpg', 'png': b'png'}
_SHARDS = 5
_FILENAME = 'flowers_{split}_{{shard:05d}}-of-{{shards:05d}}.tfrecord'


class Item(NamedTuple):
  """A photo."""

  name: str
  label: int
  place: archives.Slice


def make_record(item: Item) -> Record:
  """Returns the record of a photo; see `photos.make_record`."""
  return photos.make_record(item.name, item.place, item.label, _FORMAT_NAMES)


def _photos(source: Source, scratch: str) -> dict[str, archives.Slice]:
  """Returns the places of all files in class folders, by CLASS/FILE."""
  if source.is_file or (archive := source.find(_ARCHIVE)):
    path = source.path if source.is_file else archive
    files = archives.tar_places(path, archives.plain_tar(path, scratch))
  else:
    path = source.find(_FOLDER) or source.path
    files = ((f'{name}/{entry.name}', archives.whole_file(entry.path))
             for name in sorted(os.listdir(path))
             if os.path.isdir(os.path.join(path, name))
             for entry in os.scandir(os.path.join(path, name)) if entry.is_file())
  places = {}
  for member, place in files:
    parts = member.removeprefix(f'{_FOLDER}/').split('/')
    if len(parts) == 2 and all(map(folder_names.is_user_name, parts)):
      places['/'.join(parts)] = place
  if not places:
    raise diagnostics.UserError(
        f"'{path}' holds no photos in folders named after their classes: expected"
        f' {_ARCHIVE}, or the folder that it unpacks to')
  return places


def _class_names(places, path) -> tuple[str, ...]:
  """Returns the class names by label; raises UserError for other classes."""
  classes = {name.split('/')[0] for name in places}
  if classes <= set(CLASS_NAMES):
    return CLASS_NAMES
  raise diagnostics.UserError(
      f"'{path}' has the classes {', '.join(sorted(classes))}, but flowers has"
      f" {', '.join(CLASS_NAMES)}: convert photos of other classes with"
      ' slim-zoo convert-images')


def plan(source: Source, scratch: str) -> Plan:
  """Returns the plan; see the package for arguments.

  Raises:
    UserError: the archive is missing, damaged or another one.
  """
  places = _photos(source, scratch)
  names = _class_names(places, source.path)
  items = conversion_plan.in_fixed_order(
      [Item(name, names.index(name.split('/')[0]), place)
       for name, place in places.items()], lambda item: item.name)
  published = SPEC.splits['validation'] / sum(SPEC.splits.values())
  validation = max(1, round(len(items) * published))
  splits = {'train': items[validation:], 'validation': items[:validation]}
  return Plan(
      SPEC, {split: Split(members, _FILENAME.format(split=split), _SHARDS)
             for split, members in splits.items()},
      dict(enumerate(names)), make_record)
