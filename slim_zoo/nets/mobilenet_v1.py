"""MobileNet V1 (Howard et al. 2017, arXiv 1704.04861).

Table 1 of the paper is `MOBILENETV1_CONV_DEFS` below: a convolution, then 13 separable
convolutions: depthwise (with the stride) and 1x1 (with the depth).

                      multiply-adds   parameters   at 224
    mobilenet_v1          569M           4.24M
    mobilenet_v1_075      317M           2.59M
    mobilenet_v1_050      150M           1.34M
    mobilenet_v1_025       41M           0.47M
"""

import collections

from slim_zoo import diagnostics
from slim_zoo.nets import normalization
from slim_zoo.nets.layers import atrous_strides, fixed_padding
from slim_zoo.nets.mobilenet.mobilenet import safe_arg_scope
from slim_zoo.nets.mobilenet.mobilenet import wrapped_partial as wrapped_partial
from slim_zoo.tf_compat import slim, tf

Conv = collections.namedtuple('Conv', ('kernel', 'stride', 'depth'))
DepthSepConv = collections.namedtuple('DepthSepConv', ('kernel', 'stride', 'depth'))

MOBILENETV1_CONV_DEFS = [
    Conv(kernel=[3, 3], stride=2, depth=32),  # 112
    DepthSepConv(kernel=[3, 3], stride=1, depth=64),
    DepthSepConv(kernel=[3, 3], stride=2, depth=128),  # 56
    DepthSepConv(kernel=[3, 3], stride=1, depth=128),
    DepthSepConv(kernel=[3, 3], stride=2, depth=256),  # 28
    DepthSepConv(kernel=[3, 3], stride=1, depth=256),
    DepthSepConv(kernel=[3, 3], stride=2, depth=512),  # 14
    DepthSepConv(kernel=[3, 3], stride=1, depth=512),
    DepthSepConv(kernel=[3, 3], stride=1, depth=512),
    DepthSepConv(kernel=[3, 3], stride=1, depth=512),
    DepthSepConv(kernel=[3, 3], stride=1, depth=512),
    DepthSepConv(kernel=[3, 3], stride=1, depth=512),
    DepthSepConv(kernel=[3, 3], stride=2, depth=1024),  # 7
    DepthSepConv(kernel=[3, 3], stride=1, depth=1024),
]

_OUTPUT_STRIDES = (8, 16, 32)


def _convolutions(conv_defs, depth_of, output_stride):
  """Yields (end point, function, arguments) of each convolution in order."""
  for number, conv_def in enumerate(conv_defs):
    if not isinstance(conv_def, (Conv, DepthSepConv)):
      raise diagnostics.UserError(
          f'layer {number} of conv_defs is {conv_def!r}, not a Conv or a'
          ' DepthSepConv')
  strides = atrous_strides(
      (conv_def.stride for conv_def in conv_defs), output_stride)
  for number, (conv_def, (stride, rate)) in enumerate(
      zip(conv_defs, strides, strict=True)):
    name, depth = f'Conv2d_{number}', depth_of(conv_def)
    spatial = {'kernel_size': conv_def.kernel, 'stride': stride, 'rate': rate}
    if isinstance(conv_def, Conv):
      yield name, slim.conv2d, dict(spatial, num_outputs=depth)
    else:
      yield f'{name}_depthwise', slim.separable_conv2d, dict(
          spatial, num_outputs=None, depth_multiplier=1)
      yield f'{name}_pointwise', slim.conv2d, {
          'kernel_size': [1, 1], 'stride': 1, 'rate': 1, 'num_outputs': depth}


def mobilenet_v1_base(inputs, final_endpoint='Conv2d_13_pointwise', min_depth=8,
                      depth_multiplier=1.0, conv_defs=None, output_stride=None,
                      use_explicit_padding=False, scope=None):
  """Builds MobileNet V1 without pooling and logits.

  Args:
    inputs: float [batch, height, width, 3].
    final_endpoint: the last layer to build: 'Conv2d_0', 'Conv2d_N_depthwise' or
      'Conv2d_N_pointwise'; None builds all of `conv_defs`.
    min_depth: smallest number of channels, for multipliers below 1.
    depth_multiplier: factor of the number of channels.
    conv_defs: list of `Conv` and `DepthSepConv`; None means `MOBILENETV1_CONV_DEFS`.
    output_stride: ratio of input to output resolution: 8, 16 or 32. Later layers are
      dilated in place of their strides. None keeps all strides.
    use_explicit_padding: whether to pad with `layers.fixed_padding`, so that the
      alignment does not depend on whether the size is even.
    scope: variable scope.

  Returns:
    (net, end_points): the features, float [batch, height / 32, width / 32, 1024],
    and all end points by name.

  Raises:
    ValueError: `final_endpoint` does not exist, `depth_multiplier` is not above 0,
      `output_stride` is another number, or `conv_defs` has another element.
  """
  if depth_multiplier <= 0:
    raise diagnostics.UserError(
        f'depth_multiplier is {depth_multiplier}: it must be greater than 0')
  if output_stride is not None and output_stride not in _OUTPUT_STRIDES:
    raise diagnostics.UserError(
        f'output_stride is {output_stride}: it must be 8, 16, 32 or None')
  conv_defs = MOBILENETV1_CONV_DEFS if conv_defs is None else conv_defs
  depth_of = lambda conv_def: max(int(conv_def.depth * depth_multiplier), min_depth)
  net, end_points = inputs, {}
  with tf.variable_scope(scope, 'MobilenetV1', [inputs]):
    for name, convolution, arguments in _convolutions(
        conv_defs, depth_of, output_stride):
      padding = 'SAME'
      if use_explicit_padding:
        net = fixed_padding(net, arguments['kernel_size'], arguments['rate'])
        padding = 'VALID'
      net = end_points[name] = convolution(
          net, padding=padding, scope=name, **arguments)
      if name == final_endpoint:
        return net, end_points
  if final_endpoint is None:
    return net, end_points
  raise diagnostics.unknown_name('end point', final_endpoint, end_points)


