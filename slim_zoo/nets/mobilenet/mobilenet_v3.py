"""MobileNet V3 (Howard et al. 2019, arXiv 1905.02244) and MobileNet EdgeTPU.

Tables 1 and 2 of the paper are `_LARGE` and `_SMALL` below. The minimalistic networks
have no squeeze-and-excitation, no hard swish and no 5 x 5 kernels. The detection
networks have no head, and half as many channels in the last stage (section 6.3 of the
paper). EdgeTPU (Howard and Gupta 2019, Google AI blog) has full 3 x 3 expansions in
place of depthwise convolutions at high resolutions.
"""

import functools

from slim_zoo.nets import normalization
from slim_zoo.nets.mobilenet import conv_blocks as ops
from slim_zoo.nets.mobilenet import mobilenet as lib
from slim_zoo.tf_compat import slim, tf

op = lib.op
expand_input = ops.expand_input_by_factor
training_scope = lib.training_scope


# Of the gates, with the digits that existing checkpoints were trained with.
_SIXTH = 0.16667


def hard_swish(x):
  """Returns x * relu6(x + 3) / 6 (section 5.2 of the paper)."""
  with tf.name_scope('hard_swish'):
    # As products: those are quantized, quotients are not.
    return x * tf.nn.relu6(x + 3) * (1 / 6)


def _hard_sigmoid(x):
  return tf.nn.relu6(x + 3) * _SIXTH


squeeze_excite = functools.partial(
    ops.squeeze_excite, squeeze_factor=4, inner_activation_fn=tf.nn.relu,
    gating_fn=_hard_sigmoid)


def _se4(expansion_tensor, input_tensor):
  del input_tensor
  return squeeze_excite(expansion_tensor)


def reduce_to_1x1(input_tensor, default_size=7, **kwargs):
  """Averages [batch, height, width, depth] over space.

  Args:
    input_tensor: the features.
    default_size: the side of the window on features that are known not to be square.
    **kwargs: go to slim.avg_pool2d.

  Returns:
    float [batch, 1, 1, depth]; one value per window if the features are not square.
  """
  # The window covers the features: a dilation has no effect.
  kwargs.pop('rate', None)
  height, width = input_tensor.get_shape().as_list()[1:3]
  if height is None or width is None:
    return lib.global_pool(input_tensor, use_reduce_mean_for_pooling=True)
  kernel = [height, width] if height == width else [
      min(default_size, height), min(default_size, width)]
  return slim.avg_pool2d(input_tensor, kernel, **kwargs)


def mbv3_op(ef, n, k, s=1, act=tf.nn.relu, se=None, **kwargs):
  """Returns the `op` of one bottleneck.

  Args:
    ef: expansion factor: inner depth divided by the depth of the input.
    n: number of outputs.
    k: kernel size, an int or a pair.
    s: stride.
    act: activation of the inner layers.
    se: squeeze-and-excitation before the projection, or None.
    **kwargs: go to `conv_blocks.expanded_conv`.
  """
  return op(ops.expanded_conv, expansion_size=expand_input(ef),
            kernel_size=slim.utils.two_element_tuple(k), stride=s, num_outputs=n,
            inner_activation_fn=act, expansion_transform=se, **kwargs)


def mbv3_fused(ef, n, k, s=1, **kwargs):
  """Returns the `op` of a bottleneck whose expansion is a k x k convolution."""
  return mbv3_op(ef, n, k, s, depthwise_location=None, expansion_fn=slim.conv2d,
                 **kwargs)


def _defaults(normalizer_fn, **normalizer_params):
  return {
      (normalizer_fn,): normalizer_params,
      (ops.expanded_conv,): {'normalizer_fn': normalizer_fn, 'residual': True},
      (slim.conv2d, slim.fully_connected, slim.separable_conv2d): {
          'normalizer_fn': normalizer_fn, 'activation_fn': tf.nn.relu},
  }


DEFAULTS = _defaults(normalization.batch_norm, center=True, scale=True)
DEFAULTS_GROUP_NORM = _defaults(slim.group_norm, groups=8)

_RE, _HS = tf.nn.relu, hard_swish

