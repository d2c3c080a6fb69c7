"""Converts images in class folders, of a list or in other files, into TFRecords.

Each image is first decoded to check it (`image_check`). Then all are written in a fixed
order that mixes the classes: the same images give the same bytes with any number of
workers. The files appear together at the end, and earlier files stay until then.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import re
import warnings

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.dataset_building import (
  archives,
  folder_conversion,
  image_list,
  imagenet_folders,
  packed_images,
  packed_source,
)
from slim_zoo.dataset_building.class_folders import (
  TRAIN,
  VALIDATION,
  ClassFolders,
  Source,
  assign_splits,
  in_fixed_order,
  survey,
)
from slim_zoo.dataset_building.conversion_report import (
  Report,
)
from slim_zoo.dataset_building.folder_layout import names as some_names
from slim_zoo.datasets import labels
from slim_zoo.files import staging
from slim_zoo.images import image_check
from slim_zoo.progress import Progress

_MOST_PAIRS = 5
_DEPTH = re.compile(r'read as (\d+)-bit values|16-bit PNG(?:, scaled down)?$')


@dataclasses.dataclass(frozen=True)
class _Image:
  """A usable image.

  Attributes:
    source: its path, label and split.
    facts: its properties.
    digest: digest of its file, to notice later changes.
    file_bytes: size of its file.
    stored_bytes: size in the records; `file_bytes` without `max_side`.
  """

  source: Source
  facts: image_check.ImageFacts
  digest: bytes
  file_bytes: int
  stored_bytes: int


def convert(image_dir: str, dataset_dir: str, dataset_name: str,
            validation_share: float = 0.1, num_shards: int | None = None,
            num_workers: int = 0, split_folders: str = 'auto',
            class_folders: str = 'auto',
            storing: image_check.Storing = image_check.Storing(),
            listed: image_list.ImageList | None = None,
            packed: packed_images.PackedImages | None = None,
            classes_of: str | None = None) -> Report:
  """Writes the images of a folder, of a list or in other files as TFRecords.

  Writes the records NAME_SPLIT_00000-of-00005.tfrecord, labels.txt, refused.txt (only
  if a file was refused) and last dataset.json, by which
  `dataset_factory.get_dataset(NAME, ...)` reads the data set. Replaces an earlier
  conversion of the same name.

  Args:
    image_dir: see `class_folders.survey`; with a list see `image_list.survey`. Unused
      with `packed`.
    dataset_dir: the folder to write to; created if missing.
    dataset_name: the name of the data set: letters, digits, '_', '-', '.'.
    validation_share: share of images for the split validation, see
      `class_folders.assign_splits`. Unused with split folders.
    num_shards: record files of each split; None: one for every 100 MB.
    num_workers: number of images to decode at the same time; 0: one per CPU core.
    split_folders: whether folders are splits; see `folder_layout.find`.
    class_folders: which folders are classes; see `folder_layout.find`.
    storing: longest side of images, and quality of re-encoded JPEGs.
    listed: a list of images with their classes, in place of class folders.
    packed: files with images in them, in place of class folders.
    classes_of: 'imagenet' if folders are named after its classes, see
      `imagenet_folders.survey`.

  Raises:
    UserError: an argument is invalid, it is ambiguous which folders are classes, a
      class has no training image, or `dataset_dir` contains another data set.
    OSError: a folder cannot be read or written, such as on a full disk.
  """
  folder = image_dir if listed is None else None
  if packed is not None:
    folder = packed.source if os.path.isdir(packed.source) else None
  folder_conversion.check_arguments(
      folder, dataset_dir, dataset_name, validation_share, num_shards)
  folder_conversion.check_storing(storing)

  def write(folders):
    return _write(folders, dataset_dir, dataset_name, validation_share, num_shards,
                  num_workers or os.cpu_count() or 1, storing)

  if packed is not None:
    with staging.scratch(dataset_dir, catalog.DESCRIPTION_FILENAME) as scratch:
      return write(packed_source.survey(packed, scratch))
  if listed is not None:
    return write(image_list.survey(listed, image_dir))
  if classes_of is not None:
    return write(imagenet_folders.survey(image_dir))
  return write(survey(image_dir, split_folders, class_folders))


def _write(folders, dataset_dir, dataset_name, validation_share, num_shards, workers,
           storing) -> Report:
  """Checks and writes the images of a survey; see `convert`."""
  staging.remove_abandoned(dataset_dir, catalog.DESCRIPTION_FILENAME)
  folders, order_notes = _in_earlier_order(folders, dataset_dir, dataset_name)
  names = dict(enumerate(folders.classes))
  labels.label_lines(names)  # Raises UserError for unwritable names before the work.
  earlier = folder_conversion.earlier_files(dataset_dir, dataset_name, names)
  with staging.replacing(
      dataset_dir, catalog.DESCRIPTION_FILENAME, earlier) as new:
    images, refused = _check_images(folders, workers, storing)
    _check_classes(folders, images, refused)
    splits = _split(images, validation_share)
    patterns = folder_conversion.write_shards(
        splits, os.path.join(new, dataset_name), num_shards, workers,
        functools.partial(_load, folders, storing), _example)
    gray = all(image.facts.gray for image in images)
    spec = catalog.DatasetSpec(
        dataset_name, {name: len(members) for name, members in splits.items()},
        len(names), patterns, channels=1 if gray else 3,
        multi_label=folders.multi_label)
    folder_conversion.write_texts(new, names, refused, catalog.description(spec))
  changes = collections.Counter(
      image.facts.change for image in images if image.facts.change)
  return Report(
      dataset_dir, spec, _class_counts(folders.classes, splits),
      (*folders.notes, *order_notes, *_notes(folders, splits, validation_share)),
      len(images) - changes.total(), changes,
      sum(image.facts.wrong_suffix for image in images),
      sum(image.facts.several for image in images), refused, folders.ignored,
      storing.max_side, sum(image.file_bytes for image in images),
      sum(image.stored_bytes for image in images))


def _in_earlier_order(folders, dataset_dir, dataset_name):
  """Returns (folders, notes), with the labels of an earlier conversion if possible.

  Checkpoints trained on the earlier conversion use its labels.
  """
  try:
    described = catalog.read_description(dataset_dir)
    if described is None or described.name != dataset_name:
      return folders, []
    earlier = labels.read_label_file(dataset_dir)
  except (diagnostics.UserError, FileNotFoundError):
    return folders, []  # A damaged conversion is replaced.
  current = list(folders.classes)
  ordered = [earlier[label] for label in sorted(earlier)]
  if ordered == current:
    return folders, []
  if not folders.are_classes_fixed and sorted(ordered) == sorted(current) and (
      list(earlier) == list(range(len(current)))):
    new_label = [ordered.index(name) for name in current]
    sources = tuple(
        dataclasses.replace(source, label=_relabelled(source.label, new_label))
        for source in folders.sources)
    return dataclasses.replace(folders, classes=tuple(ordered), sources=sources), [
        'classes keep the labels of the earlier conversion in this folder']
  moved = [name for label, name in earlier.items()
           if name in current and current.index(name) != label]
  if not moved:
    return folders, []
  return folders, [
      'warning: the labels of these classes are not those of the earlier conversion,'
      f' and checkpoints trained on it do not fit: {some_names(moved)}']


def _relabelled(label, new_label):
  if isinstance(label, tuple):
    return tuple(sorted(new_label[one] for one in label))
  return new_label[label]


def _class_counts(classes, splits):
  """Returns (class name, {split: number of images}) by label."""
  counts = {split: collections.Counter(
      label for image in images for label in image.source.labels)
            for split, images in splits.items()}
  return tuple((name, {split: count[label] for split, count in counts.items()})
               for label, name in enumerate(classes))


def _check_images(folders: ClassFolders, workers: int, storing: image_check.Storing):
  """Returns the usable images, and (path, reason) of all others."""
  images = []
  refused = [*folders.refused,
             *((path, 'it lies in no class folder') for path in folders.outside)]
  check = functools.partial(_check_image, folders, storing)
  with warnings.catch_warnings(), Progress(
      'checking', len(folders.sources), 'images') as progress:
    # Warnings about unusual metadata and very large images are no reason to refuse one.
    warnings.simplefilter('ignore')
    with contextlib.closing(folder_conversion.ordered_map(
        check, folders.sources, workers)) as checked:
      for done, (source, result) in enumerate(
          zip(folders.sources, checked, strict=True), 1):
        if isinstance(result, _Image):
          images.append(result)
        else:
          refused.append((source.path, result))
        progress.update(done)
  return images, sorted(refused)


def _bytes_of(folders: ClassFolders, source: Source) -> bytes:
  """Returns the bytes of an image.

  Raises:
    RefusedError: it is not a regular file.
    DamagedMemberError, OSError: it cannot be read.
  """
  if folders.places is not None:
    return archives.read_slice(folders.places[source.path])
  path = os.path.join(folders.root, source.path)
  if os.path.exists(path) and not os.path.isfile(path):
    raise image_check.RefusedError('it is not a regular file')
  with open(path, 'rb') as file:
    return file.read()


def _check_image(folders: ClassFolders, storing: image_check.Storing, source: Source
                 ) -> _Image | str:
  """Returns a checked image, or the reason to refuse it."""
  try:
    data = _bytes_of(folders, source)
    if storing.max_side is None:
      stored, facts = data, image_check.examine(data, source.path, storing.upright)
    else:
      # The stored size is known only after encoding.
      stored, facts = image_check.prepare(data, source.path, storing)
  except OSError as error:
    return f'it cannot be read: {error.strerror}'
  except (image_check.RefusedError, archives.DamagedMemberError) as error:
    return str(error)
  return _Image(source, facts, folder_conversion.digest(data), len(data), len(stored))


def _check_classes(folders, images, refused):
  """Raises UserError for a class without training images or a split without images."""
  def reason(top):
    reasons = [f'{path}: {why}' for path, why in refused if path.startswith(top)]
    return f' (refused: {len(reasons)}; the first is {reasons[0]})' if reasons else ''

  trained = {label for image in images if image.source.split in (None, TRAIN)
             for label in image.source.labels}
  if folders.are_classes_fixed:
    if not images:
      raise diagnostics.UserError(
          f"'{folders.root}' has no image that can be used{reason('')}")
    return
  base = f'{folders.splits[TRAIN]}/' if folders.splits else ''
  empty = [name for label, name in enumerate(folders.classes) if label not in trained]
  if empty and folders.list_file:
    raise diagnostics.UserError(
        f"class {some_names(empty)} of '{folders.list_file}' has no training image that"
        f" can be used{reason('')}: add images, or leave the class out")
  if empty:
    path = base + empty[0]
    if os.path.isdir(os.path.join(folders.root, path)):
      problem = f'holds no image that can be used{reason(f"{path}/")}'
    else:
      others = [split for split in folders.splits if split != TRAIN]
      problem = f"is missing, but {' or '.join(others)} has such a class"
    more = f'; the same applies to {some_names(empty[1:])}' if len(empty) > 1 else ''
    raise diagnostics.UserError(
        f"class folder '{diagnostics.printable(path)}' in '{folders.root}' {problem}:"
        f' add images, or remove the folder{more}')
  filled = {image.source.split for image in images}
  for split, path in folders.splits.items():
    if split not in filled:
      raise diagnostics.UserError(
          f"split folder '{path}' in '{folders.root}' holds no image that can be"
          f' used{reason(f"{path}/")}: add images, or remove the folder')


def _split(images, validation_share):
  """Returns the images of each split in their written order."""
  by_source = {image.source: image for image in images}
  assigned = assign_splits(list(by_source), validation_share)
  return {name: [by_source[source] for source in in_fixed_order(sources)]
          for name, sources in assigned.items()}


def _example(image, data):
  """Returns the record of an image."""
  from slim_zoo.datasets import dataset_utils  # TensorFlow: not needed to check images.

  facts, source = image.facts, image.source
  return dataset_utils.image_to_tfexample(
      data, facts.format.encode(), facts.height, facts.width,
      list(source.label) if isinstance(source.label, tuple) else source.label,
      os.fsencode(source.path))


def _load(folders: ClassFolders, storing: image_check.Storing, image: _Image) -> bytes:
  """Returns the stored bytes of an image."""
  data = _bytes_of(folders, image.source)
  if folder_conversion.digest(data) != image.digest:
    path = os.path.join(folders.root, image.source.path)
    raise diagnostics.UserError(
        f"'{path}' changed while it was converted: run the same command again")
  if not image.facts.change:
    return data
  return image_check.prepare(data, image.source.path, storing)[0]


def _notes(folders, splits, validation_share):
  """Yields notes about the splits and images."""
  if folders.splits:
    shown = ', '.join(path if path == split else f'{path} ({split})'
                      for split, path in folders.splits.items())
    yield (f'splits are the folders {shown} of {folders.root}; --validation_share is'
           ' not used')
  elif any(source.split for source in folders.sources):
    pass  # A note of the list names its splits.
  elif VALIDATION in splits:
    yield 'splits are drawn by file name: an image keeps its split when others come'
  elif validation_share:
    yield 'there is no split validation: there are too few images for one'
  if folders.are_classes_fixed and TRAIN in splits:
    trained = {label for image in splits[TRAIN] for label in image.source.labels}
    empty = [name for label, name in enumerate(folders.classes) if label not in trained]
    if empty:
      yield (f'{len(empty):,} of {len(folders.classes):,} classes have no image in'
             f' {TRAIN}: {some_names(empty)}')
  train = {image.digest for image in splits.get(TRAIN, ())}
  for name, images in splits.items():
    repeated = sum(image.digest in train for image in images)
    if name != TRAIN and repeated:
      yield f'{repeated} images of {name} are, byte for byte, in {TRAIN} too'
  yield from _notes_of_contradictions(splits)
  yield from _notes_of_depths(splits)


def _notes_of_depths(splits):
  """Yields a note if 16-bit images were scaled in several ways."""
  depths = collections.Counter()
  for image in (image for images in splits.values() for image in images):
    depth = _DEPTH.search(image.facts.change or '')
    if depth:
      depths[int(depth[1] or 16)] += 1
  if len(depths) > 1:
    shown = ', '.join(
        f'{count} of {bits} bits' for bits, count in sorted(depths.items()))
    yield ('warning: images of 16 bits are scaled each by its own largest value:'
           f' {shown}; if all have the same range, the dark ones became brighter:'
           ' convert them to 8 bits')


def _notes_of_contradictions(splits):
  """Yields a note if identical files are in several classes."""
  by_digest = {}
  for images in splits.values():
    for image in images:
      by_digest.setdefault(image.digest, []).append(image.source)
  pairs = sorted(
      sorted(source.path for source in sources) for sources in by_digest.values()
      if len({source.label for source in sources}) > 1)
  if pairs:
    are = 'picture is' if len(pairs) == 1 else 'pictures are'
    shown = '; '.join(' = '.join(paths[:3]) for paths in pairs[:_MOST_PAIRS])
    more = len(pairs) - _MOST_PAIRS
    yield (f'warning: {len(pairs)} {are}, byte for byte, in two classes or more:'
           f' {shown}' + f'; and {more} more' * (more > 0))
