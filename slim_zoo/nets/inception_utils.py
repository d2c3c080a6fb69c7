"""The arg scope of the Inception networks."""

from slim_zoo.nets import normalization
from slim_zoo.tf_compat import slim, tf


def inception_arg_scope(weight_decay=0.00004, use_batch_norm=True,
                        batch_norm_decay=0.9997, batch_norm_epsilon=0.001,
                        activation_fn=tf.nn.relu,
                        batch_norm_updates_collections=tf.GraphKeys.UPDATE_OPS,
                        batch_norm_scale=False):
  """Returns the arg scope of Inception v1 to v4.

  Args:
    weight_decay: L2 penalty on the weights of convolutions and dense layers.
    use_batch_norm: whether convolutions are normalized.
    batch_norm_decay: decay of the moving mean and variance.
    batch_norm_epsilon: added to the variance.
    activation_fn: after each convolution.
    batch_norm_updates_collections: collection of the updates of the moving averages.
    batch_norm_scale: whether batch norm has a gamma; before a ReLU it is not needed.
  """
  with slim.arg_scope([slim.conv2d, slim.fully_connected],
                      weights_regularizer=slim.l2_regularizer(weight_decay)):
    with slim.arg_scope(
        [slim.conv2d],
        weights_initializer=slim.variance_scaling_initializer(),
        activation_fn=activation_fn,
        normalizer_fn=normalization.batch_norm if use_batch_norm else None,
        normalizer_params=batch_norm_params(
            batch_norm_decay, batch_norm_epsilon, batch_norm_updates_collections,
            batch_norm_scale) if use_batch_norm else {}) as scope:
      return scope


def batch_norm_params(decay, epsilon, updates_collections, scale):
  """Returns the arguments of `slim.batch_norm` in an Inception arg scope."""
  return {
      'decay': decay,
      'epsilon': epsilon,
      'updates_collections': updates_collections,
      'scale': scale,
      'fused': None,  # slim selects the fused kernel if it supports the inputs.
  }