def _pool(net, global_pool, end_points):
  """Averages over the whole features, or over windows of at most 7 x 7."""
  if global_pool:
    net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
    end_points['global_pool'] = net
    return net
  kernel = [min(7, size or 7) for size in net.get_shape().as_list()[1:3]]
  net = slim.avg_pool2d(net, kernel, padding='VALID', scope='AvgPool_1a')
  end_points['AvgPool_1a'] = net
  return net


def mobilenet_v1(inputs, num_classes=1000, dropout_keep_prob=0.999, is_training=True,
                 min_depth=8, depth_multiplier=1.0, conv_defs=None,
                 prediction_fn=slim.softmax, spatial_squeeze=True, reuse=None,
                 scope='MobilenetV1', global_pool=False, final_endpoint=None):
  """Builds MobileNet V1 with its classifier.

  Args:
    inputs: float [batch, height, width, 3].
    num_classes: number of logits; 0 or None returns the pooled features.
    dropout_keep_prob: share of activations that dropout keeps.
    is_training: mode of batch norm and dropout; None keeps the modes of the caller's
      arg scope.
    min_depth: smallest number of channels, for multipliers below 1.
    depth_multiplier: factor of the number of channels.
    conv_defs: see `mobilenet_v1_base`.
    prediction_fn: computes the end point 'Predictions' from the logits; None leaves it
      out.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether to average over the whole features, so that any image size
      gives one prediction; else over windows of at most 7 x 7, the features at 224.
    final_endpoint: the last layer to build and return, see `mobilenet_v1_base`; None
      builds all.

  Returns:
    (net, end_points): logits, float [batch, num_classes], or [batch, height, width,
    num_classes]; or features [batch, 1, 1, depth]. end_points are by name.

  Raises:
    ValueError: `inputs` is not of rank 4; or as `mobilenet_v1_base`.
  """
  if inputs.get_shape().ndims != 4:
    raise diagnostics.UserError(
        'images must be of rank 4, [batch, height, width, channels]: the shape is'
        f' {inputs.get_shape()}')
  with tf.variable_scope(scope, 'MobilenetV1', [inputs], reuse=reuse) as sc:
    with safe_arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
      net, end_points = mobilenet_v1_base(
          inputs, final_endpoint, min_depth=min_depth,
          depth_multiplier=depth_multiplier, conv_defs=conv_defs, scope=sc)
      if final_endpoint is not None:
        return net, end_points
      with tf.variable_scope('Logits'):
        net = _pool(net, global_pool, end_points)
        if not num_classes:
          return net, end_points
        net = slim.dropout(net, keep_prob=dropout_keep_prob, scope='Dropout_1b')
        logits = slim.conv2d(net, num_classes, [1, 1], activation_fn=None,
                             normalizer_fn=None, scope='Conv2d_1c_1x1')
        if spatial_squeeze:
          logits = tf.squeeze(logits, [1, 2], name='SpatialSqueeze')
      end_points['Logits'] = logits
      if prediction_fn:
        end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


mobilenet_v1.default_image_size = 224

mobilenet_v1_075 = wrapped_partial(mobilenet_v1, depth_multiplier=0.75)
mobilenet_v1_050 = wrapped_partial(mobilenet_v1, depth_multiplier=0.50)
mobilenet_v1_025 = wrapped_partial(mobilenet_v1, depth_multiplier=0.25)


def mobilenet_v1_arg_scope(is_training=True, weight_decay=0.00004, stddev=0.09,
                           regularize_depthwise=False, batch_norm_decay=0.9997,
                           batch_norm_epsilon=0.001,
                           batch_norm_updates_collections=tf.GraphKeys.UPDATE_OPS,
                           normalizer_fn=normalization.batch_norm):
  """Returns the arg scope of MobileNet V1.

  Args:
    is_training: batch norm's mode; None does not set it.
    weight_decay: L2 penalty on weights.
    stddev: standard deviation of the initial weights (truncated normal).
    regularize_depthwise: whether depthwise weights have weight decay; the paper advises
      against it, because they are few.
    batch_norm_decay: decay of the moving mean and variance.
    batch_norm_epsilon: added to the variance.
    batch_norm_updates_collections: collection of the updates of the moving averages.
    normalizer_fn: normalizer of all convolutions.
  """
  regularizer = slim.l2_regularizer(weight_decay)
  with slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=stddev),
      activation_fn=tf.nn.relu6, normalizer_fn=normalizer_fn), \
      safe_arg_scope(
          [slim.batch_norm], center=True, scale=True, decay=batch_norm_decay,
          epsilon=batch_norm_epsilon, is_training=is_training), \
      slim.arg_scope([slim.batch_norm],
                     updates_collections=batch_norm_updates_collections), \
      slim.arg_scope([slim.conv2d], weights_regularizer=regularizer), \
      slim.arg_scope(
          [slim.separable_conv2d],
          weights_regularizer=regularizer if regularize_depthwise else None) as scope:
    return scope
