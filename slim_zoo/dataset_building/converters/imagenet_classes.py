"""ImageNet's classes, boxes and validation labels.

Russakovsky 2015, arXiv 1409.0575. Labels are 1 to 1000 in the order of the sorted
WordNet ids. The development kit numbers the classes in another order; its meta.mat
contains the WordNet id of each number.
"""

import io
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from slim_zoo import diagnostics
from slim_zoo.dataset_building import archives
from slim_zoo.dataset_building.converters import photos
from slim_zoo.dataset_building.published_files import Source

NUM_CLASSES = 1000
SYNSETS = 'imagenet_lsvrc_2015_synsets.txt'
METADATA = 'imagenet_metadata.txt'
VALIDATION_SYNSETS = 'imagenet_2012_validation_synset_labels.txt'
DEVELOPMENT_KIT = 'ILSVRC2012_devkit_t12.tar.gz'
BOX_ARCHIVES = ('ILSVRC2012_bbox_train_v2.tar.gz', 'ILSVRC2012_bbox_val_v3.tgz')
BOX_TABLE = 'imagenet_2012_bounding_boxes.csv'

_META = 'meta.mat'
_GROUND_TRUTH = 'ILSVRC2012_validation_ground_truth.txt'


class Kit(NamedTuple):
  """The data of the development kit.

  Attributes:
    words: names of each class, by WordNet id.
    validation: WordNet id of each validation photo, in order.
  """

  words: dict[str, str]
  validation: list[str]


def _lines(path: str) -> list[str]:
  with open(path, encoding='utf-8', errors='surrogateescape') as file:
    return file.read().splitlines()


def read_kit(source: Source, scratch: str) -> Kit | None:
  """Returns the data of the development kit; None if it is not in the source.

  Raises:
    UserError: the kit is damaged, or scipy, which reads meta.mat, is not installed.
  """
  path = source.find(DEVELOPMENT_KIT)
  if path is None:
    return None
  files = {posixpath.basename(name): data
           for name, data in archives.tar_members(path, scratch)
           if posixpath.basename(name) in (_META, _GROUND_TRUTH)}
  try:
    from scipy import io as scipy_io
  except ImportError as error:
    raise diagnostics.UserError(
        f"'{path}' holds a MATLAB file, which scipy reads: python -m pip install scipy,"
        f' or put {SYNSETS}, {METADATA} and {VALIDATION_SYNSETS} in its place'
    ) from error
  try:
    table = scipy_io.loadmat(io.BytesIO(files[_META]), squeeze_me=True)['synsets']
    rows = {int(row['ILSVRC2012_ID']): (str(row['WNID']), str(row['words']))
            for row in table if int(row['ILSVRC2012_ID']) <= NUM_CLASSES}
    validation = [rows[int(number)][0] for number in files[_GROUND_TRUTH].split()]
  except Exception as error:
    # For damaged MATLAB files, scipy raises many kinds of exceptions.
    raise diagnostics.UserError(
        f"'{path}' is not the development kit of ILSVRC 2012 ({error!r}): download it"
        ' again'
    ) from error
  return Kit(dict(rows.values()), validation)


def read_synsets(source: Source, kit: Kit | None,
                 train_classes: Iterable[str]) -> list[str]:
  """Returns the WordNet ids in the order of their labels.

  Args:
    source: may contain the list.
    kit: used without the list.
    train_classes: WordNet ids of the training photos, used without list and kit if
      they are complete.

  Raises:
    UserError: there is no complete list.
  """
  if path := source.find(SYNSETS):
    synsets = [line.strip() for line in _lines(path) if line.strip()]
    if len(set(synsets)) != len(synsets) or not 0 < len(synsets) <= NUM_CLASSES:
      raise diagnostics.UserError(
          f"'{path}' has {len(synsets)} WordNet ids, {len(set(synsets))} of them"
          f' different: expected {NUM_CLASSES}')
    return synsets
  if kit is not None:
    return sorted(kit.words)
  synsets = sorted(set(train_classes))
  if len(synsets) == NUM_CLASSES:
    return synsets
  raise diagnostics.UserError(
      f"no file in '{source.path}' lists all {NUM_CLASSES} classes, which labels number"
      f' by their sorted WordNet ids: put {DEVELOPMENT_KIT} or {SYNSETS} there')


