"""Code that all runners share: reading the task and printing the result."""

import json
import resource
import statistics
import sys
from collections.abc import Callable, Mapping

from slim_zoo.timing import timings


class UnavailableError(Exception):
  """The peer does not run on this machine or lacks the network; the text says why."""


def print_result(measure: Callable[[Mapping], dict]) -> None:
  """Prints the result of `measure` for the task on the command line, as JSON.

  Args:
    measure: returns {'seconds': ...} and further values; a missing package or
      `UnavailableError` becomes {'skipped': reason}.
  """
  try:
    values = measure(json.loads(sys.argv[1]))
    values['peak_mib'] = peak_mib()
  except ModuleNotFoundError as error:
    values = {'skipped': f"'{error.name}' is not installed"}
  except UnavailableError as reason:
    values = {'skipped': str(reason)}
  print(json.dumps(values))


def peak_mib() -> int:
  """Returns the largest resident set of this process so far, in MiB."""
  try:
    with open('/proc/self/status', encoding='ascii') as file:
      sizes = dict(line.split(':', 1) for line in file)
    return int(sizes['VmHWM'].split()[0]) // 1024
  except (OSError, KeyError):
    # On Linux, this has the peak of the process that started this one in it.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def seconds(run: Callable[[], object], task: Mapping) -> list[float]:
  """Returns the time of each timed batch."""
  return list(timings.timed(run, task['num_batches'], task['burn_in']).seconds)


def in_turn(runs: Mapping[str, Callable[[], object]], task: Mapping
            ) -> dict[str, list[float]]:
  """Returns the median seconds of a batch in each round, by name.

  The runs take turns: each is timed once in each of the task's 'rounds', and the order
  is reversed in every second round.
  """
  times = {name: [] for name in runs}
  for number in range(task['rounds']):
    names = list(runs) if number % 2 == 0 else list(reversed(runs))
    for name in names:
      # Only before the first round there is something to prepare.
      burn_in = 0 if number else task['burn_in']
      times[name].append(statistics.median(
          timings.timed(runs[name], task['num_batches'], burn_in).seconds))
  return times


def batch_times(run: Callable[[], object], task: Mapping) -> dict:
  """Returns the seconds of a batch, and the processor seconds of all threads.

  Both are means over all batches, because an input also works between two reads.
  Processor seconds depend little on other processes on the same cores.
  """
  marks = {}

  def mark(count):
    usage = resource.getrusage(resource.RUSAGE_SELF)
    marks[count] = usage.ru_utime + usage.ru_stime

  mark(0)
  burn_in, batches = task['burn_in'], task['num_batches']
  times = timings.timed(run, batches, burn_in, mark).seconds
  return {'seconds': [sum(times) / batches],
          'median_seconds': statistics.median(times), 'longest_seconds': max(times),
          'processor_seconds': (marks[burn_in + batches] - marks[burn_in]) / batches}
