"""The generator of CycleGAN (Zhu et al. 2017, arXiv 1703.10593), appendix 7.2.

In the paper's notation c7s1-64, d128, d256, R256 (6 or 9 times), u128, u64, c7s1-3. The
image is encoded at a quarter of its resolution, passed through residual blocks and
decoded. Reflection padding avoids artefacts at the borders.
"""

import functools

from slim_zoo import diagnostics
from slim_zoo.tf_compat import slim, tf


def cyclegan_arg_scope(instance_norm_center=True, instance_norm_scale=True,
                       instance_norm_epsilon=0.001, weights_init_stddev=0.02,
                       weight_decay=0.0):
  """Returns the arg scope of CycleGAN.

  Convolutions have instance norm. Transposed convolutions have biases; in the paper
  they have instance norm too, which an arg scope of `slim.conv2d_transpose` can add.

  Args:
    instance_norm_center: whether instance norm has a beta.
    instance_norm_scale: whether instance norm has a gamma.
    instance_norm_epsilon: added to the variance.
    weights_init_stddev: standard deviation of the initial weights.
    weight_decay: L2 penalty on convolution weights; 0 or None for none.
  """
  regularizer = slim.l2_regularizer(weight_decay) if weight_decay else None
  with slim.arg_scope(
      [slim.conv2d],
      normalizer_fn=slim.instance_norm,
      normalizer_params={'center': instance_norm_center,
                         'scale': instance_norm_scale,
                         'epsilon': instance_norm_epsilon},
      weights_initializer=tf.random_normal_initializer(0, weights_init_stddev),
      weights_regularizer=regularizer) as scope:
    return scope


def _padded_conv(net, depth, kernel_size, stride=1, pad_mode='REFLECT', **arguments):
  """Pads by `pad_mode` and convolves; the output size is ceil(size / stride)."""
  before = (kernel_size - 1) // 2
  border = [before, kernel_size - 1 - before]
  net = tf.pad(net, [[0, 0], border, border, [0, 0]], pad_mode)
  return slim.conv2d(net, depth, [kernel_size, kernel_size], stride=stride,
                     padding='VALID', **arguments)


def _resize_conv(net, num_outputs, stride, pad_mode, resize):
  """Resizes `net` by the factors `stride`, then convolves 3x3."""
  known = net.shape.as_list()[1:3]
  sizes = [length if length is not None else tf.shape(net)[axis]
           for axis, length in enumerate(known, 1)]
  net = resize(net, [size * factor for size, factor in zip(
      sizes, stride, strict=True)])
  return _padded_conv(net, num_outputs, 3, pad_mode=pad_mode)


def _transposed_conv(net, num_outputs):
  """Doubles the resolution by a transposed 3x3 convolution."""
  net = slim.conv2d_transpose(net, num_outputs, [3, 3], stride=2, padding='VALID')
  # The transpose of a strided convolution with one pixel of padding on each side: the
  # first row and column are its padding.
  return net[:, 1:, 1:, :]


_METHODS = ('conv2d_transpose', 'nn_upsample_conv', 'bilinear_upsample_conv')


