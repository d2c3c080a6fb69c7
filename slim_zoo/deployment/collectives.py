"""Sums over the replicas of a job: the workers, and the GPUs of each.

TensorFlow matches collective operations by number: the n-th calls of all replicas make
one sum. So every replica must make the same calls in the same order. They also run in
this order: NCCL, which adds up on GPUs, waits forever if the orders differ. On CPUs the
replicas form a ring.
"""

import math
from collections.abc import Sequence

from slim_zoo.tf_compat import tf

# The size of the buffers that several tensors are packed into.
BUFFER_BYTES = 32 * 2**20
# Groups of replicas, each with its own numbers.
GRADIENTS, BATCH_NORM, CONTROL, MEETING, LENGTHS, CONTENTS = range(1, 7)
_CALLS_OF_A_GROUP = 1_000_000


class Replica:
  """One member of a group of replicas.

  Args:
    group_key: the number of the group, such as `GRADIENTS`.
    group_size: number of members of the group in all processes.
    device: the device of this member; no other member may have the same.
    timeout_seconds: a collective fails if another member takes longer; 0: it waits
      forever.
  """

  def __init__(self, group_key: int, group_size: int, device: str,
               timeout_seconds: float = 0):
    self.device, self.size = device, group_size
    self._group_key, self._timeout = group_key, float(timeout_seconds)
    self._calls, self._last = 0, []

  def follow(self, others: Sequence['Replica']) -> None:
    """Makes all later collectives wait for the collectives of other groups.

    NCCL needs one order of all collectives of a GPU.

    Args:
      others: replicas whose collectives are already in the graph.
    """
    self._last = [*self._last, *(tensor for other in others for tensor in other._last)]

  def sum(self, tensor: tf.Tensor) -> tf.Tensor:
    """Returns the sum of the tensors of all members, equal bit for bit in each."""
    return self._collective(
        tf.raw_ops.CollectiveReduceV2, tensor, merge_op='Add', final_op='Id')

  def gather(self, tensor: tf.Tensor) -> tf.Tensor:
    """Returns the tensors of all members, concatenated along the first dimension."""
    return self._collective(tf.raw_ops.CollectiveGatherV2, tensor)

  def sum_packed(self, tensors: Sequence[tf.Tensor], buffer_bytes: int = BUFFER_BYTES
                 ) -> list[tf.Tensor]:
    """Returns the sums of several tensors, which are packed into buffers.

    Args:
      tensors: of known shapes; the buffers are reduced in this order.
      buffer_bytes: the largest size of a buffer.
    """
    sums = [None] * len(tensors)
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
      indices = [index for index, tensor in enumerate(tensors) if tensor.dtype == dtype]
      flat = [tf.reshape(tensors[index], [-1]) for index in indices]
      sizes = [tensors[index].shape.num_elements() for index in indices]
      parts = [[] for _ in indices]
      for buffer in plan_buffers(sizes, max(1, buffer_bytes // dtype.size)):
        packed = self.sum(_concat([_slice(flat[piece.tensor], piece, sizes)
                                   for piece in buffer]))
        lengths = [piece.stop - piece.start for piece in buffer]
        for piece, part in zip(buffer, _split(packed, lengths), strict=True):
          parts[piece.tensor].append(part)
      for index, part in zip(indices, parts, strict=True):
        sums[index] = tf.reshape(_concat(part), tensors[index].shape)
    return sums

  def _collective(self, operation, tensor, **options):
    self._calls += 1
    with tf.device(self.device), tf.control_dependencies(self._last):
      result = operation(
          input=tensor, group_size=self.size, group_key=self._group_key,
          instance_key=self._group_key * _CALLS_OF_A_GROUP + self._calls,
          ordering_token=[], timeout_seconds=self._timeout, **options)
    self._last = [result]
    return result


class Piece:
  """A part of a flattened tensor, from `start` to `stop`."""

  def __init__(self, tensor: int, start: int, stop: int):
    self.tensor, self.start, self.stop = tensor, start, stop

  def __repr__(self):
    return f'{self.tensor}[{self.start}:{self.stop}]'


def plan_buffers(sizes: Sequence[int], limit: int) -> list[list[Piece]]:
  """Returns the pieces of tensors in each buffer, in the order of the tensors.

  A tensor is one piece if it fits into a buffer; a larger one is cut into equal pieces.

  Args:
    sizes: number of elements of each tensor.
    limit: largest number of elements of a buffer.
  """
  buffers, buffer, used = [], [], 0
  for tensor, size in enumerate(sizes):
    count = max(1, math.ceil(size / limit))
    length = math.ceil(size / count)
    for start in range(0, max(size, 1), max(length, 1)):
      stop = min(start + length, size)
      if buffer and used + stop - start > limit:
        buffers.append(buffer)
        buffer, used = [], 0
      buffer.append(Piece(tensor, start, stop))
      used += stop - start
  return [*buffers, buffer] if buffer else buffers


def _slice(flat, piece, sizes):
  whole = (piece.start, piece.stop) == (0, sizes[piece.tensor])
  return flat if whole else flat[piece.start:piece.stop]


def _concat(parts):
  return parts[0] if len(parts) == 1 else tf.concat(parts, 0)


def _split(packed, lengths):
  return [packed] if len(lengths) == 1 else tf.split(packed, lengths)
