"""Two evaluations of the same images: which one is better, and how sure that is.

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
# With more disagreements the approximation differs in the fourth digit only.
_MOST_EXACT = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Other:
  """Another evaluation, read from its report.

  Attributes:
    folder: of the report.
    run: the facts of the evaluation, as in report.json.
    label_names: the name of the true class of each image, in the order of the images.
    prediction_names: the name of the predicted class of each.
    correct: bool [images].
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
    other: the other one.
    here: accuracy of this one.
    there: accuracy of the other one.
    only_here: int64, rows of the images that only this one has right.
    only_there: int64, rows of those that only the other one has right.
    correct_there: int64 [classes], right images of each class in the other one.
  """

  other: Other
  here: Accuracy
  there: Accuracy
  only_here: np.ndarray
  only_there: np.ndarray
  correct_there: np.ndarray

  @property
  def p_value(self) -> float:
    """See `mcnemar`."""
    return mcnemar(len(self.only_here), len(self.only_there))

  @property
  def test(self) -> str:
    """The name of the test, and how its p-value is computed."""
    is_exact = len(self.only_here) + len(self.only_there) <= _MOST_EXACT
    return f"McNemar's test, {'exact' if is_exact else 'chi-squared'}"

  @property
  def difference(self) -> tuple[float, float, float]:
    """(difference, low, high): this accuracy minus the other one.

    The interval is of 95%, by the normal approximation for the same images.
    """
    more, less, count = len(self.only_here), len(self.only_there), self.here.total
    mean = (more - less) / count
    spread = _Z_95 * math.sqrt(max(more + less - (more - less) ** 2 / count, 0)) / count
    return mean, max(mean - spread, -1.0), min(mean + spread, 1.0)

  def values(self) -> dict[str, object]:
    """Returns the numbers as plain values, for JSON."""
    difference, *interval = self.difference
    return {
        'report': self.other.folder, 'run': self.other.run,
        'correct': self.there.correct, 'accuracy': self.there.value,
        'difference': difference, 'difference_interval_95': interval,
        'only_this_correct': len(self.only_here),
        'only_other_correct': len(self.only_there),
        'test': self.test, 'p_value': self.p_value}

  def line(self) -> str:
    """Returns the comparison in one line, for a terminal."""
    difference, low, high = (100 * value for value in self.difference)
    return (f'{self.there.percent} for {self.other.name}; difference {difference:+.2f}'
            f' points ({low:+.2f} to {high:+.2f}), p={self.p_value:.2g} (McNemar)')


def mcnemar(only_here: int, only_there: int) -> float:
  """Returns the two-sided p-value of McNemar's test.

  The null hypothesis: an image that only one of two classifiers has right is equally
  often one of either. Up to 1,000 of these images the p-value is exact (binomial);
  above, it is that of the chi-squared statistic with Edwards' correction for
  continuity.

  Args:
    only_here: number of images that only the first has right.
    only_there: number of images that only the second has right.
  """
  count, less = only_here + only_there, min(only_here, only_there)
  if count > _MOST_EXACT:
    root = max(abs(only_here - only_there) - 1, 0) / math.sqrt(count)
    return math.erfc(root / math.sqrt(2))
  ways = sum(math.comb(count, wins) for wins in range(less + 1))
  # Divided as whole numbers: a float holds neither of them.
  return min(1.0, 2 * ways / 2 ** count)


def read(folder: str) -> Other:
  """Reads the report of another evaluation.

  Args:
    folder: of its files.

  Raises:
    UserError: a file is missing, or of another kind of evaluation.
  """
  try:
    with open(os.path.join(folder, 'report.json'), encoding='utf-8') as file:
      run = json.load(file)['run']
    with open(os.path.join(folder, 'predictions.csv'), encoding='utf-8',
              errors='surrogateescape', newline='') as file:
      rows = list(csv.DictReader(file))
    # The numbers of the images are 0, 1, and so on.
    rows.sort(key=lambda row: int(row['key']))
    return Other(folder, run, [row['label_name'] for row in rows],
                 [row['prediction_name'] for row in rows],
                 np.array([row['correct'] == '1' for row in rows], bool))
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise diagnostics.UserError(
        f'--compare_with={folder}: its report.json and predictions.csv cannot be read'
        f' ({type(error).__name__}): name the report folder of an evaluation of images'
        ' with one class each') from error


def compare(metrics: Metrics, other: Other) -> Comparison:
  """Compares an evaluation with another one.

  Args:
    metrics: with the names of the classes.
    other: of `read`.

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
  here, there = records.correct, other.correct
  return Comparison(
      other, metrics.top1, Accuracy(1, int(there.sum()), len(there)),
      np.flatnonzero(here & ~there), np.flatnonzero(there & ~here),
      np.bincount(records.labels[there], minlength=metrics.num_classes))
