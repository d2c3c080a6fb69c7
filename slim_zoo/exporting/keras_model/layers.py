"""Translates layers with weights: convolutions, matrix products and batch norm.

If a bias is the only reader of a layer's result, it becomes a weight of that layer.
"""

import numpy as np

from slim_zoo.exporting import known, layout
from slim_zoo.exporting.frozen_graph import name_of
from slim_zoo.exporting.keras_model.plan import Plan, refuse, shape_of
from slim_zoo.tf_compat import tf


def spatial(operation: tf.Operation) -> tuple[int, ...]:
  """Returns the axes of height and width, with frames before them if there are any.

  Raises:
    UserError: the operation has no such axes, or channels first.
  """
  rank = operation.inputs[0].shape.rank
  if rank not in (4, 5) or (
      operation.get_attr('data_format') not in layout.CHANNELS_LAST):
    raise refuse(operation, f'of {rank} dimensions, or with channels first')
  return layout.spatial(rank)


def weights(operation: tf.Operation) -> np.ndarray:
  """Returns the weights of a layer.

  Raises:
    UserError: they depend on the images.
  """
  value = known.value(operation.inputs[1])
  if value is None:
    raise refuse(operation, 'with weights that are not constant')
  return value


def convolution(plan: Plan, operation: tf.Operation) -> str:
  """Translates a convolution; the depth of the weights gives the number of groups."""
  axes, kernel = spatial(operation), weights(operation)
  *window, depth, outputs = kernel.shape
  inputs, padding = padded(plan, operation)
  bias = _bias(plan, operation)
  config = {
      'kernel_size': list(window), 'padding': padding, 'use_bias': bool(bias),
      'strides': [operation.get_attr('strides')[axis] for axis in axes],
      'dilation_rate': [operation.get_attr('dilations')[axis] for axis in axes]}
  if operation.type == 'DepthwiseConv2dNative':
    kind, config['depth_multiplier'] = 'DepthwiseConv2D', outputs
  else:
    kind, config['filters'] = f'Conv{len(axes)}D', outputs
    config['groups'] = int(operation.inputs[0].shape[-1]) // depth
  return plan.add(kind, plan.name_of_weights(operation), [inputs], [kernel, *bias],
                  **config)


def padded(plan: Plan, operation: tf.Operation) -> tuple[str, str]:
  """Returns (the name of the layer that a convolution reads, its padding in Keras)."""
  inputs, padding = plan.value(operation.inputs[0]), operation.get_attr('padding')
  if padding != b'EXPLICIT':
    return inputs, padding.decode().lower()
  explicit = operation.get_attr('explicit_paddings')
  pads = [explicit[2 * axis:2 * axis + 2] for axis in spatial(operation)]
  return plan.add(f'ZeroPadding{len(pads)}D', f'{plan.name_of(operation)}_pad',
                  [inputs], padding=pads), 'valid'


def product(plan: Plan, operation: tf.Operation) -> str:
  """Translates a product with weights, [batch, inputs] by [inputs, outputs]."""
  if operation.get_attr('transpose_a') or operation.get_attr('transpose_b'):
    raise refuse(operation, 'of a transposed matrix')
  kernel, bias = weights(operation), _bias(plan, operation)
  return plan.add('Dense', plan.name_of_weights(operation),
                  [plan.value(operation.inputs[0])], [kernel, *bias],
                  units=kernel.shape[1], use_bias=bool(bias))


def batch_norm(plan: Plan, operation: tf.Operation) -> str:
  """Translates batch norm, whose four vectors are the weights of the layer."""
  spatial(operation)
  if operation.get_attr('is_training'):
    raise refuse(operation, 'in training')
  gamma, beta, mean, variance = map(known.value, operation.inputs[1:])
  scope = name_of(operation.inputs[2].op).rpartition('/')[0]
  return plan.add('BatchNormalization', plan.name(scope or name_of(operation)),
                  [plan.value(operation.inputs[0])], [gamma, beta, mean, variance],
                  epsilon=float(np.float32(operation.get_attr('epsilon'))))


def local_response_norm(plan: Plan, operation: tf.Operation) -> str:
  """Translates the norm over neighbouring channels: input * sums ** -beta.

  The sums of the squares are a convolution with constant weights.
  """
  name, inputs = plan.name_of(operation), plan.value(operation.inputs[0])
  channels = shape_of(operation.inputs[0], operation)[-1]
  distance = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
  kernel = operation.get_attr('alpha') * (
      distance <= operation.get_attr('depth_radius'))
  squares = plan.add('Multiply', f'{name}_squares', [inputs, inputs])
  sums = plan.add(
      'Conv2D', f'{name}_sums', [squares],
      [kernel[np.newaxis, np.newaxis].astype(np.float32),
       np.full([channels], operation.get_attr('bias'), np.float32)],
      filters=channels, kernel_size=[1, 1], trainable=False)
  factors = plan.add('ops.power', f'{name}_factors', [sums],
                     x2=-operation.get_attr('beta'))
  return plan.add('Multiply', name, [inputs, factors])


def _bias(plan, layer):
  """Returns [the bias that is added to a layer], or []; marks its sum as absorbed."""
  found = plan.added_bias(layer)
  if found is None:
    return []
  addition, biases = found
  plan.absorbed.add(addition)
  return [known.value(biases)]
