"""Layers with weights: convolutions, matrix products, and the bias behind them."""

from slim_zoo.exporting.onnx_graph import known, layout, quantized, windows
from slim_zoo.exporting.onnx_graph.translation import Translation, name_of, refuse
from slim_zoo.tf_compat import tf

_LAYERS = ('Conv2D', 'Conv3D', 'DepthwiseConv2dNative', 'MatMul')
_SHAPES = ('Reshape', 'Squeeze')


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
      'Conv', [state.value(inputs), weights.added(state, order)], name_of(operation),
      group=groups, kernel_shape=list(window), dilations=dilations,
      **windows.arguments(operation, list(window), dilations))


def product(state: Translation, operation: tf.Operation) -> str:
  """Translates a product with weights, [batch, inputs] by [inputs, outputs]."""
  if operation.get_attr('transpose_a') or operation.get_attr('transpose_b'):
    raise refuse(operation, 'of a transposed matrix')
  return state.builder.node(
      'Gemm', [state.value(operation.inputs[0]),
               quantized.weights(operation).added(state, [0, 1])], name_of(operation))


def bias(state: Translation, operation: tf.Operation) -> str:
  """Translates BiasAdd: one more input of the layer, if nothing else reads that."""
  tensor, biases = operation.inputs
  rank, value = tensor.shape.rank, state.value(tensor)
  layer = _layer_of(state, operation)
  if layer is None:
    return state.builder.node(
        'Add', [value, state.operand(biases, rank)], name_of(operation))
  made = state.value(layer.outputs[0])
  state.builder.add_input(made, quantized.bias(
      state, layer, state.value(layer.inputs[0]), known.value(biases),
      name_of(biases.op)))
  return value


def _layer_of(state, operation):
  """Returns the layer whose bias an operation adds, through changes of its shape."""
  tensor = operation.inputs[0]
  channels = tensor.shape[-1]
  if not known.is_known(operation.inputs[1]):
    return None
  while state.reader(tensor) is not None and tensor.shape[-1] == channels:
    if tensor.op.type in _LAYERS:
      return tensor.op
    if tensor.op.type not in _SHAPES:
      return None
    tensor = tensor.op.inputs[0]
  return None
