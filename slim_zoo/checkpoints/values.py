"""Reads the values of a checkpoint: its step, NaN values, untrained statistics."""

import dataclasses
import glob
import os
import re

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import contents, restore
from slim_zoo.tf_compat import tf

_FILES = re.compile(r'\.(index|meta|data-\d{5}-of-\d{5})')
# The initial values of batch norm's statistics.
_INITIAL = {'moving_mean': 0.0, 'moving_variance': 1.0}


@dataclasses.dataclass(frozen=True)
class Values:
  """Facts about all values of a checkpoint.

  Attributes:
    step: the global step, or None.
    not_finite: names of the variables with NaN or infinite values.
    statistics: number of batch norm averages.
    initial_statistics: number of them that were never updated.
  """

  step: int | None
  not_finite: list[str]
  statistics: int
  initial_statistics: int


def is_statistic(name: str) -> bool:
  """Returns whether a variable is a batch norm average, which is not trained."""
  return name.rpartition('/')[2] in _INITIAL


def shapes_of(path: str) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every variable in a checkpoint, by name.

  Raises:
    UserError: it is damaged, is not a checkpoint, or is one of TensorFlow 2's objects.
  """
  shapes = restore.open_reader(path).get_variable_to_shape_map()
  if '_CHECKPOINTABLE_OBJECT_GRAPH' in shapes:
    raise diagnostics.UserError(
        f"'{path}' was written by tf.train.Checkpoint or Keras, with the names of"
        ' Python objects: write it with tf.compat.v1.train.Saver, which uses names of'
        ' variables')
  return {name: tuple(shape) for name, shape in shapes.items()}


def read(path: str) -> Values:
  """Reads every value of a checkpoint, one variable at a time.

  Raises:
    UserError: it is damaged; the message names the first damaged variable.
  """
  reader = restore.open_reader(path)
  not_finite, statistics, initial = [], 0, 0
  for name in sorted(reader.get_variable_to_shape_map()):
    try:
      value = np.asarray(reader.get_tensor(name))
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError) as error:
      raise diagnostics.UserError(
          f"the checkpoint '{path}' is damaged: {name} cannot be read"
          f' ({restore.first_line(error)})') from error
    if not _is_finite(value):
      not_finite.append(name)
    if is_statistic(name):
      statistics += 1
      initial += bool((value == _INITIAL[name.rpartition('/')[2]]).all())
  return Values(step_of(reader), not_finite, statistics, initial)


def _is_finite(value):
  # NumPy reports bfloat16 as 'V', a kind for any bytes.
  if value.dtype.kind not in 'fcV':
    return True
  # A sum is finite only if all values are, and needs no second array.
  with np.errstate(over='ignore', invalid='ignore'):
    total = value.sum(dtype=np.complex128)
  return bool(np.isfinite(total) or np.isfinite(value).all())


def step_of(reader) -> int | None:
  """Returns the global step in a checkpoint, or None."""
  if not reader.has_tensor(contents.STEP):
    return None
  return int(np.ravel(reader.get_tensor(contents.STEP))[0])


def bytes_of(path: str) -> int:
  """Returns the size of the files of the checkpoint at prefix `path`."""
  # The first format of checkpoints is one file with the prefix as name.
  files = [path] if os.path.isfile(path) else [
      name for name in glob.glob(f'{glob.escape(path)}.*')
      if _FILES.fullmatch(name[len(path):])]
  return sum(os.path.getsize(name) for name in files)
