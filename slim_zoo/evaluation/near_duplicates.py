"""Finds images of one split that are nearly the same as an image of another split.

If a network was trained on the other split, such images make its accuracy too high. The
features of a network find the most similar image of the other split. Then the pixels of
both images are compared. Compressed, scaled, mirrored and brightened copies agree;
cropped copies rarely agree.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.drawing import sheets
from slim_zoo.progress import Progress

# A pair is counted if the agreement of its pixels is at least this.
THRESHOLD = 0.98
# The number of pairs whose pixels are compared: those with the most similar features.
MAX_COMPARED = 2000
_COMPARED_SIDE = 32
_THREADS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class NearDuplicates:
  """Pairs of an image and the most similar image of another split.

  The pairs that are counted come first. Counted pairs and other pairs are each in the
  order of the similarity, the largest first.

  Attributes:
    split: name of the other split.
    num_others: number of images of the other split.
    num_images: number of images that were compared with the other split.
    numbers: int64 [pairs], numbers of the images.
    similarities: float32 [pairs], cosine similarity of the features, from -1 to 1.
    agreements: float64 [pairs], agreement of the pixels, see `agreement`.
    others: int64 [pairs, 2], record keys of the images of the other split.
    other_labels: int64 [pairs], labels of the images of the other split.
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
    """Returns the numbers as plain values, for JSON, with all counted pairs."""
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
  """Returns the correlation of two images as 32 x 32 gray pixels, from -1 to 1.

  If the mirrored first image gives a larger correlation, that is returned. Compressed,
  scaled, mirrored and brightened copies have 0.98 or more.

  Args:
    first: uint8 [height, width], [height, width, 1] or [height, width, 3].
    second: likewise, of any size.
  """
  if first.shape == second.shape and (first == second).all():
    return 1.0  # Also for an image of one colour.
  one, other = map(_pattern, (first, second))
  return float(max((one * other).sum(), (one[:, ::-1] * other).sum()))


def _pattern(pixels):
  """Returns float64 [32, 32] with mean 0 and norm 1; norm 0 if all pixels are equal."""
  image = sheets.image_of(pixels).convert('L').resize(
      [_COMPARED_SIDE] * 2, Image.Resampling.BOX)
  values = np.asarray(image, np.float64)
  values = values - values.mean()
  length = np.linalg.norm(values)
  return values / length if length > 0 else values


class Search:
  """Finds the most similar image of another split, batch by batch.

  The similarity is the cosine similarity after the mean of `features` is subtracted,
  because the features of all images have a large common part.

  Args:
    features: float32 [images, features], features of the images.
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
    # If two are equally similar, the first one is kept.
    better = np.flatnonzero(of_best > self._similarities)
    self._similarities[better] = of_best[better]
    self._others[better] = np.asarray(keys)[best[better]]
    self._other_labels[better] = np.asarray(labels)[best[better]]
    self._num_others += len(features)

  @property
  def others(self) -> list[tuple[int, int]]:
    """The record keys of the most similar images, in the order of the features."""
    return [*map(tuple, self._others.tolist())]

  def compare_pixels(
      self, numbers: np.ndarray, split: str, read_image: Callable[[int], np.ndarray],
      read_other: Callable[[tuple[int, int]], np.ndarray]) -> NearDuplicates:
    """Compares the pixels of the most similar pairs; returns these pairs.

    Args:
      numbers: int64 [images], numbers of the images in the order of their features.
      split: name of the other split.
      read_image: returns an image by number, see `agreement`. After a UserError the
        agreement is -1.
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
    # A stable sort keeps the order of the similarities.
    order = np.argsort(agreements < THRESHOLD, kind='stable')
    rows = first[order]
    return NearDuplicates(
        split, self._num_others, len(numbers), np.asarray(numbers)[rows],
        # Rounding may give a cosine just above 1.
        np.clip(self._similarities[rows], -1, 1), agreements[order],
        self._others[rows], self._other_labels[rows])

  def _directions_of(self, features):
    centred = features - self._mean
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.maximum(lengths, np.finfo(np.float32).tiny)