def read_words(source: Source, kit: Kit | None) -> dict[str, str]:
  """Returns the names of classes by WordNet id; {} if unknown."""
  if path := source.find(METADATA):
    return dict(line.split('\t', 1) for line in _lines(path) if '\t' in line)
  return kit.words if kit else {}


def read_validation_synsets(source: Source, kit: Kit | None) -> list[str]:
  """Returns the WordNet id of each validation photo, in the order of their numbers.

  Raises:
    UserError: no file contains them.
  """
  if path := source.find(VALIDATION_SYNSETS):
    return [line.strip() for line in _lines(path) if line.strip()]
  if kit is not None:
    return kit.validation
  raise diagnostics.UserError(
      f"no file in '{source.path}' has the classes of the validation photos: put"
      f' {DEVELOPMENT_KIT} or {VALIDATION_SYNSETS} there')


def read_boxes(source: Source,
               scratch: str) -> tuple[dict[str, list[photos.Box]], int]:
  """Returns the boxes of photos by name without suffix, and the number left out.

  A box is left out if it is of another class than the photo, or has no area.

  Raises:
    UserError: a file is damaged.
  """
  boxes, left_out = {}, 0
  if path := source.find(BOX_TABLE):
    all_boxes = _boxes_of_table(path)
  else:
    paths = [path for name in BOX_ARCHIVES if (path := source.find(name))]
    all_boxes = (box for path in paths for box in _boxes_of_archive(path, scratch))
  for name, box in all_boxes:
    if box is None:
      left_out += 1
    else:
      boxes.setdefault(name, []).append(box)
  return boxes, left_out


def _boxes_of_table(path: str) -> Iterator[tuple[str, photos.Box | None]]:
  for number, line in enumerate(_lines(path), start=1):
    name, *sides = line.split(',')
    try:
      xmin, ymin, xmax, ymax = map(float, sides)
    except ValueError as error:
      raise diagnostics.UserError(
          f"line {number} of '{path}' is '{line}', expected FILE,xmin,ymin,xmax,ymax"
          ' with numbers from 0 to 1') from error
    yield os.path.splitext(name)[0], photos.box_in_pixels(xmin, ymin, xmax, ymax, 1, 1)


def _boxes_of_archive(path: str,
                      scratch: str) -> Iterator[tuple[str, photos.Box | None]]:
  for member, data in archives.tar_members(path, scratch):
    if not member.endswith('.xml'):
      continue
    name = posixpath.basename(member).removesuffix('.xml')
    try:
      yield from ((name, box) for box in _boxes_of_xml(data, name))
    except (ElementTree.ParseError, ValueError, TypeError) as error:
      raise diagnostics.UserError(
          f"'{member}' in '{path}' holds no boxes ({error}): download it again"
      ) from error


def _boxes_of_xml(data: bytes, name: str) -> list[photos.Box | None]:
  """Returns the boxes of an annotation; None for one that is left out."""
  if b'<!ENTITY' in data:  # Entities can expand a short text without limit.
    raise ValueError('it defines entities')
  root = ElementTree.fromstring(data)
  width, height = (float(root.findtext(f'size/{side}')) for side in ('width', 'height'))
  # Training photos are named after their class: n01440764_10026.
  synset = re.match(r'(n\d+)_', name)
  boxes = []
  for element in root.iter('object'):
    sides = [float(element.findtext(f'bndbox/{side}'))
             for side in photos.Box._fields]
    of_class = synset is None or element.findtext('name') == synset[1]
    boxes.append(photos.box_in_pixels(*sides, width, height) if of_class else None)
  return boxes
