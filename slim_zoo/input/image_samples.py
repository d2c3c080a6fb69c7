"""Which images an export is compared on and calibrated with: never the same ones.

Both are spread over all images that there are, so that every class has its part.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.input import records
from slim_zoo.tf_compat import tf

_SEED = 0


@dataclasses.dataclass(frozen=True)
class Sample:
  """An image and its class.

  Attributes:
    data: a JPEG or PNG file.
    label: the label in its record; None where it has none, or several.
  """

  data: bytes
  label: int | None = None


@dataclasses.dataclass(frozen=True)
class Places:
  """Images that were chosen, by their numbers.

  Attributes:
    compared: of those to compare an export on.
    calibration: of those to calibrate with; none of them is in `compared`.
    note: one line where there are fewer than was asked for, else ''.
  """

  compared: tuple[int, ...]
  calibration: tuple[int, ...]
  note: str = ''


def choose(group_sizes: Sequence[int], num_compared: int,
           num_calibration: int = 0) -> Places:
  """Chooses images at random, the same ones at every call.

  Args:
    group_sizes: how many images each group has, such as the folder of a class. They
      are numbered group after group. Each group gives as many as the others do, if it
      has them.
    num_compared: how many to compare on.
    num_calibration: how many to calibrate with. Where there are too few images, both
      numbers become smaller by the same factor.

  Raises:
    UserError: there are not enough for one of each.
  """
  total, num_chosen = sum(group_sizes), num_compared + num_calibration
  if total < (num_compared > 0) + (num_calibration > 0):
    raise diagnostics.UserError(
        f'{total} images are too few: one to compare the export on and another one to'
        ' calibrate with are the least')
  share = num_compared / num_chosen
  random = np.random.default_rng(_SEED)
  chosen = []
  counts, begin = _counts(group_sizes, min(num_chosen, total)), 0
  for size, count in zip(group_sizes, counts, strict=True):
    chosen += (begin + random.permutation(size)[:count]).tolist()
    begin += size
  compared = round(len(chosen) * share)
  compared = max(compared, num_compared > 0)
  compared = min(compared, len(chosen) - (num_calibration > 0))
  # Group after group, each gives its share to either: `begins` counts them.
  begins = [(number * compared + len(chosen) // 2) // len(chosen)
            for number in range(len(chosen) + 1)]
  parts = [[], []]
  for number, place in enumerate(chosen):
    parts[begins[number + 1] == begins[number]].append(place)
  note = '' if len(chosen) == num_chosen else (
      f'{total} images are fewer than the {num_chosen} asked for:'
      f' {len(parts[0])} compare the export'
      + (f' and {len(parts[1])} others calibrate it' if num_calibration else ''))
  return Places(tuple(sorted(parts[0])), tuple(sorted(parts[1])), note)


def _counts(group_sizes, total):
  """Returns how many each group gives: equal numbers, as far as they have them."""
  counts = [0] * len(group_sizes)
  while missing := total - sum(counts):
    open_groups = [number for number, size in enumerate(group_sizes)
                   if counts[number] < size]
    each = max(1, missing // len(open_groups))
    giving = min(missing, len(open_groups))
    for index in range(giving):
      number = open_groups[index * len(open_groups) // giving]
      counts[number] = min(group_sizes[number], counts[number] + each)
  return counts


def by_folder(paths: Sequence[str]) -> list[list[str]]:
  """Returns the paths of each folder, folders and paths in the order given."""
  folders: dict[str, list[str]] = {}
  for path in paths:
    folders.setdefault(os.path.dirname(path), []).append(path)
  return list(folders.values())


def count(files: Sequence[str]) -> int:
  """Returns how many records there are.

  Raises:
    UserError: a file is damaged, or there are none.
  """
  total = records.count_records(files)
  if not total:
    raise diagnostics.UserError(f"there are no records in '{files[0]}'")
  return total


def from_records(files: Sequence[str], places: Sequence[int],
                 label_feature: str = 'image/class/label') -> list[Sample]:
  """Returns the images of some records.

  Args:
    files: record files.
    places: numbers of records, counted through all files.
    label_feature: the feature that holds the label.

  Raises:
    UserError: a file is damaged, or its records hold no images.
  """
  samples, begin = [], 0
  for path in files:
    size = records.count_records([path])
    positions = [place - begin for place in places if begin <= place < begin + size]
    samples += [_sample(data, path, label_feature)
              for data in records.read_records(path, positions)]
    begin += size
  return samples


def _sample(data, path, label_feature):
  features: Mapping = tf.train.Example.FromString(data).features.feature
  for name in records.ENCODED_FEATURES:
    if name in features and features[name].bytes_list.value:
      labels = list(features[label_feature].int64_list.value) if (
          label_feature in features) else []
      return Sample(features[name].bytes_list.value[0],
                    labels[0] if len(labels) == 1 else None)
  raise diagnostics.UserError(f"the records of '{path}' hold no images")
