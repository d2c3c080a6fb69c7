"""LeNet, a modern variant of LeNet-5 (LeCun et al. 1998, Proc. IEEE 86(11)).

ReLU, max pooling and dropout in place of the sigmoids, averages and radial
basis outputs of 1998.
"""

from slim_zoo import diagnostics
from slim_zoo.tf_compat import slim, tf


def lenet_arg_scope(weight_decay=0.0):
  """Returns the arg scope of LeNet."""
  with slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=tf.truncated_normal_initializer(stddev=0.1),
      activation_fn=tf.nn.relu) as scope:
    return scope


def check_final_endpoint(final_endpoint):
  """Raises UserError for an end point at which LeNet and CifarNet cannot stop."""
  if final_endpoint not in (None, 'conv2', 'pool2'):
    raise diagnostics.unknown_name(
        'final_endpoint', final_endpoint, ['conv2', 'pool2'])


def lenet(images, num_classes=10, is_training=False, dropout_keep_prob=0.5,
          prediction_fn=slim.softmax, scope='LeNet', final_endpoint=None):
  """Builds LeNet.

  Args:
    images: float32 [batch, height, width, channels]; 28 x 28 x 1 in the paper. The
      shape of fc3 depends on the size.
    num_classes: number of logits; 0 or None returns the 1024 features of fc3.
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
  check_final_endpoint(final_endpoint)
  end_points = {}
  with tf.variable_scope(scope, 'LeNet', [images]):
    net = end_points['conv1'] = slim.conv2d(images, 32, [5, 5], scope='conv1')
    net = end_points['pool1'] = slim.max_pool2d(net, [2, 2], 2, scope='pool1')  # 14
    net = end_points['conv2'] = slim.conv2d(net, 64, [5, 5], scope='conv2')
    net = end_points['pool2'] = slim.max_pool2d(net, [2, 2], 2, scope='pool2')  # 7
    if final_endpoint is not None:
      return end_points[final_endpoint], end_points
    net = end_points['Flatten'] = slim.flatten(net)
    net = end_points['fc3'] = slim.fully_connected(net, 1024, scope='fc3')
    if not num_classes:
      return net, end_points
    net = end_points['dropout3'] = slim.dropout(
        net, dropout_keep_prob, is_training=is_training, scope='dropout3')
    logits = end_points['Logits'] = slim.fully_connected(
        net, num_classes, activation_fn=None, scope='fc4')
  end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


lenet.default_image_size = 28
