"""A folder of class folders of images: which classes, images and splits it holds.

    photos/cat/1.jpg                 photos/train/cat/1.jpg
    photos/cat/more/2.png     or     photos/validation/cat/2.jpg
    photos/dog/3.jpg                 photos/train/dog/3.jpg

Labels follow the sorted names of the class folders. Needs no TensorFlow.
"""

import dataclasses
import os

import diagnostics
from datasets import drawing, image_check

TRAIN = 'train'
VALIDATION = 'validation'
_SPLIT_FOLDERS = frozenset({TRAIN, 'test', 'val', 'valid', VALIDATION})
# What systems leave beside people's files.
_NOT_THEIRS = frozenset({'Thumbs.db', 'desktop.ini', '__MACOSX'})


@dataclasses.dataclass(frozen=True)
class Source:
  """A file in a class folder.

  Attributes:
    path: below the image folder, with '/' between its parts.
    label: the number of its class.
    split: the split folder it lies in, or None.
  """

  path: str
  label: int
  split: str | None


@dataclasses.dataclass(frozen=True)
class ClassFolders:
  """What an image folder holds.

  Attributes:
    root: the image folder.
    classes: the names of the classes in the order of their labels.
    splits: the names of the split folders; empty if there are none.
    sources: all files in class folders, ordered by path.
    outside: paths of images that lie in no class folder.
    ignored: paths of other files that lie in no class folder.
  """

  root: str
  classes: tuple[str, ...]
  splits: tuple[str, ...]
  sources: tuple[Source, ...]
  outside: tuple[str, ...]
  ignored: tuple[str, ...]


def survey(image_dir: str) -> ClassFolders:
  """Returns what `image_dir` holds; opens no image.

  The folders train and test, val, valid or validation are taken for splits where
  there is nothing but them, and train is one of at least two, and each holds
  folders. Hidden files and folders are passed over.

  Raises:
    UserError: there is no such folder, or there are fewer than two class folders.
    OSError: a folder cannot be read.
  """
  if not os.path.isdir(image_dir):
    what = 'is a file' if os.path.exists(image_dir) else 'does not exist'
    raise diagnostics.UserError(
        f"image_dir '{image_dir}' {what}: name the folder that holds one folder of"
        ' images for each class')
  folders, loose = _entries(image_dir)
  splits = ()
  if (_SPLIT_FOLDERS.issuperset(folders) and TRAIN in folders and len(folders) > 1
      and all(_entries(os.path.join(image_dir, name))[0] for name in folders)):
    splits = tuple(folders)
  bases = splits or ('',)
  inside = {base: _entries(os.path.join(image_dir, base)) for base in bases}
  if splits:
    loose += [f'{base}/{name}' for base in bases for name in inside[base][1]]
  classes = sorted({name for folders, _ in inside.values() for name in folders})
  if len(classes) < 2:
    raise diagnostics.UserError(_too_few_classes(image_dir, classes, loose))
  sources = []
  for base in bases:
    for name in inside[base][0]:
      top = f'{base}/{name}' if base else name
      sources += [Source(path, classes.index(name), base or None)
                  for path in _files_below(image_dir, top)]
  outside = tuple(name for name in loose if image_check.has_image_suffix(name))
  return ClassFolders(
      image_dir, tuple(classes), splits,
      tuple(sorted(sources, key=lambda source: source.path)), outside,
      tuple(name for name in loose if name not in outside))


def _is_theirs(name):
  return not name.startswith('.') and name not in _NOT_THEIRS


def _entries(folder):
  """Returns the sorted names of (folders, other files) that are not hidden."""
  with os.scandir(folder) as entries:
    entries = sorted((entry.name, entry.is_dir()) for entry in entries
                     if _is_theirs(entry.name))
  return ([name for name, is_dir in entries if is_dir],
          [name for name, is_dir in entries if not is_dir])


def _files_below(root, top):
  """Returns the paths of all files below ROOT/TOP, from `root` on."""
  files, waiting, seen = [], [top], set()
  while waiting:
    folder = waiting.pop()
    place = os.path.realpath(os.path.join(root, folder))
    if place in seen:  # A link to a folder above would lead round for ever.
      continue
    seen.add(place)
    folders, names = _entries(os.path.join(root, folder))
    files += [f'{folder}/{name}' for name in names]
    waiting += [f'{folder}/{name}' for name in folders]
  return files


def _too_few_classes(image_dir, classes, loose):
  expected = 'expected one folder of images for each of two or more classes'
  if not classes:
    what = f'{len(loose)} files but no folders' if loose else 'nothing'
    return f"image_dir '{image_dir}' holds {what}: {expected}"
  below = _entries(os.path.join(image_dir, classes[0]))[0]
  inner = os.path.join(image_dir, classes[0])
  advice = f"; did you mean --image_dir='{inner}'?" if len(below) > 1 else ''
  return (f"image_dir '{image_dir}' holds one folder, '{classes[0]}': {expected}"
          f'{advice}')


def in_fixed_order(sources: list[Source]) -> list[Source]:
  """Returns sources in an order that mixes classes and is always the same."""
  return drawing.in_fixed_order(sources, lambda source: source.path)


def assign_splits(sources: list[Source],
                  validation_share: float) -> dict[str, list[Source]]:
  """Returns the sources of each split; a split without any is left out.

  A split folder decides. Where there are none, a hash of the path does, so an image
  stays in its split whatever images come and go. One exception: of a class that
  would have no image to train on, the image with the largest hash is moved there.

  Args:
    sources: the images that can be used.
    validation_share: the part of them that goes to validation, about.
  """
  splits, waiting = {TRAIN: []}, {}
  for source in sources:
    share = drawing.fraction('split', source.path)
    if source.split is None and share < validation_share:
      waiting.setdefault(source.label, []).append((share, source.path, source))
    else:
      splits.setdefault(source.split or TRAIN, []).append(source)
  trained = {source.label for source in splits[TRAIN]}
  for label, shares in waiting.items():
    shares.sort(reverse=True)
    if label not in trained:
      splits[TRAIN].append(shares.pop(0)[-1])
    if shares:
      splits.setdefault(VALIDATION, []).extend(source for *_, source in shares)
  return {name: members for name, members in splits.items() if members}
