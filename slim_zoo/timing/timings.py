"""Times of many runs of the same thing, and which part of a step takes them."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


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

  def classic_line(self, title: str) -> str:
    """Returns 'Forward across 100 steps, 0.123 +/- 0.004 sec / batch'."""
    return (f'{title} across {len(self.seconds)} steps, {self.mean:.3f} +/-'
            f' {self.deviation:.3f} sec / batch')

  def values(self) -> dict[str, float]:
    """Returns the stored values."""
    return {name: getattr(self, name)
            for name in ('mean', 'deviation', 'median', 'p95')}


def timed(run: Callable[[], object], runs: int, burn_in: int = 0,
          after_run: Callable[[int], None] = lambda done: None) -> Timings:
  """Runs something again and again.

  Args:
    run: the function to time.
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


# Nested parts of a step, each with the work that it adds to the part before it.
PARTS = {'forward': 'forward', 'forward_backward': 'backward', 'step': 'update'}


def shares(parts: Mapping[str, Timings], whole: Timings) -> dict[str, float]:
  """Returns the share of each part in the median time of a step; their sum is 1.

  The input works beside the network, so what counts as its share is what reading
  records adds to a step: all of it on cores that both need, nothing where it is
  hidden behind the network. What is below nothing by the noise of the timing is 0.

  Args:
    parts: of steps on images that stay in memory, nested, from the smallest:
      'forward', then 'forward_backward', then 'step'; or only the first of them.
    whole: the largest of the parts, on records.
  """
  seconds_of_parts, before = {}, 0.0
  for name in PARTS:
    if name in parts:
      seconds_of_parts[PARTS[name]] = max(0.0, parts[name].median - before)
      before = max(before, parts[name].median)
  seconds_of_parts = {'input': max(0.0, whole.median - before), **seconds_of_parts}
  total = sum(seconds_of_parts.values())
  return {name: seconds / total for name, seconds in seconds_of_parts.items()}


def bottleneck_lines(part_shares: Mapping[str, float], num_images: int,
                     input_alone: Timings, whole: Timings) -> Sequence[str]:
  """Returns the lines that name the bottleneck.

  Args:
    part_shares: of `shares`.
    num_images: of a step.
    input_alone: batches of records without any network.
    whole: steps on records.
  """
  largest = max(part_shares, key=part_shares.get)
  parts = '  '.join(f'{name} {share:.0%}' for name, share in part_shares.items())
  return [
      f'of a step on records: {parts}',
      f'the bottleneck: {largest} (the input alone gives'
      f' {num_images / input_alone.median:,.1f} images/s, the step takes'
      f' {num_images / whole.median:,.1f})']
