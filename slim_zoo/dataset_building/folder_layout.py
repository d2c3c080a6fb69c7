"""Finds out which folders of an image folder are splits, and which are classes.

Folders with names of splits are splits if all other folders fit. An ambiguous layout
is an error that names the flag for it. Needs no TensorFlow.
"""

import collections
import dataclasses
import os
import re
from collections.abc import Iterable

from slim_zoo import diagnostics
from slim_zoo.images import folder_names
from slim_zoo.images.folder_names import TRAIN, UNLABELLED
from slim_zoo.images.folder_tree import Folder

_CLASSES_OR_SPLITS = ('say what the folders are: --split_folders=yes (splits) or'
                      ' --split_folders=no (classes)')


@dataclasses.dataclass
class SplitFolder:
  """A folder of class folders: the image folder, or the folder of a split.

  Attributes:
    folder: the folder.
    split_name: the name of the split, or None.
    classes: the folders of each class, by class name.
    unsorted_files: paths of files outside of class folders.
  """

  folder: Folder
  split_name: str | None
  classes: dict[str, list[Folder]]
  unsorted_files: list[str]


@dataclasses.dataclass
class Layout:
  """The splits and classes of an image folder.

  Attributes:
    splits: the image folder, or the folder of each split, the training split first.
    deepest: whether the files of a class are only those directly in its folders.
    unsorted_files: paths of files at the top, beside the folders of splits.
    notes: lines for the user.
  """

  splits: list[SplitFolder]
  deepest: bool
  unsorted_files: list[str]
  notes: list[str]


def names(paths: Iterable[str]) -> str:
  """Returns the first few names, quoted."""
  return diagnostics.some([f"'{diagnostics.printable(path)}'" for path in paths], 4)


def find(top: Folder, image_dir: str, split_folders: str = 'auto',
         class_folders: str = 'auto') -> Layout:
  """Returns the splits and classes.

  Args:
    top: the tree of the image folder.
    image_dir: its path, for messages.
    split_folders: whether the folders at the top are splits: 'auto', 'yes' or 'no'.
    class_folders: which folders are classes: 'auto', 'top' for those at the top (of a
      split), 'deepest' for those with images.

  Raises:
    UserError: the layout is ambiguous, or there is no training split.
  """
  place = f"image_dir '{diagnostics.printable(image_dir)}'"
  kinds = _kinds_of_splits(top, place, split_folders)
  if not kinds:
    if split_folders == 'no' and class_folders == 'auto':
      class_folders = 'top'
    if split_folders == 'auto' and class_folders == 'deepest':
      _check_only_classes(top, place)
    classes = _classes(top, place, class_folders, image_dir)
    return Layout([SplitFolder(top, None, classes, top.files)],
                  class_folders == 'deepest', [], [])
  _check_kinds(kinds, place)
  notes = [*_notes_of_misspelt(kinds), *_notes_of_empty(top, kinds)]
  splits = _splits(top, kinds, place, class_folders, image_dir, notes)
  if len(splits) == 1:
    notes.append(
        'no other split has labels. To get a validation split, convert only the'
        f" training folder: --image_dir='{path_of(image_dir, splits[0].folder)}'")
  return Layout(splits, class_folders == 'deepest', top.files, notes)


def _splits(top, kinds, place, class_folders, image_dir, notes) -> list[SplitFolder]:
  """Returns the splits with labels, the training split first; adds to `notes`."""
  folders = {folder.name: folder for folder in top.folders}
  splits, trained = [], ()
  for name, kind in sorted(kinds.items(), key=lambda item: item[1] != TRAIN):
    folder = _unwrapped(folders[name])
    if trained and _is_unlabelled(folder, trained):
      count = sum(len(inner.images) for inner in folder.below())
      images = '1 image has no label and is' if count == 1 else (
          f'{count} images have no labels and are')
      notes.append(f"'{name}' has no class folders: its {images} skipped")
      continue
    classes = _classes(folder, place, class_folders, image_dir)
    if kind == TRAIN and not classes:
      raise diagnostics.UserError(
          f"{place}: the training split '{name}' has no class folders: expected"
          f' {name}/CLASS/image.jpg; if {names(kinds)} are classes, use'
          ' --split_folders=no')
    trained = trained or tuple(classes)
    if folder.path != name:
      notes.append(f"the class folders of '{name}' are in '{folder.path}'")
    splits.append(SplitFolder(
        folder, folder_names.name_of_split(name, kind), classes, folder.files))
  return splits


