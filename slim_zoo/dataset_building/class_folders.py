"""Lists the classes, images and splits of a folder of class folders.

    photos/cat/1.jpg                 photos/train/cat/1.jpg
    photos/cat/more/2.png     or     photos/validation/cat/2.jpg
    photos/dog/3.jpg                 photos/train/dog/3.jpg

Labels follow the sorted names of the class folders. Needs no TensorFlow.
"""

import dataclasses
import os
from collections.abc import Mapping

from slim_zoo import diagnostics
from slim_zoo.dataset_building import archives, conversion_plan, folder_layout
from slim_zoo.dataset_building.folder_layout import names as some_names
from slim_zoo.images import folder_names, folder_tree, image_check

TRAIN, VALIDATION = folder_names.TRAIN, folder_names.VALIDATION


@dataclasses.dataclass(frozen=True)
class Source:
  """A file in a class folder, or of a list.

  Attributes:
    path: path below the image folder, with '/' as separator.
    label: label of its class; of a multi-label list a tuple of labels.
    split: the split of its folder, or None.
  """

  path: str
  label: int | tuple[int, ...]
  split: str | None

  @property
  def labels(self) -> tuple[int, ...]:
    """The labels of its classes."""
    return self.label if isinstance(self.label, tuple) else (self.label,)


@dataclasses.dataclass(frozen=True)
class ClassFolders:
  """The contents of an image folder.

  Attributes:
    root: the image folder.
    classes: names of the classes, by label.
    splits: path of each split's folder, by split; empty without splits.
    sources: all files in class folders, ordered by path.
    outside: paths of images outside of class folders.
    ignored: paths of other files outside of class folders.
    notes: lines for the user.
    list_file: the list or the source that names the images; None: they are in class
      folders.
    multi_label: whether an image may have several classes, or none.
    places: where the bytes of each image are, by its path; None: in files below
      `root`.
    refused: (path, reason) of images that cannot be used.
    are_classes_fixed: whether the source has the list of classes: one without images
      to train on keeps its label.
  """

  root: str
  classes: tuple[str, ...]
  splits: dict[str, str]
  sources: tuple[Source, ...]
  outside: tuple[str, ...]
  ignored: tuple[str, ...]
  notes: tuple[str, ...]
  list_file: str | None = None
  multi_label: bool = False
  places: Mapping[str, archives.Slice] | None = None
  refused: tuple[tuple[str, str], ...] = ()
  are_classes_fixed: bool = False


def survey(image_dir: str, split_folders: str = 'auto',
           class_folders: str = 'auto') -> ClassFolders:
  """Returns the contents of `image_dir`; opens no image.

  Hidden files, system files and thumbnails are skipped.

  Args:
    image_dir: the image folder.
    split_folders: see `folder_layout.find`.
    class_folders: see `folder_layout.find`.

  Raises:
    UserError: the folder does not exist, has fewer than two class folders, or its
      layout is ambiguous.
    OSError: a folder cannot be read.
  """
  if not os.path.isdir(image_dir):
    problem = 'is a file' if os.path.exists(image_dir) else 'does not exist'
    raise diagnostics.UserError(
        f"image_dir '{image_dir}' {problem}: name the folder that holds one folder of"
        ' images for each class')
  top, system_files, thumbnails = folder_tree.read(image_dir)
  layout = folder_layout.find(top, image_dir, split_folders, class_folders)
  classes = folder_names.in_label_order(
      name for split in layout.splits for name in split.classes)
  if len(classes) < 2:
    raise diagnostics.UserError(_too_few_classes(top, image_dir, classes))
  labels = {name: label for label, name in enumerate(classes)}
  sources = [Source(path, labels[name], split.split_name)
             for split in layout.splits for name in split.classes
             for path in _files(split.classes[name], layout.deepest)]
  unsorted_files = sorted({*layout.unsorted_files, *(
      path for split in layout.splits for path in split.unsorted_files)})
  _check_no_shared_folder(layout, labels)
  _check_spelled_alike(layout)
  return ClassFolders(
      image_dir, tuple(classes),
      {split.split_name: split.folder.path for split in layout.splits
       if split.split_name},
      tuple(sorted(sources, key=lambda source: source.path)),
      tuple(path for path in unsorted_files if image_check.has_image_suffix(path)),
      tuple(path for path in unsorted_files if not image_check.has_image_suffix(path)),
      (*layout.notes, *_notes(layout, classes, system_files, thumbnails)))


def _files(folders, deepest):
  """Returns the paths of the files of a class."""
  if deepest:
    return [path for folder in folders for path in folder.files]
  return [path for folder in folders for inner in folder.below()
          for path in inner.files]


