"""Inception v1, or GoogLeNet (Szegedy et al. 2015, arXiv 1409.4842), table 1.

As in the published weights: with batch norm, without the paper's two auxiliary
classifiers, and with 3x3 in place of the paper's 5x5.
"""

from slim_zoo.nets import inception_blocks, inception_heads
from slim_zoo.nets.inception_blocks import Mixed
from slim_zoo.nets.inception_utils import inception_arg_scope
from slim_zoo.nets.rows import Conv, MaxPool
from slim_zoo.nets.rows import trunc_normal as trunc_normal
from slim_zoo.tf_compat import slim, tf

ROOT = (
    Conv('Conv2d_1a_7x7', 7, 64, stride=2),   # 112
    MaxPool('MaxPool_2a_3x3', 3, stride=2),   # 56
    Conv('Conv2d_2b_1x1', 1, 64),
    Conv('Conv2d_2c_3x3', 3, 192),
    MaxPool('MaxPool_3a_3x3', 3, stride=2),   # 28
)

# The depths of each module: 1x1, 3x3 reduce, 3x3, "5x5" reduce, "5x5", pool proj.
MODULES = {
    'Mixed_3b': (64, 96, 128, 16, 32, 32),
    'Mixed_3c': (128, 128, 192, 32, 96, 64),
    # MaxPool_4a_3x3: 14
    'Mixed_4b': (192, 96, 208, 16, 48, 64),
    'Mixed_4c': (160, 112, 224, 24, 64, 64),
    'Mixed_4d': (128, 128, 256, 24, 64, 64),
    'Mixed_4e': (112, 144, 288, 32, 64, 64),
    'Mixed_4f': (256, 160, 320, 32, 128, 128),
    # MaxPool_5a_2x2: 7
    'Mixed_5b': (256, 160, 320, 32, 128, 128),
    'Mixed_5c': (384, 192, 384, 48, 128, 128),
}
# The stride-2 pool before a module.
POOLS = {'Mixed_4b': MaxPool('MaxPool_4a_3x3', 3, stride=2),
         'Mixed_5b': MaxPool('MaxPool_5a_2x2', 2, stride=2)}

# The published checkpoints have one irregular scope.
_LAST_OF_BRANCH_2 = {'Mixed_5b': 'Conv2d_0a_3x3'}


def _module(scope):
  conv1, reduce3, conv3, reduce5, conv5, projection = MODULES[scope]
  return Mixed(scope, (
      (Conv('Conv2d_0a_1x1', 1, conv1),),
      (Conv('Conv2d_0a_1x1', 1, reduce3), Conv('Conv2d_0b_3x3', 3, conv3)),
      (Conv('Conv2d_0a_1x1', 1, reduce5),
       Conv(_LAST_OF_BRANCH_2.get(scope, 'Conv2d_0b_3x3'), 3, conv5)),
      (MaxPool('MaxPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, projection)),
  ))


def _layers(include_root_block):
  if include_root_block:
    yield from ROOT
  for scope in MODULES:
    if scope in POOLS:
      yield POOLS[scope]
    yield _module(scope)


def inception_v1_base(inputs, final_endpoint='Mixed_5c', include_root_block=True,
                      scope='InceptionV1'):
  """Builds Inception v1 up to an end point.

  Args:
    inputs: float [batch, height, width, 3]; without the root block, features
      [batch, height / 8, width / 8, 192].
    final_endpoint: the last layer to build: a scope of `ROOT`, `MODULES` or `POOLS`.
    include_root_block: whether to build the layers before Mixed_3b.
    scope: variable scope.

  Returns:
    (net, end_points): the output of that layer, [batch, height / 32, width / 32,
    1024] for Mixed_5c, and all outputs by scope.

  Raises:
    UserError: the end point does not exist; it is a ValueError.
  """
  with tf.variable_scope(scope, 'InceptionV1', [inputs]):
    with slim.arg_scope([slim.conv2d], weights_initializer=trunc_normal(0.01)):
      return inception_blocks.build(
          inputs, list(_layers(include_root_block)), final_endpoint)


def classify(net, end_points, num_classes, dropout_keep_prob, prediction_fn,
             spatial_squeeze, global_pool):
  """Builds the head: pool, dropout, logits, predictions.

  Args:
    net: features, float [batch, height, width, 1024].
    end_points: dict that receives the new end points.
    num_classes: number of logits; 0 or None builds none.
    dropout_keep_prob: share of activations that dropout keeps.
    prediction_fn: computes the end point 'Predictions' from the logits.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    global_pool: whether to average over the whole image, of any size.

  Returns:
    (net, end_points): logits [batch, num_classes], or [batch, height, width,
    num_classes] without the squeeze; without classes, the pooled features.

  Raises:
    UserError: the features are smaller than the pool, or the logits are not 1 x 1 for
      the squeeze; it is a ValueError.
  """
  with tf.variable_scope('Logits'):
    if global_pool:
      net = end_points['global_pool'] = inception_heads.average(net)
    else:
      inception_heads.check_size(net, 7, 'global_pool=True')
      net = end_points['AvgPool_0a_7x7'] = slim.avg_pool2d(
          net, [7, 7], stride=1, padding='VALID', scope='AvgPool_0a_7x7')
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, dropout_keep_prob, scope='Dropout_0b')
    logits = slim.conv2d(net, num_classes, [1, 1], activation_fn=None,
                         normalizer_fn=None, scope='Conv2d_0c_1x1')
    if spatial_squeeze:
      logits = inception_heads.squeeze(
          logits, 'global_pool=True or spatial_squeeze=False')
  end_points['Logits'] = logits
  end_points['Predictions'] = prediction_fn(logits, scope='Logits/Predictions')
  return logits, end_points


def inception_v1(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.8,
                 prediction_fn=slim.softmax, spatial_squeeze=True, reuse=None,
                 scope='InceptionV1', global_pool=False, final_endpoint=None):
  """Builds Inception v1 for classification.

  Args:
    inputs: float [batch, height, width, 3]. Without `global_pool`, 224 x 224 gives one
      prediction, a larger image one for each position; a smaller image is an error.
    num_classes: number of logits; 0 or None returns the pooled features.
    is_training: batch norm's mode, and whether dropout is on.
    dropout_keep_prob: share of activations that dropout keeps.
    prediction_fn: computes the end point 'Predictions' from the logits.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether to average over the whole image, of any size.
    final_endpoint: the last layer to build and return, see `inception_v1_base`;
      None builds all.

  Returns:
    (net, end_points): logits [batch, num_classes], or [batch, height, width,
    num_classes]; or features [batch, 1, 1, 1024]. end_points by scope.

  Raises:
    UserError: the image is too small for the pool, or too large for the squeeze;
      it is a ValueError.
  """
  with inception_heads.network_scope(
      scope, 'InceptionV1', inputs, reuse, is_training) as sc:
    if final_endpoint is not None:
      return inception_v1_base(inputs, final_endpoint, scope=sc)
    net, end_points = inception_v1_base(inputs, scope=sc)
    return classify(net, end_points, num_classes, dropout_keep_prob, prediction_fn,
                    spatial_squeeze, global_pool)


inception_v1.default_image_size = 224
inception_v1_arg_scope = inception_arg_scope
