"""Translates layers with weights: convolutions, matrix products, batch norm, biases."""

import math

import numpy as np

from slim_zoo.exporting import known, layout
from slim_zoo.exporting.torch_source.steps import (
  Array,
  Layer,
  Step,
  Translation,
  refuse,
  shape_of,
)
from slim_zoo.tf_compat import tf

CONVOLUTION, SAME_CONVOLUTION = 'nn.Conv2d', 'Conv2dSame'
PRODUCT, BATCH_NORM = 'nn.Linear', 'nn.BatchNorm2d'
# Convolutions with their batch norm, by the kind of the convolution.
WITH_NORM = {CONVOLUTION: 'ConvNorm', SAME_CONVOLUTION: 'ConvNormSame'}
_NORM = 'BatchNorm'
# The default of PyTorch, which some networks have.
EPSILON = 1e-5
_CALLED = '{layer}({0})'


def pair(sizes):
  """Returns one number if height and width have the same, else both."""
  return sizes[0] if sizes[0] == sizes[1] else tuple(sizes)


def convolution(state: Translation, operation: tf.Operation) -> Step:
  """Translates a convolution, if possible with the padding operation before it."""
  shape = shape_of(operation.inputs[0], operation)
  if len(shape) != 4 or operation.get_attr('data_format') != b'NHWC':
    raise refuse(operation, f'of {len(shape)} dimensions, or with channels first')
  weights = _weights(operation)
  *window, depth, outputs = weights.shape.as_list()
  channels, is_depthwise = shape[-1], operation.type == 'DepthwiseConv2dNative'
  axes = layout.spatial(4)
  strides, dilations = ([operation.get_attr(name)[axis] for axis in axes]
                        for name in ('strides', 'dilations'))
  source, kind, padding = _padding(state, operation, window)
  layer = Layer(kind, {
      'inputs': channels,
      'outputs': channels * outputs if is_depthwise else outputs,
      'kernel_size': pair(window), 'stride': pair(strides), 'padding': padding,
      'dilation': pair(dilations),
      'groups': channels if is_depthwise else channels // depth, 'bias': False}, {})

  def value():
    filters = known.value(weights)
    if is_depthwise:
      filters = filters.reshape([*window, 1, -1])
    return filters.transpose(3, 2, 0, 1)

  layer.arrays['weight'] = Array(
      (layer.arguments['outputs'], 1 if is_depthwise else depth, *window), value)
  return state.new(operation, _CALLED, [source], layer)


def _weights(operation):
  tensor = operation.inputs[1]
  if tensor.op.type != 'Const':
    raise refuse(operation, 'with weights that are not constant')
  return tensor


def _padding(state, operation, window):
  """Returns (the step to read, the kind of layer, its padding)."""
  tensor = operation.inputs[0]
  source, padding = state.step(tensor), operation.get_attr('padding')
  if padding == b'SAME' and window != [1, 1]:
    return source, SAME_CONVOLUTION, 0
  if padding == b'EXPLICIT':
    explicit = operation.get_attr('explicit_paddings')
    top, bottom, left, right = explicit[2:6]
    if top == bottom and left == right:
      return source, CONVOLUTION, pair([top, left])
    return (state.new(operation, f'F.pad({{0}}, {(left, right, top, bottom)})',
                      [source]), CONVOLUTION, 0)
  if source.kind == 'padding' and source.value and state.is_read_once(tensor):
    return source.inputs[0], CONVOLUTION, pair(source.value)
  return source, CONVOLUTION, 0


def product(state: Translation, operation: tf.Operation) -> Step:
  """Translates a product with weights, [batch, inputs] by [inputs, outputs]."""
  if operation.get_attr('transpose_a') or operation.get_attr('transpose_b'):
    raise refuse(operation, 'of a transposed matrix')
  weights = _weights(operation)
  inputs, outputs = weights.shape.as_list()
  source = state.step(operation.inputs[0])

  def value():
    matrix = known.value(weights)
    if source.kind == 'flattened':
      matrix = matrix.reshape([*source.value, outputs]).transpose(2, 0, 1, 3)
    return matrix.reshape([inputs, outputs]).T

  layer = Layer(PRODUCT, {'inputs': inputs, 'outputs': outputs, 'bias': False},
                {'weight': Array((outputs, inputs), value)})
  return state.new(operation, _CALLED, [source], layer)


def batch_norm(state: Translation, operation: tf.Operation) -> Step:
  """Translates batch norm; directly after a convolution it becomes a part of it."""
  if operation.get_attr('is_training') or (
      operation.get_attr('data_format') != b'NHWC'):
    raise refuse(operation, 'in training, or with channels first')
  channels = int(operation.inputs[0].shape[-1])
  names = ('weight', 'bias', 'running_mean', 'running_var')
  arrays = {name: Array((channels,), lambda tensor=tensor: known.value(tensor))
            for name, tensor in zip(names, operation.inputs[1:], strict=True)}
  arrays['num_batches_tracked'] = Array((), lambda: np.array(0))
  epsilon = float(str(np.float32(operation.get_attr('epsilon'))))
  source = state.step(operation.inputs[0])
  if (source.layer and source.layer.kind in WITH_NORM
      and not source.layer.arguments['bias']
      and state.is_read_once(operation.inputs[0])
      and operation.name.split('/')[:-1] == [*source.path, _NORM]):
    source.layer.kind = WITH_NORM[source.layer.kind]
    del source.layer.arguments['bias']
    source.layer.arguments['eps'] = epsilon
    source.layer.arrays.update(
        {f'{_NORM}.{name}': array for name, array in arrays.items()})
    return source
  layer = Layer(BATCH_NORM, {'inputs': channels, 'eps': epsilon}, arrays)
  return state.new(operation, _CALLED, [source], layer)


def with_bias(state: Translation, operation: tf.Operation) -> Step | None:
  """Returns the step of a layer with the bias that an operation adds; None for others.

  Between the layer and the operation there may be a change of the shape only.
  """
  biases = next((one for one in operation.inputs if known.is_known(one)), None)
  if biases is None:
    return None
  (tensor,) = (one for one in operation.inputs if one is not biases)
  step = state.step(tensor)
  owner, given = step, tensor
  if step.kind == 'widened':
    owner, given = step.inputs[0], tensor.op.inputs[0]
  if (owner.layer is None or owner.layer.arguments.get('bias') is not False
      or not (state.is_read_once(tensor) and state.is_read_once(given))
      or math.prod(biases.shape.as_list()) != owner.layer.arguments['outputs']
      or biases.shape.as_list() != biases.shape.as_list()[-1:]):
    return None
  owner.layer.arguments['bias'] = True
  owner.layer.arrays['bias'] = Array(
      tuple(biases.shape.as_list()), lambda: known.value(biases))
  return step
