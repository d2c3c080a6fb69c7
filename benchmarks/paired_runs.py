"""Contenders side by side: fresh processes, in turn, and the ratios of each round.

The runs go A B C A B C and not A A B B: what slows the machine for a while then slows
all contenders alike, and the ratio within a round stays. One contender runs a second
time in each round, as a control: how far two runs of the same code differ. Every run is
written down as soon as it is done, so that a command that was stopped goes on where it
stopped.
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

from benchmarks import ratios
from slim_zoo import diagnostics, progress
from slim_zoo.timing import machine

ROOT = pathlib.Path(__file__).resolve().parent.parent
_TIMEOUT_SECS = 1800
# Above this share of the cores busy with other things, times are worth little.
BUSY = 0.1
# The contender that is the first one once more.
CONTROL = 'the same code again'


@dataclasses.dataclass(frozen=True)
class Contender:
  """Who runs.

  Attributes:
    name: how the table calls it.
    run: called as run(task); returns {'seconds': [...]} and what else is to be known,
      or {'skipped': why}.
  """

  name: str
  run: Callable[[Mapping], dict]


def check_given(*wanted: flags.Flag) -> None:
  """Raises UserError for the first flag that has no value; its help says what it is."""
  for flag in wanted:
    if not flag.value:
      raise diagnostics.UserError(f'--{flag.name} is missing: {flag.help}')


def with_control(contenders: Sequence[Contender]) -> list[Contender]:
  """Returns contenders, with the first of them once more behind the others."""
  return [*contenders, Contender(CONTROL, contenders[0].run)]


def runner(module: str, python: str = sys.executable, **fixed) -> Callable:
  """Returns the `run` of a contender that is a module below benchmarks/.

  The module is given the task as JSON, and its last line of output is the answer.
  """
  def run(task):
    command = [python, '-m', f'benchmarks.{module}', json.dumps({**task, **fixed})]
    try:
      done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True,
                            check=False, timeout=_TIMEOUT_SECS)
    except subprocess.TimeoutExpired:
      return {'skipped': f'took more than {_TIMEOUT_SECS} s'}
    except OSError as error:
      return {'skipped': diagnostics.explain_os_error(error)}
    return _answer(done)
  return run


def _answer(done: subprocess.CompletedProcess) -> dict:
  """Returns what a runner printed, or that it failed and by what."""
  try:
    return json.loads(done.stdout.strip().splitlines()[-1])
  except (ValueError, IndexError):
    said = done.stderr.strip().splitlines() or [f'exit code {done.returncode}']
    return {'skipped': f'failed: {said[-1]}', 'failed': True}


class Runs:
  """The runs of a comparison, kept in a file of JSON lines.

  Args:
    path: of the file; what stands in it is not run again.
  """

  def __init__(self, path: os.PathLike):
    self._path, self.done = pathlib.Path(path), {}
    if self._path.exists():
      for line in self._path.read_text(encoding='utf-8').splitlines():
        try:
          run = json.loads(line)
          self.done[self._key(run['task'], run['contender'], run['round'])] = run
        except (ValueError, KeyError, TypeError):
          print(f"note: a damaged line of '{path}' counts for nothing",
                file=sys.stderr)

  @staticmethod
  def _key(task, contender, round_number):
    return json.dumps([task, contender, round_number], sort_keys=True)

  def compare(self, tasks: Iterable[Mapping], contenders: Sequence[Contender],
              rounds: int) -> None:
    """Runs what is missing: for each task, each round, each contender in turn."""
    tasks, skipped = list(tasks), set()
    total = len(tasks) * rounds * len(contenders)
    with progress.Progress('benchmark', total, 'runs', interval=1e-9) as shown:
      done = 0
      for task in tasks:
        for number in range(rounds):
          for contender in contenders:
            self._run(task, contender, number, skipped)
            done += 1
            shown.update(done)

  def _run(self, task, contender, number, skipped):
    key = self._key(task, contender.name, number)
    whom = json.dumps([task, contender.name], sort_keys=True)
    if key in self.done or whom in skipped:
      return
    busy, start = machine.busy_share(), time.perf_counter()
    answer = contender.run(task)
    if 'skipped' in answer:
      skipped.add(whom)
      words = ' '.join(str(value) for value in task.values())
      print(f"{contender.name} ({words}): {answer['skipped']}", file=sys.stderr)
    run = {'task': dict(task), 'contender': contender.name, 'round': number,
           'busy_before': busy, 'whole_seconds': time.perf_counter() - start, **answer}
    self.done[key] = run
    # What was not run may be there the next time.
    if 'skipped' not in answer:
      with open(self._path, 'a', encoding='utf-8') as file:
        print(json.dumps(run), file=file)

  def noted(self, task: Mapping, contender: str, what: str) -> dict:
    """Returns what a contender noted in each round, such as its peak_mib."""
    return {run['round']: run[what] for run in self.done.values()
            if (run['task'], run['contender']) == (dict(task), contender)
            and run.get(what)}

  def medians(self, task: Mapping, contender: str) -> dict[int, float]:
    """Returns the median time of each round, in seconds."""
    return {number: statistics.median(seconds) for number, seconds
            in self.noted(task, contender, 'seconds').items()}

  def skipped(self, task: Mapping, contender: str) -> str | None:
    """Returns why a contender did not run; None if it did."""
    reasons = [run['skipped'] for run in self.done.values() if 'skipped' in run
               and (run['task'], run['contender']) == (dict(task), contender)]
    return reasons[0] if reasons and not self.medians(task, contender) else None

  def ratio(self, task: Mapping, ours: str, theirs: str) -> ratios.Ratio | None:
    """Returns our rate over theirs."""
    return ratios.of_rounds(self.medians(task, theirs), self.medians(task, ours))

  def fewest_rounds(self) -> int:
    """Returns how often the contender ran that ran least often."""
    counts = collections.Counter(
        (json.dumps(run['task'], sort_keys=True), run['contender'])
        for run in self.done.values() if 'skipped' not in run)
    return min(counts.values(), default=0)

  def busiest(self) -> float | None:
    """Returns the largest share of the cores that was busy before a run that counts."""
    return max((run['busy_before'] for run in self.done.values()
                if run.get('busy_before') is not None and 'skipped' not in run),
               default=None)


def ratio_cell(ratio: ratios.Ratio | None, digits: int = 2) -> str:
  """Returns a ratio as tables have it; '-' where there is none."""
  return '-' if ratio is None else ratio.in_words(digits)


def conditions(runs: Runs, packages: Sequence[str] = ('tensorflow',)) -> str:
  """Returns the machine, how idle it was, and how many rounds there were, in words."""
  busiest, rounds = runs.busiest(), runs.fewest_rounds()
  idle = ('how busy it was is not known' if busiest is None else
          f'at most {busiest:.0%} busy with other things before each run')
  faults = [
      *['it should be idle'] * (busiest is not None and busiest > BUSY),
      *[f'{ratios.FEWEST_ROUNDS} rounds are the least'] * (
          rounds < ratios.FEWEST_ROUNDS)]
  warning = f". NOT TO BE PUBLISHED: {', and '.join(faults)}" if faults else ''
  return (f'{machine.in_words(machine.describe(packages))}; {idle}; rounds: {rounds} or'
          ' more, intervals of 90% or more, a ratio whose interval contains 1 is equal'
          f'{warning}')


def table(headings: Sequence[str], lines: Iterable[Sequence[str]],
          texts: int = 1) -> str:
  """Returns a Markdown table; columns behind the first `texts` stand to the right."""
  rule = ['---'] * texts + ['---:'] * (len(headings) - texts)
  return '\n'.join(f"| {' | '.join(line)} |" for line in (headings, rule, *lines))


def command_line(module: str) -> str:
  """Returns the command that this process was started by, without its folders."""
  words = [word if '=' not in word or os.sep not in word else
           f"{word.split('=')[0]}={os.path.basename(word.split('=', 1)[1])}"
           for word in sys.argv[1:]]
  return ' '.join([f'python -m benchmarks.{module}', *words])


def line_times(command: Sequence[str], wanted: Callable[[str], bool]) -> dict:
  """Runs a script of the project; returns when the lines that are wanted came.

  Returns:
    {'lines': [(seconds since the start, line)], 'whole': seconds, 'returncode',
    'error': the last line on stderr}.
  """
  start, lines = time.perf_counter(), []
  with subprocess.Popen(
      [sys.executable, '-u', *command], cwd=ROOT, text=True, stdout=subprocess.PIPE,
      stderr=subprocess.PIPE) as process:
    for line in process.stdout:
      if wanted(line):
        lines.append((time.perf_counter() - start, line.rstrip()))
    error = process.stderr.read().strip().splitlines()
  return {'lines': lines, 'whole': time.perf_counter() - start,
          'returncode': process.returncode, 'error': error[-1] if error else ''}


def write(page: str, name: str, folder: str | None) -> None:
  """Prints a page, and writes it to NAME.md in a folder if there is one."""
  print(page)
  if folder:
    os.makedirs(folder, exist_ok=True)
    pathlib.Path(folder, f'{name}.md').write_text(page, encoding='utf-8')
