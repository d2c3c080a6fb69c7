"""The order of the axes: channels are last in TensorFlow, after the batch elsewhere.

In ONNX and PyTorch every tensor of 4 or 5 dimensions has its channels after the batch.
So only the images, and features before they are flattened, are transposed. Other
tensors have the same order as in TensorFlow.
"""

from collections.abc import Sequence

import numpy as np

# Values of 'data_format' in TensorFlow.
CHANNELS_LAST = (b'NHWC', b'NDHWC')
_HELD = {4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
_SPATIAL = {4: (1, 2), 5: (1, 2, 3)}


def held(rank: int) -> tuple[int, ...]:
  """Returns the axes of TensorFlow in the order in which ONNX and PyTorch hold them."""
  return _HELD.get(rank, tuple(range(rank)))


def spatial(rank: int) -> tuple[int, ...]:
  """Returns the axes of TensorFlow for frames, height and width."""
  return _SPATIAL[rank]


def position(axis: int, rank: int) -> int:
  """Returns the position elsewhere of an axis of TensorFlow, which may be negative."""
  return held(rank).index(axis % rank)


def permuted(values: Sequence, rank: int) -> list:
  """Returns one value for each axis, in that order of the axes."""
  return [values[axis] for axis in held(rank)]


def broadcastable(value: np.ndarray, rank: int) -> np.ndarray:
  """Returns a constant as it has to be to meet a tensor of `rank` dimensions."""
  if rank not in _HELD or not value.ndim:
    return value
  value = value.reshape([1] * (rank - value.ndim) + list(value.shape))
  return value.transpose(held(rank))


def moves(order: Sequence[int], wanted: Sequence[int], shape: Sequence[int | None]
          ) -> bool:
  """Returns whether axes in another order are other values in memory.

  Args:
    order: the axes as they are.
    wanted: the same axes as they are to be.
    shape: of all axes. Those of size 1 may be anywhere.
  """
  kept = lambda axes: [axis for axis in axes if shape[axis] != 1]
  return kept(order) != kept(wanted)
