"""Inception v2, the network of batch norm (Ioffe and Szegedy 2015, arXiv 1502.03167).

The table in the paper's appendix: v1 with two 3x3 convolutions in place of the 5x5, and
with the modules Mixed_4a and Mixed_5a, which halve the resolution. As in the published
network, the last module but one has an average pool and the last a max pool.
"""

import functools
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.nets import inception_blocks, inception_heads
from slim_zoo.nets.inception_blocks import Mixed
from slim_zoo.nets.inception_utils import inception_arg_scope
from slim_zoo.nets.rows import AvgPool, Conv, MaxPool, Options
from slim_zoo.nets.rows import trunc_normal as trunc_normal
from slim_zoo.tf_compat import slim, tf


class SeparableConv(NamedTuple):
  """A depthwise convolution followed by a 1x1 convolution, without batch norm."""

  scope: str
  kernel: int
  depth: int
  stride: int
  stddev: float

  def build(self, net, options):
    """Convolves `net`, with up to 8 filters per input channel."""
    depth = options.width(self.depth)
    return slim.separable_conv2d(
        net, depth, self.kernel,
        depth_multiplier=min(depth // 3, 8), stride=self.stride, padding='SAME',
        weights_initializer=trunc_normal(self.stddev), scope=self.scope)


def _module(scope, conv1, reduce3, conv3, reduce_double, double, pool, projection):
  return Mixed(scope, (
      (Conv('Conv2d_0a_1x1', 1, conv1),),
      (Conv('Conv2d_0a_1x1', 1, reduce3, stddev=0.09), Conv('Conv2d_0b_3x3', 3, conv3)),
      (Conv('Conv2d_0a_1x1', 1, reduce_double, stddev=0.09),
       Conv('Conv2d_0b_3x3', 3, double), Conv('Conv2d_0c_3x3', 3, double)),
      (pool, Conv('Conv2d_0b_1x1', 1, projection, stddev=0.1)),
  ))


def _halving(scope, reduce3, conv3, reduce_double, double):
  return Mixed(scope, (
      (Conv('Conv2d_0a_1x1', 1, reduce3, stddev=0.09),
       Conv('Conv2d_1a_3x3', 3, conv3, stride=2)),
      (Conv('Conv2d_0a_1x1', 1, reduce_double, stddev=0.09),
       Conv('Conv2d_0b_3x3', 3, double), Conv('Conv2d_1a_3x3', 3, double, stride=2)),
      (MaxPool('MaxPool_1a_3x3', 3, stride=2),),
  ))


SEPARABLE = (SeparableConv('Conv2d_1a_7x7', 7, 64, stride=2, stddev=1.0),)
PLAIN = (Conv('Conv2d_1a_7x7', 7, 64, stride=2, stddev=1.0),)  # 112
ROOT = (
    MaxPool('MaxPool_2a_3x3', 3, stride=2),  # 56
    Conv('Conv2d_2b_1x1', 1, 64, stddev=0.1),
    Conv('Conv2d_2c_3x3', 3, 192),
    MaxPool('MaxPool_3a_3x3', 3, stride=2),  # 28
)
_AVG = AvgPool('AvgPool_0a_3x3', 3)
_MAX = MaxPool('MaxPool_0a_3x3', 3)
MODULES = (
    #        scope      1x1  reduce, 3x3  reduce, 3x3 twice  pool, projection
    _module('Mixed_3b', 64,   64, 64,     64, 96,            _AVG, 32),
    _module('Mixed_3c', 64,   64, 96,     64, 96,            _AVG, 64),
    _halving('Mixed_4a',      128, 160,   64, 96),  # 14
    _module('Mixed_4b', 224,  64, 96,     96, 128,           _AVG, 128),
    _module('Mixed_4c', 192,  96, 128,    96, 128,           _AVG, 128),
    _module('Mixed_4d', 160,  128, 160,   128, 160,          _AVG, 96),
    _module('Mixed_4e', 96,   128, 192,   160, 192,          _AVG, 96),
    _halving('Mixed_5a',      128, 192,   192, 256),  # 7
    _module('Mixed_5b', 352,  192, 320,   160, 224,          _AVG, 128),
    _module('Mixed_5c', 352,  192, 320,   192, 224,          _MAX, 128),
)


def inception_v2_base(inputs, final_endpoint='Mixed_5c', min_depth=16,
                      depth_multiplier=1.0, use_separable_conv=True,
                      data_format='NHWC', include_root_block=True, scope=None):
  """Builds Inception v2 up to an end point.

  Args:
    inputs: float [batch, height, width, 3]; without the root block, features
      [batch, height / 8, width / 8, 192]; in NCHW, channels come second.
    final_endpoint: the last layer to build: the scope of a layer or module.
    min_depth: the smallest depth, if `depth_multiplier` is below 1.
    depth_multiplier: scales the depths of all convolutions.
    use_separable_conv: whether the first convolution is separable, as in the
      published checkpoint.
    data_format: 'NHWC', or 'NCHW' without the separable convolution.
    include_root_block: whether to build the layers before Mixed_3b.
    scope: variable scope.

  Returns:
    (net, end_points): the output of that layer, [batch, height / 32, width / 32,
    1024] for Mixed_5c, and all outputs by scope.

  Raises:
    UserError: the end point or data format does not exist, or `depth_multiplier` is
      not positive; it is a ValueError.
  """
  _check_data_format(data_format, use_separable_conv and include_root_block)
  options = Options(
      inception_blocks.scaled_width(depth_multiplier, min_depth),
      channel_axis=data_format.index('C'))
  root = (SEPARABLE if use_separable_conv else PLAIN) + ROOT
  with tf.variable_scope(scope, 'InceptionV2', [inputs]):
    with slim.arg_scope([slim.conv2d, slim.max_pool2d, slim.avg_pool2d],
                        data_format=data_format):
      return inception_blocks.build(
          inputs, (root if include_root_block else ()) + MODULES, final_endpoint,
          options)


def _check_data_format(data_format, separable):
  if data_format not in ('NHWC', 'NCHW'):
    raise diagnostics.unknown_name('data_format', data_format, ['NHWC', 'NCHW'])
  if separable and data_format == 'NCHW':
    raise diagnostics.UserError(
        "data_format 'NCHW' does not support the separable convolution: give"
        " use_separable_conv=False or data_format='NHWC'")


# The head of the network.
classify = functools.partial(inception_heads.classify_positions, pool_size=7)


def inception_v2(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.8,
                 min_depth=16, depth_multiplier=1.0, prediction_fn=slim.softmax,
                 spatial_squeeze=True, reuse=None, scope='InceptionV2',
                 global_pool=False, final_endpoint=None):
  """Builds Inception v2 for classification.

  Args:
    inputs: float [batch, height, width, 3]. Without `global_pool`, sizes up to 224 give
      one prediction, larger ones a prediction for each position.
    num_classes: number of logits; 0 or None returns the pooled features.
    is_training: batch norm's mode, and whether dropout is on.
    dropout_keep_prob: share of activations that dropout keeps.
    min_depth: see `inception_v2_base`.
    depth_multiplier: see `inception_v2_base`.
    prediction_fn: computes the end point 'Predictions' from the logits.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether to average over the whole image, of any size.
    final_endpoint: the last layer to build and return, see `inception_v2_base`;
      None builds all.

  Returns:
    (net, end_points): logits [batch, num_classes], or [batch, height, width,
    num_classes]; or features [batch, 1, 1, 1024]. end_points by scope.

  Raises:
    UserError: the image is too large for the squeeze, or `depth_multiplier` is not
      positive; it is a ValueError.
  """
  with inception_heads.network_scope(
      scope, 'InceptionV2', inputs, reuse, is_training) as sc:
    base = functools.partial(
        inception_v2_base, inputs, min_depth=min_depth,
        depth_multiplier=depth_multiplier, scope=sc)
    if final_endpoint is not None:
      return base(final_endpoint)
    net, end_points = base()
    return classify(net, end_points, num_classes, dropout_keep_prob, prediction_fn,
                    spatial_squeeze, global_pool)


inception_v2.default_image_size = 224
inception_v2_arg_scope = inception_arg_scope
