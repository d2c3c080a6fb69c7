"""The run card as a page for people, in Markdown."""

from collections.abc import Iterable, Mapping, Sequence

from slim_zoo.progress import clock

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
  for split, found in data.items():
    counted = found['records']
    if counted is None:
      counted = f'{found["expected_records"]:,} expected'
    yield split, found['files'], found['bytes'], counted, f'`{found["digest"]}`'


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
      'Written by the training script; run_card.json is the same for programs.', '',
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
