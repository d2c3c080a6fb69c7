"""Which images an export is compared on and calibrated with: never the same ones.

Both are spread over all images that there are. Those of a calibration are also spread
over the classes, so that a rare class has its part of the ranges.
"""

import collections
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.input import records
from slim_zoo.tf_compat import tf

_SEED = 0
# Records whose labels are read to find images of each class, or more for more images.
_CANDIDATES = 2_000


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
    spread: how the images for the calibration are spread, else ''.
  """

  compared: tuple[int, ...]
  calibration: tuple[int, ...]
  note: str = ''
  spread: str = ''


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


def spread_over_classes(files: Sequence[str], places: Places,
                        label_feature: str = 'image/class/label') -> Places:
  """Returns places with equally many images of each class for the calibration.

  That is as far as there are so many of each among the records whose labels are read:
  some at random, the same ones at every call.

  Args:
    files: record files.
    places: of all their records; the images to compare on stay.
    label_feature: the feature that holds the label.
  """
  size = len(places.calibration)
  if not size:
    return places
  random = np.random.default_rng(_SEED)
  others = sorted(set(range(count(files))) - set(places.compared))
  candidates = random.permutation(others)[:max(_CANDIDATES, 4 * size)].tolist()
  groups = collections.defaultdict(list)
  labels = dict(_labels(files, sorted(candidates), label_feature))
  for place in candidates:
    groups[labels[place]].append(place)
  if None in groups:
    return dataclasses.replace(
        places, spread=f'{size} images at random: not every record has one label')
  counts = _counts([len(groups[label]) for label in sorted(groups)], size)
  chosen = [place for label, number in zip(sorted(groups), counts, strict=True)
            for place in groups[label][:number]]
  return dataclasses.replace(places, calibration=tuple(sorted(chosen)),
                             spread=describe(counts, 'class', 'classes'))


def describe(counts: Iterable[int], group: str, groups: str) -> str:
  """Returns '100 images of 10 classes, 10 of each', given the number of each."""
  counts = [number for number in counts if number]
  if len(counts) == 1:
    return f'{counts[0]} images of one {group}'
  least, most = min(counts), max(counts)
  each = f'{least}' if least == most else f'{least} to {most}'
  return f'{sum(counts)} images of {len(counts)} {groups}, {each} of each'


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
  return [_sample(features, path, label_feature)
          for _, path, features in _features(files, places)]


def _labels(files, places, label_feature):
  """Yields (place, label) of some records; None without a label, or with several."""
  for place, _, features in _features(files, places):
    yield place, _label(features, label_feature)


def _features(files, places):
  """Yields (place, path, features) of some records, in the order of the files."""
  begin = 0
  for path in files:
    size = records.count_records([path])
    positions = sorted(
        place - begin for place in places if begin <= place < begin + size)
    for position, data in zip(
        positions, records.read_records(path, positions), strict=True):
      features: Mapping = tf.train.Example.FromString(data).features.feature
      yield begin + position, path, features
    begin += size


def _sample(features, path, label_feature):
  for name in records.ENCODED_FEATURES:
    if name in features and features[name].bytes_list.value:
      return Sample(
          features[name].bytes_list.value[0], _label(features, label_feature))
  raise diagnostics.UserError(f"the records of '{path}' hold no images")


def _label(features, label_feature):
  labels = list(features[label_feature].int64_list.value) if (
      label_feature in features) else []
  return labels[0] if len(labels) == 1 else None
