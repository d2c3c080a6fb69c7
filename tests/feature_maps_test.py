"""Feature maps: the end points that detectors and segmentations stand on."""

import json
import math

import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import feature_maps, networks
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf
from tests.nets_contract_test import CONTRACTS

IMAGE_NETWORKS = [name for name, row in networks.NETWORKS.items()
                  if row.frames is None]
VIDEO_NETWORKS = sorted(set(networks.NETWORKS) - set(IMAGE_NETWORKS))


@pytest.mark.parametrize('name', [
    name for name in IMAGE_NETWORKS if (CONTRACTS / 'nets' / f'{name}.json').exists()])
def test_feature_maps_are_end_points_of_the_contract(name):
  contract = json.loads((CONTRACTS / 'nets' / f'{name}.json').read_text())
  shapes = {end_point: shape for end_point, shape, *_ in contract['end_points']}
  # The established ResNet v2 has no end point after its last batch norm and ReLU.
  shapes[f'{name}/postnorm'] = shapes.get(f'{name}/block4')
  size, lost = contract['input_shape'][1], feature_maps.find_row(name).lost
  for stride, end_point in nets_factory.feature_map_names(name).items():
    side = shapes[end_point][1]
    assert math.ceil(size / stride) - lost <= side <= math.ceil(size / stride)


@pytest.mark.parametrize('name', IMAGE_NETWORKS)
def test_feature_maps_cover_every_stride_in_order(name):
  """From the first end_point on no stride is left out."""
  strides = list(nets_factory.feature_map_names(name))
  assert set(strides) <= {2, 4, 8, 16, 32}
  assert len(strides) >= 2
  assert strides == [strides[0] * 2 ** number for number in range(len(strides))]


def test_every_row_is_used():
  used = [feature_maps.find_row(name) for name in IMAGE_NETWORKS]
  assert None not in used
  assert [row.pattern for row in feature_maps.FEATURE_MAPS if row not in used] == []


def test_last_map_of_resnet_v2_is_the_one_after_its_last_batch_norm_and_relu():
  """Networks with classes have that end point only where it is asked for."""
  images = tf.zeros([1, 65, 65, 3])
  maps, end_points = nets_factory.get_feature_maps_fn('resnet_v2_50', (16, 32))(images)
  assert list(maps) == [32, 16]
  assert maps[32].op.type == 'Relu'
  assert maps[32].op.name.startswith('resnet_v2_50/postnorm/')
  assert maps[32] is end_points[nets_factory.feature_map_names('resnet_v2_50')[32]]
  # A network without classes has it among its end points, so do those that ask.
  tf.reset_default_graph()
  features, end_points = nets_factory.get_network_fn('resnet_v2_50', None)(
      tf.zeros([1, 65, 65, 3]), global_pool=False)
  assert end_points['resnet_v2_50/postnorm'] is features


@pytest.mark.parametrize('outer', ['', 'detector'])
def test_maps_are_built_again_and_below_other_scopes(outer):
  """Where pools, named by their operations, have other names than at first."""
  for reuse in (None, True):
    with (tf.variable_scope(outer, reuse=reuse) if outer
          else tf.variable_scope(tf.get_variable_scope(), reuse=reuse)):
      maps, _ = nets_factory.get_feature_maps_fn('vgg_a', (8, 32))(
          tf.zeros([1, 64, 96, 3]))
    assert {stride: features.shape.as_list() for stride, features in maps.items()} == {
        32: [1, 2, 3, 512], 8: [1, 8, 12, 512]}
  assert len(tf.trainable_variables()) == 16


@pytest.mark.parametrize('size', [(64, 96), (None, None)])
def test_other_end_points_take_the_place_of_maps(size):
  """fc7 of VGG keeps the size of pool5; what is behind it is not built."""
  maps, _ = nets_factory.get_feature_maps_fn(
      'vgg_a', (8, 32), end_points={8: 'vgg_a/pool3', 32: 'vgg_a/fc7'})(
          tf.zeros([1, 64, 96, 3]) if None not in size
          else tf.placeholder(tf.float32, [1, *size, 3]))
  assert list(maps) == [32, 8]
  if None not in size:
    assert {stride: features.shape.as_list() for stride, features in maps.items()} == {
        32: [1, 2, 3, 4096], 8: [1, 8, 12, 256]}
  assert maps[32].op.name.startswith('vgg_a/fc7/')
  assert len(tf.trainable_variables()) == 20


def test_pools_without_padding_lose_the_last_pixel():
  maps, _ = nets_factory.get_feature_maps_fn(
      'vgg_a', (8, 32), end_points={8: 'vgg_a/conv4/conv4_1'})(
          tf.zeros([1, 100, 68, 3]))
  assert {stride: features.shape.as_list() for stride, features in maps.items()} == {
      32: [1, 3, 2, 512], 8: [1, 12, 8, 512]}


@pytest.mark.parametrize(('name', 'end_points', 'words'), [
    ('vgg_a', {32: 'vgg_a/fc77'}, "did you mean 'fc7'"),
    ('vgg_a', {8: 'vgg_a/conv5/conv5_3'}, 'no end point'),
    ('vgg_a', {8: 'vgg_a/conv5/conv5_2'}, '8 pixels.*stride 8 gives 16'),
    ('vgg_a', {4: 'vgg_a/pool2'}, r'strides=\(8, 32\): add'),
    ('alexnet_v2', {32: 'alexnet_v2/fc7'}, '1 pixels.*stride 32 gives 7'),
])
def test_other_end_points_that_do_not_fit_are_refused(name, end_points, words):
  size = 128 if name == 'vgg_a' else 224
  with pytest.raises(diagnostics.UserError, match=words):
    nets_factory.get_feature_maps_fn(name, (8, 32), end_points=end_points)(
        tf.zeros([1, size, size, 3]))


def test_images_too_small_for_a_map_are_refused():
  with pytest.raises(diagnostics.UserError, match=r'16 x 40 are too small.*stride 32'):
    nets_factory.get_feature_maps_fn('vgg_a', (8, 32))(tf.zeros([1, 16, 40, 3]))
  tf.reset_default_graph()
  nets_factory.get_feature_maps_fn('vgg_a', (8,))(tf.zeros([1, 16, 40, 3]))


@pytest.mark.parametrize('name', VIDEO_NETWORKS)
def test_video_networks_have_no_feature_maps(name):
  with pytest.raises(diagnostics.UserError, match=f"'{name}' is a video network"):
    nets_factory.feature_map_names(name)


def test_unknown_network_suggests_the_nearest():
  with pytest.raises(diagnostics.UserError, match="did you mean 'vgg_16'"):
    nets_factory.feature_map_names('vgg16')


def test_network_without_a_row_says_where_to_add_it(monkeypatch):
  row = networks.NETWORKS['lenet']
  monkeypatch.setitem(networks.NETWORKS, 'novel', row)
  with pytest.raises(diagnostics.UserError, match=r"'novel'.*catalog/feature_maps\.py"):
    nets_factory.feature_map_names('novel')
