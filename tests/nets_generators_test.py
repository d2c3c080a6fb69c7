"""The generators: shapes, structure as in the papers, and that they learn."""

import functools
import math

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.nets import cyclegan, dcgan, pix2pix
from slim_zoo.tf_compat import slim, tf

METHODS = ('conv2d_transpose', 'nn_upsample_conv', 'bilinear_upsample_conv')
SMALL_BLOCKS = [pix2pix.Block(4, 0.5), pix2pix.Block(8, 0.5), pix2pix.Block(8, 0)]


def placeholder(*shape):
  return tf.placeholder(tf.float32, shape)


def random_images(*shape):
  return np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


def run(fetches, feed=None):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(fetches, feed)


def parameters():
  return sum(math.prod(variable.shape.as_list())
             for variable in tf.trainable_variables())


def unreached(loss):
  """Returns the weights that have no gradient of `loss`."""
  weights = tf.trainable_variables()
  gradients = tf.gradients(loss, weights)
  return [variable.op.name for gradient, variable in zip(
      gradients, weights, strict=True) if gradient is None]


def losses_of_training(loss, steps=10, learning_rate=0.01):
  """Returns the loss before and after some steps of Adam."""
  step = tf.train.AdamOptimizer(learning_rate).minimize(loss)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    before = session.run(loss)
    for _ in range(steps):
      session.run(step)
    return before, session.run(loss)


def small_cyclegan(images, **kwargs):
  return cyclegan.cyclegan_generator_resnet(
      images, num_resnet_blocks=2, num_filters=4, **kwargs)


@pytest.mark.parametrize('shape', [
    (4, 32, 32, 3), (3, 128, 128, 3), (2, 80, 400, 3), (1, 16, 8, 1),
    (None, 32, None, 3), (None, None, None, 3)])
def test_cyclegan_keeps_the_shape_of_images(shape):
  predictions, _ = small_cyclegan(placeholder(*shape))
  assert predictions.shape.as_list() == list(shape)


@pytest.mark.parametrize('method', METHODS)
def test_cyclegan_runs_where_sizes_are_known_late(method):
  images = placeholder(None, None, None, 3)
  predictions, _ = small_cyclegan(images, upsample_fn=functools.partial(
      cyclegan.cyclegan_upsample, method=method))
  values = run(predictions, {images: random_images(2, 16, 20, 3)})
  assert values.shape == (2, 16, 20, 3)
  assert np.abs(values).max() <= 1


@pytest.mark.parametrize('kernel_size', [3, 4, 5, 6])
def test_cyclegan_kernels_of_any_size_keep_the_shape(kernel_size):
  images = tf.constant(random_images(1, 32, 32, 3))
  predictions, end_points = small_cyclegan(images, kernel_size=kernel_size)
  assert end_points['encoder_2'].shape.as_list() == [1, 8, 8, 16]
  assert run(predictions).shape == (1, 32, 32, 3)


@pytest.mark.parametrize(('height', 'width', 'side'), [
    (29, 32, 'height'), (30, 32, 'height'), (32, 31, 'width')])
def test_cyclegan_takes_multiples_of_4(height, width, side):
  with pytest.raises(ValueError, match=f'The input {side} must be a multiple of 4.'):
    small_cyclegan(placeholder(None, height, width, 3))


def test_cyclegan_is_the_network_of_the_paper():
  """c7s1-64, d128, d256, R256 x 6, u128, u64, c7s1-3, by end points and count."""
  _, end_points = cyclegan.cyclegan_generator_resnet(placeholder(1, 128, 128, 3))
  shapes = {name: tensor.shape.as_list()[1:] for name, tensor in end_points.items()}
  assert shapes == {
      'encoder_0': [128, 128, 64], 'encoder_1': [64, 64, 128],
      'encoder_2': [32, 32, 256],
      **{f'resnet_block_{number}': [32, 32, 256] for number in range(6)},
      'decoder1': [64, 64, 128], 'decoder2': [128, 128, 64],
      'logits': [128, 128, 3], 'predictions': [128, 128, 3]}
  kernels = (49 * 3 * 64 + 9 * 64 * 128 + 9 * 128 * 256 + 6 * 2 * 9 * 256 * 256
             + 9 * 256 * 128 + 9 * 128 * 64 + 49 * 64 * 3)
  instance_norm = 2 * (64 + 128 + 256 + 6 * 2 * 256)
  assert parameters() == kernels + instance_norm + 128 + 64 + 3


