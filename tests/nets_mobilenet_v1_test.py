"""MobileNet V1 beyond its contracts: end points, widths, tables, arg scope."""

import math

import pytest

from slim_zoo.nets import mobilenet_v1
from slim_zoo.tf_compat import slim, tf
from tests.mobilenet_graphs import find_ops, images, shape

V1_END_POINTS = ['Conv2d_0', *(f'Conv2d_{number}_{kind}' for number in range(1, 14)
                               for kind in ('depthwise', 'pointwise'))]


@pytest.mark.parametrize('last', V1_END_POINTS[::5])
def test_stops_at_any_end_point(last):
  with slim.arg_scope([slim.conv2d, slim.separable_conv2d],
                      normalizer_fn=slim.batch_norm):
    net, end_points = mobilenet_v1.mobilenet_v1_base(images(), final_endpoint=last)
  assert list(end_points) == V1_END_POINTS[:V1_END_POINTS.index(last) + 1]
  assert net is end_points[last]
  assert net.op.name.startswith(f'MobilenetV1/{last}')


def test_base_has_the_published_parameters():
  with slim.arg_scope([slim.conv2d, slim.separable_conv2d],
                      normalizer_fn=slim.batch_norm):
    mobilenet_v1.mobilenet_v1_base(images())
  # 4.24M less the logits, and batch norm's gamma, which slim leaves out.
  total = sum(math.prod(shape(variable)) for variable in slim.get_model_variables())
  assert total == 3217920


def test_without_classes_returns_pooled_features():
  net, end_points = mobilenet_v1.mobilenet_v1(images(224), None)
  assert net.op.name.startswith('MobilenetV1/Logits/AvgPool')
  assert shape(net) == [1, 1, 1, 1024]
  assert list(end_points) == [*V1_END_POINTS, 'AvgPool_1a']


def test_logits_keep_their_place_without_the_squeeze():
  logits, end_points = mobilenet_v1.mobilenet_v1(
      images(), 10, spatial_squeeze=False, prediction_fn=None, depth_multiplier=0.25)
  assert shape(logits) == [1, 1, 1, 10]
  assert 'Predictions' not in end_points
  squeezed, _ = mobilenet_v1.mobilenet_v1(images(), 10, scope='Other')
  assert squeezed.op.name.startswith('Other/Logits/SpatialSqueeze')


@pytest.mark.parametrize(('multiplier', 'min_depth', 'depths'), [
    (0.75, 8, (24, 48, 768)), (2.0, 8, (64, 128, 2048)), (0.1, 8, (8, 8, 102)),
    (0.1, 1, (3, 6, 102))])
def test_widths(multiplier, min_depth, depths):
  _, end_points = mobilenet_v1.mobilenet_v1_base(
      images(32), depth_multiplier=multiplier, min_depth=min_depth)
  assert tuple(shape(end_points[name])[3] for name in (
      'Conv2d_0', 'Conv2d_1_pointwise', 'Conv2d_13_pointwise')) == depths


def test_from_the_callers_table():
  table = [mobilenet_v1.Conv(kernel=[3, 3], stride=2, depth=32),
           mobilenet_v1.DepthSepConv(kernel=[3, 3], stride=1, depth=64),
           mobilenet_v1.DepthSepConv(kernel=[5, 5], stride=2, depth=128)]
  net, end_points = mobilenet_v1.mobilenet_v1_base(
      images(), final_endpoint='Conv2d_2_pointwise', conv_defs=table)
  assert shape(net) == [1, 16, 16, 128]
  assert list(end_points) == V1_END_POINTS[:5]
  logits, end_points = mobilenet_v1.mobilenet_v1(
      images(), 10, conv_defs=table, global_pool=True, scope='Whole')
  assert shape(logits) == [1, 10]
  assert shape(end_points['global_pool']) == [1, 1, 1, 128]
  with pytest.raises(ValueError, match='layer 1'):
    mobilenet_v1.mobilenet_v1_base(images(), conv_defs=[table[0], 'pool'])


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'final_endpoint': 'Conv2d_99'}, 'Conv2d_99'),
    ({'depth_multiplier': 0}, 'greater than 0'),
    ({'depth_multiplier': -0.1}, 'greater than 0'),
    ({'output_stride': 9}, '8, 16, 32')])
def test_wrong_arguments_raise_value_error(arguments, message):
  with pytest.raises(ValueError, match=message):
    mobilenet_v1.mobilenet_v1_base(images(), **arguments)


@pytest.mark.parametrize('regularize_depthwise', [False, True])
def test_arg_scope_regularizes_depthwise_weights_on_request(regularize_depthwise):
  with slim.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(
      regularize_depthwise=regularize_depthwise)):
    mobilenet_v1.mobilenet_v1_025(images())
  losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  assert len(losses) == (28 if regularize_depthwise else 15)


def test_arg_scope_takes_normalizer_and_collection():
  with slim.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(
      batch_norm_updates_collections=None)):
    mobilenet_v1.mobilenet_v1_base(images(32), final_endpoint='Conv2d_1_pointwise')
  # Updated in place instead of by update ops.
  assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  assert find_ops('AssignSub') or find_ops('AssignSubVariableOp')
  tf.reset_default_graph()
  with slim.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(normalizer_fn=None)):
    mobilenet_v1.mobilenet_v1_base(images(32), final_endpoint='Conv2d_1_pointwise')
  assert not [variable for variable in tf.global_variables()
              if 'BatchNorm' in variable.op.name]


def test_is_reused_at_another_size():
  mobilenet_v1.mobilenet_v1_025(images(96), 10)
  count = len(tf.global_variables())
  logits, _ = mobilenet_v1.mobilenet_v1_025(
      images(80), 10, is_training=False, reuse=True)
  assert shape(logits) == [1, 10]
  assert len(tf.global_variables()) == count