def _kinds_of_splits(top, place, choice) -> dict[str, str]:
  """Returns the kind of split of each folder at the top; {} if they are classes.

  Raises:
    UserError: they may be splits or classes.
  """
  if choice == 'no':
    return {}
  known = _known_splits(top.folders)
  filled = [folder.name for folder in top.folders if folder.may_hold_images]
  if choice == 'yes':
    named = {name: folder_names.split_of(name) for name in filled}
    misspelt = _misspelt_splits(top.folders, known)
    return {**known, **{name: split[0] if split else misspelt.get(name, name)
                        for name, split in named.items()}}
  known |= _misspelt_splits(top.folders, known)
  others = [name for name in filled if name not in known]
  kinds = set(known.values())
  if others and TRAIN in kinds and len(kinds) > 1:
    raise diagnostics.UserError(
        f'{place} holds {names(known)}, which have names of splits, and'
        f' {names(others)}: move the other folders away, or {_CLASSES_OR_SPLITS}')
  if others or len(top.folders) < 2 or (len(known) == 1 and kinds != {TRAIN}):
    return {}
  if len(known) == 1 and not any(
      folder.folders for folder in top.folders if folder.name in known):
    return {}
  return known


def _known_splits(folders) -> dict[str, str]:
  """Returns the kind of split of each folder that is named after one.

  Other words in a name, such as 'seg' in seg_train, must also be in the name of another
  split: 'train_station' alone is not a split. A folder of images to predict, such as
  single_prediction, is not a class if there is a training split.
  """
  by_words = {}
  for folder in folders:
    split = folder_names.split_of(folder.name)
    if split:
      kind, words = split
      by_words.setdefault(words, {})[folder.name] = kind
  known = {name: kind for words, kinds in by_words.items()
           if not words or (TRAIN in kinds.values() and len(set(kinds.values())) > 1)
           for name, kind in kinds.items()}
  if TRAIN in known.values():
    known.update((name, kind) for kinds in by_words.values()
                 for name, kind in kinds.items() if kind == UNLABELLED)
  return known


def _misspelt_splits(folders, known) -> dict[str, str]:
  """Returns the kind of split of folders with misspelt names, such as trian and tset.

  They must complete the splits: each other folder of images is one, each kind comes
  once, one is for training, and all have the names of classes in common. So the classes
  'rain' and 'text' are not splits.
  """
  filled = [folder for folder in folders if folder.may_hold_images]
  near = {folder.name: folder_names.near_split(folder.name) for folder in filled
          if folder.name not in known}
  kinds = [known.get(folder.name) or near[folder.name] for folder in filled]
  named = [kind for kind in kinds if kind != UNLABELLED]
  if (not near or None in near.values() or len(filled) < 2 or TRAIN not in named
      or len(set(named)) < len(named)):
    return {}
  classes = [{inner.name for inner in _unwrapped(folder).folders
              if inner.may_hold_images}
             for folder, kind in zip(filled, kinds, strict=True)
             if kind == TRAIN or folder.name in near]
  return near if set.intersection(*classes) else {}


def _notes_of_misspelt(kinds):
  misspelt = {name: kind for name, kind in kinds.items()
              if kind == folder_names.near_split(name)}
  if misspelt:
    shown = ', '.join(f"'{name}' as {kind}" for name, kind in misspelt.items())
    yield (f'misspelt names of splits are read as their nearest: {shown};'
           ' --split_folders=no makes each folder a class')


def _check_kinds(kinds, place):
  """Raises UserError unless each split has one folder and one split is for training."""
  by_kind = {}
  for name, kind in kinds.items():
    by_kind.setdefault(folder_names.name_of_split(name, kind), []).append(name)
  for kind, folders in by_kind.items():
    if len(folders) > 1:
      raise diagnostics.UserError(
          f'{place}: {names(folders)} would all be the split {kind}: put them into'
          ' one, or use --split_folders=no if they are classes')
    if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_.-]*', kind):
      raise diagnostics.UserError(
          f"{place}: the folder '{diagnostics.printable(kind)}' gives its split a name"
          " that is part of file names: use letters, digits, '_', '-' and '.'")
  if TRAIN not in kinds.values():
    raise diagnostics.UserError(
        f'{place} holds {names(kinds)}, but no training folder: give the folder'
        ' with the training images the name train, or use'
        ' --split_folders=no if they are classes')


def _notes_of_empty(top, kinds):
  empty = [folder.name for folder in top.folders if folder.name not in kinds]
  return [f'folders without images, skipped: {names(empty)}'] if empty else []


def _unwrapped(folder):
  """Returns the folder that contains the class folders of a split."""
  while (len(folder.folders) == 1 and not folder.images
         and _is_wrapper(folder.folders[0], folder)
         and (folder.folders[0].folders or folder.folders[0].images)):
    folder = folder.folders[0]
  return folder


def _is_wrapper(inner, outer):
  """Returns whether a folder's name is its parent's, or a filler such as 'images'."""
  return inner.name == outer.name or folder_names.is_filler(inner.name)


def _is_unlabelled(folder, trained):
  """Returns whether a split has images, but none in class folders."""
  filled = [inner for inner in folder.folders if inner.may_hold_images]
  if not filled:
    return bool(folder.images)
  return all(inner.name not in trained and _is_wrapper(inner, folder)
             and not inner.folders for inner in filled)


