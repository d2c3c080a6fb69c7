"""S3D-G, a separable I3D with gates (Xie et al. 2018, arXiv 1712.04851).

Convolutions over time and space are split in two, and the branches of each module are
scaled by gates computed from the whole clip. Both may start at a later layer, as in the
paper's top-heavy models (figure 3).
"""

import functools

from slim_zoo import diagnostics
from slim_zoo.nets import i3d_utils, inception_blocks, inception_heads, inception_v1
from slim_zoo.nets.i3d_utils import Conv, Pool, conv3d_spatiotemporal
from slim_zoo.nets.rows import trunc_normal as trunc_normal
from slim_zoo.tf_compat import slim, tf


def s3dg_arg_scope(weight_decay=1e-7, batch_norm_decay=0.999,
                   batch_norm_epsilon=0.001):
  """Returns the arg scope of S3D-G.

  Args:
    weight_decay: L2 penalty on the weights.
    batch_norm_decay: decay of the moving mean and variance.
    batch_norm_epsilon: added to the variance.
  """
  return i3d_utils.arg_scope(
      weight_decay,
      {'decay': batch_norm_decay, 'epsilon': batch_norm_epsilon, 'fused': False})


def self_gating(input_tensor, scope, data_format='NDHWC'):
  """Scales each channel by a gate computed from the whole clip.

  The gate of the paper's section 4.4: sigmoid(W mean(x)) * x, without a bias.

  Args:
    input_tensor: float [batch, frames, height, width, depth], or in `data_format`.
    scope: scope of the gated layer; the gate's weights are below `scope`/self_gating.
    data_format: 'NDHWC' or 'NCDHW'.

  Returns:
    float, same shape as `input_tensor`.
  """
  channel_axis = data_format.index('C')
  mean = tf.reduce_mean(
      input_tensor, [axis for axis in range(1, 5) if axis != channel_axis],
      keepdims=True)
  weights = slim.conv3d(
      mean, input_tensor.shape[channel_axis], [1, 1, 1], activation_fn=tf.sigmoid,
      normalizer_fn=None, biases_initializer=None, data_format=data_format,
      weights_initializer=trunc_normal(0.01),
      scope=f'{scope}/self_gating/transformer_W')
  return weights * input_tensor


def _layers(first_frames, frames_of, gate_of):
  """Yields the rows; frames and gate of a layer are functions of its scope."""
  # Frames x size at 64 x 224.
  yield Conv('Conv2d_1a_7x7', 64, [first_frames, 7, 7], stride=2,
             separable=False)                               # 32 x 112
  yield Pool('MaxPool_2a_3x3', [1, 3, 3], [1, 2, 2])        # 32 x 56
  yield Conv('Conv2d_2b_1x1', 64, [1, 1, 1])
  yield Conv('Conv2d_2c_3x3', 192, [frames_of('Conv2d_2c_3x3'), 3, 3],
             gate=gate_of('Conv2d_2c_3x3'))
  yield Pool('MaxPool_3a_3x3', [1, 3, 3], [1, 2, 2])        # 32 x 28
  # 16 x 14 from Mixed_4b on, 8 x 7 from Mixed_5b on.
  yield from i3d_utils.modules(frames_of, gate_of)


# The layers at which temporal convolutions and gates may start.
_STARTS = ('Conv2d_2c_3x3', *inception_v1.MODULES)


def _from(argument, start, value, before):
  """Returns a function of the scope: `value` from the layer `start` on."""
  if start is not None and start not in _STARTS:
    raise diagnostics.unknown_name(argument, start, _STARTS)
  later = () if start is None else _STARTS[_STARTS.index(start):]
  return lambda scope: value if scope in later else before


