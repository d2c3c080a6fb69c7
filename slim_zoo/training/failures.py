"""Errors that end a training run early, as messages for its user."""

import contextlib
import errno
import os
import re
import threading
from collections.abc import Mapping
from types import MappingProxyType

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.tf_compat import tf
from slim_zoo.training import savers, stopping

# What kernels raise that are missing, or lack a case.
_OF_KERNELS = (tf.errors.InvalidArgumentError, tf.errors.NotFoundError,
               tf.errors.UnimplementedError, tf.errors.InternalError)


def answer(failure: BaseException, step: int | None, train_dir: str,
           options: Mapping[str, object] = MappingProxyType({})) -> BaseException:
  """Returns what the user is to read of what ended a run; a fault of ours as it is.

  Args:
    failure: the first error.
    step: the last step taken; None if there was none.
    train_dir: where the run writes.
    options: of the run by name, for what takes memory.
  """
  if isinstance(failure, diagnostics.UserError) and not isinstance(
      failure, stopping.Stopped):
    described = diagnostics.UserError(with_last_checkpoint(failure, train_dir))
    described.exit_code = failure.exit_code
    return described
  if isinstance(failure, (tf.errors.OpError, RuntimeError, OSError, MemoryError)):
    return explain(failure, step, train_dir, options) or failure
  return failure


def explain(error: Exception, step: int | None, train_dir: str,
            options: Mapping[str, object] = MappingProxyType({})
            ) -> diagnostics.UserError | None:
  """Returns the user's view of what ended a run, None if it is a fault of ours.

  Args:
    error: what was raised.
    step: the last step taken; None if there was none.
    train_dir: where the run writes; unfinished checkpoints are removed from a
      disk that is full.
    options: of the run by name, for what takes memory.
  """
  at = 'in the first step' if step is None else f'after step {step}'
  text = str(error)
  for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
    if os.strerror(code) in text:
      for unfinished in savers.unfinished_files(train_dir):
        os.remove(unfinished)
      place = getattr(error, 'filename', None) or train_dir
      reason = diagnostics.explain_os_error(OSError(code, '', place))
      return diagnostics.UserError(with_last_checkpoint(f'{reason} ({at})', train_dir))
  memory = diagnostics.explain_memory_error(error, options)
  if memory:
    return diagnostics.UserError(with_last_checkpoint(f'{memory} ({at})', train_dir))
  return _not_computable(error) if step is None else None


def _not_computable(error):
  """Returns the user's view of an operation that has no kernel in 16 bits."""
  named = re.search(r'\{\{node ([^}]+)\}\}', str(error))
  if not isinstance(error, _OF_KERNELS) or not named:
    return None
  try:
    operation = tf.get_default_graph().get_operation_by_name(named[1])
  except KeyError:  # Of a function, such as those of the input.
    return None
  tensors = [*operation.inputs, *operation.outputs]
  dtype = next((tensor.dtype.base_dtype for tensor in tensors
                if tensor.dtype.base_dtype in (tf.float16, tf.bfloat16)), None)
  if dtype is None:
    return None
  other = 'bfloat16' if dtype == tf.float16 else 'float16'
  return diagnostics.UserError(
      f"--precision={dtype.name}: '{operation.name}', a {operation.type}, cannot"
      f' be computed here in {dtype.name}: leave the flag out, or try {other}')


def last_checkpoint(train_dir: str) -> str:
  """Returns a sentence that names the newest checkpoint of a run."""
  latest = checkpoint_names.latest(train_dir)
  return f'The last good checkpoint is {latest}' if latest else (
      'There is no checkpoint yet')


def with_last_checkpoint(reason: object, train_dir: str) -> str:
  """Returns why a run ended, and a sentence that names its newest checkpoint."""
  return diagnostics.sentences(reason, last_checkpoint(train_dir))


@contextlib.contextmanager
def without_summary_thread_errors():
  """Keeps the thread that writes summaries from printing what it fails by.

  The same error comes to the loop when it next writes or closes the summaries.
  """
  def is_logged(record):
    return 'writer thread error' not in record.getMessage()

  def excepthook(arguments):
    if type(arguments.thread).__name__ != '_EventLoggerThread':
      usual(arguments)

  usual, threading.excepthook = threading.excepthook, excepthook
  logger = tf.get_logger()
  logger.addFilter(is_logged)
  try:
    yield
  finally:
    threading.excepthook = usual
    logger.removeFilter(is_logged)
