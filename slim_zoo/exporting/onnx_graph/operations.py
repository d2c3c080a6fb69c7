"""The table of operations: how each operation of TensorFlow is written in ONNX.

Each function gets the translation and an operation of TensorFlow, adds nodes, and
returns the value of the operation's output. A function that does not know an argument
of an operation raises the UserError of `translation.refuse`.
"""

from collections.abc import Callable

import numpy as np

from slim_zoo.exporting import known, layout
from slim_zoo.exporting.frozen_graph import name_of
from slim_zoo.exporting.onnx_graph import layers, quantized, windows
from slim_zoo.exporting.onnx_graph.translation import Translation, refuse, shape_of
from slim_zoo.tf_compat import tf

_END = np.iinfo(np.int64).max

Function = Callable[[Translation, tf.Operation], str]


def _passed_on(state, operation):
  return state.value(operation.inputs[0])


def _by_value(kind: str) -> Function:
  """Returns the function of an operation on each value of one tensor."""
  return lambda state, operation: state.builder.node(
      kind, [state.value(operation.inputs[0])], name_of(operation))


def _by_pair(kind: str) -> Function:
  """Returns the function of an operation on the values of two tensors."""
  def translate(state, operation):
    rank = operation.outputs[0].shape.rank
    return state.builder.node(
        kind, [state.operand(tensor, rank, operation) for tensor in operation.inputs],
        name_of(operation))
  return translate


def _square(state, operation):
  value = state.value(operation.inputs[0])
  return state.builder.node('Mul', [value, value], name_of(operation))


def _relu6(state, operation):
  limits = [state.builder.constant(np.float32(limit), f'limit_{limit}')
            for limit in (0, 6)]
  return state.builder.node(
      'Clip', [state.value(operation.inputs[0]), *limits], name_of(operation))


def _softmax(state, operation):
  rank = operation.inputs[0].shape.rank
  return state.builder.node('Softmax', [state.value(operation.inputs[0])],
                            name_of(operation), axis=layout.position(-1, rank))


def _batch_norm(state, operation):
  if operation.get_attr('is_training') or (
      operation.get_attr('data_format') not in layout.CHANNELS_LAST):
    raise refuse(operation, 'in training, or with channels first')
  parts = [state.builder.constant(known.value(tensor), name_of(tensor.op))
           for tensor in operation.inputs[1:]]
  return state.builder.node(
      'BatchNormalization', [state.value(operation.inputs[0]), *parts],
      name_of(operation), epsilon=operation.get_attr('epsilon'))


def _local_response_norm(state, operation):
  """Of neighbouring channels; ONNX divides alpha by the number of them."""
  size = 2 * operation.get_attr('depth_radius') + 1
  return state.builder.node(
      'LRN', [state.value(operation.inputs[0])], name_of(operation), size=size,
      alpha=operation.get_attr('alpha') * size, beta=operation.get_attr('beta'),
      bias=operation.get_attr('bias'))


def _concatenation(state, operation):
  *tensors, axis = operation.inputs
  rank = operation.outputs[0].shape.rank
  return state.builder.node(
      'Concat', [state.operand(tensor, rank, operation) for tensor in tensors],
      name_of(operation), axis=layout.position(int(known.value(axis)), rank))


def _mean(state, operation):
  """Keeps the reduced axes in the node, so that their places are known."""
  tensor, name = operation.inputs[0], name_of(operation)
  shape = shape_of(tensor, operation)
  rank = len(shape)
  axes = {int(axis) % rank for axis in np.atleast_1d(known.value(operation.inputs[1]))}
  value = state.value(tensor)
  if rank in (4, 5) and axes == set(layout.spatial(rank)):
    mean = state.builder.node('GlobalAveragePool', [value], name)
  else:
    mean = state.builder.node('ReduceMean', [value], name, keepdims=1, axes=sorted(
        layout.position(axis, rank) for axis in axes))
  mean = quantized.as_before(state, value, mean)
  if operation.get_attr('keep_dims'):
    return mean
  kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
  return quantized.as_before(state, mean, state.reshaped(
      mean, kept, shape_of(operation.outputs[0], operation), f'{name}/reshaped'))


