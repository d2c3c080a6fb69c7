"""Runs the project's scripts as a user would, for tests."""

import atexit
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

from slim_zoo.__main__ import COMMANDS
from slim_zoo.deployment import unused_gpus
from tests.conftest import ROOT
from tests.script_server import WITHOUT_PICTURES

# Only what hangs takes so long: no test depends on the speed of the machine.
TIMEOUT_SECS = 1800


def command(script, *arguments, **flags):
  """Returns the command line of a script or of a command of slim-zoo.

  A flag of True stands alone.
  """
  program = ['-m', 'slim_zoo', script] if script in COMMANDS else [
      str(ROOT / f'{script}.py')]
  line = [sys.executable, *program, *map(str, arguments)]
  for name, value in flags.items():
    line.append(f'--{name}' if value is True else f'--{name}={value}')
  return line


def run(script, *arguments, **flags):
  """Runs a script to its end; returns its CompletedProcess, output as text.

  The process is a fork of one that has TensorFlow imported (`script_server.py`), but
  on a machine with a GPU, since CUDA does not survive a fork. `run_anew` starts Python
  itself.
  """
  return _run(command(script, *arguments, **flags))


def run_for_numbers(script, *arguments, **flags):
  """Runs an evaluation as `run` does, but its report has no pictures.

  To draw them takes half of the time of a small evaluation.
  """
  return _run(command(script, *arguments, **flags), environment={WITHOUT_PICTURES: '1'})


def run_module(module, *arguments):
  """Runs `python -m module arguments...` as `run` does."""
  return _run([sys.executable, '-m', module, *map(str, arguments)])


def run_in(folder, line):
  """Runs a command line in a folder as `run` does."""
  return _run(line, folder=folder)


def run_killed(when, script, *arguments, **flags):
  """Runs a script as `run` does, and kills it (SIGKILL) as soon as `when` is true.

  Args:
    when: called with what the script has printed so far, every few milliseconds.
    script: its name.
    *arguments: as for `run`.
    **flags: as for `run`.
  """
  return run_with_signal(signal.SIGKILL, when, command(script, *arguments, **flags))


def run_with_signal(number, when, line):
  """Runs a command line; sends it the signal `number` as soon as `when` is true.

  Args:
    number: of the signal.
    when: as for `run_killed`.
    line: what `command` returns.
  """
  return _run(line, when, number)


class Started:
  """A script that runs in a fork beside others, with its own environment.

  Args:
    folder: for the files of its output.
    line: what `command` returns.
    environment: variables that are added.
  """

  def __init__(self, folder, line, environment=None):
    self._paths = [
        pathlib.Path(tempfile.mkstemp(f'.{name}', dir=folder)[1])
        for name in ('stdout', 'stderr')]
    self.line, self._returncode = line, None
    self.pid, self._wait = _fork(
        _server_of_jobs(), line, *map(str, self._paths), environment)

  @property
  def stdout(self):
    """What it has printed so far."""
    return self._paths[0].read_text(encoding='utf-8')

  @property
  def stderr(self):
    """What it has written to stderr so far."""
    return self._paths[1].read_text(encoding='utf-8')

  def poll(self):
    """Returns the exit code, None while it runs."""
    if self._returncode is None:
      self._returncode = _ask(_server_of_jobs(), poll=self.pid)['returncode']
    return self._returncode

  def wait(self, seconds=TIMEOUT_SECS):
    """Waits for its end and returns it as a CompletedProcess; kills an overdue one."""
    overdue = time.monotonic() + seconds
    while self.poll() is None and time.monotonic() < overdue:
      time.sleep(0.02)
    if self.poll() is None:
      self.signal(signal.SIGKILL)
      self._returncode = self._wait()
    return subprocess.CompletedProcess(
        self.line, self._returncode, self.stdout, self.stderr)

  def wait_for(self, words, seconds=TIMEOUT_SECS):
    """Waits until it has printed words, or has ended; returns whether it has."""
    overdue = time.monotonic() + seconds
    while words not in self.stdout:
      if self.poll() is not None or time.monotonic() > overdue:
        return words in self.stdout
      time.sleep(0.02)
    return True

  def signal(self, number):
    """Sends it a signal, if it runs."""
    if self.poll() is None:
      os.kill(self.pid, number)


