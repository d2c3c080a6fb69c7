"""ImageNet (ILSVRC 2012) from its archives, without unpacking them.

Russakovsky 2015, arXiv 1409.0575. The training photos are a tar file of tar files, one
for each class; the validation photos are one tar file. Unpacked folders can be used
too. Photos are stored unchanged, except the few that are not RGB or gray JPEGs.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import DATASETS
from slim_zoo.dataset_building import archives, conversion_plan
from slim_zoo.dataset_building.conversion_plan import Plan, Record, Split
from slim_zoo.dataset_building.converters import imagenet_classes, photos
from slim_zoo.dataset_building.published_files import Source
from slim_zoo.input import plain_records
from slim_zoo.progress import Progress

SPEC = DATASETS['imagenet']
FILES = ()
OPTIONS = ()

TRAIN = 'ILSVRC2012_img_train.tar'
VALIDATION = 'ILSVRC2012_img_val.tar'
HOW_TO_GET = (
    'imagenet needs a registration at image-net.org: put'
    f' {TRAIN}, {VALIDATION}, {imagenet_classes.DEVELOPMENT_KIT} and, for boxes,'
    f' {imagenet_classes.BOX_ARCHIVES[0]} in a folder and name it with --source=FOLDER')

_SHARDS = {'train': 1024, 'validation': 128}
_FILENAME = '{split}-{{shard:05d}}-of-{{shards:05d}}'
_FORMAT_NAMES = {'jpeg': b'JPEG'}
_BACKGROUND = 'background'


class Item(NamedTuple):
  """A photo; `words` are the names of its class."""

  name: str
  place: archives.Slice
  label: int
  synset: str
  words: str
  boxes: tuple[photos.Box, ...]


def make_record(item: Item) -> Record:
  """Returns the record of a photo; see `photos.make_record`."""
  texts = plain_records.texts
  return photos.make_record(
      item.name, item.place, item.label, _FORMAT_NAMES, only_jpeg=True, more={
          'image/colorspace': texts(b'RGB'),
          'image/channels': plain_records.ints(3),
          'image/class/synset': texts(item.synset.encode()),
          'image/class/text': texts(item.words.encode('utf-8', 'surrogateescape')),
          'image/object/bbox/label': plain_records.ints(
              *[item.label] * len(item.boxes)),
          **photos.box_features(item.boxes)})


def _is_photo(name: str) -> bool:
  return (not posixpath.basename(name).startswith('.')
          and name.lower().endswith(photos.IMAGE_SUFFIXES))


def _in_folder(folder: str) -> Iterator[tuple[str, archives.Slice]]:
  """Yields (relative path, place) of the files in a folder and its subfolders."""
  for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
    if entry.is_file():
      yield entry.name, archives.whole_file(entry.path)
    elif entry.is_dir():
      for inner in os.scandir(entry.path):
        if inner.is_file():
          yield f'{entry.name}/{inner.name}', archives.whole_file(inner.path)


def _train_photos(path: str) -> list[tuple[str, archives.Slice, str]]:
  """Returns (name, place, WordNet id) of the training photos."""
  top = (_in_folder(path) if os.path.isdir(path) else archives.tar_places(path))
  all_photos = []
  with Progress('finding photos', None, 'photos') as progress:
    for name, place in top:
      if name.endswith('.tar'):
        synset = posixpath.basename(name).removesuffix('.tar')
        inner = archives.inner_tar_places(f'{path}/{name}', place)
      else:
        synset, inner = posixpath.basename(posixpath.dirname(name)), [(name, place)]
      all_photos += [(posixpath.basename(photo), photo_place, synset)
                     for photo, photo_place in inner if _is_photo(photo)]
      progress.update(len(all_photos))
  return all_photos


def _validation_photos(path: str, source: Source, kit):
  """Returns (name, place, WordNet id) of the validation photos."""
  places = dict(_in_folder(path) if os.path.isdir(path) else archives.tar_places(path))
  in_folders = [name for name in places if re.match(r'n\d+/', name)]
  if in_folders:  # A common way to sort them.
    return [(posixpath.basename(name), places[name], name.split('/')[0])
            for name in in_folders if _is_photo(name)]
  synsets = imagenet_classes.read_validation_synsets(source, kit)
  all_photos = []
  for name, place in places.items():
    if not _is_photo(name):
      continue
    number = re.search(r'_(\d+)\.\w+$', name)
    if not number or not 1 <= int(number[1]) <= len(synsets):
      raise diagnostics.UserError(
          f"'{name}' in '{path}' is none of the {len(synsets)} validation photos with"
          ' known classes: expected names such as ILSVRC2012_val_00000001.JPEG')
    all_photos.append((posixpath.basename(name), place, synsets[int(number[1]) - 1]))
  return all_photos


def _items(split_photos, synsets, words, boxes) -> list[Item]:
  """Returns the photos in order; raises UserError if a class is unknown."""
  labels = {synset: label for label, synset in enumerate(synsets, start=1)}
  items = []
  for name, place, synset in split_photos:
    if synset not in labels:
      raise diagnostics.UserError(
          f"'{name}' is of the class '{synset}', which is none of the {len(synsets)}"
          ' WordNet ids of ImageNet')
    items.append(Item(
        name, place, labels[synset], synset, words.get(synset, synset),
        tuple(boxes.get(os.path.splitext(name)[0], ()))))
  return conversion_plan.in_fixed_order(items, lambda item: item.name)


def plan(source: Source, scratch: str) -> Plan:
  """Returns the plan of the splits whose archives exist.

  Arguments are those of the package.

  Raises:
    UserError: both archives are missing, or the classes are unknown.
  """
  if source.is_file:  # The files with the classes are in its folder.
    source = Source(os.path.dirname(os.path.abspath(source.path)))
  train = source.find(TRAIN, 'train')
  validation = source.find(VALIDATION, 'validation', 'val')
  if not (train or validation):
    raise diagnostics.UserError(
        f"neither {TRAIN} nor {VALIDATION} is in '{source.path}', nor a folder train"
        f' or validation: {HOW_TO_GET}')
  kit = imagenet_classes.read_kit(source, scratch)
  split_photos = {}
  if train:
    split_photos['train'] = _train_photos(train)
  if validation:
    split_photos['validation'] = _validation_photos(validation, source, kit)
  synsets = imagenet_classes.read_synsets(
      source, kit, (synset for *_, synset in split_photos.get('train', ())))
  words = imagenet_classes.read_words(source, kit)
  boxes, left_out = imagenet_classes.read_boxes(source, scratch)
  return Plan(
      SPEC, {split: Split(_items(entries, synsets, words, boxes),
                          _FILENAME.format(split=split), _SHARDS[split])
             for split, entries in split_photos.items()},
      {0: _BACKGROUND, **{label: words.get(synset, synset)
                          for label, synset in enumerate(synsets, start=1)}},
      make_record, notes=tuple(_notes(synsets, words, boxes, left_out)))


def _notes(synsets, words, boxes, left_out):
  if len(synsets) != imagenet_classes.NUM_CLASSES:
    yield (f'{imagenet_classes.SYNSETS} names {len(synsets)} classes, ImageNet has'
           f' {imagenet_classes.NUM_CLASSES}')
  if not words:
    yield (f'classes are named by their WordNet ids: {imagenet_classes.METADATA} or'
           f' {imagenet_classes.DEVELOPMENT_KIT} in the source would name them')
  if not boxes:
    yield f'there are no boxes: {imagenet_classes.BOX_ARCHIVES[0]} has them'
  elif left_out:
    yield f'{left_out} boxes of other classes or without area are left out'