_LARGE = (
    # exp    k  out  SE     NL   s    resolution at 224; 112 before
    (16,     3,  16, None, _RE, 1),  # 112
    (64,     3,  24, None, _RE, 2),  # 56
    (72,     3,  24, None, _RE, 1),
    (72,     5,  40, _se4, _RE, 2),  # 28
    (120,    5,  40, _se4, _RE, 1),
    (120,    5,  40, _se4, _RE, 1),
    (240,    3,  80, None, _HS, 2),  # 14
    (200,    3,  80, None, _HS, 1),
    (184,    3,  80, None, _HS, 1),
    (184,    3,  80, None, _HS, 1),
    (480,    3, 112, _se4, _HS, 1),
    (672,    3, 112, _se4, _HS, 1),
    (672,    5, 160, _se4, _HS, 2),  # 7
    (960,    5, 160, _se4, _HS, 1),
    (960,    5, 160, _se4, _HS, 1),
)

_SMALL = (
    # exp    k  out  SE     NL   s    resolution at 224; 112 before
    (16,     3,  16, _se4, _RE, 2),  # 56
    (72,     3,  24, None, _RE, 2),  # 28
    (88,     3,  24, None, _RE, 1),
    (96,     5,  40, _se4, _HS, 2),  # 14
    (240,    5,  40, _se4, _HS, 1),
    (240,    5,  40, _se4, _HS, 1),
    (120,    5,  48, _se4, _HS, 1),
    (144,    5,  48, _se4, _HS, 1),
    (288,    5,  96, _se4, _HS, 2),  # 7
    (576,    5,  96, _se4, _HS, 1),
    (576,    5,  96, _se4, _HS, 1),
)

_EDGETPU = (
    # op          ef  k  out  s   residual   resolution at 224; 112 before
    (mbv3_fused,  1,  3,  16, 1, True),   # 112
    (mbv3_fused,  8,  3,  32, 2, True),   # 56
    (mbv3_fused,  4,  3,  32, 1, True),
    (mbv3_fused,  4,  3,  32, 1, True),
    (mbv3_fused,  4,  3,  32, 1, True),
    (mbv3_fused,  8,  3,  48, 2, True),   # 28
    (mbv3_fused,  4,  3,  48, 1, True),
    (mbv3_fused,  4,  3,  48, 1, True),
    (mbv3_fused,  4,  3,  48, 1, True),
    (mbv3_op,     8,  3,  96, 2, True),   # 14
    (mbv3_op,     4,  3,  96, 1, True),
    (mbv3_op,     4,  3,  96, 1, True),
    (mbv3_op,     4,  3,  96, 1, True),
    (mbv3_op,     8,  3,  96, 1, False),
    (mbv3_op,     4,  3,  96, 1, True),
    (mbv3_op,     4,  3,  96, 1, True),
    (mbv3_op,     4,  3,  96, 1, True),
    (mbv3_op,     8,  5, 160, 2, True),   # 7
    (mbv3_op,     4,  5, 160, 1, True),
    (mbv3_op,     4,  5, 160, 1, True),
    (mbv3_op,     4,  5, 160, 1, True),
    (mbv3_op,     8,  3, 192, 1, True),
)


def _conv(num_outputs, kernel=1, stride=1, **kwargs):
  return op(slim.conv2d, stride=stride, kernel_size=[kernel, kernel],
            num_outputs=num_outputs, **kwargs)


def _table(rows, act, last_conv, head=None):
  """Returns the table of operations: stem, bottlenecks, last convolution, head."""
  depth, spec = 16, [_conv(16, 3, 2, activation_fn=act)]
  for expanded, kernel, num_outputs, se, row_act, stride in rows:
    # A ratio, so that the table does not depend on the depth multiplier.
    spec.append(mbv3_op(expanded / depth, num_outputs, kernel, stride, row_act, se))
    depth = num_outputs
  spec.append(_conv(last_conv, activation_fn=act))
  if head is not None:
    # The paper's "efficient last stage": the pool comes before the widest layer.
    spec += [op(reduce_to_1x1, default_size=7, stride=1),
             _conv(head, normalizer_fn=None, activation_fn=act)]
  return {'defaults': DEFAULTS, 'spec': spec}


def _minimalistic(rows):
  return [(expanded, 3, num_outputs, None, _RE, stride)
          for expanded, _, num_outputs, _, _, stride in rows]


