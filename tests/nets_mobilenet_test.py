"""What MobileNets have in common: widths, strides, paddings, modes, reuse."""

import math

import numpy as np
import pytest

from slim_zoo.nets import mobilenet_v1
from slim_zoo.nets.mobilenet import mobilenet, mobilenet_v2, mobilenet_v3
from slim_zoo.tf_compat import slim, tf
from tests.mobilenet_graphs import (
  find_ops,
  images,
  random_images,
  run,
  shape,
  short_v2,
  short_v3,
)


def trainable_parameters():
  return sum(math.prod(shape(variable)) for variable in tf.trainable_variables())


# Published model cards: torchvision's for V2 and V3, Keras Applications' for V1.
@pytest.mark.parametrize(('network', 'published'), [
    (mobilenet_v1.mobilenet_v1, 4231976),
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


@pytest.mark.parametrize('build', [
    mobilenet_v1.mobilenet_v1, mobilenet_v2.mobilenet, mobilenet_v3.large])
def test_images_that_are_not_of_rank_4_raise_value_error(build):
  with pytest.raises(ValueError, match='rank 4'):
    build(tf.zeros([2, 224, 224]))


@pytest.mark.parametrize('num_classes', [None, 0])
@pytest.mark.parametrize('network', [short_v2, short_v3])
def test_without_classes_the_pooled_features_are_returned(network, num_classes):
  net, end_points = network(images(), num_classes=num_classes)
  assert net is end_points['global_pool']
  assert shape(net)[:3] == [1, 1, 1]
  assert 'Logits' not in end_points
  assert 'Predictions' not in end_points


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


@pytest.mark.parametrize('network', [short_v2, short_v3])
def test_reuse_shares_variables_and_keeps_end_points_apart(network):
  _, first = network(images())
  count = len(tf.global_variables())
  _, second = network(images(), reuse=True)
  assert len(tf.global_variables()) == count
  assert list(first) == list(second)
  assert not {id(net) for net in first.values()} & {id(net) for net in second.values()}


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
