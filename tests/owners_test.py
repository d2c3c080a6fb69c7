"""Two processes in one folder: live ones keep others out, killed ones do not."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from slim_zoo import diagnostics
from slim_zoo.files import owners, staging
from tests import scripts
from tests.conftest import ROOT, on_digits

HOLD = '''
import contextlib, sys
from slim_zoo.files import owners, staging
{without_locks}
with {context}:
  print('held', flush=True)
  sys.stdin.readline()
'''
WITHOUT_LOCKS = '''
def refuse(*unused):
  raise OSError(38, 'no locks')
staging.fcntl.flock = refuse
'''


@contextlib.contextmanager
def holding(context, without_locks=''):
  """Runs a process that is in a context until the block ends."""
  process = subprocess.Popen(
      [sys.executable, '-c', HOLD.format(context=context, without_locks=without_locks)],
      cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
  try:
    assert process.stdout.readline() == 'held\n'
    yield process
  finally:
    process.kill()
    process.communicate()


def test_a_live_process_keeps_others_out_and_a_killed_one_does_not(tmp_path):
  with holding(f'owners.working_in({str(tmp_path)!r})') as process:
    with (pytest.raises(diagnostics.UserError, match=f'process {process.pid} on .*now'),
          owners.working_in(str(tmp_path))):
      pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert os.listdir(tmp_path) == [owners.LOCK_NAME]
    with owners.working_in(str(tmp_path)):
      assert owners.read(tmp_path / owners.LOCK_NAME)['process'] == os.getpid()
  assert os.listdir(tmp_path) == []


def test_a_process_keeps_itself_out(tmp_path):
  with owners.working_in(str(tmp_path)):
    with pytest.raises(diagnostics.UserError), owners.working_in(str(tmp_path)):
      pass
    assert os.listdir(tmp_path) == [owners.LOCK_NAME]


@pytest.mark.parametrize('content', [
    '', '{"host": "a"', '{"machine": "here", "process": 1, "started": "later"}'],
                         ids=['empty', 'torn', 'number that is used again'])
def test_files_of_nobody_do_not_block(tmp_path, content, monkeypatch):
  monkeypatch.setattr(owners, '_SECONDS_UNTIL_TORN', 0.01)
  monkeypatch.setattr(owners, 'machine', lambda: 'here')
  (tmp_path / owners.LOCK_NAME).write_text(content)
  with owners.working_in(str(tmp_path)):
    pass
  assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('alive', [True, False])
def test_a_process_of_another_machine_is_watched(
    tmp_path, alive, monkeypatch, capsys):
  monkeypatch.setattr(owners, '_SECONDS_TO_WATCH', 1.2)
  path = tmp_path / owners.LOCK_NAME
  path.write_text(json.dumps({'host': 'b', 'process': 7, 'machine': 'another'}))
  touched = iter(range(9)) if alive else iter([5] * 9)
  monkeypatch.setattr(owners, '_touched_at', lambda path: next(touched))
  expected = contextlib.nullcontext()
  if alive:
    expected = pytest.raises(diagnostics.UserError, match='process 7 on b')
  with expected, owners.working_in(str(tmp_path)):
    pass
  assert 'looking whether process 7 on b still runs' in capsys.readouterr().out
  assert path.exists() == alive


def refuse_locks(*unused):
  raise OSError(errno.ENOSYS, 'no locks')


def test_live_work_survives_where_nothing_can_be_locked(tmp_path, monkeypatch):
  monkeypatch.setattr(staging.fcntl, 'flock', refuse_locks)
  context = f'staging.replacing({str(tmp_path)!r}, "last")'
  with holding(context, WITHOUT_LOCKS) as process:
    hidden = os.listdir(tmp_path)
    staging.remove_abandoned(str(tmp_path))
    assert os.listdir(tmp_path) == hidden
    process.send_signal(signal.SIGKILL)
    process.wait()
    staging.remove_abandoned(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_unfinished_work_is_gone_on_with_where_nothing_can_be_locked(
    tmp_path, monkeypatch):
  monkeypatch.setattr(staging.fcntl, 'flock', refuse_locks)
  def work_in_part():
    with staging.resumable(str(tmp_path), 'work') as work:
      with open(os.path.join(work.new, 'part'), 'a', encoding='utf-8') as file:
        file.write('.')
      raise KeyError

  for _ in range(2):
    with pytest.raises(KeyError):
      work_in_part()
  with staging.resumable(str(tmp_path), 'work') as work:
    work.publish('part')
  assert (tmp_path / 'part').read_text() == '..'


def test_two_runs_in_one_folder_are_noticed(digits_dir, tmp_path):
  flags = dict(on_digits(digits_dir), train_dir=tmp_path / 'run', batch_size=4)
  first = scripts.Started(tmp_path, scripts.command('train_image_classifier', **flags))
  try:
    assert first.wait_for('checkpoints ', 180)
    done = scripts.run('train_image_classifier', max_number_of_steps=2, **flags)
    scripts.answer(done, f'process {first.pid} on ', '--train_dir')
  finally:
    first.signal(signal.SIGKILL)
    first.wait()
  done = scripts.run('train_image_classifier', max_number_of_steps=2, **flags)
  assert done.returncode == 0, done.stderr
  assert not (tmp_path / 'run' / owners.LOCK_NAME).exists()
