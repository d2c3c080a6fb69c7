"""Inception networks beyond their contracts: options, sizes, errors."""

import json
import re

import numpy as np
import pytest

from slim_zoo.nets import inception, inception_blocks, inception_resnet_v2, inception_v4
from slim_zoo.nets.inception_blocks import Fork, Mixed
from slim_zoo.nets.rows import AvgPool, Conv, MaxPool
from slim_zoo.tf_compat import slim, tf
from tests.conftest import ROOT
from tests.nets_contract_test import CONTRACTS

BASES = {
    'v1': inception.inception_v1_base,
    'v2': inception.inception_v2_base,
    'v3': inception.inception_v3_base,
    'v4': inception.inception_v4_base,
    'resnet_v2': inception.inception_resnet_v2_base,
}
NETWORKS = {
    'v1': inception.inception_v1,
    'v2': inception.inception_v2,
    'v3': inception.inception_v3,
    'v4': inception.inception_v4,
    'resnet_v2': inception.inception_resnet_v2,
}


def images(height, width=None, channels=3):
  return tf.placeholder(tf.float32, [2, height, width or height, channels])


def values(*shape):
  return tf.constant(np.random.RandomState(0).uniform(-1, 1, shape), tf.float32)


def run(*tensors):
  with tf.Session() as session:
    tf.set_random_seed(0)
    session.run(tf.global_variables_initializer())
    return session.run(list(tensors))


def shapes(end_points):
  return {name: tuple(net.shape.as_list()[1:]) for name, net in end_points.items()}


def names_of(variables):
  return [variable.op.name for variable in variables]


# Published sizes with 1000 classes, or for v1 and v2 without the classifier; v4's
# counts the trainable ones, gammas among them.
@pytest.mark.parametrize(('name', 'arguments', 'count', 'features'), [
    ('v1', {'num_classes': None, 'global_pool': True}, 5607184, (4, 4, 1024)),
    ('v2', {'num_classes': None}, 10173112, (4, 4, 1024)),
    ('v3', {'create_aux_logits': False}, 23851784, (2, 2, 2048)),
    ('v4', {'num_classes': 1000, 'create_aux_logits': False}, 42679816, (2, 2, 1536)),
    ('resnet_v2', {'num_classes': 1000, 'create_aux_logits': False}, 55873736,
     (2, 2, 1536))])
def test_published_parameter_counts_and_features_of_small_images(
    name, arguments, count, features):
  scope = (inception.inception_resnet_v2_arg_scope if name == 'resnet_v2'
           else inception.inception_v4_arg_scope)
  with slim.arg_scope(scope(batch_norm_scale=name == 'v4')):
    net, end_points = NETWORKS[name](images(112), **arguments)
  last = {'v3': 'Mixed_7c', 'v4': 'Mixed_7d', 'resnet_v2': 'Conv2d_7b_1x1'}
  assert shapes(end_points)[last.get(name, 'Mixed_5c')] == features
  classes = arguments.get('num_classes', 1000)
  assert net.shape.as_list() == [2, classes] if classes else [2, 1, 1, 1024]
  assert ('Logits' in end_points) == bool(classes)
  assert 'AuxLogits' not in end_points
  counted = tf.trainable_variables() if name == 'v4' else slim.get_model_variables()
  assert sum(variable.shape.num_elements() for variable in counted) == count


@pytest.mark.parametrize(('name', 'scope', 'final_endpoint', 'end_points'), [
    ('v1', 'InceptionV1', 'MaxPool_2a_3x3', 2), ('v1', 'InceptionV1', 'Mixed_3c', 7),
    ('v2', 'InceptionV2', 'Conv2d_1a_7x7', 1), ('v2', 'InceptionV2', 'Mixed_4a', 8),
    ('v3', 'InceptionV3', 'Conv2d_3b_1x1', 5), ('v3', 'InceptionV3', 'Mixed_5c', 9),
    ('v4', 'InceptionV4', 'Conv2d_2b_3x3', 3), ('v4', 'InceptionV4', 'Mixed_5a', 6),
    ('resnet_v2', 'InceptionResnetV2', 'Mixed_5b', 8)])
def test_bases_stop_at_the_final_endpoint(name, scope, final_endpoint, end_points):
  net, found = BASES[name](images(96), final_endpoint)
  assert list(found)[-1] == final_endpoint
  assert len(found) == end_points
  assert found[final_endpoint] is net
  assert net.op.name.startswith(f'{scope}/{final_endpoint}/')
  assert not [variable for variable in names_of(tf.global_variables())
              if variable.split('/')[1] not in found]


