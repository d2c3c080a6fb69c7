"""The blocks of MobileNets: depths, paddings, expansions, squeeze-and-excitation."""

import numpy as np
import pytest

from slim_zoo.nets import layers
from slim_zoo.nets.mobilenet import conv_blocks
from slim_zoo.tf_compat import slim, tf
from tests.mobilenet_graphs import find_ops, random_images, run, shape


@pytest.mark.parametrize(('value', 'divisor', 'least', 'expected'), [
    (24 * 1.4, 8, None, 32), (32 * 0.35, 8, None, 16), (18, 8, None, 24),
    (3, 8, None, 8), (12, 8, None, 16), (3, 8, 32, 32), (13, 1, 8, 13)])
def test_make_divisible_never_takes_a_tenth_away(value, divisor, least, expected):
  assert layers.make_divisible(value, divisor, least) == expected


@pytest.mark.parametrize(('total', 'num_ways', 'expected'), [
    (96, 2, [48, 48]), (40, 2, [24, 16]), (56, 3, [24, 16, 16]), (20, 2, [16, 4])])
def test_split_divisible_adds_up(total, num_ways, expected):
  assert conv_blocks.split_divisible(total, num_ways) == expected


def test_split_conv_joins_groups_that_would_be_too_narrow():
  conv_blocks.split_conv(tf.zeros([1, 4, 4, 15]), 32, 2, 'narrow')
  conv_blocks.split_conv(tf.zeros([1, 4, 4, 16]), 32, 2, 'wide')
  weights = {variable.op.name: shape(variable) for variable in tf.global_variables()}
  assert weights['narrow/weights'] == [1, 1, 15, 32]
  assert weights['wide_part_0/weights'] == weights['wide_part_1/weights'] == [
      1, 1, 8, 16]


@pytest.mark.parametrize('rate', [1, 2])
@pytest.mark.parametrize('kernel', [3, 5, (3, 1)])
def test_explicit_padding_keeps_the_size(kernel, rate):
  net = layers.fixed_padding(tf.zeros([1, 8, 9, 2]), kernel, rate)
  net = slim.conv2d(net, 2, kernel, rate=rate, padding='VALID')
  assert shape(net) == [1, 8, 9, 2]
  assert layers.fixed_padding(net, 1, rate) is net


def test_separable_convolution_is_named_as_in_v1_checkpoints():
  end_points = {}
  net = conv_blocks.split_separable_conv2d(
      tf.zeros([1, 8, 8, 4]), 6, scope='Conv2d_1', endpoints=end_points, stride=2)
  assert list(end_points) == ['Conv2d_1_depthwise', 'Conv2d_1_pointwise']
  assert end_points['Conv2d_1_pointwise'] is net
  assert shape(net) == [1, 4, 4, 6]
  conv_blocks.split_separable_conv2d(tf.zeros([1, 8, 8, 4]), 6)
  conv_blocks.split_separable_conv2d(
      tf.zeros([1, 8, 8, 4]), 6, use_explicit_padding=True)
  names = [variable.op.name for variable in tf.global_variables()]
  for name in ('Conv2d_1_depthwise/depthwise_weights', 'Conv2d_1_pointwise/weights',
               'separable/depthwise/depthwise_weights',
               'separable_1/pointwise/weights'):
    assert name in names


@pytest.mark.parametrize(('location', 'inner'), [
    ('input', 8), ('expansion', 48), ('output', 16), (None, None)])
def test_depthwise_convolution_is_where_it_is_wanted(location, inner):
  end_points = {}
  net = conv_blocks.expanded_conv(
      tf.zeros([1, 8, 8, 8]), 16, depthwise_location=location, endpoints=end_points,
      stride=1 if location is None else 2)
  assert shape(net)[3] == 16
  assert shape(end_points['expansion_output'])[3] == 48
  assert shape(end_points['projection_output'])[3] == 16
  if location is None:
    assert 'depthwise_output' not in end_points
  else:
    assert shape(net)[1:3] == [4, 4]
    assert shape(end_points['depthwise_output'])[3] == inner


def test_narrow_depthwise_convolutions_are_linear():
  with slim.arg_scope([slim.separable_conv2d], activation_fn=tf.nn.elu):
    conv_blocks.expanded_conv(
        tf.zeros([1, 8, 8, 8]), 16, depthwise_location='input')
    conv_blocks.expanded_conv(
        tf.zeros([1, 8, 8, 8]), 16, depthwise_location='output')
    assert not find_ops('Elu')
    conv_blocks.expanded_conv(tf.zeros([1, 8, 8, 8]), 16)
  assert len(find_ops('Elu')) == 1


