"""Differences of accuracy between pairs of runs, with Student's t."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

# Of an interval of 95%.
_OUTSIDE = 0.025


@dataclasses.dataclass(frozen=True)
class Difference:
  """The effect of an option, in points of accuracy.

  Attributes:
    without: mean accuracy without the option, in percent.
    with_option: mean accuracy with it.
    mean: mean difference of the pairs, in points.
    low: the lower end of its interval of 95%.
    high: the upper end.
    pairs: number of pairs.
  """

  without: float
  with_option: float
  mean: float
  low: float
  high: float
  pairs: int

  @property
  def is_equal(self) -> bool:
    """Whether the interval contains 0."""
    return self.low <= 0 <= self.high

  def text(self) -> str:
    """Returns '2.4 (1.1 to 3.7)', or 'equal (-0.6 to 1.2)'."""
    mean = 'equal' if self.is_equal else f'{self.mean:+.1f}'
    return f'{mean} ({self.low:+.1f} to {self.high:+.1f})'


def difference(without: Sequence[float], with_option: Sequence[float]) -> Difference:
  """Returns the effect of an option over pairs of runs.

  The interval is that of Student's t for the mean of the differences.

  Args:
    without: accuracies from 0 to 1, one for each seed.
    with_option: likewise, for the same seeds.
  """
  from scipy import stats
  before, after = ([100 * value for value in values]
                   for values in (without, with_option))
  changes = [new - old for old, new in zip(before, after, strict=True)]
  half = (stats.t.ppf(1 - _OUTSIDE, len(changes) - 1) * statistics.stdev(changes)
          / math.sqrt(len(changes)))
  mean = statistics.fmean(changes)
  return Difference(statistics.fmean(before), statistics.fmean(after), mean,
                    mean - half, mean + half, len(changes))
