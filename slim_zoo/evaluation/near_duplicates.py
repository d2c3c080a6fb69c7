"""Images of one split that are nearly in another split, too.

Such images make an accuracy too high. The features of a network find the most similar
image of the other split; then the pixels of both are compared. Copies that were
compressed, scaled, mirrored or brightened agree; copies that were cropped rarely do.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.drawing import sheets
from slim_zoo.progress import Progress

# From this agreement of the pixels on a pair is counted.
THRESHOLD = 0.98
# Pairs whose pixels are compared: the most similar ones by their features.
MAX_COMPARED = 2000
_COMPARED_SIDE = 32
_THREADS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class NearDuplicates:
  """The most similar image of another split, for the images with the most similar ones.

  Pairs that are counted come first, and each group begins with the most similar one.

  Attributes:
    split: the name of the other split.
    num_others: the number of its images.
    num_images: how many images were compared with it.
    numbers: int64 [pairs], of the images.
    similarities: float32 [pairs], of the features, from -1 to 1.
    agreements: float64 [pairs], of the pixels, see `agreement`.
    others: int64 [pairs, 2], the record key of the most similar other image.
    other_labels: int64 [pairs].
  """

  split: str
  num_others: int
  num_images: int
  numbers: np.ndarray
  similarities: np.ndarray
  agreements: np.ndarray
  others: np.ndarray
  other_labels: np.ndarray

  @property
  def num_pairs(self) -> int:
    """The number of pairs whose pixels agree by THRESHOLD or more."""
    return int((self.agreements >= THRESHOLD).sum())

  def line(self) -> str:
    """Returns the number of pairs in one line, for a terminal."""
    return (f'{self.num_pairs} of {self.num_images} images are nearly the same as one'
            f' of the {self.num_others} images of {self.split}')

  def values(self) -> dict[str, object]:
    """Returns the numbers as plain values, for JSON: all pairs that are counted."""
    return {
        'split': self.split, 'images_of_split': self.num_others,
        'threshold': THRESHOLD, 'pairs': self.num_pairs,
        'near_duplicates': [
            {'key': number, 'similarity': similarity, 'agreement': agreement,
             'file': file, 'position': position, 'label': label}
            for number, similarity, agreement, (file, position), label in zip(
                self.numbers, self.similarities, self.agreements, self.others.tolist(),
                self.other_labels, strict=True)][:self.num_pairs]}


def agreement(first: np.ndarray, second: np.ndarray) -> float:
  """Returns the correlation of two images in gray, both scaled to 32 x 32 pixels.

  It is from -1 to 1, and of the mirrored image if that is more. Copies that were
  compressed, scaled, mirrored or brightened have 0.98 or more.

  Args:
    first: uint8 [height, width], [height, width, 1] or [height, width, 3].
    second: likewise, of any size.
  """
  if first.shape == second.shape and (first == second).all():
    return 1.0  # Also for an image of one colour.
  one, other = map(_pattern, (first, second))
  return float(max((one * other).sum(), (one[:, ::-1] * other).sum()))


def _pattern(pixels):
  """Returns float64 [32, 32] with the mean 0 and the length 1, or 0."""
  image = sheets.image_of(pixels).convert('L').resize(
      [_COMPARED_SIDE] * 2, Image.Resampling.BOX)
  values = np.asarray(image, np.float64)
  values = values - values.mean()
  length = np.linalg.norm(values)
  return values / length if length > 0 else values


class Search:
  """Finds the most similar image of another split, batch by batch.

  Features are compared by the cosine of their angle, after the mean of `features` is
  subtracted: the features of a network have a large part in common for all images.

  Args:
    features: float32 [images, features], of the images.
  """

  def __init__(self, features: np.ndarray):
    self._mean = features.mean(axis=0)
    self._directions = self._directions_of(features)
    self._similarities = np.full(len(features), -np.inf, np.float32)
    self._others = np.full([len(features), 2], -1, np.int64)
    self._other_labels = np.full(len(features), -1, np.int64)
    self._num_others = 0

  def add(self, features: np.ndarray, labels: np.ndarray, keys: np.ndarray) -> None:
    """Compares all images with a batch of the other split.

    Args:
      features: float32 [batch, features].
      labels: int64 [batch].
      keys: int64 [batch, 2], record keys.
    """
    similarities = self._directions @ self._directions_of(features).T
    best = similarities.argmax(axis=1)
    of_best = similarities[np.arange(len(best)), best]
    # Of equal ones the first stays.
    better = np.flatnonzero(of_best > self._similarities)
    self._similarities[better] = of_best[better]
    self._others[better] = np.asarray(keys)[best[better]]
    self._other_labels[better] = np.asarray(labels)[best[better]]
    self._num_others += len(features)

  @property
  def others(self) -> list[tuple[int, int]]:
    """The record keys of the most similar images, in the order of the features."""
    return [*map(tuple, self._others.tolist())]

  def found(self, numbers: np.ndarray, split: str,
            read_image: Callable[[int], np.ndarray],
            read_other: Callable[[tuple[int, int]], np.ndarray]) -> NearDuplicates:
    """Compares the pixels of the most similar pairs, and returns them.

    Args:
      numbers: int64 [images], of the images in the order of their features.
      split: the name of the other split.
      read_image: returns an image by number, as for `agreement`. A UserError makes the
        agreement -1.
      read_other: returns an image of the other split by record key.
    """
    first = np.argsort(-self._similarities, kind='stable')[:MAX_COMPARED]
    others = self.others

    def compare(row):
      try:
        return agreement(read_image(int(numbers[row])), read_other(others[row]))
      except diagnostics.UserError:  # Another decoder accepted it.
        return -1.0

    agreements = np.empty(len(first))
    with (concurrent.futures.ThreadPoolExecutor(_THREADS) as pool,
          Progress('comparing', len(first), 'pairs') as progress):
      for place, value in enumerate(pool.map(compare, first)):
        agreements[place] = value
        progress.update(place + 1)
    # Stable: within each group the order of the similarities stays.
    order = np.argsort(agreements < THRESHOLD, kind='stable')
    rows = first[order]
    return NearDuplicates(
        split, self._num_others, len(numbers), np.asarray(numbers)[rows],
        # Rounding may lift a cosine just above 1.
        np.clip(self._similarities[rows], -1, 1), agreements[order],
        self._others[rows], self._other_labels[rows])

  def _directions_of(self, features):
    centred = features - self._mean
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.maximum(lengths, np.finfo(np.float32).tiny)
