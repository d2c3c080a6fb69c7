"""Selects the images that have pictures in a page, in order."""

import itertools
from collections.abc import Iterator

import numpy as np

from slim_zoo.evaluation.metrics import Metrics

# Pictures of each list, such as the worst predictions.
SHOWN = 24
# Pictures for the cells of the confusion matrix.
MAX_OF_CELLS = 400


def worst(metrics: Metrics) -> np.ndarray:
  """Returns rows of the mistakes with the highest probability."""
  return metrics.mistakes()[:SHOWN]


def least_certain(metrics: Metrics) -> np.ndarray:
  """Returns rows of the predictions with the lowest probability, correct or wrong."""
  rows = np.flatnonzero(metrics.records.readable)
  return rows[np.argsort(metrics.records.confidences[rows], kind='stable')[:SHOWN]]


def of_cells(metrics: Metrics, limit: int = MAX_OF_CELLS) -> list[int]:
  """Returns rows of images for the cells of the confusion matrix, mistakes first.

  The first images of all cells come before the second images, and larger cells come
  before smaller cells. So each cell has a picture if the limit allows it.
  """
  mistakes = metrics.mistakes()
  right = np.flatnonzero(metrics.records.readable & metrics.records.correct)
  return list(itertools.islice(itertools.chain(
      _round_robin(metrics, mistakes), _round_robin(metrics, right)), limit))


def _round_robin(metrics: Metrics, rows: np.ndarray) -> Iterator[int]:
  """Yields rows: one of each cell, then the next one of each cell, and so on."""
  records, count = metrics.records, metrics.num_classes
  cells = records.labels[rows] * count + records.predictions[rows]
  _, at, sizes = np.unique(cells, return_inverse=True, return_counts=True)
  # rounds: the number of rows of the same cell before each row.
  grouped = np.argsort(at, kind='stable')
  starts = np.cumsum(sizes) - sizes
  rounds = np.empty(len(rows), np.int64)
  rounds[grouped] = np.arange(len(rows)) - np.repeat(starts, sizes)
  yield from rows[np.lexsort([at, -sizes[at], rounds])].tolist()
