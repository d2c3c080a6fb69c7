"""Exact numbers of segmentation: every pixel that has a class counts once.

All numbers but the cross entropy come from one confusion matrix of whole numbers, so
they do not depend on batches, and those of parts of a split add up. The cross entropy
is a sum of floats: its last digits depend on the order.
"""

import dataclasses
import io
from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import IGNORED
from slim_zoo.evaluation.predictions import NotFiniteError


def confusion_matrix(masks: np.ndarray, predictions: np.ndarray, num_classes: int
                     ) -> np.ndarray:
  """Returns how many pixels of each class are predicted as each class.

  Args:
    masks: integers [...], the true classes; pixels of the value 255 are left out.
    predictions: integers [...] of the same shape, the predicted classes.
    num_classes: how many classes there are.

  Returns:
    int64 [classes, classes]: rows are true classes, columns predicted ones.

  Raises:
    ValueError: the shapes differ, or a value is not a class.
  """
  if masks.shape != predictions.shape:
    raise ValueError(f'masks {masks.shape}, predictions {predictions.shape}')
  has_class = masks != IGNORED
  true = masks[has_class].astype(np.int64)
  predicted = predictions[has_class].astype(np.int64)
  for values in (true, predicted):
    if values.size and not 0 <= values.min() <= values.max() < num_classes:
      raise ValueError(f'a value is none of the {num_classes} classes')
  return np.bincount(true * num_classes + predicted, minlength=num_classes**2).reshape(
      num_classes, num_classes)


def intersection_over_union(confusion: np.ndarray) -> np.ndarray:
  """Returns the IoU of each class; NaN for a class in neither mask nor prediction.

  Args:
    confusion: int64 [classes, classes], see `confusion_matrix`.
  """
  right = np.diagonal(confusion)
  union = confusion.sum(0) + confusion.sum(1) - right
  return _share(right, union)


def _share(part, whole):
  """Returns part / whole as float64; NaN where the whole is 0."""
  return np.divide(part, whole, where=whole > 0, out=np.full(np.shape(part), np.nan))


@dataclasses.dataclass(frozen=True)
class ImageRow:
  """The numbers of one image.

  Attributes:
    key: index of its record file, and its position there.
    pixels: how many pixels have a class.
    correct: how many of them are right.
    mean_iou: over the classes in its mask or its prediction; NaN without any.
  """

  key: tuple[int, int]
  pixels: int
  correct: int
  mean_iou: float


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
  """What is counted over a split, or over a part of it.

  Attributes:
    confusion: int64 [classes, classes], see `confusion_matrix`.
    rows: of each image, in any order.
    unreadable: keys of records that cannot be decoded. Their pixels are not counted.
    cross_entropy_sum: over all pixels that have a class.
  """

  confusion: np.ndarray
  rows: tuple[ImageRow, ...] = ()
  unreadable: tuple[tuple[int, int], ...] = ()
  cross_entropy_sum: float = 0.0

  def to_bytes(self) -> bytes:
    """Returns the counts as bytes, for `of_bytes` in another process."""
    with io.BytesIO() as file:
      np.savez(
          file, confusion=self.confusion,
          integers=np.array([[*row.key, row.pixels, row.correct] for row in self.rows],
                            np.int64).reshape(-1, 4),
          mean_ious=np.array([row.mean_iou for row in self.rows], np.float64),
          unreadable=np.array(self.unreadable, np.int64).reshape(-1, 2),
          cross_entropy_sum=np.float64(self.cross_entropy_sum))
      return file.getvalue()

  @classmethod
  def of_bytes(cls, content: bytes) -> 'Counts':
    """Returns the counts that `to_bytes` has written."""
    arrays = dict(np.load(io.BytesIO(content)))
    rows = tuple(
        ImageRow((int(file), int(position)), int(pixels), int(correct), float(iou))
        for (file, position, pixels, correct), iou in zip(
            arrays['integers'].tolist(), arrays['mean_ious'], strict=True))
    return cls(
        arrays['confusion'], rows, tuple(map(tuple, arrays['unreadable'].tolist())),
        float(arrays['cross_entropy_sum']))


