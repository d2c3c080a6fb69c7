"""Classic networks: a stack of convolutions and pools, then fc6, fc7 and fc8.

AlexNet, OverFeat and VGG are tables of `rows.Conv` and `rows.MaxPool`. The fully
connected layers are convolutions, so a larger image gives logits for each position.
"""

import collections

from slim_zoo import diagnostics
from slim_zoo.nets.layers import conv2d_or_product
from slim_zoo.nets.rows import trunc_normal
from slim_zoo.tf_compat import slim, tf

# The fully connected part: fc6 has a `kernel` x `kernel` window; `arguments` are
# keyword arguments of each of its convolutions.
Head = collections.namedtuple(
    'Head', ('kernel', 'depths', 'padding', 'arguments'), defaults=('VALID', None))

_FULLY_CONNECTED = ('fc6', 'fc7')


def arg_scope(weight_decay, biases_initializer, **pool_arguments):
  """Returns the arg scope of a stack: ReLU, weight decay, 'SAME' convolutions."""
  with slim.arg_scope([slim.conv2d, slim.fully_connected],
                      activation_fn=tf.nn.relu,
                      weights_regularizer=slim.l2_regularizer(weight_decay),
                      biases_initializer=biases_initializer):
    with slim.arg_scope([slim.conv2d], padding='SAME'):
      with slim.arg_scope([slim.max_pool2d], **pool_arguments) as scope:
        return scope


def narrow_head(kernel, depths):
  """Returns the `Head` of AlexNet and OverFeat, with small initial weights."""
  return Head(kernel, depths, arguments={
      'weights_initializer': trunc_normal(0.005),
      'biases_initializer': tf.constant_initializer(0.1)})


def conv_stack(inputs, layers, head, num_classes, is_training, dropout_keep_prob,
               spatial_squeeze, global_pool, scope, default_scope, reuse=None,
               final_endpoint=None):
  """Builds the network of `layers` and `head`.

  Args:
    inputs: float32 [batch, height, width, channels].
    layers: a sequence of `rows.Conv` and `rows.MaxPool`.
    head: a `Head`.
    num_classes: number of logits; 0 or None returns the features before the logits.
    is_training: whether dropout is on.
    dropout_keep_prob: share of activations that dropout keeps.
    spatial_squeeze: whether to remove the two spatial dimensions of 1 x 1 logits.
    global_pool: whether to average features over space before the logits, so that any
      image size gives one prediction.
    scope: variable scope; None makes `default_scope` unique.
    default_scope: the name if `scope` is None.
    reuse: whether the variables exist already.
    final_endpoint: the last convolution or pool to build, by its scope below the
      network's, or 'fc6' or 'fc7'; None builds all.

  Returns:
    (net, end_points): logits [batch, num_classes], or [batch, height, width,
    num_classes] without the squeeze; features [batch, height, width, depth] without
    classes or with a `final_endpoint`. end_points are by scope name.

  Raises:
    UserError: `final_endpoint` does not exist; it is a ValueError.
  """
  with tf.variable_scope(scope, default_scope, [inputs], reuse=reuse) as sc:
    outputs = sc.original_name_scope + '_end_points'
    with slim.arg_scope([slim.conv2d, slim.fully_connected, slim.max_pool2d],
                        outputs_collections=outputs):
      dropout = lambda net, name: slim.dropout(
          net, dropout_keep_prob, is_training=is_training, scope=name)
      net, is_final = _convolve(inputs, layers, final_endpoint)
      if not is_final:
        net, is_final = _connect(net, head, dropout, final_endpoint)
      end_points = slim.utils.convert_collection_to_dict(outputs)
      if is_final:
        return net, end_points
      if global_pool:
        net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
        end_points['global_pool'] = net
      if not num_classes:
        return net, end_points

      net = dropout(net, 'dropout7')
      net = conv2d_or_product(
          net, num_classes, 1, activation_fn=None, normalizer_fn=None, scope='fc8',
          **dict(head.arguments or {}, biases_initializer=tf.zeros_initializer()))
      if spatial_squeeze:
        net = tf.squeeze(net, [1, 2], name='fc8/squeezed')
      end_points[sc.name + '/fc8'] = net
      return net, end_points


def _convolve(net, layers, final_endpoint):
  """Returns the output of `layers`, and whether it is that of `final_endpoint`."""
  for layer in layers:
    net = layer.build(net)
    if layer.scope == final_endpoint:
      return net, True
  if final_endpoint not in (None, *_FULLY_CONNECTED):
    raise diagnostics.unknown_name(
        'final_endpoint', final_endpoint,
        [*(layer.scope for layer in layers), *_FULLY_CONNECTED])
  return net, False


def _connect(net, head, dropout, final_endpoint):
  """Returns the output of fc6 and fc7, and whether it is that of `final_endpoint`."""
  arguments = head.arguments or {}
  net = conv2d_or_product(net, head.depths[0], head.kernel, padding=head.padding,
                          scope='fc6', **arguments)
  if final_endpoint == 'fc6':
    return net, True
  net = dropout(net, 'dropout6')
  net = conv2d_or_product(net, head.depths[1], 1, scope='fc7', **arguments)
  return net, final_endpoint == 'fc7'
