"""Grouped convolution (Krizhevsky 2012; Xie et al. 2017, arXiv 1611.05431).

The channels are cut into groups, and each group is convolved by itself: a filter
sees 1 / groups of the input. slim has no such layer.
"""

import diagnostics
from tf_compat import slim, tf


@slim.add_arg_scope
def grouped_conv2d(inputs, num_outputs: int, kernel_size: int, groups: int,
                   stride: int = 1, padding: str = 'SAME', rate: int = 1,
                   activation_fn=tf.nn.relu, normalizer_fn=None,
                   normalizer_params=None, weights_initializer=None,
                   weights_regularizer=None, outputs_collections=None, scope=None):
  """Convolves each group of channels by itself, in one operation.

  The layer reads its own arg scope and not that of slim.conv2d. All groups share
  one variable, 'weights' of [kernel, kernel, channels / groups, num_outputs]: the
  transpose of what PyTorch stores. Group g reads the g-th slice of the inputs and
  gives the g-th slice of the outputs.

  Args:
    inputs: float [batch, height, width, channels].
    num_outputs: depth of the output.
    kernel_size: height and width of the kernel.
    groups: the number of groups, a divisor of both depths.
    stride: stride in height and width.
    padding: 'SAME' or 'VALID'.
    rate: dilation.
    activation_fn: after the normalization; None is linear.
    normalizer_fn: instead of biases.
    normalizer_params: arguments of `normalizer_fn`.
    weights_initializer: None means slim's variance scaling.
    weights_regularizer: penalty on the weights.
    outputs_collections: collection that receives the output.
    scope: variable scope.

  Returns:
    float [batch, height / stride, width / stride, num_outputs].

  Raises:
    UserError: `groups` does not divide a depth; it is a ValueError.
  """
  channels = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
  if channels % groups or num_outputs % groups:
    raise diagnostics.UserError(
        f'groups {groups} cannot share {channels} channels in and {num_outputs} out:'
        ' give a divisor of both')
  with tf.variable_scope(scope, 'GroupedConv', [inputs]) as sc:
    weights = slim.model_variable(
        'weights', [kernel_size, kernel_size, channels // groups, num_outputs],
        dtype=inputs.dtype.base_dtype,
        initializer=weights_initializer or slim.variance_scaling_initializer(),
        regularizer=weights_regularizer)
    # TensorFlow reads the number of groups off the depth of the weights.
    net = tf.nn.conv2d(inputs, weights, strides=stride, padding=padding,
                       dilations=rate)
    if normalizer_fn is not None:
      net = normalizer_fn(net, **(normalizer_params or {}))
    else:
      net = tf.nn.bias_add(net, slim.model_variable(
          'biases', [num_outputs], dtype=inputs.dtype.base_dtype,
          initializer=tf.zeros_initializer()))
    if activation_fn is not None:
      net = activation_fn(net)
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, net)
