"""Parts of the heads of Inception networks.

v1 to v3 end in a 1x1 convolution, so larger images can give logits for each position.
The heads of v2 and v3 differ in the size of the pool only; that of v1 is in its module.
v4 and Inception-ResNet v2 average over the whole image and end in a dense layer; their
heads differ in scopes only.
"""

import contextlib

from slim_zoo import diagnostics
from slim_zoo.tf_compat import slim, tf


@contextlib.contextmanager
def network_scope(scope, default_scope, inputs, reuse, is_training):
  """Opens the scope of a network and sets the mode of batch norm and dropout."""
  with tf.variable_scope(scope, default_scope, [inputs], reuse=reuse) as sc:
    with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
      yield sc


def average(net):
  """Averages [batch, height, width, depth] over space, to [batch, 1, 1, depth]."""
  return tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')


def shrinking_pool(net, size):
  """Averages over `size` x `size` at stride 2, or over smaller features as a whole."""
  height, width = fitting_kernel(net, [size, size])
  return slim.avg_pool2d(net, [height, width], stride=2, padding='VALID',
                         scope=f'AvgPool_1a_{height}x{width}')


def _size(net):
  """Returns [height, width]; None for an unknown size."""
  return net.shape.as_list()[1:3]


def fitting_kernel(net, kernel):
  """Returns `kernel`, limited to the size of `net` if it is known."""
  size = _size(net)
  if None in size:
    return kernel
  return [min(length, most) for length, most in zip(size, kernel, strict=True)]


def check_size(net, kernel, remedy):
  """Raises UserError if `net` is known to be smaller than `kernel`."""
  height, width = _size(net)
  if any(length is not None and length < kernel for length in (height, width)):
    raise diagnostics.UserError(
        f'{net.op.name}: features of {height} x {width} are smaller than the'
        f' {kernel} x {kernel} pool: give larger images, or {remedy}')


def squeeze(logits, remedy):
  """Removes the spatial dimensions of `logits`; UserError if they are not 1 x 1."""
  height, width = _size(logits)
  if not {height, width} <= {1, None}:
    raise diagnostics.UserError(
        f'{logits.op.name}: {height} x {width} logits cannot be squeezed to one'
        f' prediction: give smaller images, or {remedy}')
  return tf.squeeze(logits, [1, 2], name='SpatialSqueeze')


def classify_positions(net, end_points, num_classes, dropout_keep_prob, prediction_fn,
                       spatial_squeeze, global_pool, pool_size):
  """Builds the head of v2 and v3: pool, dropout, logits, predictions.

  Args:
    net: features, float [batch, height, width, depth].
    end_points: dict that receives the new end points.
    num_classes: number of logits; 0 or None builds none.
    dropout_keep_prob: share of activations that dropout keeps.
    prediction_fn: computes the end point 'Predictions' from the logits.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    global_pool: whether to average over the whole image, of any size.
    pool_size: height and width of the average pool otherwise.

  Returns:
    (net, end_points): logits [batch, num_classes], or [batch, height, width,
    num_classes] without the squeeze; without classes, the pooled features.

  Raises:
    UserError: the logits are not 1 x 1 for the squeeze; it is a ValueError.
  """
  with tf.variable_scope('Logits'):
    if global_pool:
      net = end_points['global_pool'] = average(net)
    else:
      net = end_points['AvgPool_1a'] = shrinking_pool(net, pool_size)
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, dropout_keep_prob, scope='Dropout_1b')
    end_points['PreLogits'] = net
    logits = slim.conv2d(net, num_classes, [1, 1], activation_fn=None,
                         normalizer_fn=None, scope='Conv2d_1c_1x1')
    if spatial_squeeze:
      logits = squeeze(
          logits, 'global_pool=True or spatial_squeeze=False')
  end_points['Logits'] = logits
  end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


def auxiliary_stem(net, pool_scope, depth=128):
  """Builds the start of an auxiliary head: from 17 x 17 to 5 x 5 x `depth`."""
  check_size(net, 5, 'create_aux_logits=False')
  net = slim.avg_pool2d(net, [5, 5], stride=3, padding='VALID', scope=pool_scope)
  return slim.conv2d(net, depth, [1, 1], stride=1, padding='SAME',
                     scope='Conv2d_1b_1x1')


def auxiliary_dense_logits(net, num_classes, pool_scope, conv_scope, logits_scope):
  """Returns the auxiliary logits [batch, num_classes] of v4 and Inception-ResNet v2.

  Raises:
    UserError: the size of `net`, 17 x 17 at 299, is unknown or below 5 x 5; it is
      a ValueError.
  """
  if None in _size(net):
    raise diagnostics.UserError(
        'the weights of AuxLogits depend on the image size: give images of a known'
        ' height and width, or create_aux_logits=False')
  with tf.variable_scope('AuxLogits'):
    net = auxiliary_stem(net, pool_scope)
    net = slim.conv2d(net, 768, _size(net), stride=1, padding='VALID', scope=conv_scope)
    return slim.fully_connected(slim.flatten(net), num_classes, activation_fn=None,
                                scope=logits_scope)


def classify_dense(net, end_points, num_classes, dropout_keep_prob, pool_scope,
                   dropout_scope):
  """Builds the head of v4 and Inception-ResNet v2.

  Args:
    net: features, float [batch, height, width, depth].
    end_points: dict that receives the new end points.
    num_classes: number of logits; 0 or None builds none.
    dropout_keep_prob: share of activations that dropout keeps.
    pool_scope: name of the average pool.
    dropout_scope: name of the dropout.

  Returns:
    (net, end_points): logits [batch, num_classes], or without classes the pooled
    features [batch, 1, 1, depth].
  """
  with tf.variable_scope('Logits'):
    if None in _size(net):
      net = average(net)
    else:
      net = slim.avg_pool2d(net, _size(net), padding='VALID', scope=pool_scope)
    end_points['global_pool'] = net
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, dropout_keep_prob, scope=dropout_scope)
    net = end_points['PreLogitsFlatten'] = slim.flatten(net, scope='PreLogitsFlatten')
    logits = slim.fully_connected(
        net, num_classes, activation_fn=None, scope='Logits')
    end_points['Logits'] = logits
    end_points['Predictions'] = tf.nn.softmax(logits, name='Predictions')
  return logits, end_points