@pytest.mark.parametrize('name', BASES)
def test_unknown_final_endpoints_are_answered(name):
  with pytest.raises(ValueError, match=r"no final_endpoint 'Mixed_5z'.*Mixed_5b"):
    BASES[name](images(96), 'Mixed_5z')
  assert not tf.global_variables()


@pytest.mark.parametrize('name', ['v1', 'v2'])
def test_without_the_root_block(name):
  net, end_points = BASES[name](images(28, channels=192), include_root_block=False)
  assert net.shape.as_list() == [2, 7, 7, 1024]
  assert next(iter(end_points)) == 'Mixed_3b'
  with pytest.raises(ValueError, match='MaxPool_2a_3x3'):
    BASES[name](images(28, channels=192), 'MaxPool_2a_3x3', include_root_block=False)


@pytest.mark.parametrize('name', ['v2', 'v3'])
def test_depth_multiplier_scales_every_depth(name):
  final_endpoint = {'v2': 'Mixed_4a', 'v3': 'Mixed_5c'}[name]
  full, half = (
      shapes(BASES[name](images(96), final_endpoint, depth_multiplier=factor)[1])
      for factor in (1, 0.5))
  assert half == {
      key: (height, width, depth // 2) for key, (height, width, depth) in full.items()}


@pytest.mark.parametrize('name', ['v2', 'v3'])
def test_no_depth_falls_below_the_smallest(name):
  _, end_points = BASES[name](
      images(96), 'Mixed_3b' if name == 'v2' else 'Mixed_5b', 24, 0.4)
  assert [shape[2] for shape in shapes(end_points).values()] == {
      'v2': [25, 25, 25, 76, 76, 25 + 25 + 38 + 24],
      'v3': [24, 24, 25, 25, 32, 76, 76, 25 + 25 + 38 + 24]}[name]


@pytest.mark.parametrize('name', ['v2', 'v3'])
@pytest.mark.parametrize('depth_multiplier', [0.0, -0.1])
def test_depth_multiplier_must_be_positive(name, depth_multiplier):
  for build in (BASES[name], NETWORKS[name]):
    with pytest.raises(ValueError, match='depth_multiplier'):
      build(images(96), depth_multiplier=depth_multiplier)


def test_depth_multiplier_reaches_the_auxiliary_logits():
  inception.inception_v3(images(128), 3, depth_multiplier=0.125, min_depth=4)
  assert {variable.op.name: variable.shape.as_list()
          for variable in tf.trainable_variables('InceptionV3/AuxLogits')
          if variable.op.name.endswith('weights')} == {
      'InceptionV3/AuxLogits/Conv2d_1b_1x1/weights': [1, 1, 96, 16],
      'InceptionV3/AuxLogits/Conv2d_2a_1x1/weights': [1, 1, 16, 96],
      'InceptionV3/AuxLogits/Conv2d_2b_1x1/weights': [1, 1, 96, 3]}


def test_v2_begins_with_a_separable_or_a_plain_convolution():
  with slim.arg_scope(inception.inception_v2_arg_scope()):
    inception.inception_v2_base(images(96), 'Conv2d_1a_7x7')
    inception.inception_v2_base(
        images(96), 'Conv2d_1a_7x7', depth_multiplier=0.25, scope='narrow')
    inception.inception_v2_base(
        images(96), 'Conv2d_1a_7x7', use_separable_conv=False, scope='plain')
  assert {variable.op.name: variable.shape.as_list()
          for variable in tf.trainable_variables()} == {
      'InceptionV2/Conv2d_1a_7x7/depthwise_weights': [7, 7, 3, 8],
      'InceptionV2/Conv2d_1a_7x7/pointwise_weights': [1, 1, 24, 64],
      'InceptionV2/Conv2d_1a_7x7/biases': [64],
      'narrow/Conv2d_1a_7x7/depthwise_weights': [7, 7, 3, 5],
      'narrow/Conv2d_1a_7x7/pointwise_weights': [1, 1, 15, 16],
      'narrow/Conv2d_1a_7x7/biases': [16],
      'plain/Conv2d_1a_7x7/weights': [7, 7, 3, 64],
      'plain/Conv2d_1a_7x7/BatchNorm/beta': [64]}


def test_v2_in_nchw_has_the_same_shapes_with_channels_first():
  net = images(96)
  _, last = inception.inception_v2_base(net, 'Mixed_4a', use_separable_conv=False)
  _, first = inception.inception_v2_base(
      tf.transpose(net, [0, 3, 1, 2]), 'Mixed_4a', use_separable_conv=False,
      data_format='NCHW', scope='first')
  assert shapes(first) == {
      name: (depth, height, width)
      for name, (height, width, depth) in shapes(last).items()}


@pytest.mark.parametrize(('data_format', 'message'), [
    ('NCWH', "no data_format 'NCWH'"), ('NCHW', 'use_separable_conv=False')])
def test_v2_refuses_data_formats(data_format, message):
  with pytest.raises(ValueError, match=message):
    inception.inception_v2_base(images(96), data_format=data_format)


@pytest.mark.parametrize(('output_stride', 'align', 'sizes'), [
    (8, False, (73, 35, 33)), (16, True, (75, 38, 19)), (8, True, (75, 38, 38))])
def test_resnet_v2_keeps_resolution_and_alignment(output_stride, align, sizes):
  _, end_points = inception.inception_resnet_v2_base(
      images(299), 'Mixed_6a', output_stride, align)
  assert tuple(end_points[name].shape[1] for name in (
      'MaxPool_3a_3x3', 'Mixed_5b', 'Mixed_6a')) == sizes


def test_resnet_v2_dilated_features_subsampled_equal_the_nominal_ones():
  features = values(1, 9, 9, 320)
  outputs = []
  for output_stride in (16, 8):
    table = {row[0]: row for row in inception_resnet_v2.layers(
        output_stride, True, tf.nn.relu)}
    two_blocks = table['PreAuxLogits']._replace(count=2)
    with tf.variable_scope('shared', reuse=tf.AUTO_REUSE):
      outputs.append(inception_blocks.build(
          features, (table['Mixed_6a'], two_blocks), 'PreAuxLogits')[0])
  nominal, dense = run(*outputs)
  assert dense.shape == (1, 9, 9, 1088)
  np.testing.assert_allclose(dense[:, ::2, ::2], nominal, atol=1e-4)


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'output_stride': 32}, 'output_stride 32'),
    ({'output_stride': 8}, "PreAuxLogits, before 'Conv2d_7b_1x1'"),
    ({'output_stride': 8, 'final_endpoint': 'Mixed_7a'}, "before 'Mixed_7a'")])
