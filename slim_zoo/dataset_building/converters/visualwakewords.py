"""Visual Wake Words from COCO 2014: is there a person in the photo?

Chowdhery 2019, arXiv 1906.05721, section 3: a photo has label 1 if an object of the
class covers more than a share of its area, 0.5% there. Photos and objects are from COCO
(Lin 2014, arXiv 1405.0312).
"""

import json
import os
import posixpath
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.dataset_building import archives, conversion_plan
from slim_zoo.dataset_building.conversion_plan import Plan, Record, Split
from slim_zoo.dataset_building.converters import photos
from slim_zoo.dataset_building.published_files import PublishedFile, Source
from slim_zoo.images import image_check
from slim_zoo.input import plain_records

SPEC = DATASETS['visualwakewords']
OPTIONS = ('small_object_area_threshold', 'foreground_class_of_interest')

_ANNOTATIONS = 'annotations_trainval2014.zip'
FILES = tuple(
    PublishedFile(os.path.basename(path), (f'http://images.cocodataset.org/{path}',))
    for path in (f'annotations/{_ANNOTATIONS}', 'zips/train2014.zip',
                 'zips/val2014.zip'))

_SHARDS = {'train': 100, 'val': 10}
_FILENAME = '{split}.record-{{shard:05d}}-of-{{shards:05d}}'
_BACKGROUND = 'background'
_FORMAT_NAMES = {'jpeg': b'jpeg', 'png': b'png'}


class Item(NamedTuple):
  """A photo; `boxes` are the boxes of objects that count."""

  name: str
  identity: int
  place: archives.ZipMember | archives.Slice | None
  label: int
  class_name: str
  boxes: tuple[photos.Box, ...]


def make_record(item: Item) -> Record:
  """Returns the record of a photo; see `photos.make_record`."""
  if item.place is None:
    raise image_check.RefusedError('the annotations name it, but it is missing')
  return photos.make_record(item.name, item.place, item.label, _FORMAT_NAMES, more={
      'image/source_id': plain_records.texts(str(item.identity).encode()),
      'image/class/text': plain_records.texts(item.class_name.encode()),
      'image/object/bbox/label': plain_records.ints(*[item.label] * len(item.boxes)),
      **photos.box_features(item.boxes)})


def _without_outline(values: dict) -> dict:
  # The outlines of objects are most of the file and would need gigabytes.
  values.pop('segmentation', None)
  return values


def _annotations(source: Source, split: str) -> dict:
  """Returns the parsed annotations of a split; raises UserError if missing."""
  name = f'instances_{split}2014.json'
  path = source.find(name, _ANNOTATIONS) or source.need(_ANNOTATIONS)
  if path.endswith('.json'):
    data = archives.decompressed_bytes(path)
  else:
    members = {posixpath.basename(member): place
               for member, place in archives.zip_places(path)}
    if name not in members:
      raise diagnostics.UserError(f"there is no {name} in '{path}': download it again")
    try:
      data = archives.read(members[name])
    except archives.DamagedMemberError as error:
      raise diagnostics.UserError(
          f"'{name}' in '{path}' is damaged ({error}): download it again") from error
  try:
    parsed = json.loads(data, object_hook=_without_outline)
    return {key: parsed[key] for key in ('images', 'annotations', 'categories')}
  except (ValueError, KeyError, TypeError) as error:
    raise diagnostics.UserError(
        f"'{name}' in '{path}' holds no annotations of COCO ({error}): download it"
        ' again'
    ) from error


def _places(source: Source, split: str) -> dict[str, archives.ZipMember]:
  """Returns the places of a split's photos, by file name."""
  folder = f'{split}2014'
  path = source.need(f'{folder}.zip', folder)
  if os.path.isdir(path):
    return {entry.name: archives.whole_file(entry.path)
            for entry in os.scandir(path) if entry.is_file()}
  return {posixpath.basename(member): place
          for member, place in archives.zip_places(path)}


def _items(source: Source, split: str, threshold: float,
           class_name: str) -> list[Item]:
  """Returns the photos of a split in order."""
  content = _annotations(source, split)
  categories = {entry['name']: entry['id'] for entry in content['categories']}
  if class_name not in categories:
    raise diagnostics.unknown_name(
        'class of COCO', class_name, categories,
        where=' (--foreground_class_of_interest)')
  images = {entry['id']: entry for entry in content['images']}
  boxes = {}
  for entry in content['annotations']:
    image = images.get(entry['image_id'])
    if image is None or entry['category_id'] != categories[class_name]:
      continue
    if entry['area'] > threshold * image['width'] * image['height']:
      left, top, width, height = entry['bbox']
      boxes.setdefault(entry['image_id'], []).append(photos.box_in_pixels(
          left, top, left + width, top + height, image['width'], image['height']))
  places = _places(source, split)
  items = []
  for identity, image in images.items():
    name, label = image['file_name'], int(identity in boxes)
    items.append(Item(
        name, identity, places.get(name), label, class_name if label else _BACKGROUND,
        tuple(box for box in boxes.get(identity, ()) if box is not None)))
  return conversion_plan.in_fixed_order(items, lambda item: item.name)


def plan(source: Source, scratch: str, small_object_area_threshold: float,
         foreground_class_of_interest: str) -> Plan:
  """Returns the plan; see the package for the first two arguments.

  Args:
    source: contains the zip files of COCO 2014, or their unpacked folders.
    scratch: not used.
    small_object_area_threshold: an object counts if it covers a larger share of its
      photo than this.
    foreground_class_of_interest: the class of COCO to detect.

  Raises:
    UserError: a file is missing or damaged, or an option is invalid.
  """
  del scratch  # Members of zip files are read in place.
  if not 0 <= small_object_area_threshold < 1:
    raise diagnostics.UserError(
        f'--small_object_area_threshold={small_object_area_threshold} is not a part'
        ' of a photo: expected a number from 0 to below 1, such as 0.005')
  splits = {}
  for split in SPEC.splits:
    items = _items(
        source, split, small_object_area_threshold, foreground_class_of_interest)
    splits[split] = Split(items, _FILENAME.format(split=split), _SHARDS[split])
  return Plan(
      SPEC, splits, {0: _BACKGROUND, 1: foreground_class_of_interest}, make_record,
      {'small_object_area_threshold': small_object_area_threshold,
       'foreground_class_of_interest': foreground_class_of_interest})
