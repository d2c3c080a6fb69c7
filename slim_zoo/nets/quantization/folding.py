"""Batch norm multiplied into the weights of the layer before it.

An integer program has no batch norm: its weights are those of the layer times gamma /
sigma, and it adds beta - mean * gamma / sigma. The weights are rounded in that form, so
training must see them in it (Jacob et al. 2018, arXiv 1712.05877, section 3.2;
Krishnamoorthi 2018, arXiv 1806.08342, section 3.2.2).

In training sigma is the batch's, and the scale of the weights would change with each
batch. So the weights are multiplied by gamma / (moving sigma), and the output of the
layer by (moving sigma) / (batch sigma): the product is the same, and the scale of the
weights is steady.
"""

import dataclasses

from slim_zoo.tf_compat import tf

LAYERS = ('Conv2D', 'DepthwiseConv2dNative', 'MatMul')
_BATCH_NORMS = ('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')


@dataclasses.dataclass(frozen=True)
class _Statistics:
  """Mean and 1 / sigma, float [channels]."""
  mean: tf.Tensor
  inverse_deviation: tf.Tensor


def replace(tensor: tf.Tensor, replacement: tf.Tensor, consumers) -> None:
  """Makes operations read `replacement` where they read `tensor`."""
  for consumer in consumers:
    for number, read in enumerate(consumer.inputs):
      if read is tensor:
        consumer._update_input(number, replacement)


def fold(operations, freeze=None) -> dict:
  """Folds each batch norm that follows a convolution directly.

  The consumers of the batch norm then read the folded layer. The old layer stays: in
  training it gives the statistics of the batch.

  Args:
    operations: of the network, in the order of their creation.
    freeze: a function that returns a bool tensor: whether layers in training mode
      normalize by their moving statistics, and no longer update them. None: never.

  Returns:
    {output of a batch norm: output of the folded layer}, keys are `tensor.ref()`.
  """
  folded = {}
  for operation in operations:
    if operation.type not in _BATCH_NORMS:
      continue
    layer = _layer_before(operation)
    if layer is None or operation.get_attr('data_format') != b'NHWC':
      continue
    output = operation.outputs[0]
    consumers = output.consumers()
    scope = layer.name.rpartition('/')[0]
    with tf.name_scope(f'{scope}/' if scope else None):
      result = _fold(layer, operation, freeze)
    replace(output, result, consumers)
    folded[output.ref()] = result
  return folded


def _layer_before(batch_norm):
  """Returns the operation whose output is normalized; None if it is another one."""
  producer = batch_norm.inputs[0].op
  if producer.type == 'Identity':
    producer = producer.inputs[0].op
  if producer.type == 'BatchToSpaceND':  # A dilated depthwise convolution.
    producer = producer.inputs[0].op
  return producer if producer.type in LAYERS else None


def _fold(layer, batch_norm, freeze):
  """Returns the output of a layer with the batch norm in its weights and bias."""
  weights = layer.inputs[1]
  _, gamma, beta, mean, variance = batch_norm.inputs
  epsilon = batch_norm.get_attr('epsilon')
  is_training = batch_norm.get_attr('is_training')
  if is_training:
    mean, variance = map(_moving_average, batch_norm.outputs[1:3])
  moving = _Statistics(mean, tf.math.rsqrt(variance + epsilon))
  scale = gamma * moving.inverse_deviation
  bias = beta - moving.mean * scale
  correction = None
  if is_training:
    batch = _batch_statistics(batch_norm, epsilon)
    to_moving = moving.inverse_deviation / batch.inverse_deviation
    scale, correction = gamma * batch.inverse_deviation, tf.math.reciprocal(to_moving)
    batch_bias = beta - batch.mean * scale
    weights *= _by_output(to_moving, layer)
    if freeze is None:
      bias = batch_bias
    else:
      is_frozen = freeze()
      _stop_updates(batch_norm, is_frozen)
      correction = tf.where(is_frozen, tf.ones_like(correction), correction)
      bias = tf.where(is_frozen, bias, batch_bias)
  weights = tf.multiply(weights, _by_output(scale, layer), name='mul_fold')
  output = _with_weights(layer, batch_norm, weights)
  if correction is not None:
    output = tf.multiply(output, correction, name='post_conv_mul')
  return tf.add(output, bias, name='add_fold')


def _batch_statistics(batch_norm, epsilon):
  """Returns what a batch norm in training mode normalizes by."""
  mean, variance = _with_gradient(batch_norm.inputs[0], *batch_norm.outputs[1:3])
  samples = _samples(batch_norm.inputs[0], mean)
  # The third output is the unbiased estimate; the operation divides by the biased one.
  variance *= (samples - 1) / samples
  return _Statistics(mean, tf.math.rsqrt(variance + epsilon))


@tf.custom_gradient
def _with_gradient(inputs, mean, variance):
  """Returns mean and unbiased variance of `inputs`, with their gradient.

  The gradient of the fused operation is that of its first output alone.
  """
  def gradient(of_mean, of_variance):
    samples = _samples(inputs, mean)
    return (of_mean / samples + 2 * of_variance * (inputs - mean) / (samples - 1),
            None, None)

  return (tf.identity(mean), tf.identity(variance)), gradient


def _samples(inputs, mean):
  return tf.cast(tf.size(inputs) / tf.size(mean), tf.float32)


def _update_of(statistic):
  """Returns the operation (moving average - statistic) of the update."""
  return next(op for op in statistic.consumers() if op.type == 'Sub')


def _moving_average(statistic):
  """Returns the value of a moving average before the update of this step."""
  return _update_of(statistic).inputs[0]


def _stop_updates(batch_norm, is_frozen):
  """Keeps the moving averages where `is_frozen`."""
  for statistic in batch_norm.outputs[1:3]:
    difference = _update_of(statistic).outputs[0]
    consumers = difference.consumers()
    replace(difference,
            tf.where(is_frozen, tf.zeros_like(difference), difference), consumers)


def _by_output(scale, layer):
  """Returns a scale of each output channel in the shape of the layer's weights."""
  if layer.type != 'DepthwiseConv2dNative':
    return scale
  return tf.reshape(scale, layer.inputs[1].shape.as_list()[2:])


def _with_weights(layer, batch_norm, weights):
  """Returns the output of a copy of `layer` with other weights."""
  output = _copy(layer, [layer.inputs[0], weights])
  producer = batch_norm.inputs[0].op
  if producer.type == 'Identity':
    producer = producer.inputs[0].op
  if producer.type == 'BatchToSpaceND':
    output = _copy(producer, [output, *producer.inputs[1:]])
  return output


def _copy(operation, inputs):
  return tf.get_default_graph().create_op(
      operation.type, inputs, [output.dtype for output in operation.outputs],
      attrs=dict(operation.node_def.attr),
      name=f"{operation.name.rpartition('/')[2]}_Fold").outputs[0]
