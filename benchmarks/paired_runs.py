"""Compares contenders in separate processes, in turn, by the ratios of each round.

The order is A B C A B C, not A A B B C C, so a slow period of the machine affects all
contenders, and the ratio within a round stays valid. With `with_control` the first
contender runs a second time in each round: the ratio of both shows how much two runs of
the same code differ. Each run is stored when it ends, so a stopped command continues
where it stopped.
"""

import collections
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from absl import flags

from slim_zoo import diagnostics, progress
from slim_zoo.timing import machine, ratios

ROOT = pathlib.Path(__file__).resolve().parent.parent
_TIMEOUT_SECS = 1800
# If other processes use more than this share of the cores, times are not reliable.
BUSY = 0.1
# The name of the second run of the first contender.
CONTROL = 'the same code again'


@dataclasses.dataclass(frozen=True)
class Contender:
  """One of the programs that are compared.

  Attributes:
    name: its name in the table.
    run: called as run(task); returns {'seconds': [...]} and further values, or
      {'skipped': reason}.
  """

  name: str
  run: Callable[[Mapping], dict]


def check_flags_set(*required: flags.Flag) -> None:
  """Raises UserError for the first flag without a value, with its help text."""
  for flag in required:
    if not flag.value:
      raise diagnostics.UserError(
          f'--{flag.name} is missing: set --{flag.name}=VALUE ({flag.help})')


def check_networks(names: Iterable[str]) -> None:
  """Raises UserError for the first name that is unknown, or is a video network."""
  from slim_zoo.catalog import networks
  for name in names:
    networks.get_image_network(name)


def with_control(contenders: Sequence[Contender]) -> list[Contender]:
  """Returns contenders, with the first of them once more behind the others."""
  return [*contenders, Contender(CONTROL, contenders[0].run)]


def runner(module: str, python: str = sys.executable, **fixed) -> Callable:
  """Returns the `run` of a contender that is a module below benchmarks/.

  The module gets the task as JSON and prints its result as the last line.
  """
  def run(task):
    command = [python, '-m', f'benchmarks.{module}', json.dumps({**task, **fixed})]
    try:
      process = subprocess.run(command, cwd=ROOT, text=True, capture_output=True,
                            check=False, timeout=_TIMEOUT_SECS)
    except subprocess.TimeoutExpired:
      return {'skipped': f'took more than {_TIMEOUT_SECS} s'}
    except OSError as error:
      return {'skipped': diagnostics.explain_os_error(error)}
    return _answer(process)
  return run


def _answer(process: subprocess.CompletedProcess) -> dict:
  """Returns the printed result of a runner, or its failure."""
  try:
    return json.loads(process.stdout.strip().splitlines()[-1])
  except (ValueError, IndexError):
    reason = diagnostics.why_a_process_failed(process.returncode, process.stderr)
    return {'skipped': f'failed: {reason}', 'failed': True}


class Runs:
  """The runs of a comparison, kept in a file of JSON lines.

  Args:
    path: file of the runs; existing runs are not repeated.
  """

  def __init__(self, path: os.PathLike):
    self._path, self.done = pathlib.Path(path), {}
    if self._path.exists():
      for line in self._path.read_text(encoding='utf-8').splitlines():
        try:
          run = json.loads(line)
          self.done[self._key(run['task'], run['contender'], run['round'])] = run
        except (ValueError, KeyError, TypeError):
          print(f"note: a damaged line of '{path}' is ignored",
                file=sys.stderr)

  @staticmethod
  def _key(task, contender, round_number):
    return json.dumps([task, contender, round_number], sort_keys=True)

  def compare(self, tasks: Iterable[Mapping], contenders: Sequence[Contender],
              rounds: int) -> None:
    """Runs missing runs: for each task, each round, each contender in turn."""
    tasks, skipped = list(tasks), set()
    total = len(tasks) * rounds * len(contenders)
    with progress.Progress('benchmark', total, 'runs', interval=1e-9) as shown:
      count = 0
      for task in tasks:
        for number in range(rounds):
          for contender in contenders:
            self._run(task, contender, number, skipped)
            count += 1
            shown.update(count)

  def _run(self, task, contender, number, skipped):
    key = self._key(task, contender.name, number)
    contender_key = json.dumps([task, contender.name], sort_keys=True)
    if key in self.done or contender_key in skipped:
      return
    busy, start = machine.busy_share(), time.perf_counter()
    result = contender.run(task)
    if 'skipped' in result:
      skipped.add(contender_key)
      words = ' '.join(str(value) for value in task.values())
      print(f"{contender.name} ({words}): {result['skipped']}", file=sys.stderr)
    run = {'task': dict(task), 'contender': contender.name, 'round': number,
           'busy_before': busy, 'whole_seconds': time.perf_counter() - start, **result}
    self.done[key] = run
    # Skipped runs are not stored: they may be possible the next time.
    if 'skipped' not in result:
      with open(self._path, 'a', encoding='utf-8') as file:
        print(json.dumps(run), file=file)

  def values(self, task: Mapping, contender: str, key: str) -> dict:
    """Returns a value of a contender by round, such as its peak_mib."""
    return {run['round']: run[key] for run in self.done.values()
            if (run['task'], run['contender']) == (dict(task), contender)
            and run.get(key)}

  def medians(self, task: Mapping, contender: str) -> dict[int, float]:
    """Returns the median time of each round, in seconds."""
    return {number: statistics.median(seconds) for number, seconds
            in self.values(task, contender, 'seconds').items()}

  def skipped(self, task: Mapping, contender: str) -> str | None:
    """Returns the reason why a contender did not run; None if it did."""
    reasons = [run['skipped'] for run in self.done.values() if 'skipped' in run
               and (run['task'], run['contender']) == (dict(task), contender)]
    return reasons[0] if reasons and not self.medians(task, contender) else None

  def ratio(self, task: Mapping, own: str, peer: str) -> ratios.Ratio | None:
    """Returns the rate of `own` divided by that of `peer`."""
    return ratios.of_rounds(self.medians(task, peer), self.medians(task, own))

  def fewest_rounds(self) -> int:
    """Returns the smallest number of rounds of a task and contender."""
    counts = collections.Counter(
        (json.dumps(run['task'], sort_keys=True), run['contender'])
        for run in self.done.values() if 'skipped' not in run)
    return min(counts.values(), default=0)

  def busiest(self) -> float | None:
    """Returns the largest share of busy cores before a run."""
    return max((run['busy_before'] for run in self.done.values()
                if run.get('busy_before') is not None and 'skipped' not in run),
               default=None)


