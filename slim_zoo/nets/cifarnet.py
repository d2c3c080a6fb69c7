"""CifarNet, the small network for CIFAR-10 (Krizhevsky 2009, technical report)."""

from slim_zoo.nets import lenet
from slim_zoo.nets.rows import trunc_normal as trunc_normal
from slim_zoo.tf_compat import slim, tf


def cifarnet_arg_scope(weight_decay=0.004):
  """Returns the arg scope of CifarNet; only dense layers have weight decay."""
  with slim.arg_scope([slim.conv2d],
                      weights_initializer=trunc_normal(0.05),
                      activation_fn=tf.nn.relu):
    with slim.arg_scope([slim.fully_connected],
                        biases_initializer=tf.constant_initializer(0.1),
                        weights_initializer=trunc_normal(0.04),
                        weights_regularizer=slim.l2_regularizer(weight_decay),
                        activation_fn=tf.nn.relu) as scope:
      return scope


def _local_response_norm(net, name):
  # Computed in float32, because CPUs have no kernel for bfloat16.
  normalized = tf.nn.lrn(tf.cast(net, tf.float32), 4, bias=1.0, alpha=0.001 / 9.0,
                         beta=0.75, name=name)
  return tf.cast(normalized, net.dtype)


def cifarnet(images, num_classes=10, is_training=False, dropout_keep_prob=0.5,
             prediction_fn=slim.softmax, scope='CifarNet', final_endpoint=None):
  """Builds CifarNet.

  Args:
    images: float32 [batch, height, width, channels]; 32 x 32 x 3 in CIFAR-10. The
      shape of fc3 depends on the size.
    num_classes: number of logits; 0 or None returns the 192 features of fc4.
    is_training: whether dropout is on.
    dropout_keep_prob: share of activations that dropout keeps.
    prediction_fn: computes the end point 'Predictions' from the logits.
    scope: variable scope.
    final_endpoint: 'pool2' or 'conv2' returns this feature map; None builds all.

  Returns:
    (net, end_points): logits or features, float32 [batch, depth], or the feature map
    `final_endpoint`; end_points by layer name.

  Raises:
    UserError: there is no such `final_endpoint`; it is a ValueError.
  """
  lenet.check_final_endpoint(final_endpoint)
  end_points = {}
  with tf.variable_scope(scope, 'CifarNet', [images]):
    net = end_points['conv1'] = slim.conv2d(images, 64, [5, 5], scope='conv1')
    net = end_points['pool1'] = slim.max_pool2d(net, [2, 2], 2, scope='pool1')  # 16
    net = _local_response_norm(net, 'norm1')
    net = end_points['conv2'] = slim.conv2d(net, 64, [5, 5], scope='conv2')
    net = _local_response_norm(net, 'norm2')
    net = end_points['pool2'] = slim.max_pool2d(net, [2, 2], 2, scope='pool2')  # 8
    if final_endpoint is not None:
      return end_points[final_endpoint], end_points
    net = end_points['Flatten'] = slim.flatten(net)
    net = end_points['fc3'] = slim.fully_connected(net, 384, scope='fc3')
    net = slim.dropout(
        net, dropout_keep_prob, is_training=is_training, scope='dropout3')
    net = end_points['fc4'] = slim.fully_connected(net, 192, scope='fc4')
    if not num_classes:
      return net, end_points
    logits = end_points['Logits'] = slim.fully_connected(
        net, num_classes, activation_fn=None, weights_regularizer=None,
        weights_initializer=trunc_normal(1 / 192.0),
        biases_initializer=tf.zeros_initializer(), scope='logits')
  end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


cifarnet.default_image_size = 32
