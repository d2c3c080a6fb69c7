"""Exact numbers for images that have any number of classes, or none.

An image that cannot be decoded is given no class: all its classes are missed.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.evaluation.metrics import ClassNames, complete_names
from slim_zoo.evaluation.predictions import NotFiniteError

# A class is predicted from this probability on.
THRESHOLD = 0.5


class Predictions:
  """The probabilities of all classes for each image, collected batch by batch."""

  def __init__(self):
    self._rows = {}

  def __len__(self) -> int:
    return len(self._rows)

  def add(self, keys: Sequence[int], targets: np.ndarray,
          probabilities: np.ndarray) -> None:
    """Adds a batch.

    Args:
      keys: int [batch], each image's number in the split.
      targets: [batch, classes], ones for the classes of an image and zeros.
      probabilities: float [batch, classes], each from 0 to 1.

    Raises:
      ValueError: a key was added before, or the shapes or the values do not fit.
      NotFiniteError: a probability is NaN.
    """
    targets, probabilities = np.asarray(targets), np.asarray(probabilities)
    if targets.ndim != 2 or targets.shape != probabilities.shape or (
        len(keys) != len(targets)):
      raise ValueError(
          f'{len(keys)} keys, targets {list(targets.shape)} and probabilities'
          f' {list(probabilities.shape)}: expected [batch, classes] for both')
    if not np.isin(targets, (0, 1)).all():
      raise ValueError('targets must be ones and zeros')
    for key, target, row in zip(keys, targets, probabilities, strict=True):
      if not np.isfinite(row).all():
        raise NotFiniteError(
            f'the network gives NaN for image {key}: its training diverged, evaluate'
            ' an earlier checkpoint')
      if row.min() < 0 or row.max() > 1:
        raise ValueError('probabilities must be from 0 to 1: apply the sigmoid')
      self._add(key, target.astype(bool), row.astype(np.float32))

  def add_unreadable(self, keys: Sequence[int], labels: Sequence[Sequence[int]],
                     num_classes: int) -> None:
    """Adds images that could not be decoded, with their classes.

    Raises:
      ValueError: a key was added before.
      UserError: a label is not one of the classes.
    """
    for key, of_image in zip(keys, labels, strict=True):
      target = np.zeros(num_classes, bool)
      for label in of_image:
        if not 0 <= label < num_classes:
          raise diagnostics.UserError(
              f'image {key} has label {label}, but the network has classes 0 to'
              f' {num_classes - 1}: check --dataset_name and --labels_offset')
        target[label] = True
      self._add(key, target, np.full(num_classes, np.nan, np.float32))

  def _add(self, key, target, row):
    if int(key) in self._rows:
      raise ValueError(f'image {key} was evaluated twice')
    self._rows[int(key)] = target, row

  def arrays(self, num_classes: int) -> dict[str, np.ndarray]:
    """Returns keys [n], targets bool [n, classes] and probabilities, by key.

    {} if there is no image.
    """
    if not self._rows:
      return {}
    keys = sorted(self._rows)
    targets, rows = zip(*(self._rows[key] for key in keys), strict=True)
    return {'keys': np.array(keys), 'targets': np.stack(targets),
            'probabilities': np.stack(rows)}

  @classmethod
  def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> 'Predictions':
    """Returns the predictions that `arrays` describes."""
    predictions = cls()
    if len(arrays):
      predictions._rows = {
          int(key): (target, row) for key, target, row in zip(
              arrays['keys'], arrays['targets'], arrays['probabilities'], strict=True)}
    return predictions


@dataclasses.dataclass(frozen=True, eq=False)
class PerClass:
  """Numbers of each class; all arrays are [classes].

  Attributes:
    support: int64, images of the class, unreadable ones included.
    predicted: int64, images that were given this class.
    correct: int64, those of them that are of the class.
    average_precision: float64, see `average_precision`; NaN without images.
    precision: float64, correct / predicted; NaN where nothing was predicted.
    recall: float64, correct / support; NaN without images.
    f1: float64, 2 correct / (support + predicted); NaN where both are 0.
  """

  support: np.ndarray
  predicted: np.ndarray
  correct: np.ndarray
  average_precision: np.ndarray
  precision: np.ndarray
  recall: np.ndarray
  f1: np.ndarray


@dataclasses.dataclass(frozen=True)
class Micro:
  """Counts over all images and classes together; the quotients are NaN for 0 / 0."""

  correct: int
  predicted: int
  true: int

  @property
  def precision(self) -> float:
    """The share of the predicted classes that are true."""
    return self.correct / self.predicted if self.predicted else np.nan

  @property
  def recall(self) -> float:
    """The share of the true classes that are predicted."""
    return self.correct / self.true if self.true else np.nan

  @property
  def f1(self) -> float:
    """Twice the correct ones by the true and the predicted ones."""
    return (2 * self.correct / (self.true + self.predicted)
            if self.true + self.predicted else np.nan)


@dataclasses.dataclass(frozen=True, eq=False)
class Metrics:
  """All numbers of one evaluation.

  Attributes:
    class_names: one for each class.
    keys: int64 [n], the images' numbers in their split.
    targets: bool [n, classes].
    probabilities: float32 [n, classes]; NaN where unreadable.
    num_unreadable: images that could not be decoded.
    exact: images that were given all their classes and no other.
    mean_average_precision: over the classes that have images; NaN without any.
    micro: at `THRESHOLD`.
    per_class: numbers of each class.
  """

  class_names: tuple[str, ...]
  keys: np.ndarray
  targets: np.ndarray
  probabilities: np.ndarray
  num_unreadable: int
  exact: int
  mean_average_precision: float
  micro: Micro
  per_class: PerClass

  @property
  def num_images(self) -> int:
    """All images, unreadable ones included."""
    return len(self.keys)

  @property
  def predicted(self) -> np.ndarray:
    """bool [n, classes]: which classes were given."""
    return self.probabilities >= THRESHOLD

  def with_names(self, class_names: ClassNames) -> 'Metrics':
    """Returns the same numbers under other names; None keeps the names."""
    if class_names is None:
      return self
    return dataclasses.replace(self, class_names=complete_names(
        class_names, len(self.class_names)))

  def worst_classes(self) -> np.ndarray:
    """Returns the classes that have images, the lowest average precision first."""
    classes = np.flatnonzero(self.per_class.support)
    return classes[np.argsort(
        self.per_class.average_precision[classes], kind='stable')]


def average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float:
  """Returns the precision at each gain of recall, weighted by the gain.

  Each probability that occurs is a threshold once, so images of the same probability
  come in together and their order does not matter. Nothing is interpolated. An image
  of probability NaN never comes in, but its truth counts.

  Args:
    truth: bool [n].
    probabilities: float [n].

  Returns:
    0 to 1; NaN if nothing is true.
  """
  if not truth.any():
    return np.nan
  known = ~np.isnan(probabilities)
  values, hits = probabilities[known], truth[known]
  order = np.argsort(-values, kind='stable')
  values, hits = values[order], hits[order]
  last = np.flatnonzero(np.append(values[1:] != values[:-1], True)[:len(values)])
  hits_so_far = np.cumsum(hits)[last]
  gains = np.diff(hits_so_far, prepend=0) / truth.sum()
  return float(np.sum(hits_so_far / (last + 1) * gains))


def evaluate(predictions: Predictions, num_classes: int,
             class_names: ClassNames = None) -> Metrics:
  """Derives every number from the collected predictions.

  Args:
    predictions: each image of the split once.
    num_classes: of the network's probabilities.
    class_names: see `metrics.complete_names`.

  Raises:
    UserError: there is no image.
  """
  arrays = predictions.arrays(num_classes)
  if not arrays:
    raise diagnostics.UserError('there is nothing to evaluate: the split has no images')
  keys, targets, probabilities = arrays.values()
  predicted = probabilities >= THRESHOLD
  correct = predicted & targets
  per_class = _per_class(targets, probabilities, predicted.sum(0), correct.sum(0))
  precisions = per_class.average_precision[targets.any(0)]
  readable = ~np.isnan(probabilities).any(1)
  return Metrics(
      class_names=complete_names(class_names, num_classes),
      keys=keys, targets=targets, probabilities=probabilities,
      num_unreadable=int((~readable).sum()),
      exact=int((predicted == targets).all(1)[readable].sum()),
      mean_average_precision=float(precisions.mean()) if len(precisions) else np.nan,
      micro=Micro(int(correct.sum()), int(predicted.sum()), int(targets.sum())),
      per_class=per_class)


def _per_class(targets, probabilities, predicted, correct) -> PerClass:
  support = targets.sum(0)
  def divide(numerator, denominator):
    return np.divide(numerator, denominator, where=denominator > 0,
                     out=np.full(len(support), np.nan))
  return PerClass(
      support, predicted, correct,
      np.array([average_precision(truth, values) for truth, values in zip(
          targets.T, probabilities.T, strict=True)]),
      divide(correct, predicted), divide(correct, support),
      divide(2 * correct, support + predicted))
