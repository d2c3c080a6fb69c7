"""Writes the values of a checkpoint to one file that needs no TensorFlow.

`.npz` is NumPy's archive: one .npy file for each variable; `files/safetensors.py`
describes `.safetensors`. One variable at a time is in memory.
"""

import dataclasses
import os
import zipfile

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import restore
from slim_zoo.files import atomic, safetensors, staging
from slim_zoo.progress import Progress
from slim_zoo.tf_compat import tf

# The types of each format; values of others are left out.
_SAFETENSORS = {
    tf.bool: 'BOOL', tf.int8: 'I8', tf.uint8: 'U8', tf.int16: 'I16', tf.uint16: 'U16',
    tf.int32: 'I32', tf.uint32: 'U32', tf.int64: 'I64', tf.uint64: 'U64',
    tf.float16: 'F16', tf.bfloat16: 'BF16', tf.float32: 'F32', tf.float64: 'F64'}
_NPZ = {*_SAFETENSORS, tf.complex64, tf.complex128}


@dataclasses.dataclass(frozen=True)
class Dump:
  """What was written.

  Attributes:
    path: of the file.
    names: of the variables in it, in their order.
    num_bytes: the size of the file.
    left_out: the type of each variable that the format cannot hold, by name.
    widened: names of bfloat16 variables that are float32 in the file, with the same
      values.
  """
  path: str
  names: list[str]
  num_bytes: int
  left_out: dict[str, str]
  widened: list[str]

  @property
  def lines(self) -> list[str]:
    """The same for people."""
    lines = [f'{self.path}: {len(self.names)} variables, {self.num_bytes / 1e6:.1f} MB']
    if self.widened:
      lines.append('bfloat16 in the checkpoint, float32 in the file:'
                   f' {diagnostics.some(self.widened)}')
    if self.left_out:
      lines.append('left out, as the format has no such type: ' + diagnostics.some(
          [f'{name} ({kind})' for name, kind in self.left_out.items()]))
    return lines


def write(checkpoint: str, path: str) -> Dump:
  """Writes all values of a checkpoint to a file, completely or not at all.

  Args:
    checkpoint: a prefix; both formats of TensorFlow 1 are read.
    path: of the file, which ends in .npz or .safetensors; it is replaced, and its
      folder is made if it is missing.

  Raises:
    UserError: the checkpoint is damaged, or has no variable that can be written.
    OSError: the file cannot be written.
  """
  reader = restore.open_reader(checkpoint)
  kinds = {name: tf.as_dtype(kind).base_dtype
           for name, kind in sorted(reader.get_variable_to_dtype_map().items())}
  is_npz = path.endswith('.npz')
  known = _NPZ if is_npz else _SAFETENSORS
  names = [name for name, kind in kinds.items()
           if kind in known and name != safetensors.METADATA]
  if not names:
    raise diagnostics.UserError(
        f"'{checkpoint}' has no values of a type that {path} can hold")
  with staging.created(os.path.dirname(path) or '.'), atomic.replacing(
      path) as unfinished, open(unfinished, 'wb') as file:
    label = f'writing {os.path.basename(path)}'
    with Progress(label, len(names), 'variables') as shown:
      values = _values(reader, checkpoint, names, shown)
      if is_npz:
        _write_npz(file, values)
      else:
        shapes = reader.get_variable_to_shape_map()
        safetensors.write(
            file, {name: (_SAFETENSORS[kinds[name]], kinds[name].size)
                   for name in names},
            {name: shapes[name] for name in names}, (value for _, value in values),
            {'source': os.path.basename(checkpoint)})
  return Dump(path, names, os.path.getsize(path),
              {name: kind.name for name, kind in kinds.items() if name not in names},
              [name for name in names if is_npz and kinds[name] == tf.bfloat16])


def _values(reader, checkpoint, names, shown):
  """Yields (name, array), one variable at a time."""
  for number, name in enumerate(names):
    with restore.damage_as_user_error(checkpoint):
      value = np.asarray(reader.get_tensor(name))
    yield name, value
    shown.update(number + 1)


def _write_npz(file, values):
  with zipfile.ZipFile(file, 'w') as archive:
    for name, value in values:
      if value.dtype == tf.bfloat16.as_numpy_dtype:
        value = value.astype(np.float32)
      # Sizes are not known before: 64 bits for all of them.
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, value, allow_pickle=False)
