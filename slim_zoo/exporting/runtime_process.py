"""Runs a program of another runtime in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence

from slim_zoo import diagnostics

_PRINT_MISSING = (
    'import importlib.util, sys\n'
    'print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))')


def missing(packages: Sequence[str], python: str) -> list[str]:
  """Returns the packages that an interpreter lacks.

  Args:
    packages: names to import.
    python: the interpreter; '' is this one.

  Raises:
    UserError: there is no such interpreter.
  """
  if not python:
    return [name for name in packages if importlib.util.find_spec(name) is None]
  done = _run(python, ['-c', _PRINT_MISSING, *packages])
  if done.returncode:
    raise diagnostics.UserError(
        f"--python='{python}' is not an interpreter of Python: name one, such as"
        ' ENVIRONMENT/bin/python')
  return done.stdout.split()


def run(failure: str, python: str, arguments: Sequence[str]) -> None:
  """Runs a program to its end.

  Args:
    failure: the beginning of the message if it fails; its last line follows.
    python: the interpreter that has the runtime; '' is this one.
    arguments: the program and its arguments.

  Raises:
    UserError: it failed, or there is no such interpreter.
  """
  done = _run(python or sys.executable, arguments)
  if done.returncode:
    reason = diagnostics.why_a_process_failed(done.returncode, done.stderr)
    raise diagnostics.UserError(f'{failure}: {reason}')


def _run(python, arguments):
  try:
    return subprocess.run(
        [python, *arguments], text=True, check=False, stdin=subprocess.DEVNULL,
        # It shares the GPU with this process.
        capture_output=True, env={'TF_FORCE_GPU_ALLOW_GROWTH': 'true', **os.environ,
                                  'TF_CPP_MIN_LOG_LEVEL': '3'})
  except OSError as error:
    raise diagnostics.UserError(
        f"--python='{python}' cannot be run: {error.strerror}") from error
