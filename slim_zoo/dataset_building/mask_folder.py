"""Converts a folder of images and masks into TFRecords for segmentation.

Each image and its mask are first decoded to check them. Then all are written in a fixed
order: the same files give the same bytes with any number of workers. The files appear
together at the end, and earlier files stay until then.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import warnings

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.dataset_building import folder_conversion, mask_pairs
from slim_zoo.dataset_building.conversion_report import (
  Report,
)
from slim_zoo.datasets import labels
from slim_zoo.files import staging
from slim_zoo.images import image_check, mask_files
from slim_zoo.progress import Progress

_MOST_SHARES = 20


@dataclasses.dataclass(frozen=True)
class _Checked:
  """A usable image with its mask.

  Attributes:
    pair: their paths and their split.
    facts: properties of the image.
    digest: digest of both files, to notice later changes.
    file_bytes: size of both files.
    stored_bytes: size of both in the records, about.
    pixels: int64 [256], the pixels of each value of the mask.
  """

  pair: mask_pairs.Pair
  facts: image_check.ImageFacts
  digest: bytes
  file_bytes: int
  stored_bytes: int
  pixels: np.ndarray


def convert(image_dir: str, dataset_dir: str, dataset_name: str,
            validation_share: float = 0.1, num_shards: int | None = None,
            num_workers: int = 0, class_names: list[str] | None = None,
            storing: image_check.Storing = image_check.Storing()) -> Report:
  """Writes the images and masks of a folder as TFRecords.

  Writes the records NAME_SPLIT_00000-of-00005.tfrecord, labels.txt, refused.txt (only
  if a file was refused) and last dataset.json. Replaces an earlier conversion of the
  same name. A record has the mask as a PNG of class numbers.

  Args:
    image_dir: see `mask_pairs`.
    dataset_dir: the folder to write to; created if missing.
    dataset_name: the name of the data set: letters, digits, '_', '-', '.'.
    validation_share: share of images for the split validation. Unused with folders of
      splits.
    num_shards: record files of each split; None: one for every 100 MB.
    num_workers: number of images to decode at the same time; 0: one per CPU core.
    class_names: by class number; None: 'class 0' and so on, up to the largest value.
    storing: longest side of images, and quality of re-encoded JPEGs. Masks are scaled
      with their images, to the nearest pixel.

  Raises:
    UserError: an argument is invalid, there is no image to train on, the masks have no
      two classes, or `dataset_dir` contains another data set.
    OSError: a folder cannot be read or written, such as on a full disk.
  """
  folder_conversion.check_arguments(
      image_dir, dataset_dir, dataset_name, validation_share, num_shards)
  folder_conversion.check_storing(storing)
  found = mask_pairs.find(image_dir)
  workers = num_workers or os.cpu_count() or 1
  images, refused = _check_pairs(image_dir, found, workers, storing, class_names)
  names = class_names or _numbered(images)
  splits = mask_pairs.assign_splits(images, validation_share)
  _check_splits(image_dir, found, splits, refused)
  names = dict(enumerate(names))
  labels.label_lines(names)  # Raises UserError for unwritable names before the work.
  earlier = folder_conversion.earlier_files(dataset_dir, dataset_name, names)
  with staging.replacing(dataset_dir, catalog.DESCRIPTION_FILENAME, earlier) as new:
    patterns = folder_conversion.write_shards(
        splits, os.path.join(new, dataset_name), num_shards, workers,
        functools.partial(_load, image_dir, storing), _example)
    sizes = {(image.facts.height, image.facts.width) for image in images}
    spec = catalog.DatasetSpec(
        dataset_name, {name: len(members) for name, members in splits.items()},
        len(names), patterns, masks=True,
        channels=1 if all(image.facts.gray for image in images) else 3,
        image_size=sizes.pop() if len(sizes) == 1 else None)
    folder_conversion.write_texts(new, names, refused, catalog.description(spec))
  return _report(dataset_dir, spec, names, splits, refused, found, storing,
                 validation_share)


def _check_pairs(root, found, workers, storing, class_names):
  """Returns the usable images with their masks, and (path, reason) of all others."""
  images, refused = [], list(found.refused)
  check = functools.partial(
      _check_pair, root, storing, class_names and len(class_names))
  with warnings.catch_warnings(), Progress(
      'checking', len(found.pairs), 'images') as progress:
    # Warnings about unusual metadata and very large images are no reason to refuse one.
    warnings.simplefilter('ignore')
    with contextlib.closing(folder_conversion.ordered_map(
        check, found.pairs, workers)) as checked:
      for done, result in enumerate(checked, 1):
        (images if isinstance(result, _Checked) else refused).append(result)
        progress.update(done)
  return images, sorted(refused)


def _check_pair(root, storing, num_classes, pair):
  """Returns a checked image and mask, or (path, the reason to refuse it)."""
  path = pair.image
  try:
    data = _read(root, path)
    facts = image_check.examine(data, path)
    stored, stored_facts = (
        (data, facts) if storing.max_side is None else
        image_check.prepare(data, path, storing))
    path = pair.mask
    mask_data = _read(root, path)
    mask = mask_files.decode(mask_data)
    if mask.shape != (facts.height, facts.width):
      raise image_check.RefusedError(
          f'it has {mask.shape[1]} x {mask.shape[0]} pixels, its image {pair.image}'
          f' {facts.width} x {facts.height}')
    pixels = np.bincount(mask.ravel(), minlength=256)
    _check_values(pixels, num_classes)
  except OSError as error:
    return path, f'it cannot be read: {error.strerror}'
  except image_check.RefusedError as error:
    return path, str(error)
  return _Checked(
      pair, stored_facts, folder_conversion.digest(data + mask_data),
      len(data) + len(mask_data), len(stored) + len(mask_data), pixels)


def _read(root, path):
  path = os.path.join(root, path)
  if os.path.exists(path) and not os.path.isfile(path):
    raise image_check.RefusedError('it is not a regular file')
  with open(path, 'rb') as file:
    return file.read()


def _check_values(pixels, num_classes):
  """Raises RefusedError for a value that is not a class."""
  wrong = np.flatnonzero(pixels[num_classes:catalog.IGNORED]) if num_classes else ()
  if len(wrong):
    value = int(wrong[0]) + num_classes
    unit = 'pixel' if pixels[value] == 1 else 'pixels'
    raise image_check.RefusedError(
        f'it has the value {value} at {pixels[value]:,} {unit}: the classes are 0 to'
        f' {num_classes - 1}, and {catalog.IGNORED} is for pixels without a class')


def _numbered(images):
  """Returns names for as many classes as the masks have."""
  pixels = sum((image.pixels for image in images), np.zeros(256, np.int64))
  largest = int(np.flatnonzero(pixels[:catalog.IGNORED]).max(initial=-1))
  if images and largest < 1:
    raise diagnostics.UserError(
        f'the masks have only the values {", ".join(map(str, np.flatnonzero(pixels)))}'
        f': expected the numbers of two or more classes, from 0; {catalog.IGNORED} is'
        f' for pixels without a class: if {catalog.IGNORED} is a class, renumber it')
  return [f'class {number}' for number in range(largest + 1)]


def _check_splits(root, found, splits, refused):
  """Raises UserError for a split without a usable image."""
  for split in found.splits or (mask_pairs.TRAIN,):
    if split not in splits:
      reason = f' (refused: {len(refused)}; the first is {refused[0][0]}:' \
               f' {refused[0][1]})' if refused else ''
      of_split, advice = (f' for the split {split}', ', or remove its folder') if (
          found.splits) else ('', '')
      raise diagnostics.UserError(
          f"'{diagnostics.printable(root)}' holds no image with a mask{of_split}"
          f'{reason}: add some{advice}')


def _example(image, stored):
  """Returns the record of an image and its mask."""
  from slim_zoo.datasets import dataset_utils  # TensorFlow: not needed to check images.

  (data, mask), facts = stored, image.facts
  return dataset_utils.mask_to_tfexample(
      data, facts.format.encode(), facts.height, facts.width, mask,
      os.fsencode(image.pair.image))


def _load(root, storing, image) -> tuple[bytes, bytes]:
  """Returns the stored bytes of an image and of its mask."""
  data, mask_data = (_read(root, path) for path in (image.pair.image, image.pair.mask))
  if folder_conversion.digest(data + mask_data) != image.digest:
    raise diagnostics.UserError(
        f"'{os.path.join(root, image.pair.image)}' or its mask changed while it was"
        ' converted: run the same command again')
  if image.facts.change:
    data = image_check.prepare(data, image.pair.image, storing)[0]
  mask, facts = mask_files.decode(mask_data), image.facts
  if mask.shape != (facts.height, facts.width):
    mask = np.asarray(Image.fromarray(mask).resize(
        (facts.width, facts.height), Image.Resampling.NEAREST))
  return data, mask_files.encode(mask)


def _report(dataset_dir, spec, names, splits, refused, found, storing,
            validation_share):
  """Returns the report of a conversion."""
  images = [image for members in splits.values() for image in members]
  changes = collections.Counter(
      image.facts.change for image in images if image.facts.change)
  counts = tuple((name, {split: sum(bool(image.pixels[label]) for image in members)
                         for split, members in splits.items()})
                 for label, name in names.items())
  return Report(
      dataset_dir, spec, counts,
      tuple(_notes(names, splits, images, found, validation_share)),
      len(images) - changes.total(), changes,
      sum(image.facts.wrong_suffix for image in images),
      sum(image.facts.several for image in images), refused, found.ignored,
      storing.max_side, sum(image.file_bytes for image in images),
      sum(image.stored_bytes for image in images))


def _notes(names, splits, images, found, validation_share):
  """Yields notes about the splits and the pixels."""
  pixels = sum(image.pixels for image in images)
  counted = max(1, pixels[:catalog.IGNORED].sum())
  shares = [f'{name} {pixels[label] / counted:.1%}' for label, name in names.items()]
  ignored = pixels[catalog.IGNORED] / max(1, pixels.sum())
  yield ('the table counts images that contain the class. Share of pixels: '
         + diagnostics.some(shares, _MOST_SHARES)
         + f'; without a class: {ignored:.1%}')
  absent = [name for label, name in names.items() if not pixels[label]]
  if absent:
    yield f'warning: no mask has the class {diagnostics.some(absent, 5)}'
  if found.splits:
    folders = ', '.join(f'{path} ({split})' for split, path in found.splits.items())
    yield f'splits are the folders {folders}; --validation_share is not used'
  elif mask_pairs.VALIDATION in splits:
    yield 'splits are drawn by file name: an image keeps its split when others come'
  elif validation_share:
    yield 'there is no split validation: there are too few images for one'