def _reshape(state, operation):
  """Also for Squeeze and ExpandDims: the shapes say all of it."""
  value = state.value(operation.inputs[0])
  shapes = [shape_of(tensor, operation)
            for tensor in (operation.inputs[0], operation.outputs[0])]
  return quantized.as_before(
      state, value, state.reshaped(value, *shapes, name_of(operation)))


def _strided_part(state, operation):
  """Every n-th value between two places on each axis."""
  for name in ('ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'):
    if operation.get_attr(name):
      raise refuse(operation, f'with {name}')
  rank = operation.inputs[0].shape.rank
  begin, end, step = (known.value(tensor).tolist() for tensor in operation.inputs[1:])
  parts = []
  for axis, (first, last, by) in enumerate(zip(begin, end, step, strict=True)):
    if by < 1:
      raise refuse(operation, f'with the step {by}')
    whole_begin, whole_end = (operation.get_attr(name) >> axis & 1
                              for name in ('begin_mask', 'end_mask'))
    parts.append((0 if whole_begin else first,
                  _END if whole_end else last,
                  layout.position(axis, rank), by))
  return _part(state, operation, parts)


def _whole_part(state, operation):
  """All values from a place on each axis, as many as the output has."""
  rank, begin = operation.inputs[0].shape.rank, known.value(operation.inputs[1])
  if begin is None:
    raise refuse(operation, 'from a place that depends on the images')
  sizes = shape_of(operation.outputs[0], operation)
  return _part(state, operation, [
      (int(first), _END if size is None else int(first) + size,
       layout.position(axis, rank), 1)
      for axis, (first, size) in enumerate(zip(begin, sizes, strict=True))])


def _part(state, operation, parts):
  """Cuts out (first, last + 1, axis, step) for each axis."""
  name, value = name_of(operation), state.value(operation.inputs[0])
  numbers = [state.builder.constant(np.array(column, np.int64), f'{name}/{what}')
             for what, column in zip(('starts', 'ends', 'axes', 'steps'),
                                     zip(*parts, strict=True), strict=True)]
  return quantized.as_before(
      state, value, state.builder.node('Slice', [value, *numbers], name))


OPERATIONS: dict[str, Function] = {
    # Layers, with the bias that follows.
    'Conv2D': layers.convolution,
    'Conv3D': layers.convolution,
    'DepthwiseConv2dNative': layers.convolution,
    'MatMul': layers.product,
    'Add': layers.bias,
    'AddV2': layers.bias,
    'BiasAdd': layers.bias,
    # Windows and padding.
    'AvgPool': windows.average_pool,
    'AvgPool3D': windows.average_pool,
    'MaxPool': windows.max_pool,
    'MaxPool3D': windows.max_pool,
    'Pad': windows.pad,
    'PadV2': windows.pad,
    # Single values.
    'Relu': _by_value('Relu'),
    'Relu6': _relu6,
    'Sigmoid': _by_value('Sigmoid'),
    'Sqrt': _by_value('Sqrt'),
    'Square': _square,
    # Pairs.
    'Maximum': _by_pair('Max'),
    'Mul': _by_pair('Mul'),
    'RealDiv': _by_pair('Div'),
    'Sub': _by_pair('Sub'),
    # Channels, shapes, and places.
    'ConcatV2': _concatenation,
    'FusedBatchNormV3': _batch_norm,
    'Identity': _passed_on,
    'LRN': _local_response_norm,
    'Mean': _mean,
    'Reshape': _reshape,
    'Slice': _whole_part,
    'Softmax': _softmax,
    'Squeeze': _reshape,
    'StridedSlice': _strided_part,
    # Networks of 8 bits.
    'FakeQuantWithMinMaxVars': quantized.rounding,
}


def translate(state: Translation, operation: tf.Operation) -> None:
  """Adds the nodes of one operation.

  Raises:
    UserError: it is not in the table, or one of its arguments is not translated.
  """
  if operation.type not in OPERATIONS:
    raise refuse(operation, 'is not in its table')
  state.set_value(operation.outputs[0], OPERATIONS[operation.type](state, operation))
