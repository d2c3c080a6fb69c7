"""The mean of the weights of several checkpoints.

The mean of weights along the path of training: Izmailov et al. 2018, Averaging weights
leads to wider optima and better generalization, arXiv 1803.05407.
"""

from collections.abc import Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import contents, quantization, restore, values, writing


def average(checkpoints: Sequence[str], target: str) -> None:
  """Writes a checkpoint with the mean of the weights of others.

  Slots of optimizers and moving averages are left out. The global step, and the ranges
  of a quantized network, are those of the last checkpoint.

  Args:
    checkpoints: their prefixes, two or more; the last one is the newest.
    target: prefix of the checkpoint to write.

  Raises:
    UserError: a checkpoint is damaged, or has other variables than the last; or a
      weight is not finite.
  """
  shapes = values.shapes_of(checkpoints[-1])
  content = contents.sort(shapes)
  names = [name for name in content.weights if name in shapes]
  for path in checkpoints[:-1]:
    _check_same(path, checkpoints[-1], {name: shapes[name] for name in names})
  sums = dict.fromkeys(names, 0.0)
  for path in checkpoints:
    for name, value in restore.read_values(path, names).items():
      sums[name] = sums[name] + value.astype(np.float64)
  newest = restore.read_values(checkpoints[-1], [*names, *_kept(content)])
  for name in names:
    mean = sums[name] / len(checkpoints)
    if not np.isfinite(mean).all():
      raise diagnostics.UserError(
          f"'{name}' is not finite in one of the checkpoints: leave it out (slim-zoo"
          ' inspect shows which)')
    if newest[name].dtype.kind == 'f':
      newest[name] = mean.astype(newest[name].dtype)
  writing.write(target, newest)


def _kept(content):
  """Returns the names of values that are taken from the last checkpoint."""
  return [name for name in content.others
          if name == contents.STEP or quantization.is_range(name)]


def _check_same(path, newest, shapes):
  """Raises UserError if a checkpoint lacks one of the variables."""
  there = values.shapes_of(path)
  differing = [name for name, shape in shapes.items() if there.get(name) != shape]
  if differing:
    raise diagnostics.UserError(
        f"'{path}' and '{newest}' are of different networks: {differing[0]!r} has the"
        f' shape {list(shapes[differing[0]])} in the second, and'
        f' {list(there[differing[0]]) if differing[0] in there else "is missing"} in'
        ' the first')
