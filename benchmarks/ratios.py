"""Ratios of two contenders: the median of the rounds, and how sure it is.

The interval needs no assumption about how times are spread: it goes from one of the
ratios of the rounds to another. The median of many rounds is in it with a probability
of at least 90%; with five rounds it is from the smallest to the largest, and 94%.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

FEWEST_ROUNDS = 5
_SURE = 0.9


@dataclasses.dataclass(frozen=True)
class Ratio:
  """A ratio of two contenders.

  Attributes:
    median: of the rounds.
    low: the beginning of its interval.
    high: the end of its interval.
    rounds: how many rounds both have.
  """

  median: float
  low: float
  high: float
  rounds: int

  @property
  def is_equal(self) -> bool:
    """Whether both may be equal: the interval contains 1, or there is none."""
    return self.rounds < FEWEST_ROUNDS or self.low <= 1 <= self.high

  def times(self, factor: float) -> 'Ratio':
    """Returns the ratio times a number above 0."""
    return Ratio(
        self.median * factor, self.low * factor, self.high * factor, self.rounds)

  def in_words(self, digits: int = 2) -> str:
    """Returns '1.24 (1.20 to 1.31)', or 'equal (0.97 to 1.03)'.

    With fewer than five rounds there is no interval: '1.24 (2 rounds)'.
    """
    if self.rounds < FEWEST_ROUNDS:
      return f"{self.median:.{digits}f} ({self.rounds} round{'s'[:self.rounds != 1]})"
    shown = 'equal' if self.is_equal else f'{self.median:.{digits}f}'
    return f'{shown} ({self.low:.{digits}f} to {self.high:.{digits}f})'


def of_rounds(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Ratio | None:
  """Returns ours over theirs, by the ratio in each round; None if none has both.

  Args:
    ours: a value for each round.
    theirs: likewise.
  """
  ratios = [ours[number] / theirs[number] for number in ours if number in theirs]
  if not ratios:
    return None
  return Ratio(statistics.median(ratios), *interval(ratios), len(ratios))


def interval(values: Sequence[float]) -> tuple[float, float]:
  """Returns the narrowest two values between which the median is with 90% at least.

  With fewer than five values: the smallest and the largest.
  """
  values, left_out = sorted(values), 0
  while 2 * (left_out + 1) < len(values) and _coverage(
      len(values), left_out + 1) >= _SURE:
    left_out += 1
  return values[left_out], values[-1 - left_out]


def _coverage(count, left_out):
  """Returns the probability that the median is between values, some left out."""
  # So many values or fewer are below the median with this probability.
  outside = sum(math.comb(count, below) for below in range(left_out + 1)) / 2**count
  return 1 - 2 * outside
