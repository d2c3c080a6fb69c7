"""Ctrl-C and SIGTERM end every command in one line, with nothing half written."""

import ast
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from slim_zoo.__main__ import COMMANDS
from slim_zoo.training import stopping
from tests import scripts
from tests.conftest import ROOT

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]

# A script whose main does {body} and then waits to be stopped.
SCRIPT = '''
import os, sys, time, types
sys.path.insert(0, {root!r})
from slim_zoo import diagnostics
from slim_zoo.commands import running

def wait():
  print('ready', flush=True)
  # In pieces: a signal just before a sleep begins is handled only when it ends.
  for _ in range(600):
    time.sleep(0.1)

def main(_):
{body}

running.run(main, when_stopped={advice!r})
'''
BODIES = {
    'at work': '  wait()',
    'with unfinished files': '''
  import tempfile
  with tempfile.TemporaryDirectory(dir=os.path.dirname(__file__)):
    wait()''',
    # As native code that calls Python does.
    'another error': '''
  try:
    wait()
  except SystemExit as end:
    raise diagnostics.UserError('cannot be converted') from end''',
    'an error of TensorFlow': '''
  try:
    wait()
  except SystemExit as end:
    raise KeyError('T') from end''',
    'while progress is shown': '''
  from slim_zoo import progress
  with progress.Progress('working', 3, 'images', stream=open(os.devnull, 'w')):
    wait()''',
    'swallowed': '''
  try:
    wait()
  except BaseException:
    pass''',
    # As in __del__, or in a callback from native code, while the work continues.
    'swallowed while the work continues': '''
  running._GRACE_SECONDS = 0.5
  while True:
    try:
      wait()
    except BaseException:
      pass''',
    # As while a converter's messages are held back.
    'stderr held back': '''
  os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
  wait()''',
    'while TensorFlow is imported': '''
  sys.modules['slim_zoo.tf_compat'] = types.ModuleType('tf_compat')
  while True:
    try:
      wait()
    except BaseException:
      pass''',
    'within a forked process': '''
  reader, writer = os.pipe()
  if os.fork() == 0:
    os.write(writer, b'.')
    wait()
  os.read(reader, 1)  # A signal during the fork itself would be lost in the child.
  os.wait()
  wait()''',
}


def start(path, body, advice=''):
  path.write_text(SCRIPT.format(root=str(ROOT), body=body, advice=advice))
  process = subprocess.Popen([sys.executable, str(path)], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True)
  assert process.stdout.readline() == 'ready\n'
  return process


@pytest.mark.parametrize(('number', 'code'), SIGNALS)
@pytest.mark.parametrize('body', BODIES.values(), ids=BODIES.keys())
def test_a_signal_ends_a_command_in_one_line(tmp_path, body, number, code):
  process = start(tmp_path / 'some_command.py', body)
  # As a terminal, or `timeout`, does: to the process and to all of its children.
  os.killpg(process.pid, number)
  process.send_signal(number)
  _, errors = process.communicate(timeout=scripts.TIMEOUT_SECS)
  assert process.returncode == code
  assert errors == f'some_command.py: stopped by {number.name}\n'
  assert os.listdir(tmp_path) == ['some_command.py']


def test_the_line_says_what_a_user_should_know(tmp_path):
  process = start(tmp_path / 'script.py', BODIES['at work'], 'finished files stay')
  process.terminate()
  assert process.communicate(timeout=scripts.TIMEOUT_SECS)[1] == (
      'script.py: stopped by SIGTERM: finished files stay\n')


def test_a_second_signal_ends_what_does_not_end(tmp_path):
  process = start(tmp_path / 'script.py', '''
  try:
    wait()
  finally:
    wait()''')
  process.terminate()
  assert process.stdout.readline() == 'ready\n'
  time.sleep(1.1)
  process.terminate()
  assert process.wait(scripts.TIMEOUT_SECS) == 143


def test_every_command_takes_its_answer_from_diagnostics():
  found = 0
  for name, _ in COMMANDS.values():
    path = ROOT / 'slim_zoo' / 'commands' / f'{name}.py'
    tree = ast.parse(path.read_text())
    found += 1
    names = {ast.unparse(node.func) for node in ast.walk(tree)
             if isinstance(node, ast.Call)}
    assert 'running.run' in names, path
    assert 'signal.signal' not in names, path
  assert found == 17


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='looks into /proc')
@pytest.mark.parametrize(('number', 'code'), SIGNALS)
def test_a_signal_while_tensorflow_is_imported(tmp_path, number, code):
  (tmp_path / 'model.ckpt-1.index').touch()
  process = scripts.start('inspect', checkpoint_path=tmp_path)
  maps = pathlib.Path(f'/proc/{process.pid}/maps')
  while 'tensorflow' not in maps.read_text():
    assert process.poll() is None
    time.sleep(0.005)
  process.send_signal(number)
  stdout, errors = process.communicate(timeout=scripts.TIMEOUT_SECS)
  assert (process.returncode, stdout) == (code, '')
  assert errors == f'slim-zoo inspect: stopped by {number.name}\n'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_step_is_answered_whatever_it_becomes(number):
  """TensorFlow's native code made KeyError: 'T' of it while a saver was built."""
  request = stopping.StopRequest('runs/lenet')

  def build():
    try:
      os.kill(os.getpid(), number)
      time.sleep(60)
    except stopping.Stopped as end:
      raise KeyError('T') from end

  with pytest.raises(stopping.Stopped, match='before the first step'), (
      request.listening()):
    build()


def test_an_exit_that_python_swallows_is_no_noise():
  program = '''
import os, signal, time
from slim_zoo.commands import running
class Late:
  def __del__(self):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
def main(_):
  Late()
  raise SystemExit(143)
running.run(main)
'''
  done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, text=True,
                        capture_output=True, check=False)
  assert 'Exception ignored' not in done.stderr
  assert 'stopped by SIGTERM' in done.stderr
  assert done.returncode == 143
