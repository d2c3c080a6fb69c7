"""Translates pools and padding, and computes the padding of convolutions."""

import numpy as np

from slim_zoo.exporting import known, layout
from slim_zoo.exporting.frozen_graph import name_of
from slim_zoo.exporting.onnx_graph import quantized
from slim_zoo.exporting.onnx_graph.translation import Translation, refuse, shape_of
from slim_zoo.tf_compat import tf


def arguments(operation: tf.Operation, window: list[int], dilations: list[int]
              ) -> dict[str, list[int]]:
  """Returns 'strides' and 'pads' of a convolution or pool.

  'SAME' pads more at the end where the padding is odd, and as much as the size of the
  images requires: the pads are those of this size.

  Args:
    operation: a convolution or pool.
    window: its height and width, with frames first if there are any.
    dilations: of the window.

  Raises:
    UserError: the channels are first, or the image size is unknown.
  """
  if operation.get_attr('data_format') not in layout.CHANNELS_LAST:
    raise refuse(operation, 'with channels first')
  shape = shape_of(operation.inputs[0], operation)
  axes = layout.spatial(len(shape))
  strides = [operation.get_attr('strides')[axis] for axis in axes]
  padding = operation.get_attr('padding')
  if padding == b'VALID':
    pads = [(0, 0)] * len(axes)
  elif padding == b'SAME':
    pads = [_same(shape[axis], *sizes) for axis, *sizes in zip(
        axes, window, strides, dilations, strict=True)]
  else:
    explicit = operation.get_attr('explicit_paddings')
    pads = [tuple(explicit[2 * axis:2 * axis + 2]) for axis in axes]
  before, after = zip(*pads, strict=True)
  return {'strides': strides, 'pads': [*before, *after]}


def _same(size, window, stride, dilation):
  """Returns the padding (before, after) of a dimension that 'SAME' asks for."""
  outputs = -(-size // stride)
  total = max((outputs - 1) * stride + (window - 1) * dilation + 1 - size, 0)
  return total // 2, total - total // 2


def max_pool(state: Translation, operation: tf.Operation) -> str:
  """Translates MaxPool, which pads with nothing that could be the largest."""
  return _pool(state, operation, 'MaxPool')


def average_pool(state: Translation, operation: tf.Operation) -> str:
  """Translates AvgPool: the average is that of the pixels inside the image."""
  return _pool(state, operation, 'AveragePool', count_include_pad=0)


def _pool(state, operation, kind, **attributes):
  axes = layout.spatial(operation.inputs[0].shape.rank)
  window = [operation.get_attr('ksize')[axis] for axis in axes]
  value = state.value(operation.inputs[0])
  pool = state.builder.node(
      kind, [value], name_of(operation), kernel_shape=window, **attributes,
      **arguments(operation, window, [1] * len(window)))
  return quantized.as_before(state, value, pool)


def pad(state: Translation, operation: tf.Operation) -> str:
  """Translates Pad and PadV2: padding with one number."""
  value, name = state.value(operation.inputs[0]), name_of(operation)
  rank = operation.inputs[0].shape.rank
  paddings = layout.permuted(known.value(operation.inputs[1]).tolist(), rank)
  before, after = zip(*paddings, strict=True)
  inputs = [value, state.builder.constant(
      np.array([*before, *after], np.int64), f'{name}/pads')]
  if operation.type == 'PadV2':
    inputs.append(state.builder.constant(
        known.value(operation.inputs[2]), f'{name}/value'))
  return quantized.as_before(state, value, state.builder.node('Pad', inputs, name))
