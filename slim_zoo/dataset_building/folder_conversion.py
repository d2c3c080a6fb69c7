"""Steps that conversions of folders have in common: arguments, files, threads."""

import collections
import concurrent.futures
import contextlib
import glob
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.dataset_building.conversion_report import REFUSED_FILENAME, refusal_lines
from slim_zoo.datasets import labels
from slim_zoo.images import image_check
from slim_zoo.progress import Progress

_SMALLEST_MAX_SIDE = 32
_SHARD_BYTES = 100 << 20
# Images in progress for each worker, so that no worker waits for a slow one.
_WINDOW = 8


def check_arguments(image_dir: str | None, dataset_dir: str, dataset_name: str,
                    validation_share: float, num_shards: int | None) -> None:
  """Raises UserError for invalid arguments; image_dir is None for a list."""
  if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_.-]*', dataset_name):
    raise diagnostics.UserError(
        f"dataset_name '{dataset_name}' becomes part of file names: use letters,"
        " digits, '_', '-' and '.', and begin with a letter or digit")
  if not 0 <= validation_share < 1:
    raise diagnostics.UserError(
        f'validation_share {validation_share} is not a part of the images: expected'
        ' a number from 0 to below 1, such as 0.1')
  if num_shards is not None and not 1 <= num_shards <= 99999:
    raise diagnostics.UserError(
        f'num_shards {num_shards} is not a number of files: expected 1 to 99999')
  if os.path.isfile(dataset_dir):
    raise diagnostics.UserError(
        f"dataset_dir '{dataset_dir}' is a file: name the folder to write to")
  if image_dir is None:
    return
  source = os.path.realpath(image_dir)
  if os.path.commonpath([source, os.path.realpath(dataset_dir)]) == source:
    raise diagnostics.UserError(
        f"dataset_dir '{dataset_dir}' lies in image_dir '{image_dir}', where it"
        ' would be read as a part of the images: name a folder outside of it')


def check_storing(storing: image_check.Storing) -> None:
  """Raises UserError for an invalid size or quality."""
  if storing.max_side is not None and storing.max_side < _SMALLEST_MAX_SIDE:
    raise diagnostics.UserError(
        f'max_side {storing.max_side} is too small for the longest side of an image:'
        f' expected {_SMALLEST_MAX_SIDE} pixels or more, such as 640')
  if not 1 <= storing.jpeg_quality <= 100:
    raise diagnostics.UserError(
        f'jpeg_quality {storing.jpeg_quality} is not a quality of JPEG: expected 1 to'
        ' 100')


def earlier_files(dataset_dir: str, dataset_name: str, names: dict[int, str]
                  ) -> list[str]:
  """Returns the names of an earlier conversion's files, which are replaced.

  Raises:
    UserError: the folder holds another data set.
  """
  try:
    described = catalog.read_description(dataset_dir)
  except diagnostics.UserError:
    return [REFUSED_FILENAME]  # A new description replaces a damaged one.
  if described is None:
    labels.check_not_others(dataset_dir, names)
    return []
  if described.name != dataset_name:
    raise diagnostics.UserError(
        f"'{dataset_dir}' holds the data set '{described.name}': name an empty or"
        f' new folder for {dataset_name}')
  return [REFUSED_FILENAME, *(
      os.path.basename(path) for split in described.splits
      for path in glob.glob(
          os.path.join(glob.escape(dataset_dir), described.pattern(split))))]


def write_texts(folder: str, names: dict[int, str],
                refused: Sequence[tuple[str, str]], description: str) -> None:
  """Writes labels.txt, refused.txt if a file was refused, and last dataset.json.

  Args:
    folder: of the records.
    names: of the classes, by label.
    refused: (path, reason) of each refused file.
    description: of the data set, see `catalog.datasets.description`.
  """
  labels.write_label_file(names, folder)
  if refused:
    _write_text(folder, REFUSED_FILENAME, '\n'.join([*refusal_lines(refused), '']))
  _write_text(folder, catalog.DESCRIPTION_FILENAME, description)


def _write_text(folder, name, text):
  with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
    file.write(text)


def write_shards(splits: Mapping[str, Sequence], base: str, num_shards: int | None,
                 workers: int, load: Callable, example_of: Callable[[Any, Any], Any]
                 ) -> dict[str, str]:
  """Writes the records of all splits; returns the file pattern of each split.

  Args:
    splits: the images of each split in their written order, with `stored_bytes`.
    base: the begin of the path of each file.
    num_shards: files of each split, fewer if it has fewer images; None: one for each
      100 MB.
    workers: threads that load images.
    load: returns the stored bytes of an image, in any structure; called in threads.
    example_of: returns the record of an image and its stored bytes.
  """
  from slim_zoo.datasets import dataset_utils  # TensorFlow: not needed to check images.

  patterns, done = {}, 0
  with Progress('writing', sum(map(len, splits.values())), 'images') as progress:

    def examples(images, loaded):
      nonlocal done
      for image, stored in zip(images, loaded, strict=False):
        yield example_of(image, stored)
        done += 1
        progress.update(done)

    for split, images in splits.items():
      size = sum(image.stored_bytes for image in images)
      shards = min(num_shards or math.ceil(size / _SHARD_BYTES), len(images))
      with contextlib.closing(ordered_map(load, images, workers)) as loaded:
        for shard in range(shards):
          first, end = (len(images) * part // shards for part in (shard, shard + 1))
          dataset_utils.write_records(
              f'{base}_{split}_{shard:05d}-of-{shards:05d}.tfrecord',
              examples(images[first:end], loaded))
      patterns[split] = (
          f'{os.path.basename(base)}_{split}_?????-of-{shards:05d}.tfrecord')
  return patterns


def ordered_map(function: Callable, items: Iterable, workers: int) -> Iterator:
  """Maps items in threads, in order, with few items in progress.

  Threads are enough, because Pillow releases the GIL while it decodes. Close the
  generator, for example with `contextlib.closing`: a signal that arrives while the
  garbage collector closes it would be lost.
  """
  if workers == 1:
    yield from map(function, items)
    return
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    under_way = collections.deque()
    try:
      for item in items:
        under_way.append(pool.submit(function, item))
        if len(under_way) > workers * _WINDOW:
          yield under_way.popleft().result()
      while under_way:
        yield under_way.popleft().result()
    finally:
      pool.shutdown(cancel_futures=True)


def digest(data: bytes) -> bytes:
  """Returns a short hash of the content of a file."""
  return hashlib.blake2b(data, digest_size=12).digest()
