"""ResNets beyond their contracts: strides, dilation, options, errors."""

import re

import numpy as np
import pytest

from slim_zoo.catalog import architectures
from slim_zoo.nets import (
    nets_factory,
    resnet,
    resnet_utils,
    resnet_v1,
    resnet_v2,
    resnext,
    vgg,
)
from slim_zoo.tf_compat import slim, tf

VERSIONS = {
    'v1': (resnet_v1.resnet_v1, resnet_v1.resnet_v1_block, resnet_v1.bottleneck),
    'v2': (resnet_v2.resnet_v2, resnet_v2.resnet_v2_block, resnet_v2.bottleneck)}


def tiny(version, images, num_classes=None, **arguments):
  """Builds a ResNet of two units a block and few channels."""
  network, block, _ = VERSIONS[version]
  blocks = [block('block1', 1, 2, 2), block('block2', 2, 2, 2),
            block('block3', 4, 2, 2), block('block4', 8, 2, 1)]
  with slim.arg_scope(resnet_utils.resnet_arg_scope()):
    return network(images, blocks, num_classes, is_training=False,
                   scope='tiny', **arguments)


def images(size, count=1):
  return tf.constant(np.random.RandomState(0).uniform(
      -1, 1, [count, size, size, 3]).astype(np.float32))


def run(*tensors):
  with tf.Session() as session:
    tf.set_random_seed(0)
    session.run(tf.global_variables_initializer())
    return session.run(list(tensors))


@pytest.mark.parametrize(('size', 'kernel', 'stride'), [
    (8, 3, 2), (9, 3, 2), (7, 5, 2), (12, 7, 3), (11, 4, 2)])
def test_conv2d_same_is_a_subsampled_convolution(size, kernel, stride):
  net = images(size)
  with tf.variable_scope('shared'):
    strided = resnet_utils.conv2d_same(net, 4, kernel, stride, scope='conv')
  with tf.variable_scope('shared', reuse=True):
    whole = slim.conv2d(net, 4, kernel, stride=1, padding='SAME', scope='conv')
  strided, subsampled = run(strided, resnet_utils.subsample(whole, stride))
  np.testing.assert_allclose(strided, subsampled, atol=1e-5)