def _check_no_shared_folder(layout, labels):
  """Raises UserError if a link makes one folder a part of two classes."""
  if layout.deepest:
    return
  for split in layout.splits:
    owner = {}
    for name in labels:
      for folder in split.classes.get(name, ()):
        for inner in folder.below():
          other, path = owner.setdefault(inner.place, (name, inner.path))
          if other != name:
            raise diagnostics.UserError(
                f'{some_names([path, inner.path])} are the same folder (one is a link),'
                f' but belong to the classes {some_names([other, name])}: remove the'
                ' link')


def _check_spelled_alike(layout):
  """Raises UserError if a class is spelled differently in the training split."""
  trained, *others = layout.splits
  for split in others:
    for name in sorted(set(split.classes) - set(trained.classes)):
      near = [one for group in folder_names.alike({*trained.classes, name})
              if name in group for one in group if one != name]
      if near:
        raise diagnostics.UserError(
            f"class folder '{split.folder.path}/{diagnostics.printable(name)}' is"
            f" {_spelled(near[0])} in '{trained.folder.path}': differing by case,"
            ' spaces or Unicode form they are two classes; give both one name')


def _spelled(name):
  """Returns a quoted name, with code points if it is not ASCII."""
  shown = f"'{diagnostics.printable(name)}'"
  return shown if name.isascii() else f'{shown} ({name!a})'


def _notes(layout, classes, system_files, thumbnails):
  """Yields notes about the folders."""
  for group in folder_names.alike(classes):
    yield (f"warning: {', '.join(map(_spelled, group))} are different classes, but"
           ' differ only by case, spaces or Unicode form')
  for split in layout.splits:
    for name, folders in split.classes.items():
      if len(folders) > 1:
        yield (f"class '{name}' has the images of"
               f' {some_names(folder.path for folder in folders)}')
  for split in layout.splits[1:]:
    missing = [name for name in layout.splits[0].classes if name not in split.classes]
    if missing:
      kind = 'class' if len(missing) == 1 else f'{len(missing)} classes:'
      yield f'{split.split_name} has no images of {kind} {some_names(missing)}'
  if system_files:
    yield f'system files, skipped: {some_names(system_files)}'
  if thumbnails:
    count = sum(len(inner.images) for folder in thumbnails for inner in folder.below())
    yield (f"thumbnails, skipped: {count} image{'s' if count != 1 else ''} in"
           f' {some_names(folder.path for folder in thumbnails)}')


def _too_few_classes(top, image_dir, classes):
  expected = 'expected one folder of images for each of two or more classes'
  if not top.folders:
    content = f'{len(top.files)} files but no folders' if top.files else 'nothing'
    return f"image_dir '{image_dir}' holds {content}: {expected}"
  inner = folder_layout.innermost(top)
  advice = ''
  if inner is not top and len(inner.folders) > 1:
    advice = (f"; did you mean --image_dir="
              f"'{folder_layout.path_of(image_dir, inner)}'?")
  content = f"one folder, '{diagnostics.printable(top.folders[0].path)}'"
  if len(top.folders) > 1:
    content = f'{len(classes)} class, {some_names(classes)}'
  return f"image_dir '{image_dir}' holds {content}: {expected}{advice}"


def in_fixed_order(sources: list[Source]) -> list[Source]:
  """Returns sources in a fixed order that mixes classes."""
  return conversion_plan.in_fixed_order(sources, lambda source: source.path)


def assign_splits(sources: list[Source],
                  validation_share: float) -> dict[str, list[Source]]:
  """Returns the sources of each split, without empty splits.

  Split folders determine the split. Without them, a hash of the path does, so an image
  keeps its split when other images are added or removed. One exception: if a class has
  no training image, its validation image with the largest hash becomes one.

  Args:
    sources: the usable images.
    validation_share: approximate share of images for validation.
  """
  splits, validation = {TRAIN: []}, []
  for source in sources:
    share = conversion_plan.fraction('split', source.path)
    if source.split is None and share < validation_share:
      validation.append((share, source.path, source))
    else:
      splits.setdefault(source.split or TRAIN, []).append(source)
  trained = {label for source in splits[TRAIN] for label in source.labels}
  kept = []
  for *_, source in sorted(validation, key=lambda item: item[:2], reverse=True):
    if trained.issuperset(source.labels):
      kept.append(source)
    else:
      splits[TRAIN].append(source)
      trained.update(source.labels)
  if kept:
    splits.setdefault(VALIDATION, []).extend(kept)
  return {name: members for name, members in splits.items() if members}
