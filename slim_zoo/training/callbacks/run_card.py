"""The run card: what a run is, its progress, and the command that repeats it.

It is in the folder of the checkpoints: run_card.json for programs, run_card.md for
people, run_card.flags for --flagfile. Each process that trains the run is a session of
it. The card is written when a session begins, after every checkpoint and at the end,
each time completely or not at all. It names paths as the user typed them, but no
machine and no user.
"""

import datetime
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.checkpoints.run_card import FORMAT, JSON_NAME, UNDER_WAY, read
from slim_zoo.files import atomic
from slim_zoo.progress import clock
from slim_zoo.training import intervals
from slim_zoo.training.callbacks.callback import Callback

# Sessions at the end of the table; a run that is preempted daily has many.
_SHOWN_SESSIONS = 20


def _cell(value) -> str:
  if value is None:
    return '-'
  if isinstance(value, float):
    return f'{value + 0.0:.6g}'  # A zero has no sign.
  if isinstance(value, int) and not isinstance(value, bool):
    return f'{value:,}'
  text = str(value).replace('|', r'\|')
  return ' '.join(text.split())


def _table(head: Sequence[str], rows: Iterable[Sequence]) -> list[str]:
  rule = '|' + '---|' * len(head)
  line = lambda cells: '| ' + ' | '.join(map(_cell, cells)) + ' |'
  return [line(head), rule, *map(line, rows), '']


def _leaves(value, path: str = ''):
  """Yields (name, value) of all leaves of nested dicts."""
  for key, item in value.items():
    name = f'{path}{key}'.replace('_', ' ')
    if isinstance(item, Mapping):
      yield from _leaves(item, f'{name}, ')
    elif not isinstance(item, (list, tuple)):
      yield name, item


def _data_rows(data: Mapping):
  for split, facts in data.items():
    counted = facts['records']
    if counted is None:
      counted = f'{facts["expected_records"]:,} expected'
    yield split, facts['files'], facts['bytes'], counted, f'`{facts["digest"]}`'


def _session_rows(sessions: Sequence[Mapping]):
  first = max(0, len(sessions) - _SHOWN_SESSIONS)
  for number, session in enumerate(sessions[first:], start=first + 1):
    yield (number, session['started'], f'{session["first_step"]:,}',
           f'{session["step"]:,}', session['loss'], clock(session['seconds']),
           session['images_per_second'], session['stopped_by'],
           ', '.join(session['changed']) or '-')


def _result_rows(results: Mapping):
  for name, value in _leaves(results):
    yield name, clock(value) if name == 'seconds' else value


def render_flags(card: Mapping) -> str:
  """Returns the set flags of a run as a file for --flagfile, with its seed.

  Args:
    card: as for `render`.
  """
  lines = [f'--{name}={flag["value"]}' for name, flag in card['flags'].items()
           if flag['given'] and name != 'seed']
  return '\n'.join([
      f'# {card["run"].get("title", "training")}: the flags of the run card beside this'
      ' file.', '# slim-zoo train --flagfile=FILE repeats the run.',
      *lines, f'--seed={card["seeds"]["seed"]}', ''])


def render(card: Mapping) -> str:
  """Returns the page of a card.

  Args:
    card: with 'command', 'run' (nested facts of any names), 'flags' ({name:
      {'value', 'given'}}), 'versions', 'data' ({split: `fingerprint.fingerprint`}),
      'seeds', 'results' and 'sessions'.
  """
  flags = card['flags'].items()
  lines = [
      f'# Run card: {card["run"].get("title", "training")}', '',
      'Written by the training script; json is the same for programs.', '',
      '## To repeat it', '', '```sh', card['command'], '```', '',
      card['seeds'].get('words', ''), '',
      '## Results so far', '',
      *_table(('result', 'value'), _result_rows(card['results'])),
      '## What runs', '',
      *_table(('what', 'value'), _leaves(
          {key: value for key, value in card['run'].items() if key != 'title'})),
      '## Data', '',
      *_table(('split', 'files', 'bytes', 'records', 'digest'),
              _data_rows(card['data'])),
      '## Versions', '',
      *_table(('software', 'version'), card['versions'].items()),
      '## Sessions', '',
      'Each process that trained this run; what it changed is against the one before.',
      '',
      *_table(('session', 'started', 'from step', 'to step', 'loss', 'time',
               'images/s', 'stopped by', 'changed'), _session_rows(card['sessions'])),
      '## Flags', '',
      *_table(('flag', 'value', 'given'), (
          (f'--{name}', flag['value'], 'yes' if flag['given'] else '')
          for name, flag in sorted(
              flags, key=lambda entry: (not entry[1]['given'], entry[0])))),
  ]
  return '\n'.join(lines)


TEXT_NAME, FLAGS_NAME = 'run_card.md', 'run_card.flags'


def _plain(value: Any) -> Any:
  """Returns a value as JSON has it: numpy's numbers as Python's, no NaN."""
  if isinstance(value, Mapping):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, (list, tuple, set, frozenset)):
    return [_plain(item) for item in value]
  if hasattr(value, 'item'):
    value = value.item()
  if isinstance(value, float) and not math.isfinite(value):
    return str(value)
  return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _now() -> str:
  return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')


def _differences(before: Mapping, after: Mapping, path: str = '') -> dict:
  """Returns {path: [before, after]} of all leaves that differ."""
  differences = {}
  for key in sorted({*before, *after}):
    old, new, place = before.get(key), after.get(key), f'{path}{key}'
    if isinstance(old, Mapping) and isinstance(new, Mapping):
      differences.update(_differences(old, new, f'{place}.'))
    elif old != new:
      differences[place] = [old, new]
  return differences