def test_resnet_v2_refuses_output_strides(arguments, message):
  with pytest.raises(ValueError, match=message):
    inception.inception_resnet_v2_base(images(96), **arguments)


@pytest.mark.parametrize(('block', 'scope'), [
    (inception_resnet_v2.block35, 'Block35'), (inception_resnet_v2.block17, 'Block17'),
    (inception_resnet_v2.block8, 'Block8')])
def test_residual_blocks_add_scaled_branches(block, scope):
  net = values(1, 3, 3, 8)
  linear, scaled = block(net, activation_fn=None), block(
      net, 0.25, activation_fn=None, scope=scope, reuse=True)
  active = block(net, 0.25, scope=scope, reuse=True)
  bounded = block(net, 1e6, tf.nn.relu6, scope=scope, reuse=True)
  assert {name.split('/')[0] for name in names_of(tf.global_variables())} == {scope}
  net, linear, scaled, active, bounded = run(net, linear, scaled, active, bounded)
  np.testing.assert_allclose(scaled - net, 0.25 * (linear - net), atol=1e-5)
  np.testing.assert_allclose(active, np.maximum(scaled, 0), atol=1e-5)
  # Residuals far beyond 6 are cut to 6 before they are added, not after.
  np.testing.assert_allclose(
      bounded, np.clip(net + 6 * np.sign(linear - net), 0, 6), atol=1e-5)


def test_resnet_v2_activation_is_that_of_its_blocks():
  table = inception_resnet_v2.layers(16, False, tf.nn.elu)
  blocks = [row for row in table if isinstance(row, inception_resnet_v2.Residual)]
  assert [row.activation_fn for row in blocks] == [tf.nn.elu] * 3 + [None]
  assert [(row.count, row.scale) for row in blocks] == [
      (10, 0.17), (20, 0.1), (9, 0.2), (None, 1.0)]


@pytest.mark.parametrize(('name', 'depth', 'shape'), [
    ('block_inception_a', 384, (9, 9, 384)), ('block_reduction_a', 384, (4, 4, 1024)),
    ('block_inception_b', 1024, (9, 9, 1024)),
    ('block_reduction_b', 1024, (4, 4, 1536)),
    ('block_inception_c', 1536, (9, 9, 1536))])
def test_v4_blocks_by_name(name, depth, shape):
  block = getattr(inception_v4, name)
  net = images(9, channels=depth)
  assert tuple(block(net).shape.as_list()[1:]) == shape
  scope = name.title().replace('_', '')
  variables = names_of(tf.global_variables())
  assert all(variable.startswith(f'{scope}/Branch_') for variable in variables)
  block(net, scope, reuse=True)
  assert names_of(tf.global_variables()) == variables