def _reduced_tail(rows):
  """Halves the channels from the output of the last strided row on."""
  *rows, (expanded, kernel, num_outputs, *rest), second, third = rows
  return [*rows, (expanded, kernel, num_outputs // 2, *rest),
          *((expanded // 2, kernel, num_outputs // 2, *rest)
            for expanded, kernel, num_outputs, *rest in (second, third))]


V3_LARGE = _table(_LARGE, _HS, 960, 1280)
V3_LARGE_MINIMALISTIC = _table(_minimalistic(_LARGE), _RE, 960, 1280)
V3_LARGE_DETECTION = _table(_reduced_tail(_LARGE), _HS, 480)
V3_SMALL = _table(_SMALL, _HS, 576, 1024)
V3_SMALL_MINIMALISTIC = _table(_minimalistic(_SMALL), _RE, 576, 1024)
V3_SMALL_DETECTION = _table(_reduced_tail(_SMALL), _HS, 288)
V3_EDGETPU = {
    'defaults': DEFAULTS,
    'spec': [
        _conv(32, 3, 2),
        *(opfunc(ef, n, k, s, residual=residual)
          for opfunc, ef, k, n, s, residual in _EDGETPU),
        _conv(1280),
    ],
}


@slim.add_arg_scope
def mobilenet(input_tensor, num_classes=1001, depth_multiplier=1.0,
              scope='MobilenetV3', conv_defs=None,
              finegrain_classification_mode=False, use_groupnorm=False, groups=8,
              **kwargs):
  """Builds MobileNet V3. Inference mode is created by default.

  To train, build it under `training_scope`, such as
    with slim.arg_scope(mobilenet_v3.training_scope(is_training=True)):
      logits, end_points = mobilenet_v3.large(images)

  Args:
    input_tensor: float [batch, height, width, 3].
    num_classes: number of logits; 0 or None returns the pooled features.
    depth_multiplier: factor of the number of channels.
    scope: variable scope.
    conv_defs: the table of layers; None means `V3_LARGE`.
    finegrain_classification_mode: whether a multiplier below 1 leaves the last layer
      unchanged.
    use_groupnorm: whether to use group norm in place of batch norm.
    groups: the number of groups of channels of group norm.
    **kwargs: go to `mobilenet.mobilenet` and `mobilenet.mobilenet_base`:
      prediction_fn, reuse, base_only, use_reduce_mean_for_pooling, is_training,
      final_endpoint, output_stride, use_explicit_padding.

  Returns:
    (net, end_points): logits, float [batch, num_classes], or features; end points
    by name.

  Raises:
    ValueError: as `mobilenet.mobilenet`, or for an argument 'multiplier'.
  """
  conv_defs = V3_LARGE if conv_defs is None else conv_defs
  if use_groupnorm:
    conv_defs = dict(conv_defs, defaults={
        **DEFAULTS_GROUP_NORM, (slim.group_norm,): {'groups': groups}})
  return lib.scaled_mobilenet(
      input_tensor, conv_defs, depth_multiplier, finegrain_classification_mode,
      num_classes=num_classes, scope=scope, **kwargs)


mobilenet.default_image_size = 224


@slim.add_arg_scope
def mobilenet_base(input_tensor, depth_multiplier=1.0, **kwargs):
  """Builds `mobilenet` without pooling and logits: the features and end points."""
  return mobilenet(
      input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


def wrapped_partial(func, new_defaults=None, **kwargs):
  """Returns a partial of `func`; callers can override its keyword arguments."""
  return lib.wrapped_partial(func, **{**(new_defaults or {}), **kwargs})


large = wrapped_partial(mobilenet, conv_defs=V3_LARGE)
small = wrapped_partial(mobilenet, conv_defs=V3_SMALL)
large_075 = wrapped_partial(
    mobilenet, conv_defs=V3_LARGE, depth_multiplier=0.75,
    finegrain_classification_mode=True)
small_075 = wrapped_partial(
    mobilenet, conv_defs=V3_SMALL, depth_multiplier=0.75,
    finegrain_classification_mode=True)
large_minimalistic = wrapped_partial(mobilenet, conv_defs=V3_LARGE_MINIMALISTIC)
small_minimalistic = wrapped_partial(mobilenet, conv_defs=V3_SMALL_MINIMALISTIC)
edge_tpu = wrapped_partial(
    mobilenet, new_defaults={'scope': 'MobilenetEdgeTPU'}, conv_defs=V3_EDGETPU)
edge_tpu_075 = wrapped_partial(
    mobilenet, new_defaults={'scope': 'MobilenetEdgeTPU'}, conv_defs=V3_EDGETPU,
    depth_multiplier=0.75, finegrain_classification_mode=True)
