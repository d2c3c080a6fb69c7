"""Runs the project's scripts as a user would, for tests."""

import os
import subprocess
import sys

from tests.conftest import ROOT


def command(script, **flags):
  """Returns the command line of a script; a flag of True stands alone."""
  line = [sys.executable, str(ROOT / f'{script}.py')]
  for name, value in flags.items():
    line.append(f'--{name}' if value is True else f'--{name}={value}')
  return line


def run(script, **flags):
  """Runs a script to its end; returns its CompletedProcess, output as text."""
  return subprocess.run(command(script, **flags), text=True, capture_output=True,
                        check=False, cwd=ROOT, timeout=300)


def start(script, **flags):
  """Starts a script; returns its Popen, with stdout as a text pipe."""
  return subprocess.Popen(command(script, **flags), text=True, cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, 'PYTHONUNBUFFERED': '1'})


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