def cyclegan_upsample(net, num_outputs, stride, method='conv2d_transpose',
                      pad_mode='REFLECT', align_corners=False):
  """Upsamples features by `stride`.

  Args:
    net: float [batch, height, width, depth].
    num_outputs: depth of the output.
    stride: the factors of height and width; 2 and 2 for 'conv2d_transpose'.
    method: 'conv2d_transpose'; or 'nn_upsample_conv' or 'bilinear_upsample_conv', which
      resize and then convolve and so avoid checkerboard artefacts (Odena et al. 2016,
      Deconvolution and checkerboard artifacts).
    pad_mode: padding of the convolution after resizing, a mode of `tf.pad`.
    align_corners: whether bilinear resizing keeps the corner pixels in place.

  Returns:
    float [batch, height * stride[0], width * stride[1], num_outputs].

  Raises:
    UserError: the method does not exist or does not support the stride; it is a
      ValueError.
  """
  if method not in _METHODS:
    raise diagnostics.unknown_name('upsample method', method, _METHODS)
  with tf.variable_scope('upconv'):
    if method == 'nn_upsample_conv':
      return _resize_conv(net, num_outputs, stride, pad_mode,
                          tf.image.resize_nearest_neighbor)
    if method == 'bilinear_upsample_conv':
      return _resize_conv(
          net, num_outputs, stride, pad_mode, functools.partial(
              tf.image.resize_bilinear, align_corners=align_corners))
    if list(stride) != [2, 2]:
      raise diagnostics.UserError(
          f"method 'conv2d_transpose' upsamples by [2, 2], not by {list(stride)}:"
          " give 'nn_upsample_conv'")
    return _transposed_conv(net, num_outputs)


def _check_size(images):
  for axis, side in ((1, 'height'), (2, 'width')):
    length = images.shape.as_list()[axis]
    if length is not None and length % 4:
      raise diagnostics.UserError(
          f'The input {side} must be a multiple of 4, not {length}: resize, crop or pad'
          ' the images')


def cyclegan_generator_resnet(images, arg_scope_fn=cyclegan_arg_scope,
                              num_resnet_blocks=6, num_filters=64,
                              upsample_fn=cyclegan_upsample, kernel_size=3,
                              tanh_linear_slope=0.0, is_training=False):
  """Builds the generator, a network from images to images.

  Args:
    images: float [batch, height, width, channels] in [-1, 1]; height and width may
      be unknown, and must be multiples of 4.
    arg_scope_fn: returns the arg scope to build under.
    num_resnet_blocks: number of residual blocks; 6 for 128 x 128 images and 9 for
      256 x 256 in the paper.
    num_filters: depth of the first convolution.
    upsample_fn: called as upsample_fn(net, num_outputs=..., stride=[2, 2]).
    kernel_size: of all convolutions between the first and the last.
    tanh_linear_slope: factor of the logits that are added to their tanh, against
      vanishing gradients.
    is_training: not used; other generators have dropout.

  Returns:
    (predictions, end_points): float of the shape of `images`, in [-1, 1] unless
    there is a slope; end_points by name.

  Raises:
    UserError: height or width is not a multiple of 4; it is a ValueError.
  """
  del is_training
  _check_size(images)
  end_points = {}
  with slim.arg_scope(arg_scope_fn()):
    with tf.variable_scope('input'):
      net = end_points['encoder_0'] = _padded_conv(images, num_filters, 7)
    with tf.variable_scope('encoder'):
      for number, depth in ((1, num_filters * 2),    # 1/2
                            (2, num_filters * 4)):   # 1/4
        net = _padded_conv(net, depth, kernel_size, stride=2)
        end_points[f'encoder_{number}'] = net
    with tf.variable_scope('residual_blocks'):
      for number in range(num_resnet_blocks):
        with tf.variable_scope(f'block_{number}'):
          net = end_points[f'resnet_block_{number}'] = _residual(net, kernel_size)
    with tf.variable_scope('decoder'):
      for number, depth in ((1, num_filters * 2),    # 1/2
                            (2, num_filters)):       # 1/1
        with tf.variable_scope(f'decoder{number}'):
          net = upsample_fn(net, num_outputs=depth, stride=[2, 2])
        end_points[f'decoder{number}'] = net
    with tf.variable_scope('output'):
      logits = _padded_conv(net, images.shape[-1], 7, activation_fn=None,
                            normalizer_fn=None)
  end_points['logits'] = logits
  end_points['predictions'] = tf.tanh(logits) + tanh_linear_slope * logits
  return end_points['predictions'], end_points


def _residual(net, kernel_size):
  depth = net.shape[-1]
  residual = _padded_conv(net, depth, kernel_size)
  return net + _padded_conv(residual, depth, kernel_size, activation_fn=None)