def ratio_cell(ratio: ratios.Ratio | None, digits: int = 2) -> str:
  """Returns the text of a ratio for a table, '-' without one."""
  return '-' if ratio is None else ratio.text(digits)


def conditions(runs: Runs, packages: Sequence[str] = ('tensorflow',),
               rounds: int | None = None) -> str:
  """Returns a description of the machine, its load and the number of rounds.

  Args:
    runs: all runs.
    packages: the packages to list with their versions.
    rounds: of each run; None: each run is a round.
  """
  busiest = runs.busiest()
  load = ('load before the runs unknown' if busiest is None else
          f'at most {busiest:.0%} busy with other processes before each run')
  return (f'{machine.description(machine.describe(packages))}; {load}; '
          + rounds_text(runs.fewest_rounds() if rounds is None else rounds, busiest))


def rounds_text(rounds: int, busiest: float | None) -> str:
  """Returns the number of rounds, the meaning of equal and undecided, and warnings.

  Args:
    rounds: the smallest number of rounds.
    busiest: the largest share of the cores that other processes used; None: unknown.
  """
  faults = [
      *[f'other processes used {busiest or 0:.0%} of the cores, at most {BUSY:.0%} is'
        ' allowed: stop them and measure again'] * ((busiest or 0) > BUSY),
      *[f'at least {ratios.FEWEST_ROUNDS} rounds are expected'] * (
          rounds < ratios.FEWEST_ROUNDS)]
  warning = f". DO NOT PUBLISH: {', and '.join(faults)}" if faults else ''
  return (f'{rounds} rounds. Intervals have a confidence of 90% or more. A ratio is'
          ' equal if its interval contains 1. It is undecided if the interval contains'
          f' 1 and its upper end is more than 2 times its lower end{warning}')


def label(task: Mapping, whats: Mapping[str, str]) -> str:
  """Returns the first cell of a task's line: the network, and what is measured of it.

  Args:
    task: has 'network' and 'what'.
    whats: the texts of the values of 'what'.
  """
  return f"{task['network']}, {whats[task['what']]}"


def not_run(runs: Runs, labels: Iterable[tuple[Mapping, str]],
            contenders: Iterable[str]) -> list[str]:
  """Returns the part of a page with the reasons why contenders did not run.

  Args:
    runs: all runs.
    labels: (task, its label in the table) of all tasks.
    contenders: the names of the contenders.

  Returns:
    One text in Markdown, or [] if all ran.
  """
  labels = list(labels)
  reasons = dict.fromkeys(
      f'{name}, {label}: {why}' for name in contenders for task, label in labels
      if (why := runs.skipped(task, name)))
  return ['Not run:\n\n' + '\n'.join(f'* {reason}' for reason in reasons)
          ] if reasons else []


def table(headings: Sequence[str], lines: Iterable[Sequence[str]],
          texts: int = 1) -> str:
  """Returns a Markdown table; columns after the first `texts` are right-aligned."""
  rule = ['---'] * texts + ['---:'] * (len(headings) - texts)
  return '\n'.join(f"| {' | '.join(line)} |" for line in (headings, rule, *lines))


def command_line(module: str) -> str:
  """Returns the command line of this process, without folders."""
  return ' '.join([f'python -m benchmarks.{module}', *map(
      _without_folders, sys.argv[1:])])


def _without_folders(argument):
  """Returns --name=value with the last parts of the paths in its value."""
  name, equals, value = argument.partition('=')
  return name + equals + ','.join(
      os.path.basename(path.rstrip(os.sep)) for path in value.split(','))


def line_times(command: Sequence[str], is_timed: Callable[[str], bool]) -> dict:
  """Runs a script of the project; returns the times of some output lines.

  Returns:
    {'lines': [(seconds since the start, line)], 'whole': seconds, 'returncode',
    'error': the last line on stderr}.
  """
  start, lines = time.perf_counter(), []
  with subprocess.Popen(
      [sys.executable, '-u', *command], cwd=ROOT, text=True, stdout=subprocess.PIPE,
      stderr=subprocess.PIPE) as process:
    for line in process.stdout:
      if is_timed(line):
        lines.append((time.perf_counter() - start, line.rstrip()))
    error = process.stderr.read().strip().splitlines()
  return {'lines': lines, 'whole': time.perf_counter() - start,
          'returncode': process.returncode, 'error': error[-1] if error else ''}


def write(page: str, name: str, folder: str | None) -> None:
  """Prints a page, and writes it to NAME.md in a folder if given."""
  print(page)
  if folder:
    os.makedirs(folder, exist_ok=True)
    pathlib.Path(folder, f'{name}.md').write_text(page, encoding='utf-8')
