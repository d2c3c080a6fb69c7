"""DCGAN: a generator and a discriminator (Radford et al. 2016, arXiv 1511.06434).

Figure 1 of the paper, for any power of 2. The generator doubles the resolution from
4 x 4 on and halves the depth; the discriminator is its mirror. All layers have batch
norm except those next to the images, where the paper reports that it is unstable.
"""

from slim_zoo import diagnostics
from slim_zoo.nets import normalization
from slim_zoo.tf_compat import slim, tf


def _arg_scope(layer, is_training, fused_batch_norm, activation_fn):
  """Returns the arg scope of one network; `layer` halves or doubles the resolution."""
  with slim.arg_scope(
      [layer], kernel_size=[4, 4], stride=2, padding='SAME',
      activation_fn=activation_fn, normalizer_fn=normalization.batch_norm,
      # Without zero debias the mean's moving average, which starts at 0, is wrong
      # for the first thousand steps.
      normalizer_params={'is_training': is_training, 'zero_debias_moving_mean': True,
                         'fused': fused_batch_norm}) as scope:
    return scope


def _power_of_2(size):
  """Returns the exponent, or None if `size` is not a power of 2."""
  return size.bit_length() - 1 if size > 0 and size & (size - 1) == 0 else None


def _image_exponent(inputs):
  """Returns n for images of 2^n x 2^n; raises UserError for other images."""
  if inputs.shape.rank != 4:
    raise diagnostics.UserError(
        'the discriminator needs images [batch, size, size, channels], not inputs of'
        f' shape {inputs.shape}')
  _, height, width, _ = inputs.shape.as_list()
  if None in (height, width):
    raise diagnostics.UserError(
        f'the depth of the discriminator depends on the image size: give images of a'
        f' known height and width, not of shape {inputs.shape}')
  if height != width:
    raise diagnostics.UserError(
        f'images of {height} x {width} do not have equal width and height: crop or'
        ' resize them')
  exponent = _power_of_2(height)
  if not exponent:
    raise diagnostics.UserError(
        f'the image size {height} is not a power of 2 (2 or more): resize the images')
  return exponent


def discriminator(inputs, depth=64, is_training=True, reuse=None,
                  scope='Discriminator', fused_batch_norm=False):
  """Builds the discriminator, which classifies images as real or generated.

  Args:
    inputs: float [batch, size, size, channels]; the size is a power of 2.
    depth: depth of the first convolution; it doubles with each next one.
    is_training: whether batch norm uses the batch's statistics.
    reuse: whether the variables exist already. Training creates more variables than
      evaluation, so build for training first.
    scope: variable scope.
    fused_batch_norm: whether batch norm runs as one fused operation.

  Returns:
    (logits, end_points): logits [batch, 1], positive for images classified as real;
    end_points conv1, conv2, ... and logits.

  Raises:
    UserError: the shape of `inputs` is wrong; it is a ValueError.
  """
  exponent = _image_exponent(inputs)
  end_points = {}
  net = inputs
  with tf.variable_scope(scope, values=[inputs], reuse=reuse):
    with slim.arg_scope(_arg_scope(
        slim.conv2d, is_training, fused_batch_norm, tf.nn.leaky_relu)):
      for number in range(1, exponent + 1):  # size / 2, size / 4, ... 1
        first = {'normalizer_fn': None} if number == 1 else {}
        net = slim.conv2d(net, depth * 2 ** (number - 1), scope=f'conv{number}',
                          **first)
        end_points[f'conv{number}'] = net
    logits = slim.conv2d(net, 1, kernel_size=1, activation_fn=None, scope='logits')
    logits = end_points['logits'] = tf.squeeze(logits, [1, 2])
  return logits, end_points


def generator(inputs, depth=64, final_size=32, num_outputs=3, is_training=True,
              reuse=None, scope='Generator', fused_batch_norm=False):
  """Builds the generator, which computes images from noise.

  Args:
    inputs: float noise [batch, length].
    depth: depth at the final size; it doubles with each halving of the size.
    final_size: height and width of the images, a power of 2, at least 8.
    num_outputs: channels of the images.
    is_training: whether batch norm uses the batch's statistics.
    reuse: whether the variables exist already. Training creates more variables than
      evaluation, so build for training first.
    scope: variable scope.
    fused_batch_norm: whether batch norm runs as one fused operation.

  Returns:
    (logits, end_points): logits [batch, final_size, final_size, num_outputs], whose
    tanh is the image in the paper; end_points deconv1, deconv2, ... and logits.

  Raises:
    UserError: `inputs` is not [batch, length], or `final_size` is not supported; it is
      a ValueError.
  """
  if inputs.shape.rank != 2 or inputs.shape.as_list()[1] is None:
    raise diagnostics.UserError(
        f'the generator needs noise [batch, length], not inputs of shape'
        f' {inputs.shape}')
  exponent = _power_of_2(final_size)
  if exponent is None:
    raise diagnostics.UserError(f'final_size {final_size}: it must be a power of 2')
  if final_size < 8:
    raise diagnostics.UserError(
        f'final_size {final_size}: it must be at least 8')

  end_points = {}
  last = exponent - 1
  net = inputs[:, None, None, :]
  with tf.variable_scope(scope, values=[inputs], reuse=reuse):
    with slim.arg_scope(_arg_scope(
        slim.conv2d_transpose, is_training, fused_batch_norm, tf.nn.relu)):
      for number in range(1, last + 1):  # 4, 8, ... final_size
        arguments = {}
        if number == 1:
          arguments = {'stride': 1, 'padding': 'VALID'}
        elif number == last:
          arguments = {'normalizer_fn': None, 'activation_fn': None}
        net = slim.conv2d_transpose(net, depth * 2 ** (last - number),
                                    scope=f'deconv{number}', **arguments)
        end_points[f'deconv{number}'] = net
    logits = slim.conv2d(net, num_outputs, kernel_size=1, activation_fn=None,
                         scope='logits')
  end_points['logits'] = logits
  return logits, end_points
