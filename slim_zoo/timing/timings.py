"""Times of many runs of the same thing, and what is said of them."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Timings:
  """The seconds that each run took.

  Attributes:
    seconds: in the order of the runs; at least one.
  """

  seconds: Sequence[float]

  @property
  def mean(self) -> float:
    """The mean, in seconds."""
    return statistics.fmean(self.seconds)

  @property
  def deviation(self) -> float:
    """The standard deviation of these runs, in seconds."""
    return statistics.pstdev(self.seconds)

  @property
  def median(self) -> float:
    """The median, in seconds."""
    return statistics.median(self.seconds)

  @property
  def p95(self) -> float:
    """The time within which 95% of the runs ended: the smallest such one."""
    ordered = sorted(self.seconds)
    return ordered[-(-95 * len(ordered) // 100) - 1]

  def classic_line(self, what: str) -> str:
    """Returns 'Forward across 100 steps, 0.123 +/- 0.004 sec / batch'."""
    return (f'{what} across {len(self.seconds)} steps, {self.mean:.3f} +/-'
            f' {self.deviation:.3f} sec / batch')

  def values(self) -> dict[str, float]:
    """Returns what is stored of them."""
    return {name: getattr(self, name)
            for name in ('mean', 'deviation', 'median', 'p95')}


def timed(run: Callable[[], object], runs: int, burn_in: int = 0,
          after_run: Callable[[int], None] = lambda done: None) -> Timings:
  """Runs something again and again.

  Args:
    run: what is timed.
    runs: how many of its runs count.
    burn_in: how many before them do not.
    after_run: called, between the runs, with how many there were.
  """
  seconds = []
  for done in range(1, burn_in + runs + 1):
    start = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - start)
    after_run(done)
  return Timings(seconds[burn_in:])
