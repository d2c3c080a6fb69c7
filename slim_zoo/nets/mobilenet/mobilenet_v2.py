"""MobileNet V2 (Sandler et al. 2018, arXiv 1801.04381).

Table 2 of the paper is `_BOTTLENECKS` below: t is the expansion, c the number of
outputs, n the number of repetitions, s the stride of the first one.
"""

from slim_zoo.nets import normalization
from slim_zoo.nets.mobilenet import conv_blocks as ops
from slim_zoo.nets.mobilenet import mobilenet as lib
from slim_zoo.nets.mobilenet.mobilenet import wrapped_partial as wrapped_partial
from slim_zoo.tf_compat import slim, tf

op = lib.op
expand_input = ops.expand_input_by_factor

_CONVOLUTIONS = (slim.conv2d, slim.fully_connected, slim.separable_conv2d)

_BOTTLENECKS = (
    # t    c  n  s    resolution at 224; 112 before
    (1,  16, 1, 1),  # 112
    (6,  24, 2, 2),  # 56
    (6,  32, 3, 2),  # 28
    (6,  64, 4, 2),  # 14
    (6,  96, 3, 1),  # 14
    (6, 160, 3, 2),  # 7
    (6, 320, 1, 1),  # 7
)


def _bottleneck(t, c, s):
  # Without an expansion nothing may be rounded up: the inner depth would be larger.
  divisible_by = 1 if t == 1 else 8
  return op(ops.expanded_conv, expansion_size=expand_input(t, divisible_by),
            stride=s, num_outputs=c)


def _defaults(normalizer_fn, **normalizer_params):
  return {
      (normalizer_fn,): normalizer_params,
      _CONVOLUTIONS: {'normalizer_fn': normalizer_fn, 'activation_fn': tf.nn.relu6},
      (ops.expanded_conv,): {
          'expansion_size': expand_input(6), 'split_expansion': 1,
          'normalizer_fn': normalizer_fn, 'residual': True},
      (slim.conv2d, slim.separable_conv2d): {'padding': 'SAME'},
  }


V2_DEF = {
    'defaults': _defaults(normalization.batch_norm, center=True, scale=True),
    'spec': [
        op(slim.conv2d, stride=2, num_outputs=32, kernel_size=[3, 3]),
        *(_bottleneck(t, c, 1 if repeated else s)
          for t, c, n, s in _BOTTLENECKS for repeated in range(n)),
        op(slim.conv2d, stride=1, kernel_size=[1, 1], num_outputs=1280),
    ],
}

V2_DEF_GROUP_NORM = dict(V2_DEF, defaults=_defaults(slim.group_norm, groups=8))


@slim.add_arg_scope
def mobilenet(input_tensor, num_classes=1001, depth_multiplier=1.0,
              scope='MobilenetV2', conv_defs=None,
              finegrain_classification_mode=False, min_depth=None, divisible_by=None,
              activation_fn=None, **kwargs):
  """Builds MobileNet V2. Inference mode is created by default.

  To train, build it under `training_scope`, such as
    with slim.arg_scope(mobilenet_v2.training_scope(is_training=True)):
      logits, end_points = mobilenet_v2.mobilenet(images)

  Args:
    input_tensor: float [batch, height, width, 3].
    num_classes: number of logits; 0 or None returns the pooled features.
    depth_multiplier: factor of the number of channels.
    scope: variable scope.
    conv_defs: the table of layers; None means `V2_DEF`.
    finegrain_classification_mode: whether a multiplier below 1 leaves the last
      layer at 1280 channels, as the paper does.
    min_depth: smallest number of outputs of a layer; None means the arg scope's.
    divisible_by: numbers of outputs are multiples of this; None means the arg scope's.
    activation_fn: activation of convolutions; None means the table's, ReLU6.
    **kwargs: go to `mobilenet.mobilenet` and `mobilenet.mobilenet_base`:
      prediction_fn, reuse, base_only, use_reduce_mean_for_pooling, is_training,
      final_endpoint, output_stride, use_explicit_padding.

  Returns:
    (net, end_points): logits, float [batch, num_classes], or features; end points
    by name.

  Raises:
    ValueError: as `mobilenet.mobilenet`, or for an argument 'multiplier'.
  """
  conv_defs = V2_DEF if conv_defs is None else conv_defs
  if activation_fn is not None:
    defaults = conv_defs.get('defaults', {})
    convolutions = dict(defaults.get(_CONVOLUTIONS, {}), activation_fn=activation_fn)
    conv_defs = dict(conv_defs, defaults={**defaults, _CONVOLUTIONS: convolutions})
  with lib.safe_arg_scope([lib.depth_multiplier],
                          min_depth=min_depth, divisible_by=divisible_by):
    return lib.scaled_mobilenet(
        input_tensor, conv_defs, depth_multiplier, finegrain_classification_mode,
        num_classes=num_classes, scope=scope, **kwargs)


mobilenet.default_image_size = 224

mobilenet_v2_140 = wrapped_partial(mobilenet, depth_multiplier=1.4)
mobilenet_v2_130 = wrapped_partial(mobilenet, depth_multiplier=1.3)
mobilenet_v2_075 = wrapped_partial(
    mobilenet, depth_multiplier=0.75, finegrain_classification_mode=True)
mobilenet_v2_050 = wrapped_partial(
    mobilenet, depth_multiplier=0.50, finegrain_classification_mode=True)
mobilenet_v2_035 = wrapped_partial(
    mobilenet, depth_multiplier=0.35, finegrain_classification_mode=True)


@slim.add_arg_scope
def mobilenet_base(input_tensor, depth_multiplier=1.0, **kwargs):
  """Builds `mobilenet` without pooling and logits: the features and end points."""
  return mobilenet(
      input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


@slim.add_arg_scope
def mobilenet_base_group_norm(input_tensor, depth_multiplier=1.0, **kwargs):
  """Builds `mobilenet_base` with group norm (Wu and He 2018, arXiv 1803.08494).

  The argument `groups`, 8 if absent, is the number of groups of channels.
  """
  defaults = {**V2_DEF_GROUP_NORM['defaults'],
              (slim.group_norm,): {'groups': kwargs.pop('groups', 8)}}
  return mobilenet_base(input_tensor, depth_multiplier=depth_multiplier,
                        **dict(kwargs, conv_defs=dict(V2_DEF_GROUP_NORM,
                                                      defaults=defaults)))


def training_scope(**kwargs):
  """Returns the arg scope for MobileNet V2; see `mobilenet.training_scope`."""
  return lib.training_scope(**kwargs)
