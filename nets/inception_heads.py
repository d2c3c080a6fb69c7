"""The ends of the Inception networks: pool, dropout, logits, predictions.

Two kinds: v1 to v3 end in a 1x1 convolution, so that larger images may give a map
of logits; v4 and Inception-ResNet v2 average over the whole image and end in a
dense layer. What differs within a kind is a row, `ConvHead` or `DenseHead`.
"""

import contextlib
from typing import NamedTuple

import diagnostics
from tf_compat import slim, tf


@contextlib.contextmanager
def network_scope(scope, default_scope, inputs, reuse, is_training):
  """Enters the scope of a network and sets the mode of batch norm and dropout."""
  with tf.variable_scope(scope, default_scope, [inputs], reuse=reuse) as sc:
    with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
      yield sc


class ConvHead(NamedTuple):
  """What tells apart the heads of v1 to v3.

  Attributes:
    pool: scope of the average pool, without the kernel that ends its name.
    pool_end_point: its end point.
    kernel: height and width of the pool.
    stride: stride of the pool.
    shrinks: whether the pool is no larger than the features it is given.
    dropout: scope of the dropout.
    pre_logits: end point of what the logits see, if it has one.
    logits: scope of the convolution.
    predictions: scope of the predictions.
  """

  pool: str
  pool_end_point: str
  kernel: int
  stride: int
  shrinks: bool
  dropout: str
  pre_logits: str | None
  logits: str
  predictions: str = 'Predictions'


def classify(net, end_points, head, num_classes, dropout_keep_prob, prediction_fn,
             spatial_squeeze, global_pool):
  """Puts a `ConvHead` on features.

  Args:
    net: features, float [batch, height, width, depth].
    end_points: dict that receives the new end points.
    head: a `ConvHead`.
    num_classes: number of logits; 0 or None leaves them out.
    dropout_keep_prob: share of activations that dropout keeps.
    prediction_fn: turns logits into the end point 'Predictions'.
    spatial_squeeze: whether 1 x 1 logits lose their spatial dimensions.
    global_pool: whether to average over the whole image, whatever its size.

  Returns:
    (net, end_points): logits [batch, num_classes], or [batch, height, width,
    num_classes] without the squeeze; without classes, the pooled features.

  Raises:
    UserError: the features do not suit the pool, or the logits the squeeze; it
      is a ValueError.
  """
  with tf.variable_scope('Logits'):
    if global_pool:
      net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
      end_points['global_pool'] = net
    else:
      net = _average_pool(net, head)
      end_points[head.pool_end_point] = net
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, dropout_keep_prob, scope=head.dropout)
    if head.pre_logits:
      end_points[head.pre_logits] = net
    logits = slim.conv2d(net, num_classes, [1, 1], activation_fn=None,
                         normalizer_fn=None, scope=head.logits)
    if spatial_squeeze:
      logits = squeeze(logits, 'global_pool=True or spatial_squeeze=False')
  end_points['Logits'] = logits
  end_points['Predictions'] = prediction_fn(logits, scope=head.predictions)
  return logits, end_points


def _average_pool(net, head):
  kernel = [head.kernel, head.kernel]
  if head.shrinks:
    kernel = fitting_kernel(net, kernel)
  else:
    check_size(net, head.kernel, 'global_pool=True')
  return slim.avg_pool2d(net, kernel, stride=head.stride, padding='VALID',
                         scope=f'{head.pool}_{kernel[0]}x{kernel[1]}')


def _size(net):
  """Returns [height, width], with None for what is not known."""
  return net.shape.as_list()[1:3]


def fitting_kernel(net, kernel):
  """Returns `kernel`, cut to the size of `net` where that is known and smaller."""
  size = _size(net)
  if None in size:
    return kernel
  return [min(length, most) for length, most in zip(size, kernel, strict=True)]


def check_size(net, kernel, remedy):
  """Raises UserError where `net` is known to be smaller than `kernel`."""
  height, width = _size(net)
  if any(length is not None and length < kernel for length in (height, width)):
    raise diagnostics.UserError(
        f'{net.op.name}: features of {height} x {width} are smaller than the'
        f' {kernel} x {kernel} pool on them: give larger images, or {remedy}')


def squeeze(logits, remedy):
  """Drops the spatial dimensions of `logits`; UserError if they are not 1 x 1."""
  height, width = _size(logits)
  if not {height, width} <= {1, None}:
    raise diagnostics.UserError(
        f'{logits.op.name}: a map of {height} x {width} logits cannot be squeezed'
        f' to one answer: give smaller images, or {remedy}')
  return tf.squeeze(logits, [1, 2], name='SpatialSqueeze')


def auxiliary_stem(net, pool_scope, depth=128):
  """Begins an auxiliary head: 17 x 17 features become 5 x 5 x `depth`."""
  check_size(net, 5, 'create_aux_logits=False')
  net = slim.avg_pool2d(net, [5, 5], stride=3, padding='VALID', scope=pool_scope)
  return slim.conv2d(net, depth, [1, 1], stride=1, padding='SAME',
                     scope='Conv2d_1b_1x1')


class DenseHead(NamedTuple):
  """What tells apart the heads of v4 and Inception-ResNet v2: their scopes."""

  auxiliary_pool: str
  auxiliary_conv: str
  auxiliary_logits: str
  pool: str
  dropout: str


def auxiliary_dense_logits(net, head, num_classes):
  """Returns the auxiliary logits [batch, num_classes] of `DenseHead` networks.

  Raises:
    UserError: the size of `net`, 17 x 17 at 299, is unknown or below 5 x 5; it is
      a ValueError.
  """
  if None in _size(net):
    raise diagnostics.UserError(
        'AuxLogits has weights for one image size: give images of a known height'
        ' and width, or create_aux_logits=False')
  with tf.variable_scope('AuxLogits'):
    net = auxiliary_stem(net, head.auxiliary_pool)
    net = slim.conv2d(net, 768, _size(net), stride=1,
                      padding='VALID', scope=head.auxiliary_conv)
    return slim.fully_connected(slim.flatten(net), num_classes, activation_fn=None,
                                scope=head.auxiliary_logits)


def classify_dense(net, end_points, head, num_classes, dropout_keep_prob):
  """Puts a `DenseHead` on features.

  Args:
    net: features, float [batch, height, width, depth].
    end_points: dict that receives the new end points.
    head: a `DenseHead`.
    num_classes: number of logits; 0 or None leaves them out.
    dropout_keep_prob: share of activations that dropout keeps.

  Returns:
    (net, end_points): logits [batch, num_classes], or without classes the pooled
    features [batch, 1, 1, depth].
  """
  with tf.variable_scope('Logits'):
    if None not in _size(net):
      net = slim.avg_pool2d(net, _size(net), padding='VALID', scope=head.pool)
    else:
      net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
    end_points['global_pool'] = net
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, dropout_keep_prob, scope=head.dropout)
    net = end_points['PreLogitsFlatten'] = slim.flatten(net, scope='PreLogitsFlatten')
    logits = slim.fully_connected(
        net, num_classes, activation_fn=None, scope='Logits')
    end_points['Logits'] = logits
    end_points['Predictions'] = tf.nn.softmax(logits, name='Predictions')
  return logits, end_points