def test_activations_of_a_block_can_be_set_apart():
  conv_blocks.expanded_conv(
      tf.zeros([1, 8, 8, 8]), 16, inner_activation_fn=tf.nn.elu,
      depthwise_activation_fn=tf.nn.selu, project_activation_fn=tf.nn.softplus)
  kinds = {kind: [operation.name for operation in find_ops(kind)]
           for kind in ('Elu', 'Selu', 'Softplus', 'Relu')}
  assert kinds == {'Elu': ['expanded_conv/expand/Elu'],
                   'Selu': ['expanded_conv/depthwise/Selu'],
                   'Softplus': ['expanded_conv/project/Softplus'], 'Relu': []}


@pytest.mark.parametrize(('arguments', 'adds'), [
    ({}, True), ({'stride': 2}, False), ({'residual': False}, False),
    ({'num_outputs': 16}, False)])
def test_residual_is_added_where_stride_and_depth_allow(arguments, adds):
  inputs = tf.constant(random_images(1, 8, 8, 8))
  end_points = {}
  net = conv_blocks.expanded_conv(
      inputs, **{'num_outputs': 8, 'endpoints': end_points, **arguments})
  output, projection, before = run([net, end_points['projection_output'], inputs])
  np.testing.assert_allclose(
      output, projection + before if adds else projection, rtol=1e-5)


def test_residual_and_transform_may_be_functions():
  inputs = tf.constant(random_images(1, 8, 8, 8))
  seen = {}

  def transform(expansion_tensor, input_tensor):
    seen['depths'] = shape(expansion_tensor)[3], shape(input_tensor)[3]
    return 0 * expansion_tensor

  net = conv_blocks.expanded_conv(
      inputs, 8, expansion_size=40, expansion_transform=transform,
      residual=lambda input_tensor, output_tensor: 3 * input_tensor + output_tensor)
  output, before = run([net, inputs])
  assert seen['depths'] == (40, 8)
  np.testing.assert_allclose(output, 3 * before, rtol=1e-6)


@pytest.mark.parametrize('arguments', [
    {'depthwise_location': 'middle'},
    {'use_explicit_padding': True, 'padding': 'VALID'},
    {'expansion_fn': slim.conv2d}])
def test_blocks_that_make_no_sense_raise_type_error(arguments):
  with pytest.raises(TypeError):
    conv_blocks.expanded_conv(tf.zeros([1, 8, 8, 8]), 8, **arguments)


def excited(pool):
  """Returns features of 6 x 6, the same excited, and their gates by their mean."""
  features = random_images(1, 6, 6, 16)
  net = conv_blocks.squeeze_excite(
      tf.constant(features), squeeze_factor=4, pool=pool)
  variables = {variable.op.name.removeprefix('squeeze_excite/'): variable
               for variable in tf.global_variables()}
  output, values = run([net, variables])
  assert values['Conv/biases'].shape == (8,)

  def gates(mean):
    hidden = np.maximum(0, mean @ values['Conv/weights'][0, 0])
    return 1 / (1 + np.exp(-hidden @ values['Conv_1/weights'][0, 0]))

  return features[0], output[0], gates


@pytest.mark.parametrize('pool', [None, 6, (9, 6)])
def test_squeeze_excite_scales_channels_by_the_whole_map(pool):
  features, output, gates = excited(pool)
  np.testing.assert_allclose(
      output, features * gates(features.mean((0, 1))), rtol=1e-4, atol=1e-6)


def test_squeeze_excite_with_a_pool_sees_windows():
  features, output, gates = excited((3, 4))
  # Corners of the resized map are those of the windows: nothing is interpolated.
  for row, rows in ((0, slice(0, 3)), (5, slice(3, 6))):
    for column, columns in ((0, slice(0, 4)), (5, slice(2, 6))):
      np.testing.assert_allclose(
          output[row, column],
          features[row, column] * gates(features[rows, columns].mean((0, 1))),
          rtol=1e-4, atol=1e-6)


def test_squeeze_excite_may_look_elsewhere():
  net = conv_blocks.squeeze_excite(
      tf.zeros([1, 8, 8, 24]), squeeze_input_tensor=tf.zeros([1, 4, 4, 96]))
  assert shape(net) == [1, 8, 8, 24]
  weights = [shape(variable) for variable in tf.global_variables()
             if variable.op.name.endswith('weights')]
  assert weights == [[1, 1, 96, 32], [1, 1, 32, 24]]
