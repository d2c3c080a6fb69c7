"""Single files: written by several processes at a time, and what a kill leaves."""

import os
import subprocess
import sys
import time

import pytest

from slim_zoo.files import atomic
from tests.conftest import ROOT

# Writes a part of a file, and the rest when a line comes.
PROGRAM = """
import sys
from slim_zoo.files import atomic
with atomic.replacing(sys.argv[1]) as path, open(path, 'w') as file:
  file.write('begin')
  file.flush()
  print('has begun', flush=True)
  sys.stdin.readline()
  file.write(' and end')
"""


@pytest.fixture
def start():
  """Returns a function that starts a process in the middle of writing a file."""
  started = []

  def start_process(path):
    process = subprocess.Popen(
        [sys.executable, '-c', PROGRAM, str(path)], text=True, cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    started.append(process)
    assert process.stdout.readline() == 'has begun\n'
    return process

  yield start_process
  for process in started:
    process.kill()
    process.communicate()


def test_two_processes_write_a_file_at_the_same_time(start, tmp_path):
  path = tmp_path / 'values.json'
  other = start(path)
  atomic.write_text(path, 'of this process')
  assert path.read_text() == 'of this process'
  other.communicate('\n')
  assert other.returncode == 0
  assert path.read_text() == 'begin and end'
  assert os.listdir(tmp_path) == ['values.json']


def test_what_a_killed_process_left_goes_with_the_next_write(start, tmp_path):
  path = tmp_path / 'values[1].json'
  process = start(path)
  process.kill()
  process.wait()
  left, = tmp_path.iterdir()
  of_another_file = tmp_path / left.name.replace('values', 'others')
  of_another_file.write_text('half')
  atomic.write_text(path, 'whole')
  assert {found.name for found in tmp_path.iterdir()} == {
      path.name, of_another_file.name}


@pytest.mark.parametrize('seconds', [60, 48 * 3600])
def test_what_another_machine_writes_is_kept_for_a_day(tmp_path, seconds):
  partial = tmp_path / f'.a.txt.000000-{os.getpid()}.part'
  partial.write_text('half')
  os.utime(partial, (time.time() - seconds,) * 2)
  atomic.write_text(tmp_path / 'a.txt', 'whole')
  assert partial.exists() == (seconds == 60)


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('old')
  with pytest.raises(UnicodeEncodeError):
    atomic.write_text(path, 'é', encoding='ascii')
  assert path.read_text() == 'old'
  assert os.listdir(tmp_path) == ['a.txt']
