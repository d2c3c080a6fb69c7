"""MobileNets beyond their contracts: widths, strides, paddings, tables, blocks."""

import copy
import functools
import math

import numpy as np
import pytest

from nets import mobilenet_v1
from nets.mobilenet import conv_blocks, mobilenet, mobilenet_v2, mobilenet_v3
from tf_compat import slim, tf

op = mobilenet.op


def shortened(table):
  """Returns a table with only its first and last three layers."""
  return dict(table, spec=[*table['spec'][:3], *table['spec'][-3:]])


short_v2 = functools.partial(
    mobilenet_v2.mobilenet, conv_defs=shortened(mobilenet_v2.V2_DEF))
short_v3 = functools.partial(
    mobilenet_v3.mobilenet, conv_defs=shortened(mobilenet_v3.V3_SMALL))


def images(size=64, batch=1, channels=3):
  return tf.placeholder(tf.float32, (batch, size, size, channels))


def random_images(*shape):
  return np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


def find_ops(kind):
  return [operation for operation in tf.get_default_graph().get_operations()
          if operation.type == kind]


def conv_depths():
  return [operation.outputs[0].get_shape().as_list()[-1]
          for operation in find_ops('Conv2D')]


def shape(tensor):
  return tensor.get_shape().as_list()


def run(fetches, feed=None):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(fetches, feed)


def trainable_parameters():
  return sum(math.prod(shape(variable)) for variable in tf.trainable_variables())


# Published model cards: torchvision's for V2 and V3, Keras Applications' for V1.
@pytest.mark.parametrize(('network', 'published'), [
    (mobilenet_v1.mobilenet_v1, 4231976),
    (mobilenet_v1.mobilenet_v1_025, 470072),
    (mobilenet_v2.mobilenet, 3504872),
    (mobilenet_v3.large, 5483032),
    (mobilenet_v3.small, 2542856)])
def test_parameters_equal_model_card(network, published):
  scope = (mobilenet_v1.mobilenet_v1_arg_scope()
           if network.__module__.endswith('v1') else mobilenet.training_scope())
  with slim.arg_scope(scope):
    network(images(224), num_classes=1000)
  assert trainable_parameters() == published


# Every backbone as (function of images and arguments, last layer, its stride).
BACKBONES = {
    'v1': (lambda net, **kwargs: mobilenet_v1.mobilenet_v1_base(
        net, scope='V1', depth_multiplier=0.25, **kwargs), 'Conv2d_13_pointwise'),
    'v2': (lambda net, **kwargs: mobilenet_v2.mobilenet_base(
        net, depth_multiplier=0.35, **kwargs), 'layer_18'),
    'v3_minimalistic': (lambda net, **kwargs: mobilenet_v3.mobilenet_base(
        net, conv_defs=mobilenet_v3.V3_SMALL_MINIMALISTIC, **kwargs), 'layer_13'),
    'edgetpu': (lambda net, **kwargs: mobilenet_v3.mobilenet_base(
        net, conv_defs=mobilenet_v3.V3_EDGETPU, depth_multiplier=0.25, **kwargs),
                'layer_23'),
}


@pytest.mark.parametrize(('output_stride', 'use_explicit_padding'), [
    (16, False), (8, True)])
