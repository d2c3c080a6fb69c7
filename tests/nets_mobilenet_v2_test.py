"""MobileNet V2, and the reader of its table, beyond the contract."""

import copy

import numpy as np
import pytest

from slim_zoo.nets.mobilenet import conv_blocks, mobilenet, mobilenet_v2
from slim_zoo.tf_compat import slim, tf
from tests.mobilenet_graphs import (
  conv_depths,
  find_ops,
  images,
  random_images,
  run,
  shape,
  short_v2,
)

op = mobilenet.op


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'output_stride': 7}, 'output_stride is 7'),
    ({'output_stride': 0}, 'output_stride is 0'),
    ({'output_stride': 6}, 'from 4 to 8'),
    ({'depth_multiplier': -0.1}, '-0.1'),
    ({'final_endpoint': 'layer_91'}, "'layer_91'; did you mean 'layer_9'"),
    ({'final_endpoint': 'layer_2/inner_output'}, 'layer_2/inner_output'),
    ({'multiplier': 0.5}, 'use depth_multiplier')])
def test_wrong_arguments_raise_value_error(arguments, message):
  with pytest.raises(ValueError, match=message):
    mobilenet_v2.mobilenet(images(32), **arguments)


@pytest.mark.parametrize(('size', 'expected'), [
    (224, 7), (160, 5), (96, 3)])
def test_features_of_published_image_sizes(size, expected):
  _, end_points = mobilenet_v2.mobilenet_base(
      images(size), depth_multiplier=0.35, final_endpoint='layer_18')
  assert shape(end_points['layer_18/output'])[1:3] == [expected] * 2


def test_table_alone_builds_the_network():
  _, end_points = mobilenet.mobilenet(
      images(224, 10, 16), conv_defs=dict(mobilenet_v2.V2_DEF))
  # Two convolutions a layer, but one in the first two and the last, and the logits.
  assert len(conv_depths()) == len(mobilenet_v2.V2_DEF['spec']) * 2 - 2
  for number in range(2, 18):
    assert f'layer_{number}/depthwise_output' in end_points


def test_overrides_of_a_table_go_before_its_defaults():
  table = copy.deepcopy(mobilenet_v2.V2_DEF)
  table['overrides'] = {(conv_blocks.expanded_conv,): {'split_expansion': 2}}
  mobilenet.mobilenet(images(channels=16), conv_defs=table)
  # All 16 expansions have become two convolutions.
  assert len(conv_depths()) == len(table['spec']) * 3 - 5
  names = [variable.op.name for variable in tf.global_variables()]
  assert 'Mobilenet/expanded_conv_1/expand_part_1/weights' in names


@pytest.mark.parametrize(('arguments', 'expected'), [
    ({'divisible_by': 16, 'min_depth': 32, 'conv_defs': mobilenet_v2.V2_DEF},
     {32, 64, 96, 160, 192, 320, 384, 576, 960, 1280, 1001}),
    ({'depth_multiplier': 0.01, 'finegrain_classification_mode': True},
     {8, 48, 1280, 1001}),
    ({'depth_multiplier': 0.01}, {8, 48, 16, 1001}),
    ({'depth_multiplier': 2.0, 'finegrain_classification_mode': True},
     {64, 32, 192, 48, 288, 320, 1920, 640, 2560, 1001})])
def test_widths(arguments, expected):
  short_v2(images(32), **arguments)
  assert set(conv_depths()) == expected


def test_min_depth_of_the_arg_scope_holds_without_an_argument():
  with slim.arg_scope((mobilenet.depth_multiplier,), min_depth=32):
    short_v2(images(), num_classes=None, depth_multiplier=0.1)
  assert set(conv_depths()) == {32, 192, 128}


def test_a_layer_has_its_own_multiplier_function():
  def inverse(output_params, multiplier):
    output_params['num_outputs'] = int(output_params['num_outputs'] / multiplier)

  table = copy.deepcopy(short_v2.keywords['conv_defs'])
  table['spec'][0] = op(slim.conv2d, kernel_size=(3, 3), multiplier_func=inverse,
                        num_outputs=16)
  mobilenet_v2.mobilenet_base(images(32), conv_defs=table, depth_multiplier=0.1)
  assert conv_depths()[0] == 160
  assert set(conv_depths()[1:]) == {8, 16, 32, 48, 96, 128}
  assert table['spec'][0].params['num_outputs'] == 16


def test_final_endpoint_stops_the_network_even_inside_of_a_layer():
  net, end_points = mobilenet_v2.mobilenet_base(
      images(), final_endpoint='layer_4/expansion_output')
  assert net is end_points['layer_4/expansion_output']
  assert shape(net) == [1, 16, 16, 144]
  assert 'layer_5' not in end_points


@pytest.mark.parametrize('activation_fn', [tf.nn.elu, None])
def test_activation_and_prediction_can_be_replaced(activation_fn):
  _, end_points = short_v2(
      images(), prediction_fn=None, activation_fn=activation_fn)
  assert 'Predictions' not in end_points
  assert bool(find_ops('Elu')) == (activation_fn is not None)
  assert bool(find_ops('Relu6')) == (activation_fn is None)


def test_table_may_name_any_function():
  def double(net, **kwargs):
    with tf.name_scope('double'):
      return tf.identity(slim.conv2d(net, **kwargs) * 2, name='doubled_output')

  table = {'spec': [op(double, num_outputs=16, kernel_size=3, stride=2),
                    op(conv_blocks.split_separable_conv2d, num_outputs=32, stride=2),
                    op(double, num_outputs=32, kernel_size=3, stride=2)]}
  for explicit in (False, True):
    net, end_points = mobilenet.mobilenet_base(
        images(32), table, multiplier=0.5, output_stride=4,
        use_explicit_padding=explicit)
    assert shape(net) == [1, 8, 8, 16]
    assert shape(end_points['layer_1/doubled_output']) == [1, 16, 16, 8]


@pytest.mark.parametrize('pool_op', [tf.nn.avg_pool, tf.nn.max_pool])
def test_global_pool_takes_its_pooling_function(pool_op):
  features = random_images(2, 3, 5, 4)
  net = mobilenet.global_pool(tf.constant(features), pool_op=pool_op)
  expected = features.mean if pool_op is tf.nn.avg_pool else features.max
  np.testing.assert_allclose(run(net), expected((1, 2), keepdims=True), rtol=1e-5)


def test_apply_activation_takes_its_function_from_the_scope():
  x = tf.constant([-1.0, 2.0])
  assert mobilenet.apply_activation(x) is x
  with slim.arg_scope([mobilenet.apply_activation], activation_fn=tf.nn.relu):
    np.testing.assert_array_equal(run(mobilenet.apply_activation(x)), [0, 2])
