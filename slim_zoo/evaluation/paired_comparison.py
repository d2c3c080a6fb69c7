"""Compares two evaluations of the same images by McNemar's test.

McNemar 1947, Note on the sampling error of the difference between correlated
proportions or percentages, Psychometrika 12, 153-157.
"""

import csv
import dataclasses
import json
import math
import os

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.evaluation.metrics import Accuracy, Metrics

_Z_95 = 1.959963984540054
# Above this number of images, the approximation differs in the fourth digit only.
_MAX_EXACT = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class OtherEvaluation:
  """Another evaluation, read from its report.

  Attributes:
    folder: folder of the report.
    run: facts of the evaluation, as in report.json.
    label_names: name of the true class of each image, in the order of the images.
    prediction_names: name of the predicted class of each image.
    correct: bool [images], whether the prediction is correct.
  """

  folder: str
  run: dict
  label_names: list[str]
  prediction_names: list[str]
  correct: np.ndarray

  @property
  def name(self) -> str:
    """The network and the end of its checkpoint's path."""
    checkpoint = '/'.join(str(self.run.get('checkpoint', '')).split('/')[-2:])
    return ', '.join(filter(None, (str(self.run.get('network', '')), checkpoint)))


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
  """This evaluation and another one of the same images.

  Attributes:
    other: the other evaluation.
    accuracy: accuracy of this evaluation.
    other_accuracy: accuracy of the other evaluation.
    only_this: int64, rows of the images that only this evaluation has correct.
    only_other: int64, rows of the images that only the other evaluation has correct.
    other_correct: int64 [classes], number of images of each class that the other
      evaluation has correct.
  """

  other: OtherEvaluation
  accuracy: Accuracy
  other_accuracy: Accuracy
  only_this: np.ndarray
  only_other: np.ndarray
  other_correct: np.ndarray

  @property
  def p_value(self) -> float:
    """See `mcnemar`."""
    return mcnemar(len(self.only_this), len(self.only_other))

  @property
  def test(self) -> str:
    """The name of the test, and how its p-value is computed."""
    is_exact = len(self.only_this) + len(self.only_other) <= _MAX_EXACT
    return f"McNemar's test, {'exact' if is_exact else 'chi-squared'}"

  @property
  def difference(self) -> tuple[float, float, float]:
    """(difference, low, high): this accuracy minus the other accuracy.

    low and high are the 95% interval, by the normal approximation for paired images.
    """
    more, less, count = len(self.only_this), len(self.only_other), self.accuracy.total
    mean = (more - less) / count
    spread = _Z_95 * math.sqrt(max(more + less - (more - less) ** 2 / count, 0)) / count
    return mean, max(mean - spread, -1.0), min(mean + spread, 1.0)

  def values(self) -> dict[str, object]:
    """Returns the numbers as plain values, for JSON."""
    difference, *interval = self.difference
    return {
        'report': self.other.folder, 'run': self.other.run,
        'correct': self.other_accuracy.correct, 'accuracy': self.other_accuracy.value,
        'difference': difference, 'difference_interval_95': interval,
        'only_this_correct': len(self.only_this),
        'only_other_correct': len(self.only_other),
        'test': self.test, 'p_value': self.p_value}

  def line(self) -> str:
    """Returns the comparison in one line, for a terminal."""
    difference, low, high = (100 * value for value in self.difference)
    return (f'{self.other_accuracy.percent} for {self.other.name}; difference'
            f' {difference:+.2f} points ({low:+.2f} to {high:+.2f}),'
            f' p={self.p_value:.2g} (McNemar)')


def mcnemar(only_this: int, only_other: int) -> float:
  """Returns the two-sided p-value of McNemar's test.

  The null hypothesis: of the images that only one of two classifiers has correct, each
  classifier has half. For up to 1,000 such images the p-value is exact (binomial). For
  more images it is that of the chi-squared statistic with Edwards' continuity
  correction.

  Args:
    only_this: number of images that only the first classifier has correct.
    only_other: number of images that only the second classifier has correct.
  """
  count, less = only_this + only_other, min(only_this, only_other)
  if count > _MAX_EXACT:
    root = max(abs(only_this - only_other) - 1, 0) / math.sqrt(count)
    return math.erfc(root / math.sqrt(2))
  ways = sum(math.comb(count, wins) for wins in range(less + 1))
  # The numbers may be too large for floats, so whole numbers are divided.
  return min(1.0, 2 * ways / 2 ** count)


def read(folder: str) -> OtherEvaluation:
  """Reads the report of another evaluation.

  Args:
    folder: folder of report.json and predictions.csv.

  Raises:
    UserError: a file is missing, or the evaluation is of another kind.
  """
  try:
    with open(os.path.join(folder, 'report.json'), encoding='utf-8') as file:
      run = json.load(file)['run']
    with open(os.path.join(folder, 'predictions.csv'), encoding='utf-8',
              errors='surrogateescape', newline='') as file:
      rows = list(csv.DictReader(file))
    # The numbers of the images are 0, 1, and so on.
    rows.sort(key=lambda row: int(row['key']))
    return OtherEvaluation(folder, run, [row['label_name'] for row in rows],
                 [row['prediction_name'] for row in rows],
                 np.array([row['correct'] == '1' for row in rows], bool))
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise diagnostics.UserError(
        f'--compare_with={folder}: its report.json and predictions.csv cannot be read'
        f' ({type(error).__name__}): name the report folder of an evaluation of images'
        ' with one class each') from error


def compare(metrics: Metrics, other: OtherEvaluation) -> Comparison:
  """Compares an evaluation with another one.

  Args:
    metrics: numbers of this evaluation, with the names of the classes.
    other: the other evaluation, see `read`.

  Raises:
    UserError: the images are not the same.
  """
  records = metrics.records
  names = [metrics.class_names[label] for label in records.labels]
  if names != other.label_names:
    count = len(other.label_names)
    reason = (f'it has {count:,} images, this evaluation {len(names):,}'
              if count != len(names) else 'its images have other classes')
    raise diagnostics.UserError(
        f'--compare_with={other.folder}: {reason}; run both evaluations on the same'
        ' records')
  return Comparison(
      other, metrics.top1, Accuracy(1, int(other.correct.sum()), len(other.correct)),
      np.flatnonzero(records.correct & ~other.correct),
      np.flatnonzero(other.correct & ~records.correct),
      np.bincount(records.labels[other.correct], minlength=metrics.num_classes))
