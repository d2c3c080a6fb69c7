"""Shares of right answers, and the accuracy lost between two kinds of answers."""

import math
from collections.abc import Iterable, Mapping, Sequence

# Standard deviations of a normal distribution, for an interval of 95%.
_DEVIATIONS = 1.96


def characters(right: Iterable[bool]) -> str:
  """Returns a character for each image: 1 if its answer is right, else 0."""
  return ''.join('1' if flag else '0' for flag in right)


def joined(runs: Sequence[Mapping[str, str]]) -> dict[str, str]:
  """Returns the answers of several runs as those of one, by kind of answer."""
  return {name: ''.join(run[name] for run in runs) for name in runs[0]}


def share(count: int, total: int) -> tuple[float, float, float]:
  """Returns (share, lower end, upper end) of an interval of 95%.

  Wilson 1927, Journal of the American Statistical Association 22(158).
  """
  found, square = count / total, _DEVIATIONS ** 2
  centre = (found + square / (2 * total)) / (1 + square / total)
  half = _DEVIATIONS / (1 + square / total) * math.sqrt(
      found * (1 - found) / total + square / (4 * total ** 2))
  return found, centre - half, centre + half


def of_answers(right: str) -> tuple[float, float, float]:
  """Returns the share of right answers and its interval, see `share`.

  Args:
    right: a character for each image: 1 if its answer is right.
  """
  return share(right.count('1'), len(right))


def lost(before: str, after: str) -> tuple[float, float, float]:
  """Returns (share, lower end, upper end) of the accuracy lost on the same images.

  The interval of 95% is that of Agresti and Min 2005, Statistics in Medicine 24(5), for
  the difference of two shares of pairs.

  Args:
    before: a character for each image: 1 if it was right.
    after: likewise.
  """
  pairs = list(zip(before, after, strict=True))
  worse, better = pairs.count(('1', '0')), pairs.count(('0', '1'))
  total = len(pairs) + 2
  adjusted_worse, adjusted_better = worse + 0.5, better + 0.5
  difference = adjusted_worse - adjusted_better
  centre = difference / total
  half = _DEVIATIONS / total * math.sqrt(
      adjusted_worse + adjusted_better - difference ** 2 / total)
  return (worse - better) / len(pairs), centre - half, centre + half


def cell(numbers: tuple[float, float, float]) -> str:
  """Returns '1.4 (0.3 to 2.5)' in percent."""
  found, low, high = (100 * number + 0.0 for number in numbers)
  return f'{found:.1f} ({low:.1f} to {high:.1f})'
