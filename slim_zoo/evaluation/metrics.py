"""Exact evaluation numbers: every image counts once, whatever the batch size.

A script fills `Predictions` batch by batch and hands it to `evaluate`. Counts
are kept as integers, so that an accuracy can be told as '355 of 360'.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from slim_zoo.evaluation.predictions import TOP_K, Predictions, Records

__all__ = ['Accuracy', 'Calibration', 'ClassNames', 'Macro', 'Metrics',
           'PerClass', 'Predictions', 'Records', 'complete_names', 'evaluate']

CALIBRATION_BINS = 15
ClassNames = Mapping[int, str] | Iterable[str] | None
# The two-sided 95% quantile of the normal distribution.
_Z_95 = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class Accuracy:
  """How many images have their true class among the k most probable.

  Attributes:
    k: how many classes an image may name.
    correct: images that are right.
    total: all images, unreadable ones included.
  """

  k: int
  correct: int
  total: int

  @property
  def name(self) -> str:
    """'top-1', 'top-5'..."""
    return f'top-{self.k}'

  @property
  def value(self) -> float:
    """The share of correct images, 0 to 1."""
    return self.correct / self.total

  @property
  def percent(self) -> str:
    """The share as '98.61%'; only exactly all is '100%' and none is '0%'."""
    if self.correct in (0, self.total):
      return f'{self.value:.0%}'
    return f'{min(max(self.value, 0.0001), 0.9999):.2%}'

  @property
  def interval(self) -> tuple[float, float]:
    """The 95% score interval (Wilson 1927, JASA 22, 209-212)."""
    square = _Z_95 ** 2
    centre = self.correct + square / 2
    spread = _Z_95 * math.sqrt(
        self.correct * (self.total - self.correct) / self.total + square / 4)
    low, high = ((centre + side) / (self.total + square)
                 for side in (-spread, spread))
    return max(low, 0.0), min(high, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class PerClass:
  """Numbers of each class; all arrays are [classes].

  Attributes:
    support: int64, images of the class, unreadable ones included.
    unreadable: int64, those of them that could not be decoded.
    predicted: int64, images that were given this class.
    correct: int64.
    precision: float64, correct / predicted; NaN where nothing was predicted.
    recall: float64, correct / support; NaN where there are no images.
    f1: float64, 2 correct / (support + predicted); NaN where both are 0.
  """

  support: np.ndarray
  unreadable: np.ndarray
  predicted: np.ndarray
  correct: np.ndarray
  precision: np.ndarray
  recall: np.ndarray
  f1: np.ndarray


@dataclasses.dataclass(frozen=True)
class Macro:
  """Means over the `classes` that have images, each class counting alike.

  A class that has images and is never predicted has a precision of 0 here.
  """

  classes: int
  precision: float
  recall: float
  f1: float


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
  """Whether predictions of confidence p are right in p of the cases.

  Bins of equal width, the upper edge included (Guo 2017, arXiv 1706.04599);
  readable images only.

  Attributes:
    edges: float64 [bins + 1], 0 to 1.
    images: int64 [bins].
    correct: int64 [bins].
    confidence: float64 [bins], the mean; NaN where a bin is empty.
    accuracy: float64 [bins]; NaN where a bin is empty.
    error: the expected calibration error; NaN without readable images.
  """

  edges: np.ndarray
  images: np.ndarray
  correct: np.ndarray
  confidence: np.ndarray
  accuracy: np.ndarray
  error: float


@dataclasses.dataclass(frozen=True, eq=False)
class Metrics:
  """All numbers of one evaluation.

  Attributes:
    class_names: one for each class.
    records: the predictions of each image.
    num_images: all images, unreadable ones included.
    num_unreadable: images that could not be decoded; each counts as a mistake.
    top1: accuracy of the prediction.
    topk: accuracy of the k most probable classes, k = min(5, classes).
    cross_entropy: the mean over readable images of -log p(true class), in
      nats; NaN without any. A p that float32 rounds to 0 counts as the smallest
      normal float32, 1.2e-38.
    confusion: int64 [classes, classes], rows are true classes, columns
      predictions; readable images only.
    per_class: numbers of each class.
    macro: means over classes.
    calibration: expected calibration error and its bins.
  """

  class_names: tuple[str, ...]
  records: Records
  num_images: int
  num_unreadable: int
  top1: Accuracy
  topk: Accuracy
  cross_entropy: float
  confusion: np.ndarray
  per_class: PerClass
  macro: Macro
  calibration: Calibration

  @property
  def num_classes(self) -> int:
    """How many classes the network knows."""
    return len(self.class_names)

  def with_names(self, class_names: ClassNames) -> 'Metrics':
    """Returns the same numbers under other names; None keeps the names."""
    if class_names is None:
      return self
    return dataclasses.replace(
        self, class_names=complete_names(class_names, self.num_classes))

  def mistakes(self) -> np.ndarray:
    """Returns rows of `records` that are readable and wrong, by confidence."""
    rows = np.flatnonzero(self.records.readable & ~self.records.correct)
    return rows[np.argsort(-self.records.confidences[rows], kind='stable')]

  def confused_pairs(self, limit: int) -> list[tuple[int, int, int]]:
    """Returns up to `limit` (true, predicted, images), the most frequent first."""
    wrong = self.confusion - np.diag(np.diag(self.confusion))
    true, predicted = np.nonzero(wrong)
    images = wrong[true, predicted]
    order = np.argsort(-images, kind='stable')[:limit]
    return [(int(true[i]), int(predicted[i]), int(images[i])) for i in order]

  def worst_classes(self) -> np.ndarray:
    """Returns the classes that have images, the lowest F1 first."""
    classes = np.flatnonzero(self.per_class.support)
    return classes[np.argsort(self.per_class.f1[classes], kind='stable')]


def evaluate(predictions: Predictions, num_classes: int,
             class_names: ClassNames = None) -> Metrics:
  """Derives every number from the collected predictions.

  Args:
    predictions: each image of the split once.
    num_classes: of the network's probabilities.
    class_names: see `complete_names`.

  Raises:
    UserError: there is no image, or a label is not one of the classes.
    ValueError: the predictions are of another number of classes.
  """
  records = predictions.records(num_classes)
  count = len(records.keys)
  readable = records.readable
  k = min(TOP_K, num_classes)
  in_top_k = readable & (records.label_ranks < k)
  confusion = np.bincount(
      records.labels[readable] * num_classes + records.predictions[readable],
      minlength=num_classes ** 2).reshape([num_classes, num_classes])
  per_class = _per_class(
      confusion, np.bincount(records.labels[~readable], minlength=num_classes))
  return Metrics(
      class_names=complete_names(class_names, num_classes),
      records=records,
      num_images=count,
      num_unreadable=int((~readable).sum()),
      top1=Accuracy(1, int(records.correct.sum()), count),
      topk=Accuracy(k, int(in_top_k.sum()), count),
      cross_entropy=_cross_entropy(records.label_probabilities[readable]),
      confusion=confusion,
      per_class=per_class,
      macro=_macro(per_class),
      calibration=_calibration(
          records.confidences[readable], records.correct[readable]))


def complete_names(class_names: ClassNames,
                   num_classes: int) -> tuple[str, ...]:
  """Returns one name per class; a class without one is called by its number.

  Args:
    class_names: names by label, or in the order of labels, or None.
    num_classes: how many names to return; further ones are left out.
  """
  if not isinstance(class_names, Mapping):
    class_names = dict(enumerate(class_names or ()))
  return tuple(str(class_names.get(label, label)) for label in range(num_classes))


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
  """Returns float64 quotients, NaN where the denominator is 0."""
  return np.divide(numerator, denominator, where=denominator > 0,
                   out=np.full(denominator.shape, np.nan))


def _cross_entropy(label_probabilities: np.ndarray) -> float:
  if not len(label_probabilities):
    return math.nan
  smallest = np.finfo(np.float32).tiny
  return float(-np.log(
      np.maximum(label_probabilities, smallest), dtype=np.float64).mean()) + 0.0


def _per_class(confusion: np.ndarray, unreadable: np.ndarray) -> PerClass:
  support = confusion.sum(axis=1) + unreadable
  predicted = confusion.sum(axis=0)
  correct = np.diag(confusion).copy()
  return PerClass(
      support=support,
      unreadable=unreadable,
      predicted=predicted,
      correct=correct,
      precision=_divide(correct, predicted),
      recall=_divide(correct, support),
      f1=_divide(2 * correct, support + predicted))


def _macro(per_class: PerClass) -> Macro:
  present = per_class.support > 0
  return Macro(
      classes=int(present.sum()),
      precision=float(np.nan_to_num(per_class.precision[present]).mean()),
      recall=float(per_class.recall[present].mean()),
      f1=float(per_class.f1[present].mean()))


def _calibration(confidences: np.ndarray, correct: np.ndarray) -> Calibration:
  edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
  # The upper edge belongs to a bin; rounding may lift a softmax just above 1.
  bins = np.clip(np.searchsorted(edges, confidences, side='left') - 1,
                 0, CALIBRATION_BINS - 1)
  images = np.bincount(bins, minlength=CALIBRATION_BINS)
  right = np.bincount(bins[correct], minlength=CALIBRATION_BINS)
  sums = np.bincount(bins, weights=confidences, minlength=CALIBRATION_BINS)
  error = np.abs(right - sums).sum() / len(bins) if len(bins) else math.nan
  return Calibration(
      edges=edges,
      images=images,
      correct=right,
      confidence=_divide(sums, images),
      accuracy=_divide(right, images),
      error=float(error))