def changes(before: Mapping, after: Mapping) -> dict:
  """Returns the differences of two cards: {'flags.batch_size': [32, 64]}.

  Of flags it is the values that count, of data the digests. The images of a step follow
  from several flags, and from the number of workers.
  """
  def compared_values(card):
    flags = {name: flag['value'] for name, flag in card.get('flags', {}).items()
             if name != 'seed'}  # A resumed run keeps the seed without the flag.
    data = {name: split['digest'] for name, split in card.get('data', {}).items()}
    batch = card.get('run', {}).get('batch', {})
    steps = {'images_per_step': batch['images_per_step']} if batch else {}
    return {**steps, 'flags': flags, 'data': data, 'versions': card.get('versions', {}),
            'seed': card.get('seeds', {}).get('seed')}
  return _differences(compared_values(before), compared_values(after))


class RunCard(Callback):
  """Writes the card of a run during one of its sessions.

  Use it as a context manager around the loop: what ends the block ends the session.

  Args:
    folder: where the card lies; None, for a worker that is not the chief, keeps none.
    facts: known before the first step, as values for JSON: 'command', 'run',
      'flags', 'versions', 'data', 'seeds'; see `render`.
    step: the global step that the session begins at.
    resumed: the checkpoint it continues from, or None.
    images_per_step: that are read while the global step rises by one.
    records_read: returns how many records the input has given so far.
    reports: return more results, by name, such as {'validation': {...}}.

  Attributes:
    changed: what differs from the session before, see `changes`.
  """

  def __init__(self, folder: str | None, facts: Mapping[str, Any], step: int,
               resumed: str | None, images_per_step: int,
               records_read: Callable[[], int] | None = None,
               reports: Sequence[Callable[[], Mapping]] = ()):
    self._folder, self._images_per_step = folder, images_per_step
    self._records_read, self._reports = records_read, list(reports)
    self._interval, self._start = intervals.Interval(), None
    self._failed = False
    before = (read(folder) if folder else None) or {}
    facts = _plain(facts)
    self.changed = changes(before, facts) if before else {}
    self._session = {
        'command': facts['command'], 'started': _now(), 'updated': _now(),
        'resumed': os.path.basename(resumed) if resumed else None,
        'seed': facts['seeds']['seed'], 'first_step': step, 'step': step, 'loss': None,
        'seconds': 0.0, 'images_per_second': None, 'stopped_by': UNDER_WAY,
        'changed': self.changed}
    self.card = {
        'format': FORMAT, **facts, 'results': before.get('results', {}) if resumed
        else {}, 'input': before.get('input') if resumed else None,
        'sessions': [*before.get('sessions', []), self._session]}

  def __enter__(self):
    self._interval.start()
    self._start = time.monotonic()
    self._write()
    return self

  def __exit__(self, kind, error, trace):
    if error is not None:
      # Other errors' texts may tell of the machine.
      self.stopped_by(str(error) if isinstance(error, diagnostics.UserError)
                      else kind.__name__)
    self._write()

  def add_report(self, report: Callable[[], Mapping]) -> None:
    """Adds a function that returns more results, by name."""
    self._reports.append(report)

  def stopped_by(self, reason: str) -> None:
    """Notes why the session ended."""
    self._session['stopped_by'] = reason

  def begin(self, session, step, writer):
    """Begins to measure: the time before was not the loop's."""
    self._interval.start(step)
    self._start = time.monotonic()

  def measured(self, step, loss, waited):
    """Notes a step."""
    self._interval.add(step, loss, waited)
    self._session.update(step=step, loss=loss)

  def after_save(self, session, step, path):
    """Writes the card beside a new checkpoint."""
    # Another asynchronous worker may have taken a step since the last of this one.
    self._session['step'] = step
    self.card['input'] = {
        'step': step, 'records_read': self._records_read() if self._records_read
        else None}
    self.card['results']['checkpoint'] = os.path.basename(path)
    self._write()

  def _update(self):
    session, seconds = self._session, time.monotonic() - self._start
    steps = session['step'] - session['first_step']
    session.update(updated=_now(), seconds=round(seconds, 1))
    if steps:
      session['images_per_second'] = round(
          steps * self._images_per_step / max(seconds, 1e-9), 1)
    sessions = self.card['sessions']
    results = self.card['results']
    results.update(
        step=session['step'], images_per_second=session['images_per_second'],
        stopped_by=session['stopped_by'],
        seconds=round(sum(entry['seconds'] for entry in sessions), 1))
    if self._interval.count:
      results.update(loss=session['loss'],
                     mean_loss=self._interval.restart().mean_loss)
    for report in self._reports:
      results.update(report())

  def _write(self):
    if self._folder is None:
      return
    self._update()
    self.card = _plain(self.card)
    self._session = self.card['sessions'][-1]
    try:
      atomic.write_text(os.path.join(self._folder, JSON_NAME),
                        json.dumps(self.card, indent=1, ensure_ascii=False) + '\n')
      atomic.write_text(
          os.path.join(self._folder, TEXT_NAME), render(self.card))
      atomic.write_text(os.path.join(self._folder, FLAGS_NAME),
                        render_flags(self.card))
    except OSError as error:
      # A failed card must not end the run.
      if not self._failed:
        print(f'the run card is not written: {diagnostics.explain_os_error(error)}',
              flush=True)
      self._failed = True
