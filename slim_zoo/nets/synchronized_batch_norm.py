"""Batch norm over the batches of all replicas.

Peng et al. 2018, MegDet, arXiv 1711.07240: batches of a few images are too small for
their own statistics. The mean and the mean of squares are averaged over the replicas,
and so are the gradients that flow back to them.
"""

from collections.abc import Callable
from typing import Any

from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import slim, tf

# Arguments of slim.batch_norm that change the statistics themselves.
_UNSUPPORTED = ('renorm', 'batch_weights', 'adjustment', 'zero_debias_moving_mean')


class Statistics:
  """Means over the replicas.

  Args:
    sum_over_replicas: returns the sum of a tensor over all replicas. Each replica calls
      it for the same tensors in the same order.
    count: the number of replicas.
  """

  def __init__(self, sum_over_replicas: Callable[[tf.Tensor], tf.Tensor], count: int):
    self._sum, self.count = sum_over_replicas, count

  def mean(self, tensor: tf.Tensor) -> tf.Tensor:
    """Returns the mean of a tensor over the replicas."""
    @tf.custom_gradient
    def mean(value):
      # Each replica's loss depends on the values of all.
      return (self._sum(value) / self.count,
              lambda gradient: self._sum(gradient) / self.count)

    return mean(tensor)


def batch_norm(statistics: Statistics, inputs: tf.Tensor, *, decay: float = 0.999,
               center: bool = True, scale: bool = False, epsilon: float = 0.001,
               activation_fn=None, param_initializers=None, param_regularizers=None,
               updates_collections=tf.GraphKeys.UPDATE_OPS, reuse=None,
               variables_collections=None, outputs_collections=None,
               trainable: bool = True, fused: bool | None = None,
               data_format: str = 'NHWC', scope=None, **others: Any) -> tf.Tensor:
  """Normalizes a training batch as `slim.batch_norm` does, over all replicas.

  Variables, collections and moving averages are as in `slim.batch_norm`: its fused
  kernel, the default for ranks 2 and 4, stores the unbiased variance.

  Args:
    statistics: averages over the replicas, whose batches have equal sizes.
    inputs: float [batch, ..., channels], or [batch, channels, ...] for 'NCHW'.

  Raises:
    UserError: an argument has no meaning over replicas.
  """
  _check(others, updates_collections)
  rank = inputs.shape.rank
  channel_axis = 1 if data_format == 'NCHW' else rank - 1
  axes = [axis for axis in range(rank) if axis != channel_axis]

  with tf.variable_scope(scope, 'BatchNorm', [inputs], reuse=reuse) as layer:
    def parameter(name, initializer, is_trained):
      return slim.model_variable(
          name, [inputs.shape[channel_axis]], tf.float32,
          (param_initializers or {}).get(name, initializer),
          (param_regularizers or {}).get(name), is_trained,
          slim.utils.get_variable_collections(variables_collections, name))

    gamma = parameter('gamma', tf.ones_initializer(), trainable) if scale else None
    beta = parameter('beta', tf.zeros_initializer(), trainable) if center else None
    moving_mean = parameter('moving_mean', tf.zeros_initializer(), False)
    moving_variance = parameter('moving_variance', tf.ones_initializer(), False)

    values = tf.cast(inputs, tf.float32)
    mean, variance = _mean_and_variance(statistics, values, axes)
    stored_variance = variance
    if fused is not False and rank in (2, 4):
      size = statistics.count * tf.cast(
          tf.size(values) / tf.shape(values)[channel_axis], tf.float32)
      stored_variance = variance * (size / tf.maximum(size - 1.0, 1.0))
    for moving, value in ((moving_mean, mean), (moving_variance, stored_variance)):
      tf.add_to_collections(updates_collections, moving.assign_sub(
          (1.0 - decay) * (moving.read_value() - value), read_value=False))

    shape = [-1 if axis == channel_axis else 1 for axis in range(rank)]
    mean, variance, beta, gamma = [
        None if value is None else tf.reshape(value, shape)
        for value in (mean, variance, beta, gamma)]
    outputs = tf.cast(tf.nn.batch_normalization(
        values, mean, variance, beta, gamma, epsilon), inputs.dtype)
    outputs.set_shape(inputs.shape)
    if activation_fn is not None:
      outputs = activation_fn(outputs)
    return slim.utils.collect_named_outputs(outputs_collections, layer.name, outputs)


def _check(arguments, updates_collections):
  """Raises UserError for an argument that has no meaning over replicas."""
  for name in _UNSUPPORTED:
    if arguments.get(name):
      raise UserError(f'--sync_batch_norm: the batch norm of this network has {name},'
                      ' which only one batch has; leave the flag out')
  if updates_collections is None:
    raise UserError('--sync_batch_norm: the batch norm of this network updates its'
                    ' statistics in place; leave the flag out')


def _mean_and_variance(statistics, values, axes):
  """Returns the mean and the biased variance over all replicas, [channels] each."""
  mean, mean_of_squares = tf.unstack(statistics.mean(tf.stack(
      [tf.reduce_mean(values, axes), tf.reduce_mean(tf.square(values), axes)])))
  return mean, tf.maximum(mean_of_squares - tf.square(mean), 0.0)
