"""Times of many runs of a function, and the shares of the parts of a step."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Timings:
  """The time of each run.

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
    """The 95th percentile: the smallest time that 95% of the runs do not exceed."""
    ordered = sorted(self.seconds)
    return ordered[-(-95 * len(ordered) // 100) - 1]

  def classic_line(self, title: str) -> str:
    """Returns 'Forward across 100 steps, 0.123 +/- 0.004 sec / batch'."""
    return (f'{title} across {len(self.seconds)} steps, {self.mean:.3f} +/-'
            f' {self.deviation:.3f} sec / batch')

  def values(self) -> dict[str, float]:
    """Returns the statistics to store."""
    return {name: getattr(self, name)
            for name in ('mean', 'deviation', 'median', 'p95')}


def timed(run: Callable[[], object], runs: int, burn_in: int = 0,
          after_run: Callable[[int], None] = lambda count: None) -> Timings:
  """Runs a function repeatedly and times it.

  Args:
    run: the function.
    runs: number of timed runs.
    burn_in: number of runs before them that are not timed.
    after_run: called after each run, outside the timing, with the number of runs.
  """
  seconds = []
  for count in range(1, burn_in + runs + 1):
    start = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - start)
    after_run(count)
  return Timings(seconds[burn_in:])


# Nested parts of a step, and the share that each adds to the one before it.
PARTS = {'forward': 'forward', 'forward_backward': 'backward', 'step': 'update'}


def shares(parts: Mapping[str, Timings], whole: Timings) -> dict[str, float]:
  """Returns the share of each part in the median time of a step; their sum is 1.

  The input runs in parallel with the network. So its share is the time that reading
  records adds to a step: all of its time if both need the same cores, none if the
  network takes longer. Differences below 0, from noise, count as 0.

  Args:
    parts: steps on images in memory, nested, from the smallest: 'forward', then
      'forward_backward', then 'step'; or only the first of them.
    whole: the largest of the parts, on records.
  """
  seconds_by_part, before = {}, 0.0
  for name in PARTS:
    if name in parts:
      seconds_by_part[PARTS[name]] = max(0.0, parts[name].median - before)
      before = max(before, parts[name].median)
  seconds_by_part = {'input': max(0.0, whole.median - before), **seconds_by_part}
  total = sum(seconds_by_part.values())
  return {part: seconds / total for part, seconds in seconds_by_part.items()}


def bottleneck_lines(step_shares: Mapping[str, float], num_images: int,
                     input_alone: Timings, whole: Timings) -> Sequence[str]:
  """Returns the lines that name the bottleneck.

  Args:
    step_shares: result of `shares`.
    num_images: images of a step.
    input_alone: batches of records without a network.
    whole: steps on records.
  """
  largest = max(step_shares, key=step_shares.get)
  parts = '  '.join(f'{name} {share:.0%}' for name, share in step_shares.items())
  return [
      f'shares of a step on records: {parts}',
      f'bottleneck: {largest} (the input alone delivers'
      f' {num_images / input_alone.median:,.1f} images/s, the step processes'
      f' {num_images / whole.median:,.1f})']
