"""Converts errors for too little memory to one line for the user."""

import contextlib
from collections.abc import Iterator

from slim_zoo import diagnostics
from slim_zoo.config.options import Config


@contextlib.contextmanager
def explained(config: Config) -> Iterator[None]:
  """Converts an error for too little memory to a UserError.

  Args:
    config: config of the task; the message names its options that need memory.

  Raises:
    UserError: there was too little memory; one line that names the options to lower.
  """
  try:
    yield
  except Exception as error:
    line = diagnostics.explain_memory_error(error, config.values())
    if line is None:
      raise
    raise diagnostics.UserError(line) from error
