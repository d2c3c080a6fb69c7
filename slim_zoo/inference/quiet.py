"""Silence while a converter works: its output is for its own developers."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# A line of MLIR, with the names of an operation.
_REFUSAL = re.compile(r'\S+: error: loc\((?P<places>.*?)\): (?P<reason>.*)')
_QUOTED = re.compile(r'"([^"]*)"')


@contextlib.contextmanager
def captured_output() -> Iterator[list[str]]:
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
  line = (marked or lines or [type(error).__name__])[0]
  refusal = _REFUSAL.fullmatch(line)
  if refusal is None:
    return line
  *_, layer = _QUOTED.findall(refusal['places']) or ['']
  layer = layer.removeprefix('frozen/') or 'without a name'
  return f'the layer {layer} is refused ("{refusal["reason"]}")'
