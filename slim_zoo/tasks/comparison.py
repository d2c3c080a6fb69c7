"""Comparison of the ways to compute a network: all combinations, timed in turn.

The combinations run in turn in each round, so a slow period of the machine affects all
of them. The first one runs once more at the end of each round, as a control. TensorFlow
takes XLA and logical GPUs for a whole process, so combinations that differ in these run
in different processes. This module does not load TensorFlow.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from slim_zoo import diagnostics, progress
from slim_zoo.config.benchmark import BenchmarkConfig
from slim_zoo.timing import machine, ratios

_WORKER = 'slim_zoo.tasks.comparison_worker'
# Options of a process.
_OF_PROCESS = ('xla', 'num_clones')
_TITLES = {'forward': 'forward', 'step': 'train step'}
_BUSY = 0.1
_CONTROL = 'again'


@dataclasses.dataclass(frozen=True)
class Row:
  """A line of the table.

  Attributes:
    network: its name.
    what: 'forward' or 'step'.
    batch_size: images of each clone.
    values: the values of the compared options, by name.
    is_control: whether it is the first combination once more.
    seconds: the median of all batches; None if it was not run.
    images_per_second: of the median; None if it was not run.
    ratio: the rate relative to the first combination; None for the first one, and
      where one of both was not run.
    reason: why it was not run; None if it was.
  """

  network: str
  what: str
  batch_size: int
  values: Mapping[str, object]
  is_control: bool = False
  seconds: float | None = None
  images_per_second: float | None = None
  ratio: ratios.Ratio | None = None
  reason: str | None = None


def compare(config: BenchmarkConfig) -> list[Row]:
  """Times all combinations of the compared options, and prints one table.

  Args:
    config: what to do; `config.check()` has been called.

  Returns:
    The lines of the table.

  Raises:
    UserError: nothing of a network could be run.
  """
  busy = machine.busy_share()
  if (busy or 0) > _BUSY:
    print(f'note: the machine is {busy:.0%} busy with other things: these times are'
          ' worth little', flush=True)
  batches, rounds = config.networks.num_batches, config.comparison.rounds
  if batches < rounds:
    print(f'note: --num_batches={batches} is smaller than --rounds={rounds}: each round'
          f' times 1 batch, {rounds} in all', flush=True)
  rows, gpus = measure(config, config.comparison.values())
  print(conditions(gpus))
  print(table(rows), flush=True)
  check_any(rows)
  return rows


def conditions(gpus: Sequence[str]) -> str:
  """Returns a line about the machine and the GPUs that computed."""
  line = machine.description(machine.describe())
  return f"{line}; on {', '.join(gpus)}" if gpus else f'{line}; on the CPU'


def check_any(rows: Sequence[Row]) -> None:
  """Raises UserError for networks of which no combination could be run."""
  names = dict.fromkeys(row.network for row in rows)
  ran = {row.network for row in rows if row.seconds is not None}
  failed = [name for name in names if name not in ran]
  if failed:
    raise diagnostics.UserError(
        f"{len(failed)} of {len(names)} networks failed: {', '.join(failed)}")


def measure(config: BenchmarkConfig, values: Mapping[str, Sequence]
            ) -> tuple[list[Row], list[str]]:
  """Times combinations of options; prints the progress.

  Args:
    config: the networks, the batches and the other options.
    values: the values of each compared option, by name.

  Returns:
    (the rows, of each network, batch and operation those of all combinations; the
    names of the GPUs that computed).
  """
  combinations = [dict(zip(values, chosen, strict=True))
                  for chosen in itertools.product(*values.values())]
  rows = []
  with contextlib.ExitStack() as stack:
    workers = _Workers(config, stack)
    for name in config.networks.names():
      for size in config.networks.sizes_of_batches():
        for kind, what in _operations(config):
          comparison = _Comparison(config, workers, name, size, kind, what)
          rows += comparison.run(combinations)
  return rows, workers.gpus


def _operations(config):
  """Returns (graph, operation) of all that is timed."""
  mode = config.networks.timed_mode
  forward = ('frozen' if config.networks.frozen else 'evaluation', 'forward')
  return [*[forward] * (mode != 'train'), *[('training', 'step')] * (mode != 'forward')]


class _Comparison:
  """All combinations of one network, batch size and operation."""

  def __init__(self, config, workers, name, batch_size, kind, what):
    self._config, self._workers = config, workers
    self._name, self._size, self._kind, self._what = name, batch_size, kind, what

  def run(self, combinations):
    """Prepares all combinations, runs the rounds, and returns the rows."""
    options = self._config.networks
    rounds = self._config.comparison.rounds
    batches = max(1, options.num_batches // rounds)
    label = f'{self._name}, batch {self._size}, {_TITLES[self._what]}'
    print(f'{label}: {len(combinations)} combinations', flush=True)
    reasons = [self._prepare(number, values)
               for number, values in enumerate(combinations)]
    order = [number for number, reason in enumerate(reasons) if reason is None]
    turns = [*order, *([_CONTROL] if order and order[0] == 0 else [])]
    times = {turn: {} for turn in turns}
    with progress.Progress(label, rounds * len(turns), 'runs') as shown:
      for done, (number, turn) in enumerate(itertools.product(range(rounds), turns), 1):
        index = 0 if turn == _CONTROL else turn
        if reasons[index] is None:
          answer = self._workers.of(combinations[index]).ask(
              {'run': index, 'batches': batches})
          reasons[index] = answer.get('reason')
          if reasons[index] is None:
            times[turn][number] = answer['seconds']
        shown.update(done)
    self._workers.release()
    first = combinations[0]
    rows = [self._row(values, times, number, reasons[number], first)
            for number, values in enumerate(combinations)]
    if times.get(_CONTROL) and reasons[0] is None:
      rows.insert(1, self._row(first, times, _CONTROL, None, first))
    return rows

  def _prepare(self, number, values):
    """Returns why a combination cannot be run; None if it can."""
    return self._workers.of(values).ask({
        'prepare': number, 'kind': self._kind, 'what': self._what,
        'burn_in': self._config.networks.num_batches_burn_in,
        'options': {**base_options(self._config), **values,
                    'networks': [self._name], 'batch_sizes': [str(self._size)]},
    }).get('reason')

  def _row(self, values, times, turn, reason, first):
    row = Row(self._name, self._what, self._size, values, turn == _CONTROL,
              reason=reason)
    if reason is not None:
      return row
    seconds = statistics.median(itertools.chain(*times[turn].values()))
    ratio = ratios.of_rounds(_medians(times.get(0, {})), _medians(times[turn]))
    if turn == 0 or ratio is None:
      ratio = None
    else:
      ratio = ratio.times(self._clones(values) / self._clones(first))
    return dataclasses.replace(
        row, seconds=seconds, ratio=ratio,
        images_per_second=self._size * self._clones(values) / seconds)

  def _clones(self, values):
    return values.get('num_clones', self._config.networks.num_clones)


def _medians(times):
  return {number: statistics.median(seconds) for number, seconds in times.items()}


def base_options(config: BenchmarkConfig) -> dict:
  """Returns the options that the user set, but for those of a comparison."""
  return {name: value for name, value in config.values().items()
          if name in config.user_options and name not in ('compare', 'rounds')}


class _Workers:
  """The processes: one for each set of options that holds for a whole process.

  Args:
    config: of the comparison.
    stack: ends them.

  Attributes:
    gpus: the names of the GPUs that compute.
  """

  def __init__(self, config, stack):
    self._config, self._stack, self._workers, self._notes = config, stack, {}, set()
    self.gpus = []

  def of(self, values: Mapping[str, object]) -> '_Worker':
    """Returns the process for a combination; starts it if there is none."""
    own = {name: values[name] for name in _OF_PROCESS if name in values}
    key = json.dumps(own)
    if key not in self._workers or self._workers[key].has_ended:
      worker = self._stack.enter_context(_Worker())
      self._workers[key] = worker
      answer = worker.ask({**base_options(self._config), **own})
      self.gpus = answer.get('gpus', self.gpus)
      for note in answer.get('notes', ()):
        if note not in self._notes:
          print(f'note: {note}', file=sys.stderr, flush=True)
        self._notes.add(note)
    return self._workers[key]

  def release(self):
    """Frees what the processes have prepared."""
    for worker in self._workers.values():
      worker.ask({'release': True})


class _Worker:
  """A process of `comparison_worker`. Use it as a context manager."""

  def __init__(self):
    self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed at the end)
    folder = str(pathlib.Path(__file__).parent.parent.parent)
    paths = os.pathsep.join(filter(None, (folder, os.environ.get('PYTHONPATH'))))
    self._process = subprocess.Popen(
        [sys.executable, '-m', _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=self._errors, text=True, env={**os.environ, 'PYTHONPATH': paths})

  @property
  def has_ended(self) -> bool:
    """Whether the process has ended."""
    return self._process.poll() is not None

  def ask(self, request: dict) -> dict:
    """Returns the answer to a request; of a process that ends {'reason': LINE}."""
    try:
      print(json.dumps(request), file=self._process.stdin, flush=True)
      line = self._process.stdout.readline()
    except BrokenPipeError:
      line = ''
    if line:
      return json.loads(line)
    code = self._process.wait()
    self._errors.seek(0)
    return {'reason': diagnostics.why_a_process_failed(
        code, self._errors.read().decode(errors='replace'))}

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    with contextlib.suppress(BrokenPipeError):
      self._process.stdin.close()
    try:
      self._process.wait(10)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._process.stdout.close()
    self._errors.close()


# --- The table.


def table(rows: Sequence[Row]) -> str:
  """Returns the rows as a Markdown table whose columns are aligned in a terminal.

  The reasons of what was not run are numbered, below the table: many rows share one.
  """
  names, reasons = list(rows[0].values), list(dict.fromkeys(
      row.reason for row in rows if row.reason is not None))
  headings = ('network', 'batch', 'what', *names, 'ms / batch', 'images/s',
              'rate, relative to the first')
  lines = [headings, *(_cells(row, reasons) for row in rows)]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  first_number = len(headings) - 3
  shown = [' | '.join(
      cell.rjust(width) if first_number <= index < len(headings) - 1
      else cell.ljust(width)
      for index, (cell, width) in enumerate(zip(line, widths, strict=True)))
           for line in lines]
  rule = ' | '.join(
      '-' * (width - 1) + ':' if first_number <= index < len(headings) - 1
      else '-' * width for index, width in enumerate(widths))
  notes = [f'{number}. {reason}' for number, reason in enumerate(reasons, 1)]
  return '\n'.join([*(f'| {line} |' for line in (shown[0], rule, *shown[1:])),
                    *([''] if notes else []), *notes])


def _cells(row, reasons):
  values = [_shown(value) for value in row.values.values()]
  if row.is_control:
    values[0] += f' {_CONTROL}'
  cells = (row.network, str(row.batch_size), _TITLES[row.what], *values)
  if row.reason is not None:
    return (*cells, '-', '-', f'not run: see {reasons.index(row.reason) + 1}.')
  return (*cells, f'{row.seconds * 1e3:,.4g}', f'{row.images_per_second:,.4g}',
          '1' if row.ratio is None else row.ratio.text())


def _shown(value):
  return {True: 'on', False: 'off'}.get(value, str(value)) if isinstance(
      value, bool) else str(value)
