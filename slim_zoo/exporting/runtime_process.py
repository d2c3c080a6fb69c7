"""Runs a program of another runtime in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence

from slim_zoo import diagnostics


def run(failure: str, python: str, arguments: Sequence[str]) -> None:
  """Runs a program to its end.

  Args:
    failure: the beginning of the message if it fails; its last line follows.
    python: the interpreter that has the runtime; '' is this one.
    arguments: the program and its arguments.

  Raises:
    UserError: it failed, or there is no such interpreter.
  """
  try:
    done = subprocess.run(
        [python or sys.executable, *arguments], text=True, check=False,
        # It shares the GPU with this process.
        capture_output=True, env={'TF_FORCE_GPU_ALLOW_GROWTH': 'true', **os.environ,
                                  'TF_CPP_MIN_LOG_LEVEL': '3'})
  except OSError as error:
    raise diagnostics.UserError(
        f"--python='{python}' cannot be run: {error.strerror}") from error
  if done.returncode:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    raise diagnostics.UserError(
        f"{failure}: {lines[-1].strip() if lines else f'exit code {done.returncode}'}")
