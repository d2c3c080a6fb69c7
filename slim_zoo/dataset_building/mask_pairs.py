"""Finds the images of a folder and their masks.

    scenes/images/a.jpg               scenes/train/images/a.jpg
    scenes/masks/a.png          or    scenes/train/masks/a.png
                                      scenes/test/images/b.jpg
    scenes/images/train/a.jpg         scenes/test/masks/b.png
    scenes/masks/train/a.png

An image and its mask have the same path but for the suffix. SegmentationObject of
Pascal VOC is not read: its masks number objects. Needs no TensorFlow.
"""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.dataset_building import conversion_plan
from slim_zoo.images import folder_names, folder_tree, image_check

TRAIN, VALIDATION = folder_names.TRAIN, folder_names.VALIDATION
_SPLITS = (TRAIN, VALIDATION, folder_names.TEST)
_EXPECTED = ('expected the folders images and masks, with a mask NAME.png for each'
             ' image NAME')


@dataclasses.dataclass(frozen=True)
class Pair:
  """An image and its mask.

  Attributes:
    image: path below the folder, with '/' as separator.
    mask: path of the mask.
    split: the split of its folder, or None.
  """

  image: str
  mask: str
  split: str | None


@dataclasses.dataclass(frozen=True)
class Pairs:
  """The content of a folder of images and masks.

  Attributes:
    pairs: ordered by image.
    refused: (path, reason) of images without a mask and masks without an image.
    splits: path of each split's folder of images, by split; empty without splits.
    ignored: paths of other files.
  """

  pairs: tuple[Pair, ...]
  refused: tuple[tuple[str, str], ...]
  splits: dict[str, str]
  ignored: tuple[str, ...]


def find(root: str) -> Pairs:
  """Returns the images and masks of a folder; opens none of them.

  Raises:
    UserError: there is no such folder, or it has no folders of images and masks, or
      others beside them, or beside the folders of splits.
    OSError: a folder cannot be read.
  """
  if not os.path.isdir(root):
    problem = 'is a file' if os.path.exists(root) else 'does not exist'
    raise diagnostics.UserError(f"image_dir '{root}' {problem}: {_EXPECTED}")
  top, *_ = folder_tree.read(root)
  folders = [(None, top)] if _two(top) else _split_folders(root, top)
  if not folders:
    content = _quoted([inner.name for inner in top.folders])
    if top.folders and not any(inner.may_hold_images for inner in top.folders):
      content += ' without images'
    near = _near_splits([inner for inner in top.folders if _two(inner)])
    raise diagnostics.UserError(
        f"image_dir '{diagnostics.printable(root)}' holds {content or 'no folders'}"
        f'{near}: {_EXPECTED}; or these in folders such as train and validation')
  pairs, refused, splits, used = [], [], {}, set()
  for split, folder in folders:
    images, masks = _two(folder)
    inner = {} if split else _inner_splits(root, images)
    found, unpaired = _pair(images, masks, split, inner, splits)
    pairs += found
    refused += unpaired
    used |= {path for one in (images, masks) for inner in one.below()
             for path in inner.files}
  suffixes = [path for path in sorted(used) if not image_check.has_image_suffix(path)]
  if splits and TRAIN not in splits:
    raise diagnostics.UserError(
        f"image_dir '{diagnostics.printable(root)}' has the splits"
        f" {', '.join(splits)}, but none to train on: add a folder train")
  return Pairs(tuple(sorted(pairs, key=lambda pair: pair.image)),
               tuple(sorted(refused)), splits, tuple(suffixes))


def _two(folder):
  """Returns the folder of images and that of masks; None if they are not there."""
  inner = {one.name: one for one in folder.folders
           if one.may_hold_images and not folder_names.is_of_instances(one.name)}
  images, masks, others = folder_names.by_use(inner)
  if not (images and masks):
    return None
  unclear = others or images[1:] or masks[1:]
  if unclear:
    raise diagnostics.UserError(
        f"the folders '{inner[images[0]].path}' and '{inner[masks[0]].path}' have"
        f" others beside them: move {_quoted(unclear)} away")
  return inner[images[0]], inner[masks[0]]


def _split_folders(root, top):
  """Returns (name of the split, folder) of the folders with images and masks."""
  folders = [inner for inner in top.folders if _two(inner)]
  kinds = [folder_names.split_of(inner.name) for inner in folders]
  if not any(kinds):
    return []
  _check_all_splits(root, folders, kinds)
  return [(folder_names.name_of_split(inner.name, kind[0]), inner)
          for inner, kind in zip(folders, kinds, strict=True)]


