"""Accuracy against coverage: the accuracy of the most confident predictions.

El-Yaniv and Wiener 2010, On the Foundations of Noise-free Selective Classification,
JMLR 11, 1605-1641.
"""

import dataclasses

import numpy as np

from slim_zoo.evaluation.predictions import Records

_MAX_POINTS = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
  """The accuracy of the images above each threshold of confidence.

  Attributes:
    coverage: float64 [points], share of the images above the threshold, in ascending
      order; the last one is 1.
    accuracy: float64 [points], accuracy of these images.
    confidence: float64 [points], lowest confidence of these images; NaN if one of them
      is unreadable.
  """

  coverage: np.ndarray
  accuracy: np.ndarray
  confidence: np.ndarray


def curve(records: Records, max_points: int = _MAX_POINTS) -> Curve:
  """Returns accuracy against coverage; the last point is the accuracy of all images.

  Images of equal confidence are in the same point. Unreadable images come last, as
  mistakes.

  Args:
    records: records of the evaluation; at least one image.
    max_points: largest number of points, evenly distributed over the coverage.
  """
  confidences = np.where(records.readable, records.confidences, -1).astype(float)
  order = np.argsort(-confidences, kind='stable')
  ordered = confidences[order]
  # A threshold of confidence can only lie between different confidences.
  ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
  if len(ends) > max_points:
    wanted = np.linspace(ends[0], ends[-1], max_points)
    ends = ends[np.unique(np.searchsorted(ends, wanted))]
  right = np.cumsum(records.correct[order])
  lowest = ordered[ends]
  return Curve((ends + 1) / len(order), right[ends] / (ends + 1),
               np.where(lowest < 0, np.nan, lowest))
