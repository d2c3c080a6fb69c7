"""Translates layers with weights: convolutions, matrix products, and their biases.

If a bias is the only reader of a layer's result, it becomes an input of that layer.
"""

from slim_zoo.exporting import known, layout
from slim_zoo.exporting.frozen_graph import name_of
from slim_zoo.exporting.onnx_graph import quantized, windows
from slim_zoo.exporting.onnx_graph.translation import Translation, refuse
from slim_zoo.tf_compat import tf


def convolution(state: Translation, operation: tf.Operation) -> str:
  """Translates a convolution. The depth of the weights says the number of groups."""
  inputs = operation.inputs[0]
  rank = inputs.shape.rank
  weights = quantized.weights(operation)
  *window, depth, _ = weights.shape
  channels = int(inputs.shape[-1])
  if operation.type == 'DepthwiseConv2dNative':
    # ONNX counts the filters of a channel as outputs: [.., channels * filters].
    weights = weights.reshaped([*window, 1, -1])
    groups = channels
  else:
    groups = channels // depth
  dilations = [operation.get_attr('dilations')[axis] for axis in layout.spatial(rank)]
  # Outputs, inputs, then the window.
  order = [rank - 1, rank - 2, *range(rank - 2)]
  return state.builder.node(
      'Conv', [state.value(inputs), weights.added(state, order),
               *_bias(state, operation)], name_of(operation),
      group=groups, kernel_shape=list(window), dilations=dilations,
      **windows.arguments(operation, list(window), dilations))


def product(state: Translation, operation: tf.Operation) -> str:
  """Translates a product with weights, [batch, inputs] by [inputs, outputs]."""
  if operation.get_attr('transpose_a') or operation.get_attr('transpose_b'):
    raise refuse(operation, 'of a transposed matrix')
  return state.builder.node(
      'Gemm', [state.value(operation.inputs[0]),
               quantized.weights(operation).added(state, [0, 1]),
               *_bias(state, operation)], name_of(operation))


def bias(state: Translation, operation: tf.Operation) -> str:
  """Translates a bias, or any sum: nothing is left to do if a layer has the bias."""
  if operation in state.biases:
    (value,) = (state.value(tensor) for tensor in operation.inputs
                if not known.is_known(tensor))
    return value
  rank = operation.outputs[0].shape.rank
  return state.builder.node('Add', [
      state.operand(tensor, rank, operation) for tensor in operation.inputs],
      name_of(operation))


def _bias(state, layer):
  """Returns [the bias that is added to a layer], or []; remembers who added it."""
  found = state.added_bias(layer)
  if found is None:
    return []
  addition, biases = found
  state.biases.add(addition)
  return [quantized.bias(state, layer, state.value(layer.inputs[0]),
                         known.value(biases), name_of(biases.op))]
