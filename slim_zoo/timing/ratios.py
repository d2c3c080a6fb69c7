"""Ratios of two contenders: the median of the rounds with a confidence interval.

The interval makes no assumption about the distribution of times: its ends are ratios of
two rounds. It contains the median of many rounds with a probability of at least 90%;
with five rounds it goes from the smallest to the largest ratio (94%).
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

FEWEST_ROUNDS = 5
# An interval whose ends differ by more than this factor says nothing.
_WIDEST = 2.0
_CONFIDENCE = 0.9


@dataclasses.dataclass(frozen=True)
class Ratio:
  """A ratio of two contenders.

  Attributes:
    median: of the rounds.
    low: the lower end of the interval.
    high: the upper end of the interval.
    rounds: the number of common rounds.
  """

  median: float
  low: float
  high: float
  rounds: int

  @property
  def is_equal(self) -> bool:
    """Whether both may be equal: the interval contains 1 or does not exist."""
    return self.rounds < FEWEST_ROUNDS or self.low <= 1 <= self.high

  @property
  def is_undecided(self) -> bool:
    """Whether both may be equal, and as well very different: the interval is wide."""
    return (self.rounds >= FEWEST_ROUNDS and self.is_equal
            and self.high > _WIDEST * self.low)

  def times(self, factor: float) -> 'Ratio':
    """Returns the ratio multiplied by a positive number."""
    return Ratio(
        self.median * factor, self.low * factor, self.high * factor, self.rounds)

  def text(self, digits: int = 2) -> str:
    """Returns '1.24 (1.20 to 1.31)', or 'equal (0.97 to 1.03)'.

    An interval around 1 that is wider than a factor of 2 is 'undecided (0.40 to 1.20)'.
    With fewer than five rounds there is no interval: '1.24 (2 rounds)'.
    """
    if self.rounds < FEWEST_ROUNDS:
      return f"{self.median:.{digits}f} ({self.rounds} round{'s'[:self.rounds != 1]})"
    shown = ('undecided' if self.is_undecided else 'equal' if self.is_equal
             else f'{self.median:.{digits}f}')
    return f'{shown} ({self.low:.{digits}f} to {self.high:.{digits}f})'


def of_rounds(numerators: Mapping[int, float],
              denominators: Mapping[int, float]) -> Ratio | None:
  """Returns the ratio of two values by round; None without common rounds."""
  ratios = [numerators[number] / denominators[number] for number in numerators
            if number in denominators]
  if not ratios:
    return None
  return Ratio(statistics.median(ratios), *interval(ratios), len(ratios))


def interval(values: Sequence[float]) -> tuple[float, float]:
  """Returns the narrowest interval of values that contains the median with 90%.

  With fewer than five values: from the smallest to the largest.
  """
  values, left_out = sorted(values), 0
  while 2 * (left_out + 1) < len(values) and _coverage(
      len(values), left_out + 1) >= _CONFIDENCE:
    left_out += 1
  return values[left_out], values[-1 - left_out]


def _coverage(count, left_out):
  """Returns the probability that the median is between the remaining values."""
  # The probability that at most `left_out` values are below the median.
  outside = sum(math.comb(count, below) for below in range(left_out + 1)) / 2**count
  return 1 - 2 * outside
