"""Silence while a converter works: its output is for its own developers."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def held_back() -> Iterator[list[str]]:
  """Captures stdout and stderr, also of native code.

  Yields:
    A list, which has the lines after the block.
  """
  messages: list[str] = []
  sys.stdout.flush()
  sys.stderr.flush()
  with tempfile.TemporaryFile() as held, contextlib.ExitStack() as stack:
    for number in (1, 2):
      saved = os.dup(number)
      stack.callback(os.close, saved)
      stack.callback(os.dup2, saved, number)
      os.dup2(held.fileno(), number)
    try:
      yield messages
    finally:
      sys.stdout.flush()
      sys.stderr.flush()
      held.seek(0)
      messages += held.read().decode(errors='replace').splitlines()


def first_line(error: Exception, messages: list[str]) -> str:
  """Returns the most useful line about a converter's failure."""
  lines = [line.strip() for line in [*str(error).splitlines(), *messages]
           if line.strip()]
  marked = [line for line in lines if 'error' in line.lower()]
  return (marked or lines or [type(error).__name__])[0]
