"""The values in a checkpoint: its step, and whether they are finite."""

import dataclasses
import glob
import os
import re

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import contents, restore
from slim_zoo.tf_compat import tf

_FILES = re.compile(r'\.(index|meta|data-\d{5}-of-\d{5})')
# What batch norm's statistics are before the first update.
_INITIAL = {'moving_mean': 0.0, 'moving_variance': 1.0}


@dataclasses.dataclass(frozen=True)
class Values:
  """The result of reading all values of a checkpoint.

  Attributes:
    step: the global step; None where it keeps none.
    not_finite: names of the variables with NaN or infinite values.
    statistics: how many averages of batch norm there are.
    initial_statistics: how many of them were never updated.
  """

  step: int | None
  not_finite: list[str]
  statistics: int
  initial_statistics: int


def is_statistic(name: str) -> bool:
  """Returns whether a variable is an average of batch norm, which is not trained."""
  return name.rpartition('/')[2] in _INITIAL


def shapes_of(path: str) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every variable in a checkpoint, by name.

  Raises:
    UserError: it is damaged, is no checkpoint, or is one of TensorFlow 2's objects.
  """
  shapes = restore.open_reader(path).get_variable_to_shape_map()
  if '_CHECKPOINTABLE_OBJECT_GRAPH' in shapes:
    raise diagnostics.UserError(
        f"'{path}' was written by tf.train.Checkpoint or Keras, under the names of"
        ' Python objects: write it with tf.compat.v1.train.Saver, which names variables'
        ' as slim does')
  return {name: tuple(shape) for name, shape in shapes.items()}


def read(path: str) -> Values:
  """Reads every value of a checkpoint, one variable at a time.

  Raises:
    UserError: it is damaged; the message names the first variable that it shows in.
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
  # NumPy knows bfloat16 as 'V', any kind of bytes.
  if value.dtype.kind not in 'fcV':
    return True
  # A sum is finite only if all values are, and takes no second array.
  with np.errstate(over='ignore', invalid='ignore'):
    total = value.sum(dtype=np.complex128)
  return bool(np.isfinite(total) or np.isfinite(value).all())


def step_of(reader) -> int | None:
  """Returns the global step that a checkpoint keeps, or None."""
  if not reader.has_tensor(contents.STEP):
    return None
  return int(np.ravel(reader.get_tensor(contents.STEP))[0])


def bytes_of(path: str) -> int:
  """Returns how large the files of the checkpoint at prefix `path` are."""
  # The first format of checkpoints was one file, called as the prefix is.
  files = [path] if os.path.isfile(path) else [
      name for name in glob.glob(f'{glob.escape(path)}.*')
      if _FILES.fullmatch(name[len(path):])]
  return sum(os.path.getsize(name) for name in files)