@pytest.mark.parametrize('name', BACKBONES)
def test_output_stride_gives_features_at_that_stride(
    name, output_stride, use_explicit_padding):
  backbone, last = BACKBONES[name]
  net, end_points = backbone(
      images(96), output_stride=output_stride, final_endpoint=last,
      use_explicit_padding=use_explicit_padding)
  assert shape(net)[1:3] == [96 // output_stride] * 2
  assert end_points[last] is net
  assert bool(find_ops('Pad')) == use_explicit_padding


@pytest.mark.parametrize(('name', 'output_stride', 'whole_stride', 'last'), [
    ('v1', 8, 32, 'Conv2d_13_pointwise'), ('v2', 8, 32, 'layer_18'),
    ('v2', 4, 16, 'layer_10'), ('v3_minimalistic', 16, 32, 'layer_13'),
    ('edgetpu', 4, 16, 'layer_12')])
def test_dilated_features_subsampled_equal_strided_features(
    name, output_stride, whole_stride, last):
  backbone, _ = BACKBONES[name]
  inputs = tf.constant(random_images(1, 64, 64, 3))
  arguments = {'final_endpoint': last, 'use_explicit_padding': True}
  with tf.variable_scope('net'):
    strided, _ = backbone(inputs, **arguments)
  with tf.variable_scope('net', reuse=True):
    dilated, _ = backbone(inputs, output_stride=output_stride, **arguments)
  strided, dilated = run([strided, dilated])
  step = whole_stride // output_stride
  assert strided.shape[1:3] == (64 // whole_stride,) * 2
  assert strided.std() > 0
  np.testing.assert_allclose(
      dilated[:, ::step, ::step], strided, rtol=1e-4, atol=1e-5 * strided.std())


@pytest.mark.parametrize('arguments', [
    {'output_stride': 7}, {'output_stride': 0}, {'output_stride': -2},
    {'output_stride': 6}, {'depth_multiplier': 0}, {'depth_multiplier': -0.1},
    {'final_endpoint': 'layer_91'}, {'final_endpoint': 'layer_4/inner_output'},
    {'multiplier': 0.5}])
def test_wrong_arguments_of_v2_raise_value_error(arguments):
  with pytest.raises(ValueError, match=str(next(iter(arguments.values())))[:5]
                     if 'multiplier' not in arguments else 'depth_multiplier'):
    mobilenet_v2.mobilenet(images(32), **arguments)


@pytest.mark.parametrize('build', [
    mobilenet_v1.mobilenet_v1, mobilenet_v2.mobilenet, mobilenet_v3.large])
def test_images_that_are_not_of_rank_4_raise_value_error(build):
  with pytest.raises(ValueError, match='rank 4'):
    build(tf.zeros([2, 224, 224]))


@pytest.mark.parametrize(('size', 'expected'), [
    (224, 7), (160, 5), (96, 3)])
def test_v2_features_of_published_image_sizes(size, expected):
  _, end_points = mobilenet_v2.mobilenet_base(
      images(size), depth_multiplier=0.35, final_endpoint='layer_18')
  assert shape(end_points['layer_18/output'])[1:3] == [expected] * 2


def test_v2_table_alone_builds_the_network():
  _, end_points = mobilenet.mobilenet(
      images(224, 10, 16), conv_defs=dict(mobilenet_v2.V2_DEF))
  # Two convolutions a layer, but one in the first two and the last, and the logits.
  assert len(conv_depths()) == len(mobilenet_v2.V2_DEF['spec']) * 2 - 2
  for number in range(2, 18):
    assert f'layer_{number}/depthwise_output' in end_points


@pytest.mark.parametrize('num_classes', [None, 0])
@pytest.mark.parametrize('network', [short_v2, short_v3])
def test_without_classes_the_pooled_features_are_returned(network, num_classes):
  net, end_points = network(images(), num_classes=num_classes)
  assert net is end_points['global_pool']
  assert shape(net)[:3] == [1, 1, 1]
  assert 'Logits' not in end_points
  assert 'Predictions' not in end_points


def test_overrides_of_a_table_go_before_its_defaults():
  table = copy.deepcopy(mobilenet_v2.V2_DEF)
  table['overrides'] = {(conv_blocks.expanded_conv,): {'split_expansion': 2}}
  mobilenet.mobilenet(images(channels=16), conv_defs=table)
  # All 16 expansions have become two convolutions.
  assert len(conv_depths()) == len(table['spec']) * 3 - 5
  names = [variable.op.name for variable in tf.global_variables()]
  assert 'Mobilenet/expanded_conv_1/expand_part_1/weights' in names


@pytest.mark.parametrize(('arguments', 'expected'), [
    ({'divisible_by': 16, 'min_depth': 32},
     {32, 64, 96, 160, 192, 320, 384, 576, 960, 1280, 1001}),
    ({'depth_multiplier': 0.01, 'finegrain_classification_mode': True},
     {8, 48, 1280, 1001}),
    ({'depth_multiplier': 0.01}, {8, 48, 16, 1001}),
    ({'depth_multiplier': 2.0, 'finegrain_classification_mode': True},
     {64, 32, 192, 48, 288, 384, 128, 768, 1152, 320, 1920, 640, 2560, 1001})])
def test_widths_of_v2(arguments, expected):
  mobilenet_v2.mobilenet(images(32), **arguments)
  assert set(conv_depths()) == expected


def test_min_depth_of_the_arg_scope_holds_without_an_argument():
  with slim.arg_scope((mobilenet.depth_multiplier,), min_depth=32):
    net, _ = mobilenet_v2.mobilenet_base(images(), depth_multiplier=0.1)
  assert set(conv_depths()) == {32, 192, 128}
  assert shape(net) == [1, 2, 2, 128]


def test_a_layer_has_its_own_multiplier_function():
  def inverse(output_params, multiplier):
    output_params['num_outputs'] = int(output_params['num_outputs'] / multiplier)

  table = copy.deepcopy(mobilenet_v2.V2_DEF)
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
def test_activation_and_prediction_of_v2_can_be_replaced(activation_fn):
  _, end_points = short_v2(
      images(), prediction_fn=None, activation_fn=activation_fn)
  assert 'Predictions' not in end_points
  assert bool(find_ops('Elu')) == (activation_fn is not None)
  assert bool(find_ops('Relu6')) == (activation_fn is None)


@pytest.mark.parametrize('is_training', [True, False])
def test_training_scope_sets_the_mode_of_batch_norm_and_dropout(is_training):
  with slim.arg_scope(mobilenet_v2.training_scope(is_training=is_training)):
    short_v2(images())
  assert bool(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == is_training
  assert bool(find_ops('RandomUniform')) == is_training


def test_inference_is_the_default_and_the_docstrings_say_so():
  short_v3(images())
  assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  # Callers' own tests look for these words.
  for network in (mobilenet_v2.mobilenet_v2_140, mobilenet_v3.edge_tpu):
    assert 'Inference mode is created by default' in network.__doc__


@pytest.mark.parametrize('scope_fn', [
    mobilenet.training_scope, mobilenet_v2.training_scope,
    mobilenet_v3.training_scope, mobilenet_v1.mobilenet_v1_arg_scope])
def test_is_training_of_none_leaves_batch_norm_alone(scope_fn):
  key = slim.arg_scope_func_key(slim.batch_norm)
  assert 'is_training' not in scope_fn(is_training=None)[key]
  for given in ({'is_training': True}, {'is_training': False}, {}):
    assert scope_fn(**given)[key]['is_training'] == given.get('is_training', True)


@pytest.mark.parametrize(('network', 'scope_fn'), [
    (mobilenet_v1.mobilenet_v1_025, mobilenet_v1.mobilenet_v1_arg_scope),
    (short_v2, mobilenet.training_scope)])
@pytest.mark.parametrize('mode', [True, False])
def test_is_training_of_none_takes_the_callers_mode(network, scope_fn, mode):
  with slim.arg_scope(scope_fn(is_training=None)), \
      slim.arg_scope([slim.batch_norm, slim.dropout], is_training=mode):
    network(images(), is_training=None)
  assert bool(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == mode
  assert bool(find_ops('RandomUniform')) == mode


def test_training_scope_sets_decays_and_dropout():
  scope = mobilenet.training_scope(
      weight_decay=0.0, dropout_keep_prob=0.5, bn_decay=0.9)
  assert scope[slim.arg_scope_func_key(slim.dropout)]['keep_prob'] == 0.5
  assert scope[slim.arg_scope_func_key(slim.batch_norm)]['decay'] == 0.9
  with slim.arg_scope(scope):
    slim.conv2d(images(8), 4, 3)
  assert not tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)


@pytest.mark.parametrize(('stddev', 'is_bounded'), [(-1, True), (1.0, False)])
def test_negative_stddev_means_xavier(stddev, is_bounded):
  with slim.arg_scope(mobilenet.training_scope(stddev=stddev)):
    slim.conv2d(images(8), 4, 3)
  weights = run(tf.trainable_variables()[0])
  bound = math.sqrt(6 / (9 * 3 + 9 * 4))
  assert (np.abs(weights).max() <= bound) == is_bounded


@pytest.mark.parametrize(('build', 'groups'), [
    (lambda net, **kwargs: mobilenet_v2.mobilenet_base_group_norm(net, **kwargs), 4),
    (lambda net, **kwargs: mobilenet_v3.mobilenet_base(
        net, conv_defs=mobilenet_v3.V3_SMALL, use_groupnorm=True, **kwargs), 4),
    (lambda net, **kwargs: mobilenet.mobilenet_base(
        net, conv_defs=mobilenet_v2.V2_DEF_GROUP_NORM, **kwargs), None),
    (lambda net, **kwargs: mobilenet.mobilenet_base(
        net, conv_defs=dict(mobilenet_v3.V3_SMALL,
                            defaults=mobilenet_v3.DEFAULTS_GROUP_NORM), **kwargs),
     None)])
def test_group_norm_takes_the_place_of_batch_norm(build, groups):
  arguments = {} if groups is None else {'groups': groups}
  with slim.arg_scope(mobilenet.training_scope()):
    build(images(), final_endpoint='layer_4', **arguments)
  names = ' '.join(variable.op.name for variable in tf.global_variables())
  assert 'GroupNorm' in names
  assert 'BatchNorm' not in names
  split = next(operation for operation in find_ops('Reshape')
               if 'GroupNorm' in operation.name)
  assert (groups or 8) in shape(split.outputs[0])


@pytest.mark.parametrize(('network', 'last', 'depth'), [
    (mobilenet_v3.large, 'layer_19', 1280), (mobilenet_v3.small, 'layer_15', 1024),
    (mobilenet_v3.large_minimalistic, 'layer_19', 1280),
    (mobilenet_v3.small_minimalistic, 'layer_15', 1024)])
def test_v3_pools_before_its_last_layer(network, last, depth):
  logits, end_points = network(images(96))
  assert shape(end_points[last]) == [1, 1, 1, depth]
  assert shape(logits) == [1, 1001]
  assert not [operation for operation in tf.get_default_graph().get_operations()
              if 'ReduceMean' in operation.name]


def test_pooling_by_reduction_on_request():
  short_v3(images(), use_reduce_mean_for_pooling=True)
  assert [operation for operation in tf.get_default_graph().get_operations()
          if 'ReduceMean' in operation.name]


@pytest.mark.parametrize(('multiplier', 'finegrain', 'depth'), [
    (0.5, False, 512), (0.5, True, 1024), (2.0, True, 2048)])
def test_finegrain_keeps_the_last_layer_of_v3_wide(multiplier, finegrain, depth):
  _, end_points = short_v3(
      images(32), depth_multiplier=multiplier,
      finegrain_classification_mode=finegrain)
  assert shape(end_points['layer_6'])[3] == depth


@pytest.mark.parametrize(('arguments', 'scope'), [
    ({}, 'MobilenetEdgeTPU'), ({'scope': 'Mine'}, 'Mine')])
def test_edgetpu_goes_by_its_own_scope_or_the_callers(arguments, scope):
  net, _ = mobilenet_v3.edge_tpu(
      images(), base_only=True, final_endpoint='layer_2', **arguments)
  assert net.name.startswith(f'{scope}/')
  assert tf.global_variables()[0].op.name == f'{scope}/Conv/weights'


@pytest.mark.parametrize(('table', 'taps'), [
    (mobilenet_v3.V3_LARGE_DETECTION,
     {'layer_14/expansion_output': [6, 672], 'layer_14': [3, 80],
      'layer_15/expansion_output': [3, 480], 'layer_17': [3, 480]}),
    (mobilenet_v3.V3_SMALL_DETECTION,
     {'layer_10/expansion_output': [6, 288], 'layer_10': [3, 48],
      'layer_11/expansion_output': [3, 288], 'layer_13': [3, 288]})])
def test_detection_tables_halve_the_channels_of_the_last_stride(table, taps):
  _, end_points = mobilenet_v3.mobilenet_base(images(96), conv_defs=table)
  for name, expected in taps.items():
    assert shape(end_points[name])[2:] == expected, name
  assert len(table['spec']) == int(list(taps)[-1].split('_')[1])


@pytest.mark.parametrize(('build', 'size'), [
    (lambda net: mobilenet_v1.mobilenet_v1_025(
        net, 5, is_training=False, global_pool=True), (64, 96)),
    (lambda net: short_v2(net, 5), (64, 96)),
    (lambda net: short_v3(net, 5), (64, 64))])
def test_unknown_shapes_give_the_numbers_of_known_ones(build, size):
  pixels = random_images(2, *size, 3)
  unknown = tf.placeholder(tf.float32, (None, None, None, 3))
  with tf.variable_scope('net'):
    known, _ = build(tf.constant(pixels))
  with tf.variable_scope('net', reuse=True):
    logits, end_points = build(unknown)
  assert shape(logits) == [None, 5]
  expected, actual, predictions = run(
      [known, logits, end_points['Predictions']], {unknown: pixels})
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(predictions.sum(-1), 1, rtol=1e-5)


def test_reduce_to_1x1_averages_a_square_map_and_windows_of_another():
  square, wide = random_images(1, 4, 4, 2), random_images(1, 3, 8, 2)
  unknown = tf.placeholder(tf.float32, (1, None, None, 2))
  reduced = [mobilenet_v3.reduce_to_1x1(tf.constant(square), stride=1),
             mobilenet_v3.reduce_to_1x1(unknown, stride=1),
             mobilenet_v3.reduce_to_1x1(tf.constant(wide), stride=1)]
  whole, dynamic, windows = run(reduced, {unknown: square})
  np.testing.assert_allclose(whole, square.mean((1, 2), keepdims=True), rtol=1e-5)
  np.testing.assert_allclose(dynamic, whole, rtol=1e-5)
  np.testing.assert_allclose(windows[0, 0], np.stack(
      [wide[0, :, start:start + 7].mean((0, 1)) for start in range(2)]), rtol=1e-5)


def test_v3_is_dilated_up_to_its_logits():
  logits, end_points = mobilenet_v3.small(images(96), output_stride=16)
  assert shape(end_points['layer_13'])[1:3] == [6, 6]
  assert shape(logits) == [1, 1001]


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


def test_hard_swish_is_piecewise():
  values = run(mobilenet_v3.hard_swish(tf.constant([-4.0, -3, -1, 0, 1, 3, 5])))
  np.testing.assert_allclose(values, [0, 0, -1 / 3, 0, 2 / 3, 3, 5], atol=1e-6)


@pytest.mark.parametrize(('value', 'divisor', 'least', 'expected'), [
    (24 * 1.4, 8, None, 32), (32 * 0.35, 8, None, 16), (18, 8, None, 24),
    (3, 8, None, 8), (12, 8, None, 16), (3, 8, 32, 32), (13, 1, 8, 13)])
def test_make_divisible_never_takes_a_tenth_away(value, divisor, least, expected):
  assert conv_blocks.make_divisible(value, divisor, least) == expected


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


@pytest.mark.parametrize('rate', [1, 2])
@pytest.mark.parametrize('kernel', [3, 5, (3, 1)])
def test_explicit_padding_keeps_the_size(kernel, rate):
  net = conv_blocks.fixed_padding(tf.zeros([1, 8, 9, 2]), kernel, rate)
  net = slim.conv2d(net, 2, kernel, rate=rate, padding='VALID')
  assert shape(net) == [1, 8, 9, 2]


def test_fused_block_convolves_in_its_expansion():
  mobilenet.mobilenet_base(
      images(16, channels=16), final_endpoint='layer_1',
      conv_defs={'spec': [mobilenet_v3.mbv3_fused(ef=4, n=24, k=3, s=2)]})
  weights = {variable.op.name.split('/', 1)[1]: shape(variable)
             for variable in tf.global_variables() if 'weights' in variable.op.name}
  assert weights == {'expanded_conv/expand/weights': [3, 3, 16, 64],
                     'expanded_conv/project/weights': [1, 1, 64, 24]}


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


def excited(pool, size):
  features = random_images(1, size, size, 16)
  net = conv_blocks.squeeze_excite(
      tf.constant(features), squeeze_factor=4, pool=pool)
  variables = {variable.op.name.removeprefix('squeeze_excite/'): variable
               for variable in tf.global_variables()}
  output, values = run([net, variables])
  hidden = np.maximum(0, features.mean((1, 2)) @ values['Conv/weights'][0, 0]
                      + values['Conv/biases'])
  gates = 1 / (1 + np.exp(-hidden @ values['Conv_1/weights'][0, 0]
                          - values['Conv_1/biases']))
  assert values['Conv/biases'].shape == (8,)
  return features, output, gates


@pytest.mark.parametrize('pool', [None, 6, (9, 6)])
def test_squeeze_excite_scales_channels_by_the_whole_map(pool):
  features, output, gates = excited(pool, size=6)
  np.testing.assert_allclose(output, features * gates[:, None, None], rtol=1e-5)


def test_squeeze_excite_with_a_pool_sees_windows():
  features, output, gates = excited(3, size=6)
  assert output.shape == features.shape
  ratio = output / features
  assert np.abs(ratio - gates[:, None, None]).max() > 1e-3
  # The corners of a bilinear map are the corners of the windows' gates.
  ramp = ratio[0, :, 0, 0]
  np.testing.assert_allclose(ramp[[0, -1]], ratio[0, [0, 5], 0, 0])
  assert len(np.unique(np.round(ratio[0, :, :, 0], 6))) > 4


def test_squeeze_excite_may_look_elsewhere():
  net = conv_blocks.squeeze_excite(
      tf.zeros([1, 8, 8, 24]), squeeze_input_tensor=tf.zeros([1, 4, 4, 96]))
  assert shape(net) == [1, 8, 8, 24]
  weights = [shape(variable) for variable in tf.global_variables()
             if variable.op.name.endswith('weights')]
  assert weights == [[1, 1, 96, 32], [1, 1, 32, 24]]


V1_END_POINTS = ['Conv2d_0', *(f'Conv2d_{number}_{kind}' for number in range(1, 14)
                               for kind in ('depthwise', 'pointwise'))]


@pytest.mark.parametrize('last', V1_END_POINTS[::5])
def test_v1_stops_at_any_end_point(last):
  with slim.arg_scope([slim.conv2d, slim.separable_conv2d],
                      normalizer_fn=slim.batch_norm):
    net, end_points = mobilenet_v1.mobilenet_v1_base(images(), final_endpoint=last)
  assert list(end_points) == V1_END_POINTS[:V1_END_POINTS.index(last) + 1]
  assert net is end_points[last]
  assert net.op.name.startswith(f'MobilenetV1/{last}')


def test_v1_base_has_the_published_parameters():
  with slim.arg_scope([slim.conv2d, slim.separable_conv2d],
                      normalizer_fn=slim.batch_norm):
    mobilenet_v1.mobilenet_v1_base(images())
  # 4.24M less the logits, and batch norm's gamma, which slim leaves out.
  total = sum(math.prod(shape(variable)) for variable in slim.get_model_variables())
  assert total == 3217920


def test_v1_without_classes_returns_pooled_features():
  net, end_points = mobilenet_v1.mobilenet_v1(images(224), None)
  assert net.op.name.startswith('MobilenetV1/Logits/AvgPool')
  assert shape(net) == [1, 1, 1, 1024]
  assert list(end_points) == [*V1_END_POINTS, 'AvgPool_1a']


def test_v1_logits_keep_their_place_without_the_squeeze():
  logits, end_points = mobilenet_v1.mobilenet_v1(
      images(), 10, spatial_squeeze=False, prediction_fn=None, depth_multiplier=0.25)
  assert shape(logits) == [1, 1, 1, 10]
  assert 'Predictions' not in end_points
  squeezed, _ = mobilenet_v1.mobilenet_v1(images(), 10, scope='Other')
  assert squeezed.op.name.startswith('Other/Logits/SpatialSqueeze')


@pytest.mark.parametrize(('multiplier', 'min_depth', 'depths'), [
    (0.75, 8, (24, 48, 768)), (2.0, 8, (64, 128, 2048)), (0.1, 8, (8, 8, 102)),
    (0.1, 1, (3, 6, 102))])
def test_v1_widths(multiplier, min_depth, depths):
  _, end_points = mobilenet_v1.mobilenet_v1_base(
      images(32), depth_multiplier=multiplier, min_depth=min_depth)
  assert tuple(shape(end_points[name])[3] for name in (
      'Conv2d_0', 'Conv2d_1_pointwise', 'Conv2d_13_pointwise')) == depths


def test_v1_from_the_callers_table():
  table = [mobilenet_v1.Conv(kernel=[3, 3], stride=2, depth=32),
           mobilenet_v1.DepthSepConv(kernel=[3, 3], stride=1, depth=64),
           mobilenet_v1.DepthSepConv(kernel=[5, 5], stride=2, depth=128)]
  net, end_points = mobilenet_v1.mobilenet_v1_base(
      images(), final_endpoint='Conv2d_2_pointwise', conv_defs=table)
  assert shape(net) == [1, 16, 16, 128]
  assert list(end_points) == V1_END_POINTS[:5]
  with pytest.raises(ValueError, match='layer 1'):
    mobilenet_v1.mobilenet_v1_base(images(), conv_defs=[table[0], 'pool'])


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'final_endpoint': 'Conv2d_99'}, 'Conv2d_99'),
    ({'depth_multiplier': 0}, 'above 0'),
    ({'depth_multiplier': -0.1}, 'above 0'), ({'output_stride': 9}, '8, 16, 32')])