def test_subsample_takes_every_nth_pixel():
  net = tf.reshape(tf.range(25.0), [1, 5, 5, 1])
  (out,) = run(resnet_utils.subsample(net, 2))
  np.testing.assert_array_equal(
      out[0, :, :, 0], [[0, 2, 4], [10, 12, 14], [20, 22, 24]])
  assert resnet_utils.subsample(net, 1) is net


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize('output_stride', [4, 8, 16, 32])
def test_dilated_features_subsampled_equal_the_nominal_ones(version, output_stride):
  net = images(65)
  dense, _ = tiny(version, net, global_pool=False, output_stride=output_stride)
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    nominal, _ = tiny(version, net, global_pool=False, reuse=True)
  assert dense.shape[1] == -(-65 // output_stride)
  dense, nominal = run(
      resnet_utils.subsample(dense, 32 // output_stride), nominal)
  np.testing.assert_allclose(dense, nominal, atol=1e-4)


@pytest.mark.parametrize('version', VERSIONS)
@pytest.mark.parametrize(('output_stride', 'message'), [
    (6, 'not a multiple of 4'), (24, 'cannot be reached'), (64, 'cannot be reached')])
def test_output_strides_that_do_not_exist(version, output_stride, message):
  with pytest.raises(ValueError, match=message):
    tiny(version, images(33), output_stride=output_stride)


@pytest.mark.parametrize('version', VERSIONS)
def test_fully_convolutional_logits(version):
  logits, end_points = tiny(version, images(97), 3, global_pool=False,
                            spatial_squeeze=False)
  assert logits.shape.as_list() == [1, 4, 4, 3]
  assert end_points['tiny/logits'] is logits
  assert end_points['predictions'].shape.as_list() == [1, 4, 4, 3]


@pytest.mark.parametrize('version', VERSIONS)
def test_unknown_sizes(version):
  net = tf.placeholder(tf.float32, [None, None, None, 3])
  logits, _ = tiny(version, net, 3)
  assert logits.shape.as_list() == [None, 3]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert session.run(logits, {net: np.zeros([2, 40, 50, 3])}).shape == (2, 3)


def test_without_the_root_block():
  net, end_points = tiny('v1', images(32), include_root_block=False, global_pool=False)
  assert net.shape.as_list() == [1, 4, 4, 32]
  assert 'tiny/conv1' not in end_points


def test_non_strided_activations_keep_the_resolution_of_a_block():
  net = images(65)
  plain, plain_points = tiny('v1', net, global_pool=False)
  stored, stored_points = tiny('v1', net, global_pool=False, reuse=True,
                               store_non_strided_activations=True)
  assert plain_points['tiny/block1'].shape[1] == 9
  assert stored_points['tiny/block1'].shape[1] == 17
  plain, stored = run(plain, stored)
  np.testing.assert_allclose(plain, stored, atol=1e-4)


def test_depth_multiplier_narrows_down_to_the_smallest_depth():
  net = tf.placeholder(tf.float32, [1, 64, 64, 3])
  _, end_points = resnet_v1.resnet_v1_50(net, depth_multiplier=0.25, min_base_depth=20)
  assert end_points['resnet_v1_50/block1'].shape[-1] == 80
  assert end_points['resnet_v1_50/block4'].shape[-1] == 512


def test_bounded_activations():
  with slim.arg_scope([resnet_v1.bottleneck], use_bounded_activations=True):
    _, end_points = tiny('v1', 100 * images(32))
  (block,) = run(end_points['tiny/block2'])
  assert block.max() <= 6.0
  assert block.min() >= 0.0


def test_batch_norm_mode_can_be_left_to_the_caller():
  network, block, _ = VERSIONS['v2']
  with slim.arg_scope(resnet_utils.resnet_arg_scope()):
    with slim.arg_scope([slim.batch_norm], is_training=True):
      network(images(32), [block('block1', 1, 1, 1)], is_training=None)
  assert tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_arg_scope_without_batch_norm_has_biases():
  with slim.arg_scope(resnet_utils.resnet_arg_scope(use_batch_norm=False)):
    slim.conv2d(images(4), 2, 3, scope='conv')
  assert [variable.op.name for variable in tf.global_variables()] == [
      'conv/weights', 'conv/biases']


def resolutions(module, line):
  """Returns the numbers of a line of a module's table."""
  (found,) = re.findall(rf'^ *{line} +(\d+(?: +\d+)*)', module.__doc__, re.MULTILINE)
  return [int(number) for number in found.split()]


@pytest.mark.parametrize(('name', 'module', 'line'), [
    ('resnet_v1_50', resnet, 'resolution'), ('resnet_v2_50', resnet, 'resolution'),
    ('resnet_v1b_50', resnet, 'of v1b'), ('resnext_50', resnext, 'resolution')])
def test_documented_resolutions_are_those_of_the_end_points(name, module, line):
  network = nets_factory.get_network_fn(name, None)
  _, end_points = network(tf.placeholder(tf.float32, [1, 224, 224, 3]))
  blocks = [end_points[f'{name}/block{number}'] for number in range(1, 5)]
  assert resolutions(module, line) == [block.shape[1] for block in blocks]
  assert resolutions(resnet, 'depth') == [block.shape[3] for block in blocks]
  for layers, units in resnet.UNITS.items():
    assert resolutions(resnet, f'(?:units of +)?{layers}') == list(units)


@pytest.mark.parametrize('name', architectures.VGG_CONVOLUTIONS)
def test_documented_resolutions_and_depths_of_vgg_are_those_of_its_pools(name):
  _, end_points = nets_factory.get_network_fn(name, None)(
      tf.placeholder(tf.float32, [1, 224, 224, 3]))
  pools = [end_points[f'{name}/pool{number}'] for number in range(1, 6)]
  assert resolutions(vgg, 'after pool') == [pool.shape[1] for pool in pools]
  assert resolutions(vgg, 'depth') == [pool.shape[3] for pool in pools]


@pytest.mark.parametrize('network', [vgg.vgg_a, vgg.vgg_16])
def test_vgg_on_a_larger_image_gives_a_map_or_one_answer(network):
  net = tf.placeholder(tf.float32, [1, 256, 256, 3])
  logits, _ = network(net, 5, spatial_squeeze=False)
  assert logits.shape.as_list() == [1, 2, 2, 5]
  tf.reset_default_graph()
  net = tf.placeholder(tf.float32, [1, 256, 256, 3])
  logits, end_points = network(net, 5, global_pool=True)
  assert logits.shape.as_list() == [1, 5]
  assert end_points['global_pool'].shape.as_list() == [1, 1, 1, 4096]
  tf.reset_default_graph()
  net = tf.placeholder(tf.float32, [1, 224, 224, 3])
  logits, _ = network(net, 5, fc_conv_padding='SAME', spatial_squeeze=False)
  assert logits.shape.as_list() == [1, 7, 7, 5]