def test_cyclegan_predictions_are_tanh_plus_a_slope():
  _, end_points = small_cyclegan(
      tf.constant(random_images(1, 16, 16, 3)), tanh_linear_slope=0.3)
  logits, predictions = run([end_points['logits'], end_points['predictions']])
  np.testing.assert_allclose(
      predictions, np.tanh(logits) + 0.3 * logits, rtol=1e-5, atol=1e-6)


def test_cyclegan_images_of_a_batch_do_not_see_each_other():
  """Instance norm, not batch norm."""
  images = placeholder(None, 16, 16, 3)
  predictions, _ = small_cyclegan(images)
  values = random_images(3, 16, 16, 3)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    together = session.run(predictions, {images: values})
    alone = session.run(predictions, {images: values[1:2]})
  np.testing.assert_allclose(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_cyclegan_arg_scope_takes_its_arguments():
  scope = functools.partial(
      cyclegan.cyclegan_arg_scope, instance_norm_center=False,
      instance_norm_scale=False, weights_init_stddev=0.5, weight_decay=0.1)
  small_cyclegan(placeholder(1, 16, 16, 3), arg_scope_fn=scope)
  names = [variable.op.name for variable in tf.trainable_variables()]
  assert not any(name.endswith(('gamma', 'InstanceNorm/beta')) for name in names)
  # All convolutions: first, two down, four residual, last.
  assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == 8
  [kernel] = [variable for variable in tf.trainable_variables()
              if variable.op.name == 'input/Conv/weights']
  assert 0.4 < run(kernel).std() < 0.6


def delta_weights(size):
  """Returns an initializer of kernels that pass the central pixel."""
  def initialize(shape, dtype=tf.float32, partition_info=None):
    values = np.zeros(shape, np.float32)
    values[(size - 1) // 2, (size - 1) // 2] = np.eye(*shape[2:])
    return tf.constant(values, dtype)
  return initialize


@pytest.mark.parametrize('method', METHODS)
def test_cyclegan_upsampling_does_not_shift_the_image(method):
  """What it makes of a pixel stands where a strided convolution looks for it."""
  pixels = np.abs(random_images(1, 3, 4, 2))
  with slim.arg_scope([slim.conv2d, slim.conv2d_transpose],
                      weights_initializer=delta_weights(3)):
    net = run(cyclegan.cyclegan_upsample(tf.constant(pixels), 2, [2, 2], method))
  assert net.shape == (1, 6, 8, 2)
  np.testing.assert_allclose(net[:, ::2, ::2], pixels, rtol=1e-5)
  between = {'conv2d_transpose': np.zeros_like(pixels), 'nn_upsample_conv': pixels}
  if method in between:
    np.testing.assert_allclose(net[:, 1::2, 1::2], between[method], rtol=1e-5)
  else:
    half = (pixels[:, :, :-1] + pixels[:, :, 1:]) / 2
    np.testing.assert_allclose(net[:, ::2, 1:-1:2], half, rtol=1e-5)


def test_cyclegan_align_corners_keeps_the_corners():
  pixels = np.abs(random_images(1, 3, 3, 1))
  with slim.arg_scope([slim.conv2d], weights_initializer=delta_weights(3)):
    net = run(cyclegan.cyclegan_upsample(
        tf.constant(pixels), 1, [3, 2], 'bilinear_upsample_conv',
        align_corners=True))
  assert net.shape == (1, 9, 6, 1)
  np.testing.assert_allclose(net[:, ::8, ::5], pixels[:, ::2, ::2], rtol=1e-5)


def test_cyclegan_upsampling_names_mistakes():
  with pytest.raises(ValueError, match="no upsample method 'nn_upsample'; did you"):
    cyclegan.cyclegan_upsample(tf.zeros([1, 4, 4, 2]), 2, [2, 2], 'nn_upsample')
  with pytest.raises(diagnostics.UserError, match=r'not by \[3, 3\]'):
    cyclegan.cyclegan_upsample(tf.zeros([1, 4, 4, 2]), 2, [3, 3])


def test_cyclegan_learns():
  tf.set_random_seed(1)
  images = tf.constant(random_images(2, 16, 16, 3))
  predictions, _ = small_cyclegan(images)
  loss = tf.reduce_mean(tf.abs(predictions + 0.5))
  assert unreached(loss) == []
  before, after = losses_of_training(loss)
  assert after < 0.8 * before


@pytest.mark.parametrize(('exponent', 'batch'), [(3, 3), (4, 4), (5, 5), (6, None)])
def test_dcgan_generator_doubles_size_and_halves_depth(exponent, batch):
  size = 2 ** exponent
  images, end_points = dcgan.generator(
      placeholder(batch, 64), depth=8, final_size=size, num_outputs=2)
  assert images.shape.as_list() == [batch, size, size, 2]
  assert list(end_points) == [
      *(f'deconv{number}' for number in range(1, exponent)), 'logits']
  for number in range(1, exponent):
    assert end_points[f'deconv{number}'].shape.as_list() == [
        batch, 2 ** (number + 1), 2 ** (number + 1), 8 * 2 ** (exponent - number - 1)]


@pytest.mark.parametrize(('exponent', 'batch'), [(1, 3), (2, 4), (5, 7), (6, None)])
def test_dcgan_discriminator_halves_size_and_doubles_depth(exponent, batch):
  size = 2 ** exponent
  logits, end_points = dcgan.discriminator(placeholder(batch, size, size, 3), depth=4)
  assert logits.shape.as_list() == [batch, 1]
  assert end_points['logits'] is logits
  assert list(end_points) == [
      *(f'conv{number}' for number in range(1, exponent + 1)), 'logits']
  for number in range(1, exponent + 1):
    assert end_points[f'conv{number}'].shape.as_list() == [
        batch, size // 2 ** number, size // 2 ** number, 4 * 2 ** (number - 1)]


@pytest.mark.parametrize(('shape', 'final_size', 'message'), [
    ((5, 32, 32), 32, 'needs noise'), ((5, None), 32, 'needs noise'),
    ((3, 2), 30, 'must be a power of 2'), ((3, 2), 0, 'must be a power of 2'),
    ((3, 2), 4, 'must be at least 8')])
def test_dcgan_generator_names_mistakes(shape, final_size, message):
  with pytest.raises(ValueError, match=message):
    dcgan.generator(placeholder(*shape), final_size=final_size)


@pytest.mark.parametrize(('shape', 'message'), [
    ((5, 32, 32), 'needs images'), ((5, 32, None, 3), 'known height and width'),
    ((5, 32, 16, 3), 'not have equal width and height'),
    ((5, 30, 30, 3), 'not a power of 2'), ((5, 1, 1, 3), 'not a power of 2')])
def test_dcgan_discriminator_names_mistakes(shape, message):
  with pytest.raises(ValueError, match=message):
    dcgan.discriminator(placeholder(*shape))


def test_dcgan_has_batch_norm_everywhere_but_at_the_images():
  images, _ = dcgan.generator(placeholder(2, 8), depth=4)
  dcgan.discriminator(images, depth=4)
  normalized = {variable.op.name.split('/BatchNorm')[0]
                for variable in tf.trainable_variables()
                if variable.op.name.endswith('BatchNorm/beta')}
  assert normalized == {
      *(f'Generator/deconv{number}' for number in (1, 2, 3)),
      *(f'Discriminator/conv{number}' for number in (2, 3, 4, 5))}
  assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 2 * len(normalized)


def test_dcgan_variables_are_shared_on_reuse():
  real, fake = placeholder(2, 8, 8, 3), placeholder(3, 8, 8, 3)
  dcgan.discriminator(real, depth=4)
  names = [variable.op.name for variable in tf.global_variables()]
  dcgan.discriminator(fake, depth=4, reuse=True)
  dcgan.generator(placeholder(2, 4), depth=4, final_size=8)
  count = len(tf.global_variables())
  dcgan.generator(placeholder(2, 4), depth=4, final_size=8, reuse=True)
  assert [variable.op.name for variable in tf.global_variables()][:len(names)] == names
  assert len(tf.global_variables()) == count


@pytest.mark.parametrize('fused_batch_norm', [False, True])
def test_dcgan_batch_statistics_only_in_training(fused_batch_norm):
  """In evaluation an image does not depend on the rest of the batch."""
  noise = placeholder(None, 6)
  values = random_images(4, 6)
  trained, _ = dcgan.generator(noise, 4, 8, fused_batch_norm=fused_batch_norm)
  evaluated, _ = dcgan.generator(noise, 4, 8, is_training=False, reuse=True,
                                 fused_batch_norm=fused_batch_norm)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())

    def change(images):
      return np.abs(session.run(images, {noise: values})[:2]
                    - session.run(images, {noise: values[:2]})).max()
    assert change(evaluated) < 1e-5
    assert change(trained) > 1e-3


def test_dcgan_learns():
  """The discriminator learns to tell noise from generated images, then is fooled."""
  tf.set_random_seed(1)
  fake, _ = dcgan.generator(tf.constant(random_images(4, 6)), 4, 8)
  real_logits, _ = dcgan.discriminator(tf.constant(random_images(4, 8, 8, 3)), 4)
  fake_logits, _ = dcgan.discriminator(fake, 4, reuse=True)
  judge = (tf.reduce_mean(tf.nn.softplus(-real_logits))
           + tf.reduce_mean(tf.nn.softplus(fake_logits)))
  fool = tf.reduce_mean(tf.nn.softplus(-fake_logits))
  assert unreached(judge) == []
  steps = [(loss, tf.train.AdamOptimizer(0.02).minimize(
      loss, var_list=tf.trainable_variables(scope)))
           for loss, scope in ((judge, 'Discriminator'), (fool, 'Generator'))]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for loss, step in steps:
      before = session.run(loss)
      for _ in range(40):
        session.run(step)
      assert session.run(loss) < 0.7 * before


@pytest.mark.parametrize('method', ['nn_upsample_conv', 'conv2d_transpose'])
def test_pix2pix_generator_keeps_height_and_width(method):
  images = placeholder(None, None, None, 3)
  with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
    logits, end_points = pix2pix.pix2pix_generator(
        images, 4, SMALL_BLOCKS, upsample_method=method)
  logits, predictions = run([logits, end_points['predictions']],
                            {images: random_images(2, 16, 24, 3)})
  assert logits.shape == (2, 16, 24, 4)
  np.testing.assert_allclose(predictions, np.tanh(logits), rtol=1e-5, atol=1e-6)


def test_pix2pix_default_blocks_are_a_u_net():
  """Each level halves, and the decoder mirrors the encoder's depths."""
  with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
    _, end_points = pix2pix.pix2pix_generator(placeholder(1, 256, 256, 3), 3)
  depths = [64, 128, 256, 512, 512, 512, 512]
  sizes = [128, 64, 32, 16, 8, 4, 2]
  for number, (size, depth) in enumerate(zip(sizes, depths, strict=True)):
    assert end_points[f'encoder{number}'].shape.as_list() == [1, size, size, depth]
    assert end_points[f'decoder{6 - number}'].shape.as_list() == [
        1, 2 * size, 2 * size, depth]
  assert list(end_points)[-2:] == ['logits', 'predictions']
  # A kernel of the decoder sees the decoder's features and the encoder's.
  depths_in = [variable.shape.as_list()[2] for variable in tf.trainable_variables()
               if variable.op.name.startswith('decoder')
               and variable.op.name.endswith('weights')]
  assert depths_in == [512, 1024, 1024, 1024, 512 + 256, 256 + 128, 128 + 64]


def test_pix2pix_blocks_dictate_the_number_of_layers():
  blocks = [pix2pix.Block(64, 0.5), pix2pix.Block(128, 0)]
  _, end_points = pix2pix.pix2pix_generator(placeholder(2, 256, 256, 3), 4, blocks)
  assert list(end_points) == ['encoder0', 'encoder1', 'decoder0', 'decoder1',
                              'logits', 'predictions']


@pytest.mark.parametrize(('is_training', 'blocks', 'random'), [
    (True, SMALL_BLOCKS, True), (False, SMALL_BLOCKS, False),
    (True, [pix2pix.Block(4, 0), pix2pix.Block(4, 0)], False)])
def test_pix2pix_dropout_where_a_block_has_it_and_in_training(
    is_training, blocks, random):
  logits, _ = pix2pix.pix2pix_generator(
      tf.constant(random_images(1, 16, 16, 3)), 2, blocks, is_training=is_training)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    first, second = session.run(logits), session.run(logits)
  assert (np.abs(first - second).max() > 0) == random


def test_pix2pix_generator_names_mistakes():
  with pytest.raises(ValueError, match="no upsample method 'nn_upsample'; did you"):
    pix2pix.pix2pix_generator(placeholder(1, 16, 16, 3), 3, SMALL_BLOCKS,
                              'nn_upsample')
  with pytest.raises(diagnostics.UserError, match='3 blocks halve the width 3 times'):
    pix2pix.pix2pix_generator(placeholder(1, 16, 20, 3), 3, SMALL_BLOCKS)


def size_after(size, padding, strides):
  for stride in strides:
    size = (size + 2 * padding - 4) // stride + 1
  return size


@pytest.mark.parametrize('padding', [0, 1, 2])
def test_pix2pix_discriminator_judges_patches(padding):
  with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
    logits, end_points = pix2pix.pix2pix_discriminator(
        placeholder(2, 256, 256, 3), [64, 128, 256, 512], padding=padding)
  size = size_after(256, padding, (2, 2, 2, 1, 1))
  assert logits.shape.as_list() == [2, size, size, 1]
  assert end_points['predictions'].shape.as_list() == [2, size, size, 1]
  assert {name: tensor.shape[-1] for name, tensor in end_points.items()} == {
      'conv0': 64, 'conv1': 128, 'conv2': 256, 'conv3': 512, 'logits': 1,
      'predictions': 1}
  normalized = {variable.op.name.split('/')[0] for variable
                in tf.trainable_variables() if 'InstanceNorm' in variable.op.name}
  assert normalized == {'conv1', 'conv2', 'conv3'}


def test_pix2pix_patches_are_70_pixels_wide():
  """The paper's 70 x 70 PatchGAN. Instance norm, which sees all, is left out."""
  images = tf.constant(random_images(1, 160, 160, 1))
  logits, _ = pix2pix.pix2pix_discriminator(images, [2, 2, 2, 2])
  size = logits.shape.as_list()[1]
  [gradient] = tf.gradients(logits[:, size // 2, size // 2], images)
  rows, columns = np.nonzero(run(gradient)[0, :, :, 0])
  assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (70, 70)


@pytest.mark.parametrize(('arguments', 'error', 'message'), [
    ({'padding': 1.5}, TypeError, 'padding 1.5'),
    ({'padding': -1}, ValueError, 'padding -1'),
    ({'num_filters': []}, ValueError, 'num_filters is empty')])
def test_pix2pix_discriminator_names_mistakes(arguments, error, message):
  with pytest.raises(error, match=message):
    pix2pix.pix2pix_discriminator(
        placeholder(1, 64, 64, 3), **{'num_filters': [8, 8], **arguments})


@pytest.mark.parametrize('method', ['nn_upsample_conv', 'conv2d_transpose'])
def test_pix2pix_learns(method):
  """Both networks: to paint an image, and to tell it from the painted one."""
  tf.set_random_seed(1)
  images = tf.constant(random_images(1, 16, 16, 3))
  with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
    with tf.variable_scope('generator'):
      _, end_points = pix2pix.pix2pix_generator(
          images, 3, SMALL_BLOCKS, method, is_training=True)
    painted = end_points['predictions']
    with tf.variable_scope('discriminator') as scope:
      real, _ = pix2pix.pix2pix_discriminator(images, [4, 8, 8])
    with tf.variable_scope(scope, reuse=True):
      fake, _ = pix2pix.pix2pix_discriminator(painted, [4, 8, 8])
  paint = tf.reduce_mean(tf.abs(painted + 0.5))
  judge = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
  assert unreached(judge) == []
  before, after = losses_of_training(paint + judge, steps=15)
  assert after < 0.8 * before