def test_wrong_arguments_of_v1_raise_value_error(arguments, message):
  with pytest.raises(ValueError, match=message):
    mobilenet_v1.mobilenet_v1_base(images(), **arguments)


@pytest.mark.parametrize('regularize_depthwise', [False, True])
def test_v1_arg_scope_regularizes_depthwise_weights_on_request(regularize_depthwise):
  with slim.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(
      regularize_depthwise=regularize_depthwise)):
    mobilenet_v1.mobilenet_v1_025(images())
  losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  assert len(losses) == (28 if regularize_depthwise else 15)


def test_v1_arg_scope_takes_normalizer_and_collection():
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


def test_v1_is_reused_at_another_size():
  mobilenet_v1.mobilenet_v1_025(images(96), 10)
  count = len(tf.global_variables())
  logits, _ = mobilenet_v1.mobilenet_v1_025(
      images(80), 10, is_training=False, reuse=True)
  assert shape(logits) == [1, 10]
  assert len(tf.global_variables()) == count


@pytest.mark.parametrize('network', [short_v2, short_v3])
def test_reuse_shares_variables_and_keeps_end_points_apart(network):
  _, first = network(images())
  count = len(tf.global_variables())
  _, second = network(images(), reuse=True)
  assert len(tf.global_variables()) == count
  assert list(first) == list(second)
  assert not {id(net) for net in first.values()} & {id(net) for net in second.values()}
