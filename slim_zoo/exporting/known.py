"""Finds the values of a graph that do not depend on the images."""

from collections.abc import Sequence

import numpy as np

from slim_zoo.tf_compat import tf

# In preprocessing: the means of vgg, and what follows from the size of the images.
_COMPUTED = {
    'AddV2': lambda operation, *values: np.add(*values),
    'Cast': lambda operation, value: value.astype(
        operation.outputs[0].dtype.as_numpy_dtype),
    'Prod': lambda operation, value, axis: value.prod(tuple(np.atleast_1d(axis))),
    'Rsqrt': lambda operation, value: 1 / np.sqrt(value),
}
# Between weights and the layer of a quantized network.
_PASSING_ON = {
    'Reshape', 'FakeQuantWithMinMaxVars', 'FakeQuantWithMinMaxVarsPerChannel'}
# The shape that a Reshape asks for is the shape of its output.
_READS_FIRST_ONLY = {'Reshape', 'ExpandDims'}


def value(tensor: tf.Tensor) -> np.ndarray | None:
  """Returns the value of a tensor that depends on no image; None for others."""
  operation = tensor.op
  if operation.type == 'Const':
    return tf.make_ndarray(operation.get_attr('value'))
  if operation.type == 'StridedSlice' and operation.inputs[0].op.type == 'Shape':
    return _part_of_shape(operation)
  if operation.type in _COMPUTED:
    values = [value(read) for read in operation.inputs]
    if all(one is not None for one in values):
      return np.asarray(_COMPUTED[operation.type](operation, *values))
  return None


def is_known(tensor: tf.Tensor) -> bool:
  """Returns whether a tensor depends on no image."""
  operation = tensor.op
  if operation.type in _PASSING_ON:
    return all(map(is_known, read(operation)))
  # Weights may take hundreds of megabytes.
  return operation.type == 'Const' or value(tensor) is not None


def _part_of_shape(operation):
  """Returns some sizes of a tensor, or None if one of them is unknown."""
  shape, (begin, end, step) = operation.inputs[0].op.inputs[0].shape, map(
      value, operation.inputs[1:])
  if shape.rank is None or operation.get_attr('shrink_axis_mask'):
    return None
  masked = lambda name, limit: None if operation.get_attr(name) & 1 else int(limit[0])
  sizes = shape.as_list()[
      masked('begin_mask', begin):masked('end_mask', end):int(step[0])]
  return None if None in sizes else np.array(sizes, np.int32)


def read(operation: tf.Operation) -> list[tf.Tensor]:
  """Returns the tensors that an operation computes with."""
  inputs = list(operation.inputs)
  return inputs[:1] if operation.type in _READS_FIRST_ONLY else inputs


def needed(outputs: Sequence[tf.Operation]) -> set[tf.Operation]:
  """Returns the operations that `outputs` depend on, without those of known values."""
  found, waiting = set(), list(outputs)
  while waiting:
    operation = waiting.pop()
    if operation in found:
      continue
    found.add(operation)
    waiting.extend(tensor.op for tensor in read(operation) if not is_known(tensor))
  return found