def test_rows_are_built_with_their_kernels_and_pools():
  net, end_points = inception_blocks.build(images(12, 10), (
      Conv('Conv2d_0a_1x7', (1, 7), 4, stride=2),
      Mixed('Mixed_0b', (
          (MaxPool('MaxPool_0a_5x3', (5, 3), padding='VALID', stride=2),),
          (Conv('Conv2d_0a_9x9', (5, 3), 2, stride=2, padding='VALID'),
           Fork((Conv('Conv2d_0b_1x1', 1, 5), Conv('Conv2d_0c_3x1', (3, 1), 6)))))),
      AvgPool('AvgPool_0c_1x2', (1, 2), stride=1),
      Conv('never_3x3', 3, 1),
  ), 'AvgPool_0c_1x2')
  assert net.op.type == 'AvgPool'
  assert net.op.get_attr('ksize') == [1, 1, 2, 1]
  assert end_points['Mixed_0b'].op.inputs[0].op.get_attr('ksize') == [1, 5, 3, 1]
  assert shapes(end_points)['Conv2d_0a_1x7'] == (6, 5, 4)
  assert {variable.op.name: variable.shape.as_list()
          for variable in tf.trainable_variables()
          if variable.op.name.endswith('weights')} == {
      'Conv2d_0a_1x7/weights': [1, 7, 3, 4],
      'Mixed_0b/Branch_1/Conv2d_0a_9x9/weights': [5, 3, 4, 2],
      'Mixed_0b/Branch_1/Conv2d_0b_1x1/weights': [1, 1, 2, 5],
      'Mixed_0b/Branch_1/Conv2d_0c_3x1/weights': [3, 1, 2, 6]}


@pytest.mark.parametrize('name', [
    'inception_v1', 'inception_v2', 'inception_v3', 'inception_v4',
    'inception_resnet_v2'])
def test_documented_resolutions_are_those_of_the_end_points(name):
  """The numbers behind the rows of the tables, at the default size."""
  contract = json.loads((CONTRACTS / 'nets' / f'{name}.json').read_text())
  sides = {end_point: shape[1] for end_point, shape, *_ in contract['end_points']}
  text = (ROOT / 'slim_zoo' / 'nets' / f'{name}.py').read_text()
  rows = {row: int(side) for row, side in re.findall(r"'(\w+)'.*?# (\d+)", text)
          if row in sides}
  assert len(rows) >= 3
  assert rows == {row: sides[row] for row in rows}


def test_arg_scope_options():
  scopes = {
      'plain': inception.inception_v3_arg_scope(),
      'gamma': inception.inception_v3_arg_scope(batch_norm_scale=True),
      'no_norm': inception.inception_v3_arg_scope(use_batch_norm=False),
      'resnet_gamma': inception.inception_resnet_v2_arg_scope(batch_norm_scale=True),
      'elsewhere': inception.inception_v3_arg_scope(
          batch_norm_updates_collections='elsewhere', batch_norm_decay=0.5),
  }
  for name, scope in scopes.items():
    with slim.arg_scope(scope):
      slim.conv2d(images(4), 2, 1, scope=name)
  trainable = names_of(tf.trainable_variables())
  assert [name for name in trainable if not name.endswith('weights')] == [
      'plain/BatchNorm/beta', 'gamma/BatchNorm/gamma', 'gamma/BatchNorm/beta',
      'no_norm/biases', 'resnet_gamma/BatchNorm/gamma', 'resnet_gamma/BatchNorm/beta',
      'elsewhere/BatchNorm/beta']
  assert len(tf.get_collection('elsewhere')) == 2
  assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 6


@pytest.mark.parametrize(('name', 'final_endpoint', 'deviations'), [
    ('v1', 'Conv2d_2c_3x3', [0.01, 0.01, 0.01]),
    ('v2', 'Conv2d_2c_3x3', [1.0, 1.0, 0.1, (2 / 576) ** 0.5]),
    ('v3', 'Conv2d_2b_3x3', [(2 / 27) ** 0.5, (2 / 288) ** 0.5, (2 / 288) ** 0.5])])
def test_initial_weights_spread_as_published(name, final_endpoint, deviations):
  with slim.arg_scope(inception.inception_v3_arg_scope()):
    BASES[name](images(32), final_endpoint)
  drawn = run(*[variable for variable in tf.trainable_variables()
                if variable.op.name.endswith('weights')])
  # v1 and v2 cut the normal off at two deviations, v3 makes up for the cut.
  cut = [0.88 if deviation in (0.01, 0.1, 1.0) else 1 for deviation in deviations]
  np.testing.assert_allclose(
      [weights.std() for weights in drawn], np.multiply(cut, deviations), rtol=0.06)