def _check_all_splits(root, folders, kinds):
  """Raises UserError for a folder that is not a split, beside folders of splits."""
  if all(kinds):
    return
  other = folders[kinds.index(None)]
  split = next(folder for folder, kind in zip(folders, kinds, strict=True) if kind)
  near = _near_splits([other])
  raise diagnostics.UserError(
      f"image_dir '{diagnostics.printable(root)}': the folder"
      f" '{diagnostics.printable(other.path)}' beside '{split.path}' is not a"
      f" split{near} (known: {', '.join(_SPLITS)}): rename it, or move it away")


def _near_splits(folders):
  """Returns "; did you mean 'train' and 'test'?", or '' if a folder is like no split.
  """
  near = [folder_names.near_split(folder.name) for folder in folders]
  if not near or None in near:
    return ''
  return f"; did you mean {' and '.join(map(repr, dict.fromkeys(near)))}?"


def _quoted(names):
  return diagnostics.some([f"'{diagnostics.printable(name)}'" for name in names], 4)


def _pair(images, masks, split, inner, splits):
  """Returns the pairs of two folders and (path, reason) of the other files.

  Adds `split`, or the splits of inner folders, to `splits`.
  """
  by_stem = {}
  for path in _images_below(masks):
    by_stem.setdefault(_stem(path, masks), []).append(path)
  pairs, refused, taken = [], [], {}
  for path in _images_below(images):
    stem = _stem(path, images)
    expected = f'{masks.path}/{stem}.png'
    if stem in taken:
      refused.append((path, f'{taken[stem]} has the same mask'))
    elif stem not in by_stem:
      refused.append((path, f'it has no mask: expected {expected}'))
    else:
      first = stem.split('/')[0]
      own = split or inner.get(first)
      if inner and own is None:
        refused.append((path, 'it lies in no folder of a split'))
      else:
        pairs.append(Pair(path, min(by_stem[stem]), own))
        if own:
          splits.setdefault(own, images.path + (f'/{first}' if inner else ''))
    taken.setdefault(stem, path)
  for stem, paths in by_stem.items():
    for path in sorted(paths)[stem in taken:]:
      reason = ('another mask is used' if stem in taken else 'it has no image')
      refused.append((path, reason))
  return pairs, refused


def _images_below(folder):
  return sorted(path for inner in folder.below() for path in inner.images)


def _stem(path, folder):
  return os.path.splitext(path[len(folder.path) + 1:])[0]


def _inner_splits(root, images):
  """Returns the split of each inner folder by its name; {} if they are not splits."""
  folders = [inner for inner in images.folders if inner.may_hold_images]
  kinds = [kind if kind and not kind[1] else None for kind in (
      folder_names.split_of(inner.name) for inner in folders)]
  if not any(kinds):
    _check_none_is_misspelt(root, folders)
    return {}
  _check_all_splits(root, folders, kinds)
  return {inner.name: folder_names.name_of_split(inner.name, kind[0])
          for inner, kind in zip(folders, kinds, strict=True)}


def _check_none_is_misspelt(root, folders):
  """Raises UserError if the names of all folders are nearly those of splits.

  Without this, their images would be divided anew.
  """
  near = {folder_names.near_split(folder.name) for folder in folders}
  if len(folders) > 1 and len(near) == len(folders) and TRAIN in near and (
      None not in near):
    raise diagnostics.UserError(
        f"image_dir '{diagnostics.printable(root)}': the folders"
        f' {_quoted([folder.path for folder in folders])} are not splits'
        f"{_near_splits(folders)} (known: {', '.join(_SPLITS)}): rename them")


def assign_splits(pairs: list, validation_share: float) -> dict[str, list]:
  """Returns objects with an attribute `pair` by split, in a fixed mixed order.

  Folders of splits decide. Without them, a hash of the path does, so an image keeps its
  split when others come; one image stays to train on.

  Args:
    pairs: the usable images.
    validation_share: approximate share for validation.
  """
  splits = {TRAIN: []}
  for item in pairs:
    share = conversion_plan.fraction('split', item.pair.image)
    split = item.pair.split or (VALIDATION if share < validation_share else TRAIN)
    splits.setdefault(split, []).append(item)
  if not splits[TRAIN] and splits.get(VALIDATION):
    splits[TRAIN].append(splits[VALIDATION].pop())
  return {
      name: conversion_plan.in_fixed_order(members, lambda item: item.pair.image)
      for name, members in splits.items() if members}