def _classes(folder, place, choice, image_dir) -> dict[str, list[Folder]]:
  """Returns the folders of each class, by class name.

  Raises:
    UserError: it is ambiguous which folders are classes.
  """
  if choice == 'deepest':
    classes = {}
    for inner in folder.below():
      if inner is not folder and (inner.images or (inner.files and not inner.folders)):
        classes.setdefault(inner.name, []).append(inner)
    return classes
  if choice == 'auto':
    _check_no_masks(folder, place, image_dir)
    _check_only_classes(folder, place)
    _check_one_level(folder, place)
  return {inner.name: [inner] for inner in folder.folders}


def _check_no_masks(folder, place, image_dir):
  """Raises UserError for folders of images and of their masks or labels."""
  pair = folder_names.images_and_annotations(inner.name for inner in folder.folders)
  if not pair:
    return
  images = next(inner for inner in folder.folders if inner.name == pair[0])
  filled = [inner for inner in images.folders if inner.may_hold_images]
  if len(filled) > 1 and any(
      inner.folders or not folder_names.split_of(inner.name) for inner in filled):
    advice = f"name the class folders, --image_dir='{path_of(image_dir, images)}', or"
  else:
    advice = 'make one folder of images for each class, or'
  raise diagnostics.UserError(
      f"{place}: {names(pair)} look like images and their annotations, such as masks"
      f' or boxes: {advice} use --class_folders=top if they are classes;'
      ' --segmentation makes a data set of images and masks')


def _check_only_classes(folder, place):
  """Raises UserError if the name of a folder beside classes may not be a class's.

  Two folders are always both classes, because one class is too few.
  """
  uses = {inner.name: folder_names.other_use(inner.name) for inner in folder.folders}
  ambiguous = {name: use for name, use in uses.items() if use}
  classes = [inner for inner in folder.folders
             if not uses[inner.name] and inner.may_hold_images]
  if not ambiguous or not classes or len(ambiguous) + len(classes) < 3:
    return
  base = f'{folder.path}/' if folder.path else ''
  advice = _advice_for_splits(folder, [
      name for name, use in ambiguous.items() if use == 'a split'])
  if not advice:
    it = 'it' if len(ambiguous) == 1 else 'them'
    advice = f'move {it} out of image_dir'
  flag = ('--class_folders=top makes each folder in a split a class' if folder.path else
          '--split_folders=no makes each folder a class')
  raise diagnostics.UserError(
      f'{place}: {names(base + name for name in ambiguous)} beside the class folders'
      f' {names(inner.name for inner in classes)} may be'
      f" {' or '.join(dict.fromkeys([*ambiguous.values(), 'a class']))}: if not a"
      f' class, {advice}; {flag}')


def _advice_for_splits(folder, splits) -> str:
  """Returns advice for splits beside classes; '' without such splits."""
  if not splits:
    return ''
  if folder.path:
    return f"move {names(splits)} to the top of image_dir, beside the other splits"
  train = next((name for name in splits if folder_names.split_of(name)[0] == TRAIN),
               TRAIN)
  advice = f"put the class folders into {names([train])}"
  if all(inner.folders for inner in folder.folders):
    advice += ', or use --split_folders=yes if all of them are splits'
  return advice


def _check_one_level(folder, place):
  """Raises UserError if the classes may be the folders at the top or those below."""
  below = {outer.path: [inner.name for inner in outer.folders if inner.may_hold_images]
           for outer in folder.folders}
  counts = collections.Counter(name for inner in below.values() for name in inner)
  nested = {
      inner.path: below[inner.path] for inner in folder.folders
      if len(below[inner.path]) > 1 and (
          not inner.images or sum(counts[name] > 1 for name in below[inner.path]) > 1)}
  if not nested or (not folder.path and len(folder.folders) == 1):
    return  # The caller reports that one folder is too few.
  path, inner_names = next(iter(nested.items()))
  kinds = {split[0] for split in map(folder_names.split_of, inner_names) if split}
  if TRAIN in kinds and len(kinds) > 1:
    raise diagnostics.UserError(
        f"{place}: '{diagnostics.printable(path)}' holds splits, {names(inner_names)}:"
        ' expected splits with classes in them, as train/CLASS/image.jpg;'
        ' --class_folders=top makes one class of each folder at the top')
  more = ''
  if any(folder_names.split_of(inner.name) for inner in folder.folders):
    more = '; or, if those at the top are splits, --split_folders=yes'
  holds = 'holds' if len(nested) == 1 else 'hold'
  raise diagnostics.UserError(
      f'{place}: {names(nested)} {holds} folders of images, such as'
      f' {names(inner_names)}:'
      f' choose the classes with --class_folders=top or --class_folders=deepest{more}')


def innermost(top: Folder) -> Folder:
  """Returns the first folder, from the top down, without exactly one inner folder."""
  while len(top.folders) == 1 and not top.images and top.folders[0].folders:
    top = top.folders[0]
  return top


def path_of(image_dir: str, folder: Folder) -> str:
  """Returns the path of a folder below the image folder."""
  return os.path.join(image_dir, folder.path) if folder.path else image_dir