def add_up(parts: Sequence[Counts], num_images: int | None = None) -> Counts:
  """Returns the counts of all parts together, the images in the order of the records.

  Args:
    parts: of different images, at least one.
    num_images: of the split; None: not checked.

  Raises:
    UserError: an image is missing, or was counted twice.
  """
  rows = sorted((row for part in parts for row in part.rows), key=lambda row: row.key)
  unreadable = sorted(key for part in parts for key in part.unreadable)
  keys = {*(row.key for row in rows), *unreadable}
  total = len(rows) + len(unreadable)
  if len(keys) != total or num_images not in (None, total):
    raise diagnostics.UserError(
        f'{len(keys)} of {num_images or total} images were evaluated: give all'
        ' processes the same records')
  return Counts(
      sum(part.confusion for part in parts), tuple(rows), tuple(unreadable),
      sum(part.cross_entropy_sum for part in parts))


class Counter:
  """Counts batch by batch.

  Args:
    num_classes: how many classes there are.
  """

  def __init__(self, num_classes: int):
    self._num_classes = num_classes
    self._confusion = np.zeros([num_classes, num_classes], np.int64)
    self._rows, self._unreadable, self._entropy = [], [], 0.0

  def __len__(self) -> int:
    return len(self._rows) + len(self._unreadable)

  def add(self, keys: Sequence[tuple[int, int]], masks: np.ndarray,
          predictions: np.ndarray, cross_entropy_sum: float) -> None:
    """Adds a batch.

    Args:
      keys: of the records.
      masks: integers [batch, height, width].
      predictions: integers of the same shape.
      cross_entropy_sum: over its pixels.

    Raises:
      NotFiniteError: the network gives NaN.
    """
    if not np.isfinite(cross_entropy_sum):
      raise NotFiniteError(
          f'the network gives NaN in the batch of record {keys[0][1]} of file'
          f' {keys[0][0]}: its training diverged, evaluate an earlier checkpoint')
    for key, mask, prediction in zip(keys, masks, predictions, strict=True):
      confusion = confusion_matrix(mask, prediction, self._num_classes)
      self._confusion += confusion
      self._rows.append(ImageRow(
          (int(key[0]), int(key[1])), int(confusion.sum()),
          int(np.trace(confusion)), _mean(intersection_over_union(confusion))))
    self._entropy += float(cross_entropy_sum)

  def add_unreadable(self, key: tuple[int, int]) -> None:
    """Adds a record that cannot be decoded."""
    self._unreadable.append((int(key[0]), int(key[1])))

  def counts(self) -> Counts:
    """Returns what was counted so far."""
    return Counts(self._confusion.copy(), tuple(self._rows), tuple(self._unreadable),
                  self._entropy)


def _mean(values):
  """Returns the mean of the values that are not NaN; NaN without any."""
  known = values[~np.isnan(values)]
  return float(known.mean()) if known.size else float('nan')


@dataclasses.dataclass(frozen=True, eq=False)
class Metrics:
  """The numbers of an evaluation.

  Attributes:
    counts: over the split.
    class_names: name of each class.
    iou: float64 [classes], see `intersection_over_union`.
    mean_iou: mean over the classes that are in a mask or a prediction; NaN without any.
    pixel_accuracy: the share of right pixels; NaN without pixels.
    recall: float64 [classes], right pixels / pixels of the class; NaN without any.
    precision: float64 [classes], right pixels / pixels predicted as the class.
    cross_entropy: mean over the pixels; NaN without any.
  """

  counts: Counts
  class_names: tuple[str, ...]
  iou: np.ndarray
  mean_iou: float
  pixel_accuracy: float
  recall: np.ndarray
  precision: np.ndarray
  cross_entropy: float

  @property
  def num_images(self) -> int:
    """How many images there are, unreadable ones included."""
    return len(self.counts.rows) + len(self.counts.unreadable)

  @property
  def num_pixels(self) -> int:
    """How many pixels have a class and were counted."""
    return int(self.counts.confusion.sum())

  @property
  def num_correct(self) -> int:
    """How many of these pixels are right."""
    return int(np.trace(self.counts.confusion))

  def worst(self, count: int) -> list[ImageRow]:
    """Returns the images of the lowest mean IoU, in order."""
    rows = [row for row in self.counts.rows if row.pixels]
    return sorted(rows, key=lambda row: (row.mean_iou, row.key))[:count]


def evaluate(counts: Counts, class_names: Sequence[str]) -> Metrics:
  """Returns the numbers of counts.

  Args:
    counts: over a split.
    class_names: name of each class.
  """
  confusion = counts.confusion
  right, pixels = np.diagonal(confusion), int(confusion.sum())
  iou = intersection_over_union(confusion)
  return Metrics(
      counts, tuple(class_names), iou, _mean(iou),
      float(right.sum() / pixels) if pixels else float('nan'),
      _share(right, confusion.sum(1)), _share(right, confusion.sum(0)),
      counts.cross_entropy_sum / pixels if pixels else float('nan'))