def s3dg_base(inputs, first_temporal_kernel_size=3,
              temporal_conv_startat='Conv2d_2c_3x3', gating_startat='Conv2d_2c_3x3',
              final_endpoint='Mixed_5c', min_depth=16, depth_multiplier=1.0,
              data_format='NDHWC', scope='InceptionV1'):
  """Builds S3D-G up to an end point.

  Args:
    inputs: float [batch, frames, height, width, 3]; in NCDHW, channels second.
    first_temporal_kernel_size: frames of the first convolution's kernel; it is never
      split.
    temporal_conv_startat: the first layer with temporal convolutions, Conv2d_2c_3x3 or
      a module; earlier layers read single frames. None: no layer has them.
    gating_startat: the first layer with gates, likewise. None: no layer has them.
    final_endpoint: the last layer to build: the scope of a layer or module.
    min_depth: the smallest depth, if `depth_multiplier` is below 1.
    depth_multiplier: scales the depths of all convolutions.
    data_format: 'NDHWC' or 'NCDHW'.
    scope: variable scope.

  Returns:
    (net, end_points): the output of that layer, [batch, frames / 8, height / 32,
    width / 32, 1024] for Mixed_5c, and all outputs by scope.

  Raises:
    UserError: the end point, start or data format does not exist, `depth_multiplier` is
      not positive, or `inputs` are not clips; it is a ValueError.
  """
  frames_of = _from('temporal_conv_startat', temporal_conv_startat, 3, before=1)
  gate_of = _from('gating_startat', gating_startat,
                  functools.partial(self_gating, data_format=data_format), before=None)
  width = inception_blocks.scaled_width(depth_multiplier, min_depth)
  with slim.arg_scope([conv3d_spatiotemporal], separable=True):
    return i3d_utils.build(
        inputs, _layers(first_temporal_kernel_size, frames_of, gate_of),
        final_endpoint, scope, width, data_format)


def s3dg(inputs, num_classes=1000, first_temporal_kernel_size=3,
         temporal_conv_startat='Conv2d_2c_3x3', gating_startat='Conv2d_2c_3x3',
         final_endpoint='Mixed_5c', min_depth=16, depth_multiplier=1.0,
         dropout_keep_prob=0.8, is_training=True, prediction_fn=slim.softmax,
         spatial_squeeze=True, reuse=None, data_format='NDHWC', scope='InceptionV1',
         global_pool=False):
  """Builds S3D-G for the classification of clips.

  Args:
    inputs: float [batch, frames, height, width, 3] in [-1, 1]; 64 frames of 224 x
      224 in the paper's training. Without `global_pool`, a larger image gives
      logits for each position.
    num_classes: number of logits; 0 or None returns the pooled features.
    first_temporal_kernel_size: see `s3dg_base`.
    temporal_conv_startat: see `s3dg_base`.
    gating_startat: see `s3dg_base`.
    final_endpoint: the layer that the head reads.
    min_depth: see `s3dg_base`.
    depth_multiplier: see `s3dg_base`.
    dropout_keep_prob: share of activations that dropout keeps.
    is_training: batch norm's mode, and whether dropout is on.
    prediction_fn: computes the end point 'Predictions' from the logits.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    reuse: whether the variables exist already.
    data_format: 'NDHWC' or 'NCDHW'.
    scope: variable scope.
    global_pool: whether to average features over the whole images, of any size.

  Returns:
    (net, end_points): logits [batch, num_classes], the mean over time, or features
    [batch, frames / 8 - 1, 1, 1, 1024]; end_points by scope.

  Raises:
    UserError: as `s3dg_base`, or images too large for the squeeze; it is a
      ValueError.
  """
  with inception_heads.network_scope(
      scope, 'InceptionV1', inputs, reuse, is_training) as sc:
    net, end_points = s3dg_base(
        inputs, first_temporal_kernel_size, temporal_conv_startat, gating_startat,
        final_endpoint, min_depth, depth_multiplier, data_format, scope=sc)
    if data_format == 'NCDHW':
      net = tf.transpose(net, [0, 2, 3, 4, 1])
    return i3d_utils.classify(net, end_points, num_classes, dropout_keep_prob,
                              prediction_fn, spatial_squeeze, global_pool)


s3dg.default_image_size = 224
