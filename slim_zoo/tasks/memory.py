"""Turns the error for too little memory into one line for the user."""

import contextlib
from collections.abc import Iterator

from slim_zoo import diagnostics
from slim_zoo.config.options import Config


@contextlib.contextmanager
def explained(config: Config) -> Iterator[None]:
  """Turns the error of a computation without memory into a UserError.

  Args:
    config: of the task; the message names its options that take memory.

  Raises:
    UserError: the memory was too small; one line that says what to lower.
  """
  try:
    yield
  except Exception as error:
    line = diagnostics.explain_memory_error(error, config.values())
    if line is None:
      raise
    raise diagnostics.UserError(line) from error
