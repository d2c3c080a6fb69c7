"""Pix2pix: a U-Net and a PatchGAN (Isola et al. 2017, arXiv 1611.07004), appendix 6.1.

Each block of the encoder halves the resolution. Each block of the decoder doubles it
and also reads the encoder's output at its resolution. The discriminator classifies
overlapping patches, not the whole image.
"""

import collections
import functools
import numbers

from slim_zoo import diagnostics
from slim_zoo.tf_compat import slim, tf


class Block(collections.namedtuple('Block', ('num_filters', 'decoder_keep_prob'))):
  """A level of the U-Net.

  Attributes:
    num_filters: depth of the convolutions in the encoder and in the decoder.
    decoder_keep_prob: share of activations that dropout keeps after the decoder's
      convolution; 0 for no dropout.
  """


def _default_generator_blocks():
  """Returns the blocks for 256 x 256 images, from the largest resolution on.

  The paper has one more block of 512, down to one pixel, and its dropout in the three
  smallest blocks.
  """
  return [
      Block(64, 0.5),   # 128
      Block(128, 0.5),  # 64
      Block(256, 0.5),  # 32
      Block(512, 0),    # 16
      Block(512, 0),    # 8
      Block(512, 0),    # 4
      Block(512, 0),    # 2
  ]


def pix2pix_arg_scope():
  """Returns the arg scope of both networks: instance norm, weights from N(0, 0.02).

  At the paper's batch size of 1, instance norm is batch norm.
  """
  with slim.arg_scope(
      [slim.conv2d, slim.conv2d_transpose],
      normalizer_fn=slim.instance_norm,
      normalizer_params={'center': True, 'scale': True, 'epsilon': 1e-5},
      weights_initializer=tf.random_normal_initializer(0, 0.02)) as scope:
    return scope


_METHODS = ('nn_upsample_conv', 'conv2d_transpose')


def upsample(net, num_outputs, kernel_size, method='nn_upsample_conv'):
  """Upsamples features, without an activation.

  Args:
    net: float [batch, height, width, depth].
    num_outputs: depth of the output.
    kernel_size: the factors of height and width.
    method: 'nn_upsample_conv', which repeats pixels and then convolves 4x4, or
      'conv2d_transpose', a transposed 4x4 convolution.

  Returns:
    float [batch, height * kernel_size[0], width * kernel_size[1], num_outputs].

  Raises:
    UserError: the method does not exist; it is a ValueError.
  """
  if method == 'nn_upsample_conv':
    for axis, factor in enumerate(kernel_size, 1):
      net = tf.repeat(net, factor, axis=axis)
    return slim.conv2d(net, num_outputs, [4, 4], activation_fn=None)
  if method == 'conv2d_transpose':
    return slim.conv2d_transpose(
        net, num_outputs, [4, 4], stride=kernel_size, activation_fn=None)
  raise diagnostics.unknown_name('upsample method', method, _METHODS)


def _check_size(images, num_blocks):
  for axis, side in ((1, 'height'), (2, 'width')):
    length = images.shape.as_list()[axis]
    if length is not None and length % 2 ** num_blocks:
      raise diagnostics.UserError(
          f'{num_blocks} blocks halve the {side} {num_blocks} times, but {length} is'
          f' not a multiple of {2 ** num_blocks}: resize the images or give other'
          ' blocks')


def _encode(net, blocks):
  """Returns the output of each block of the encoder."""
  outputs = []
  for number, block in enumerate(blocks):
    arguments = {}
    if number == len(blocks) - 1:
      # Instance norm of a feature map of one pixel would be 0.
      arguments = {'normalizer_fn': None, 'activation_fn': None}
    elif number == 0:
      arguments = {'normalizer_fn': None}
    net = slim.conv2d(net, block.num_filters, [4, 4], stride=2,
                      **{'activation_fn': tf.nn.leaky_relu, **arguments})
    outputs.append(net)
  return outputs


def _decode(encoded, blocks, upsample_fn, is_training):
  """Returns the output of each block of the decoder, the smallest first."""
  outputs = []
  net = None
  for skip, block in zip(reversed(encoded), reversed(blocks), strict=True):
    net = skip if net is None else tf.concat([net, skip], 3)
    # The ReLU is before the upsampling, because the encoder has leaky ReLUs.
    net = upsample_fn(tf.nn.relu(net), block.num_filters, [2, 2])
    if block.decoder_keep_prob > 0:
      net = slim.dropout(net, block.decoder_keep_prob, is_training=is_training)
    outputs.append(net)
  return outputs


