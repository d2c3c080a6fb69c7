"""Inception v3 (Szegedy et al. 2016, arXiv 1512.00567), table 1.

Five kinds of modules: figure 5 of the paper at 35 x 35, figure 6 (n = 7) at 17 x 17,
figure 7 at 8 x 8, and two that halve the resolution (figure 10 and a longer variant).
The auxiliary classifier reads the last 17 x 17 module.
"""

import functools

from slim_zoo.nets import inception_blocks, inception_heads
from slim_zoo.nets.inception_blocks import Fork, Mixed
from slim_zoo.nets.inception_utils import inception_arg_scope
from slim_zoo.nets.rows import AvgPool, Conv, MaxPool, Options
from slim_zoo.nets.rows import trunc_normal as trunc_normal
from slim_zoo.tf_compat import slim, tf


def _figure_5(scope, projection, branch_1=('Conv2d_0a_1x1', 'Conv2d_0b_5x5')):
  reduce5, conv5 = branch_1
  return Mixed(scope, (
      (Conv('Conv2d_0a_1x1', 1, 64),),
      (Conv(reduce5, 1, 48), Conv(conv5, 5, 64)),
      (Conv('Conv2d_0a_1x1', 1, 64), Conv('Conv2d_0b_3x3', 3, 96),
       Conv('Conv2d_0c_3x3', 3, 96)),
      (AvgPool('AvgPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, projection)),
  ))


def _figure_6(scope, inner):
  return Mixed(scope, (
      (Conv('Conv2d_0a_1x1', 1, 192),),
      (Conv('Conv2d_0a_1x1', 1, inner), Conv('Conv2d_0b_1x7', (1, 7), inner),
       Conv('Conv2d_0c_7x1', (7, 1), 192)),
      (Conv('Conv2d_0a_1x1', 1, inner), Conv('Conv2d_0b_7x1', (7, 1), inner),
       Conv('Conv2d_0c_1x7', (1, 7), inner), Conv('Conv2d_0d_7x1', (7, 1), inner),
       Conv('Conv2d_0e_1x7', (1, 7), 192)),
      (AvgPool('AvgPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, 192)),
  ))


def _figure_7(scope, last_of_branch_1):
  return Mixed(scope, (
      (Conv('Conv2d_0a_1x1', 1, 320),),
      (Conv('Conv2d_0a_1x1', 1, 384),
       Fork((Conv('Conv2d_0b_1x3', (1, 3), 384), Conv(last_of_branch_1, (3, 1), 384)))),
      (Conv('Conv2d_0a_1x1', 1, 448), Conv('Conv2d_0b_3x3', 3, 384),
       Fork((Conv('Conv2d_0c_1x3', (1, 3), 384), Conv('Conv2d_0d_3x1', (3, 1), 384)))),
      (AvgPool('AvgPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, 192)),
  ))


# The published checkpoints name these two convolutions 1x1, but they are 3x3.
_MIXED_6A = Mixed('Mixed_6a', (
    (Conv('Conv2d_1a_1x1', 3, 384, stride=2, padding='VALID'),),
    (Conv('Conv2d_0a_1x1', 1, 64), Conv('Conv2d_0b_3x3', 3, 96),
     Conv('Conv2d_1a_1x1', 3, 96, stride=2, padding='VALID')),
    (MaxPool('MaxPool_1a_3x3', 3, stride=2, padding='VALID'),),
))
_MIXED_7A = Mixed('Mixed_7a', (
    (Conv('Conv2d_0a_1x1', 1, 192),
     Conv('Conv2d_1a_3x3', 3, 320, stride=2, padding='VALID')),
    (Conv('Conv2d_0a_1x1', 1, 192), Conv('Conv2d_0b_1x7', (1, 7), 192),
     Conv('Conv2d_0c_7x1', (7, 1), 192),
     Conv('Conv2d_1a_3x3', 3, 192, stride=2, padding='VALID')),
    (MaxPool('MaxPool_1a_3x3', 3, stride=2, padding='VALID'),),
))

LAYERS = (
    Conv('Conv2d_1a_3x3', 3, 32, stride=2, padding='VALID'),       # 149
    Conv('Conv2d_2a_3x3', 3, 32, padding='VALID'),                 # 147
    Conv('Conv2d_2b_3x3', 3, 64),
    MaxPool('MaxPool_3a_3x3', 3, stride=2, padding='VALID'),       # 73
    Conv('Conv2d_3b_1x1', 1, 80, padding='VALID'),
    Conv('Conv2d_4a_3x3', 3, 192, padding='VALID'),                # 71
    MaxPool('MaxPool_5a_3x3', 3, stride=2, padding='VALID'),       # 35
    _figure_5('Mixed_5b', 32),
    _figure_5('Mixed_5c', 64, branch_1=('Conv2d_0b_1x1', 'Conv_1_0c_5x5')),
    _figure_5('Mixed_5d', 64),
    _MIXED_6A,                                                     # 17
    _figure_6('Mixed_6b', 128),
    _figure_6('Mixed_6c', 160),
    _figure_6('Mixed_6d', 160),
    _figure_6('Mixed_6e', 192),
    _MIXED_7A,                                                     # 8
    _figure_7('Mixed_7b', last_of_branch_1='Conv2d_0b_3x1'),
    _figure_7('Mixed_7c', last_of_branch_1='Conv2d_0c_3x1'),
)


def inception_v3_base(inputs, final_endpoint='Mixed_7c', min_depth=16,
                      depth_multiplier=1.0, scope=None):
  """Builds Inception v3 up to an end point.

  Args:
    inputs: float [batch, height, width, 3], of at least 75 x 75.
    final_endpoint: the last layer to build: a scope of `LAYERS`.
    min_depth: the smallest depth, if `depth_multiplier` is below 1.
    depth_multiplier: scales the depths of all convolutions.
    scope: variable scope.

  Returns:
    (net, end_points): the output of that layer, [batch, 8, 8, 2048] for Mixed_7c
    at 299, and all outputs by scope.

  Raises:
    UserError: the end point does not exist, or `depth_multiplier` is not positive;
      it is a ValueError.
  """
  options = Options(
      inception_blocks.scaled_width(depth_multiplier, min_depth))
  with tf.variable_scope(scope, 'InceptionV3', [inputs]):
    return inception_blocks.build(inputs, LAYERS, final_endpoint, options)


# The head of the network.
classify = functools.partial(inception_heads.classify_positions, pool_size=8)


def inception_v3(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.8,
                 min_depth=16, depth_multiplier=1.0, prediction_fn=slim.softmax,
                 spatial_squeeze=True, reuse=None, create_aux_logits=True,
                 scope='InceptionV3', global_pool=False, final_endpoint=None):
  """Builds Inception v3 for classification.

  Args:
    inputs: float [batch, height, width, 3]. Without `global_pool`, sizes up to 299 give
      one prediction, larger ones a prediction for each position.
    num_classes: number of logits; 0 or None returns the pooled features.
    is_training: batch norm's mode, and whether dropout is on.
    dropout_keep_prob: share of activations that dropout keeps.
    min_depth: see `inception_v3_base`.
    depth_multiplier: see `inception_v3_base`.
    prediction_fn: computes the end point 'Predictions' from the logits.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    reuse: whether the variables exist already.
    create_aux_logits: whether to add the end point 'AuxLogits', of the shape of the
      logits, computed from the 17 x 17 features; it helps training.
    scope: variable scope.
    global_pool: whether to average over the whole image, of any size.
    final_endpoint: the last layer to build and return, see `inception_v3_base`;
      None builds all.

  Returns:
    (net, end_points): logits [batch, num_classes], or [batch, height, width,
    num_classes]; or features [batch, 1, 1, 2048]. end_points by scope.

  Raises:
    UserError: the image is too small for the auxiliary logits or too large for
      the squeeze, or `depth_multiplier` is not positive; it is a ValueError.
  """
  with inception_heads.network_scope(
      scope, 'InceptionV3', inputs, reuse, is_training) as sc:
    base = functools.partial(
        inception_v3_base, inputs, min_depth=min_depth,
        depth_multiplier=depth_multiplier, scope=sc)
    if final_endpoint is not None:
      return base(final_endpoint)
    net, end_points = base()
    if create_aux_logits and num_classes:
      end_points['AuxLogits'] = _auxiliary_logits(
          end_points['Mixed_6e'], num_classes, spatial_squeeze,
          inception_blocks.scaled_width(depth_multiplier, min_depth))
    return classify(net, end_points, num_classes, dropout_keep_prob, prediction_fn,
                    spatial_squeeze, global_pool)


def _auxiliary_logits(net, num_classes, spatial_squeeze, width):
  with tf.variable_scope('AuxLogits'):
    net = inception_heads.auxiliary_stem(net, 'AvgPool_1a_5x5', width(128))  # 5
    kernel = inception_heads.fitting_kernel(net, [5, 5])
    net = slim.conv2d(net, width(768), kernel, stride=1, padding='VALID',
                      weights_initializer=trunc_normal(0.01),
                      scope=f'Conv2d_2a_{kernel[0]}x{kernel[1]}')  # 1
    net = slim.conv2d(net, num_classes, [1, 1], activation_fn=None,
                      normalizer_fn=None, weights_initializer=trunc_normal(0.001),
                      scope='Conv2d_2b_1x1')
    if spatial_squeeze and max(size or 1 for size in net.shape.as_list()[1:3]) > 1:
      # Larger images: average over the positions to one prediction.
      net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
    if spatial_squeeze:
      net = inception_heads.squeeze(
          net, 'create_aux_logits=False or spatial_squeeze=False')
    return net


inception_v3.default_image_size = 299
inception_v3_arg_scope = inception_arg_scope
