"""Which images a page has pictures of, in which order."""

import itertools
from collections.abc import Iterator

import numpy as np

from slim_zoo.evaluation.metrics import Metrics

# Images of each list, such as the worst predictions.
SHOWN = 24
# Images of the cells of the confusion matrix.
MAX_OF_CELLS = 400


def worst(metrics: Metrics) -> np.ndarray:
  """Returns rows of the surest mistakes."""
  return metrics.mistakes()[:SHOWN]


def least_certain(metrics: Metrics) -> np.ndarray:
  """Returns rows of the least probable predictions, right or wrong."""
  rows = np.flatnonzero(metrics.records.readable)
  return rows[np.argsort(metrics.records.confidences[rows], kind='stable')[:SHOWN]]


def of_cells(metrics: Metrics, limit: int = MAX_OF_CELLS) -> list[int]:
  """Returns rows of images of the confusion matrix: first mistakes, then right ones.

  The first image of each cell comes before the second of any, and larger cells come
  before smaller ones. So each cell has pictures, if there is room.
  """
  mistakes = metrics.mistakes()
  right = np.flatnonzero(metrics.records.readable & metrics.records.correct)
  return list(itertools.islice(itertools.chain(
      _in_turns(metrics, mistakes), _in_turns(metrics, right)), limit))


def _in_turns(metrics: Metrics, rows: np.ndarray) -> Iterator[int]:
  """Yields rows, one of each cell in turn."""
  records, count = metrics.records, metrics.num_classes
  cells = records.labels[rows] * count + records.predictions[rows]
  _, at, sizes = np.unique(cells, return_inverse=True, return_counts=True)
  # The number of rows before each in its cell.
  grouped = np.argsort(at, kind='stable')
  starts = np.cumsum(sizes) - sizes
  turns = np.empty(len(rows), np.int64)
  turns[grouped] = np.arange(len(rows)) - np.repeat(starts, sizes)
  yield from rows[np.lexsort([at, -sizes[at], turns])].tolist()