def pix2pix_generator(net, num_outputs, blocks=None,
                      upsample_method='nn_upsample_conv', is_training=False):
  """Builds the generator, a U-Net. Build it under `pix2pix_arg_scope`.

  Args:
    net: images, float [batch, height, width, channels]; height and width are multiples
      of 2 to the number of blocks, 128 by default.
    num_outputs: channels of the output.
    blocks: a list of `Block`, the largest resolution first; None for seven of them.
    upsample_method: a method of `upsample`.
    is_training: whether dropout is on. The paper also uses dropout when it generates
      images, as the source of randomness.

  Returns:
    (logits, end_points): logits [batch, height, width, num_outputs]; end_points
    encoder0, encoder1, ..., decoder0 (the smallest), ..., logits, and predictions,
    the tanh of the logits.

  Raises:
    UserError: the image size does not fit the number of blocks, or the method does not
      exist; it is a ValueError.
  """
  blocks = blocks or _default_generator_blocks()
  _check_size(net, len(blocks))
  with tf.variable_scope('encoder'):
    encoded = _encode(net, blocks)
  with tf.variable_scope('decoder'):
    decoded = _decode(encoded, blocks,
                      functools.partial(upsample, method=upsample_method), is_training)
  with tf.variable_scope('output'):
    logits = slim.conv2d(decoded[-1], num_outputs, [4, 4], activation_fn=None,
                         normalizer_fn=None)
  return logits, {
      **{f'encoder{number}': output for number, output in enumerate(encoded)},
      **{f'decoder{number}': output for number, output in enumerate(decoded)},
      'logits': logits, 'predictions': tf.tanh(logits)}


def pix2pix_discriminator(net, num_filters, padding=2, pad_mode='REFLECT',
                          activation_fn=tf.nn.leaky_relu, is_training=False):
  """Builds the discriminator, a PatchGAN. Build it under `pix2pix_arg_scope`.

  Four depths, 64, 128, 256 and 512, make the paper's patches of 70 x 70.

  Args:
    net: float [batch, height, width, channels]: images, concatenated by depth with
      their source images.
    num_filters: depths of the 4x4 convolutions; all but the last have stride 2.
    padding: pixels added to each side before each convolution.
    pad_mode: a mode of `tf.pad`.
    activation_fn: after each convolution except the logits.
    is_training: not used; other discriminators have dropout.

  Returns:
    (logits, end_points): logits [batch, height', width', 1], one for each patch;
    end_points conv0, conv1, ..., logits, and predictions, their sigmoid.

  Raises:
    TypeError: `padding` is not an integer.
    UserError: `padding` is negative, or `num_filters` is empty; it is a ValueError.
  """
  del is_training
  if not isinstance(padding, numbers.Integral):
    raise TypeError(f'padding {padding!r} is not a whole number of pixels')
  if padding < 0:
    raise diagnostics.UserError(f'padding {padding}: give 0 or more pixels')
  if not num_filters:
    raise diagnostics.UserError(
        'num_filters is empty: give the depth of each convolution, such as'
        ' [64, 128, 256, 512]')

  def conv(net, number, depth, stride, **arguments):
    border = [padding, padding]
    net = tf.pad(net, [[0, 0], border, border, [0, 0]], pad_mode)
    return slim.conv2d(net, depth, [4, 4], stride=stride, padding='VALID',
                       scope=f'conv{number}', **arguments)

  end_points = {}
  last = len(num_filters) - 1
  for number, depth in enumerate(num_filters):
    first = {'normalizer_fn': None} if number == 0 else {}
    net = conv(net, number, depth, stride=1 if number == last else 2,
               activation_fn=activation_fn, **first)
    end_points[f'conv{number}'] = net
  end_points['logits'] = conv(net, last + 1, 1, stride=1, activation_fn=None,
                              normalizer_fn=None)
  end_points['predictions'] = tf.sigmoid(end_points['logits'])
  return end_points['logits'], end_points