def run_with_server(server, script, *arguments, **flags):
  """Runs a script as `run` does, in a fork of another server of `start_server`."""
  return _run(command(script, *arguments, **flags), server=server)


def _run(line, kill_when=None, signal_number=signal.SIGKILL, server=None, folder=None,
         environment=None):
  with tempfile.TemporaryDirectory() as outputs_folder:
    paths = [os.path.join(outputs_folder, name) for name in ('stdout', 'stderr')]
    for path in paths:
      pathlib.Path(path).touch()
    if server is None and may_have_gpu():
      pid, wait = _start_anew(line, *paths, folder)
    else:
      pid, wait = _fork(server or _server(), line, *paths, environment, folder)
    ended = threading.Event()
    killer = threading.Thread(
        target=_kill, args=(pid, paths[0], kill_when, signal_number, ended))
    killer.start()
    returncode = wait()
    ended.set()
    killer.join()
    outputs = [pathlib.Path(path).read_text(encoding='utf-8') for path in paths]
  return subprocess.CompletedProcess(line, returncode, *outputs)


def may_have_gpu(driver=functools.cache(unused_gpus.driver)):
  """Returns whether TensorFlow may use a GPU here, without asking it."""
  return os.environ.get('CUDA_VISIBLE_DEVICES') not in ('', '-1') and bool(driver())


def _fork(server, line, stdout, stderr, environment=None, folder=None):
  """Starts a script in a fork of a server; returns its id and how to wait for it."""
  pid = _ask(server, command=line[1:], stdout=stdout, stderr=stderr,
             environment=environment, folder=folder and str(folder))['pid']
  return pid, lambda: _ask(server, wait=pid)['returncode']


def _ask(server, **request):
  print(json.dumps(request), file=server.stdin, flush=True)
  return json.loads(server.stdout.readline())


def _start_anew(line, stdout, stderr, folder):
  """Starts a script in a new process; returns its id and how to wait for it."""
  with open(stdout, 'wb') as output, open(stderr, 'wb') as errors:
    process = subprocess.Popen(line, stdout=output, stderr=errors, cwd=folder or ROOT,
                               env={**os.environ, 'PYTHONUNBUFFERED': '1'})
  return process.pid, process.wait


def _kill(pid, stdout, when, signal_number, ended):
  """Signals a process when it is to be; kills an overdue one that has not ended."""
  overdue = time.monotonic() + TIMEOUT_SECS
  while not ended.wait(0.005):
    if time.monotonic() > overdue:
      os.kill(pid, signal.SIGKILL)
      return
    if when and when(pathlib.Path(stdout).read_text(encoding='utf-8')):
      os.kill(pid, signal_number)
      when = None


def run_anew(script, *arguments, **flags):
  """Runs a script as `run` does, in a process that begins with nothing imported."""
  return subprocess.run(command(script, *arguments, **flags), text=True,
                        capture_output=True, check=False, cwd=ROOT,
                        timeout=TIMEOUT_SECS)


def start(script, *arguments, **flags):
  """Starts a script; returns its Popen, with stdout as a text pipe."""
  return subprocess.Popen(command(script, *arguments, **flags), text=True, cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, 'PYTHONUNBUFFERED': '1'})


@functools.cache
def _server():
  server = start_server(ROOT / 'tests' / 'script_server.py')
  atexit.register(server.kill)
  return server


@functools.cache
def _server_of_jobs():
  """Returns a server whose TensorFlow is as quiet as that of processes of a job."""
  server = start_server(ROOT / 'tests' / 'script_server.py',
                        env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'})
  atexit.register(server.kill)
  return server


def start_server(program, **options):
  """Starts a server of forks such as `script_server.py`; returns its Popen.

  Args:
    program: the path of its program.
    **options: for subprocess.Popen, such as cwd and env.
  """
  return subprocess.Popen([sys.executable, str(program)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          **{'cwd': ROOT, **options})


def answer(done, *words, code=None):
  """Checks that a script ended with one clear line on stderr; returns it."""
  lines = done.stderr.strip().splitlines()
  assert done.returncode not in (0, -11, -6), done.stdout
  if code is not None:
    assert done.returncode == code
  assert 'Traceback' not in done.stderr, done.stderr
  assert len(lines) == 1, done.stderr
  for word in words:
    assert word in lines[0], lines[0]
  return lines[0]
