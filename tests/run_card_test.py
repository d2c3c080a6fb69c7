"""The run card: what it says, that it is whole, and that it repeats the run."""

import json
import math
import os
import pathlib

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.checkpoints import run_card as checkpoint_card
from slim_zoo.input import fingerprint
from slim_zoo.tf_compat import tf
from slim_zoo.training import run_description
from slim_zoo.training.callbacks import run_card
from tests import records_for_tests


def facts(**changed):
  return {
      'command': 'python train.py --seed=5', 'run': {'title': 'a on b', 'network': 'a'},
      'flags': {'batch_size': {'value': 8, 'given': True},
                'momentum': {'value': 0.9, 'given': False}},
      'versions': {'python': '3'}, 'data': {'train': {
          'digest': 'd1', 'files': 1, 'bytes': 10, 'records': 4,
          'expected_records': 4}},
      'seeds': {'seed': 5, 'words': 'Drawn.'}, **changed}


def on_disk(folder):
  return json.loads((folder / 'run_card.json').read_text())


def a_session(folder, steps, first=0, resumed=None, **changed):
  """Keeps a card through some steps and a checkpoint at the end."""
  card = run_card.RunCard(
      str(folder), facts(**changed), first, resumed, images_per_step=8,
      records_read=lambda: 8 * (first + steps))
  with card:
    card.begin(None, first, None)
    for step in range(first + 1, first + steps + 1):
      card.measured(step, 1 / step, 0.0)
    card.after_save(None, first + steps, f'/x/model.ckpt-{first + steps}')
    card.stopped_by('done')
  return card


def test_a_card_is_there_from_the_start_and_says_how_far_the_run_is(tmp_path):
  card = run_card.RunCard(str(tmp_path), facts(), 0, None, 8)
  with card:
    begun = on_disk(tmp_path)
    assert begun['sessions'][0]['stopped_by'] == run_card.UNDER_WAY
    assert begun['results']['step'] == 0
    card.begin(None, 0, None)
    card.measured(1, np.float32(2.0), 0.0)
    card.measured(2, np.float32(1.0), 0.0)
    card.after_save(None, 2, '/somewhere/model.ckpt-2')
    saved = on_disk(tmp_path)
  assert saved['results']['checkpoint'] == 'model.ckpt-2'
  assert (tmp_path / 'run_card.flags').read_text().splitlines()[2:] == [
      '--batch_size=8', '--seed=5']
  assert (saved['results']['step'], saved['results']['loss']) == (2, 1.0)
  assert saved['results']['mean_loss'] == 1.5
  assert saved['results']['images_per_second'] > 0
  assert not [name for name in os.listdir(tmp_path) if name.endswith('.part')]


def test_the_last_checkpoint_is_of_the_run_whoever_took_its_last_step(tmp_path):
  """Another asynchronous worker takes a step after the last one that is measured."""
  card = run_card.RunCard(str(tmp_path), facts(), 0, None, 8)
  with card:
    card.begin(None, 0, None)
    card.measured(8, 1.0, 0.0)
    card.after_save(None, 9, str(tmp_path / 'model.ckpt-9'))
    card.stopped_by('done')
  assert on_disk(tmp_path)['results']['step'] == 9
  assert checkpoint_card._other_run(on_disk(tmp_path)['sessions'], 'model.ckpt-9') is (
      None)


def test_a_resumed_run_adds_a_session_and_says_what_changed(tmp_path):
  a_session(tmp_path, 3)
  flags = {**facts()['flags'], 'batch_size': {'value': 16, 'given': True}}
  data = {'train': {**facts()['data']['train'], 'digest': 'd2'}}
  card = a_session(tmp_path, 2, 3, '/x/model.ckpt-3', flags=flags, data=data)
  found = on_disk(tmp_path)
  assert [(session['first_step'], session['step'], session['stopped_by'])
          for session in found['sessions']] == [(0, 3, 'done'), (3, 5, 'done')]
  assert card.changed == {'flags.batch_size': [8, 16], 'data.train': ['d1', 'd2']}
  assert found['sessions'][1]['changed'] == card.changed
  assert found['sessions'][1]['resumed'] == 'model.ckpt-3'
  assert found['input'] == {'step': 5, 'records_read': 40}
  text = (tmp_path / 'run_card.md').read_text()
  assert '| data.train, flags.batch_size |' in text


@pytest.mark.parametrize(('error', 'words'), [
    (diagnostics.UserError('the loss is not finite any more'), 'the loss is not'),
    (RuntimeError('at /home/somebody on some-host'), 'RuntimeError')])
def test_what_ends_a_session_is_noted(tmp_path, error, words):
  with pytest.raises(type(error)), run_card.RunCard(
      str(tmp_path), facts(), 0, None, 8):
    raise error
  text = (tmp_path / 'run_card.json').read_text()
  assert words in on_disk(tmp_path)['sessions'][0]['stopped_by']
  assert 'somebody' not in text
  assert 'some-host' not in text


