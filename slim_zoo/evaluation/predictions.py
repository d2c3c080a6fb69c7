"""The predictions of a network for each image, collected batch by batch.

Ties in probability go to the lower class: the rank of a class is the number of
classes with a strictly larger probability plus the number of lower classes with
an equal one. Top-k holds the classes of rank 0 to k-1, so top-1 and the
prediction never disagree, and a network that says the same for every class is
not counted as right.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics

TOP_K = 5
UNREADABLE = -1


class NotFiniteError(diagnostics.UserError):
  """The network gives no probabilities: its weights or statistics went bad."""


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
  """The predictions of each image, ordered by key; n images, k = min(5, classes).

  Attributes:
    keys: int64 [n], the image's number in its split.
    labels: int64 [n].
    top_classes: int32 [n, k], the most probable first; -1 where unreadable.
    top_probabilities: float32 [n, k]; NaN where unreadable.
    label_probabilities: float32 [n], of the true class; NaN where unreadable.
    label_ranks: int32 [n], 0 is right; -1 where unreadable.
  """

  keys: np.ndarray
  labels: np.ndarray
  top_classes: np.ndarray
  top_probabilities: np.ndarray
  label_probabilities: np.ndarray
  label_ranks: np.ndarray

  @property
  def predictions(self) -> np.ndarray:
    """int32 [n], the most probable class; -1 where unreadable."""
    return self.top_classes[:, 0]

  @property
  def confidences(self) -> np.ndarray:
    """float32 [n], the probability of the prediction; NaN where unreadable."""
    return self.top_probabilities[:, 0]

  @property
  def readable(self) -> np.ndarray:
    """bool [n]."""
    return self.label_ranks != UNREADABLE

  @property
  def correct(self) -> np.ndarray:
    """bool [n]."""
    return self.label_ranks == 0


class Predictions:
  """The predictions of a network for each image, collected batch by batch.

  Keeps a few numbers per image and never all probabilities: ImageNet's 50,000
  images of 1001 classes take about 3 MB.
  """

  def __init__(self):
    self._seen = set()
    self._batches = []
    self._unreadable = []
    self._num_classes = None

  def __len__(self) -> int:
    return len(self._seen)

  def add(self, keys: Sequence[int], labels: Sequence[int],
          probabilities: np.ndarray) -> None:
    """Adds a batch.

    Args:
      keys: int [batch], each image's number in the split.
      labels: int [batch], from 0.
      probabilities: float [batch, classes], rows that sum to 1.

    Raises:
      ValueError: a key was added before, or shapes or rows do not fit.
      UserError: a label is not one of the classes.
      NotFiniteError: a probability is NaN.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or (
        self._num_classes not in (None, probabilities.shape[1])):
      raise ValueError(
          f'probabilities have shape {list(probabilities.shape)}, expected'
          f' [batch, {self._num_classes or "classes"}]')
    keys, labels = self._checked(keys, labels)
    if len(keys) != len(probabilities):
      raise ValueError(
          f'{len(keys)} keys but {len(probabilities)} rows of probabilities')
    num_classes = probabilities.shape[1]
    _check_labels(keys, labels, num_classes)
    _check_probabilities(keys, probabilities)
    # Stable, so that of equal probabilities the lower class comes first.
    order = np.argsort(-probabilities, axis=1, kind='stable')
    top = order[:, :TOP_K]
    of_label = labels[:, np.newaxis]
    self._batches.append(Records(
        keys=keys,
        labels=labels,
        top_classes=top.astype(np.int32),
        top_probabilities=_pick(probabilities, top),
        label_probabilities=_pick(probabilities, of_label)[:, 0],
        label_ranks=np.argmax(order == of_label, axis=1).astype(np.int32)))
    self._num_classes = num_classes
    self._seen.update(keys.tolist())

  def add_unreadable(self, keys: Sequence[int], labels: Sequence[int]) -> None:
    """Adds images that could not be decoded: each is a mistake of its class.

    Raises:
      ValueError: a key was added before, or the shapes do not fit.
    """
    keys, labels = self._checked(keys, labels)
    self._unreadable.append((keys, labels))
    self._seen.update(keys.tolist())

  def records(self, num_classes: int) -> Records:
    """Returns all images ordered by key.

    Raises:
      ValueError: the probabilities were of another number of classes.
      UserError: there is no image, or a label is not one of the classes.
    """
    if not self._seen:
      raise diagnostics.UserError(
          'there is nothing to evaluate: the split has no images')
    if self._num_classes not in (None, num_classes):
      raise ValueError(
          f'the probabilities are of {self._num_classes} classes,'
          f' not of {num_classes}')
    parts = list(self._batches)
    for keys, labels in self._unreadable:
      _check_labels(keys, labels, num_classes)
      parts.append(_unreadable_records(keys, labels, min(TOP_K, num_classes)))
    order = np.argsort(np.concatenate([part.keys for part in parts]))
    return Records(**{
        field.name: np.concatenate(
            [getattr(part, field.name) for part in parts])[order]
        for field in dataclasses.fields(Records)})

  def arrays(self, num_classes: int) -> dict[str, np.ndarray]:
    """Returns the arrays of `records` by name; {} if there is no image."""
    return vars(self.records(num_classes)) if self._seen else {}

  @classmethod
  def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> 'Predictions':
    """Returns the predictions that `arrays` describes."""
    predictions = cls()
    if len(arrays):
      predictions._batches = [Records(**arrays)]
      predictions._seen = set(arrays['keys'].tolist())
    return predictions

  def _checked(self, keys, labels) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as int64 [batch]; raises ValueError on a repeated key."""
    keys, labels = (np.asarray(values) for values in (keys, labels))
    if keys.ndim != 1 or keys.shape != labels.shape:
      raise ValueError(
          f'keys have shape {list(keys.shape)} and labels'
          f' {list(labels.shape)}, expected [batch] for both')
    keys, labels = keys.astype(np.int64), labels.astype(np.int64)
    values, counts = np.unique(keys, return_counts=True)
    repeated = values[counts > 1].tolist() or [
        key for key in values.tolist() if key in self._seen]
    if repeated:
      raise ValueError(f'image {repeated[0]} was evaluated twice')
    return keys, labels


def _pick(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
  return np.take_along_axis(probabilities, classes, 1).astype(np.float32)


def _check_labels(keys, labels, num_classes: int) -> None:
  wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if len(wrong):
    raise diagnostics.UserError(
        f'image {keys[wrong[0]]} has label {labels[wrong[0]]}, but the network'
        f' has classes 0 to {num_classes - 1}: check --dataset_name,'
        ' --labels_offset and that the network was trained on this data set')


def _check_probabilities(keys, probabilities: np.ndarray) -> None:
  wrong = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
  if len(wrong):
    raise NotFiniteError(
        f'the network gives NaN for image {keys[wrong[0]]}: its training'
        ' diverged, evaluate an earlier checkpoint')
  sums = probabilities.sum(axis=1, dtype=np.float64)
  if (probabilities < 0).any() or (np.abs(sums - 1) > 1e-2).any():
    raise ValueError('rows of probabilities must sum to 1: apply the softmax')


def _unreadable_records(keys, labels, k: int) -> Records:
  count = len(keys)
  return Records(
      keys=keys,
      labels=labels,
      top_classes=np.full([count, k], UNREADABLE, np.int32),
      top_probabilities=np.full([count, k], np.nan, np.float32),
      label_probabilities=np.full([count], np.nan, np.float32),
      label_ranks=np.full([count], UNREADABLE, np.int32))