def test_a_damaged_card_is_kept_aside(tmp_path, capsys):
  (tmp_path / 'run_card.json').write_text('{"format": 1, "sess')
  assert run_card.read(str(tmp_path)) is None
  assert (tmp_path / 'run_card.json.damaged').read_text() == '{"format": 1, "sess'
  assert 'run_card.json.damaged' in capsys.readouterr().out
  assert run_card.read(str(tmp_path)) is None


def test_numbers_that_json_lacks_are_written_as_words(tmp_path):
  card = run_card.RunCard(str(tmp_path), facts(), 0, None, 8, reports=[
      lambda: {'validation': {'accuracy': np.float64(0.5), 'loss': math.nan}}])
  with card:
    card.measured(1, math.inf, 0.0)
  results = json.loads((tmp_path / 'run_card.json').read_text(), parse_constant=(
      lambda name: pytest.fail(f'{name} is not JSON')))['results']
  assert results['validation'] == {'accuracy': 0.5, 'loss': 'nan'}
  assert results['loss'] == 'inf'


def test_a_card_that_cannot_be_written_does_not_end_the_run(tmp_path, capsys):
  folder = tmp_path / 'gone'
  folder.mkdir()
  card = run_card.RunCard(str(folder), facts(), 0, None, 8)
  with card:
    for name in os.listdir(folder):
      os.remove(folder / name)
    folder.rmdir()
    card.after_save(None, 1, 'x')
    card.after_save(None, 2, 'x')
  assert capsys.readouterr().out.count('the run card is not written') == 1


def test_the_page_holds_what_people_ask_for():
  text = run_card.render({
      **facts(), 'results': {'step': 1200, 'loss': 0.25, 'seconds': 75.0},
      'sessions': []})
  for words in ('# Run card: a on b', 'python train.py --seed=5', '| step | 1,200 |',
                '| seconds | 1:15 |', '| --batch_size | 8 | yes |', '`d1`'):
    assert words in text, text


# --- Fingerprints and versions.

def write_records(folder, values):
  records_for_tests.write(
      folder / 'part-0', [records_for_tests.png(value) for value in values],
      [value % 10 for value in values])
  return [str(folder / 'part-0')]


def test_a_fingerprint_is_of_the_data_and_not_of_its_place(tmp_path):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'b').mkdir()
  here = fingerprint.fingerprint(write_records(tmp_path / 'a', range(5)), 5)
  there = fingerprint.fingerprint(write_records(tmp_path / 'b', range(5)), 5)
  assert here == there
  assert (here['files'], here['records']) == (1, 5)
  assert here['bytes'] == os.path.getsize(tmp_path / 'a' / 'part-0')


@pytest.mark.parametrize('values', [
    [9, 1, 2, 3, 4], [0, 1, 2, 3, 9], [0, 1, 2, 3], [4, 3, 2, 1, 0]])
def test_other_records_have_another_fingerprint(tmp_path, values):
  files = write_records(tmp_path, range(5))
  before = fingerprint.fingerprint(files, 5)['digest']
  write_records(tmp_path, values)
  assert fingerprint.fingerprint(files, 5)['digest'] != before


def test_class_names_are_part_of_the_fingerprint(tmp_path):
  files = write_records(tmp_path, range(5))
  digests = {fingerprint.fingerprint(files, 5, str(tmp_path))['digest']}
  for name in ('cat', 'dog'):
    (tmp_path / 'labels.txt').write_text(f'0:{name}\n')
    digests.add(fingerprint.fingerprint(files, 5, str(tmp_path))['digest'])
  assert len(digests) == 3


def test_the_end_checksums_are_those_in_the_file(tmp_path):
  (path,) = write_records(tmp_path, range(3))
  data = pathlib.Path(path).read_bytes()
  length = int.from_bytes(data[:8], 'little')
  assert fingerprint.end_checksums(path) == (
      data[12 + length:16 + length].hex(), data[-4:].hex())
  (tmp_path / 'empty').write_bytes(b'')
  assert fingerprint.end_checksums(str(tmp_path / 'empty')) == ('', '')


def test_many_records_are_not_counted(tmp_path):
  files = write_records(tmp_path, range(5))
  found = fingerprint.fingerprint(files, fingerprint.COUNTED_RECORDS + 1)
  assert found['records'] is None


def test_versions_name_no_machine(tmp_path):
  found = run_description.versions(str(tmp_path))
  assert found['tensorflow'] == tf.__version__
  assert 'project' not in found
  assert not {os.uname().nodename, os.path.basename(os.path.expanduser('~'))} & set(
      found.values())
