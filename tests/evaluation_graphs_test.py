"""The evaluation graphs of networks: their stored counts, their feature maps.

In one file, so that a network is built once for its tests.
"""

import math
import os

import pytest

from slim_zoo.catalog import complexity, feature_maps, networks
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf
from tests.evaluated_networks import EVERY_NETWORK, QUICKLY_BUILT, evaluated


# Of the module, so that all tests of a network come together, and with them its graph.
@pytest.fixture(scope='module', params=QUICKLY_BUILT)
def name(request):
  return request.param


@pytest.fixture
def image_network(name):
  if networks.NETWORKS[name].frames is not None:
    pytest.skip('a video network has no feature maps')
  return name


def test_stored_counts_are_those_of_the_graph(name):
  stored = complexity.load()
  assert evaluated(name).cost == stored[name], complexity.measure_command(name)


def test_feature_maps_are_end_points_at_their_strides(image_network):
  """Each has ceil(size / stride) pixels a side, less what is lost to the border."""
  name = image_network
  found, shapes = nets_factory.feature_map_names(name), evaluated(name).shapes
  assert set(found.values()) <= set(shapes)
  size, lost = evaluated(name).cost.input_shape[0], feature_maps.find_row(name).lost
  sides = {stride: shapes[end_point][1:3] for stride, end_point in found.items()}
  for stride, (height, width) in sides.items():
    assert height == width
    assert math.ceil(size / stride) - lost <= height <= math.ceil(size / stride)
  # No row claims more than its worst end_point needs; VGG loses only at odd sizes.
  worst = max((math.ceil(size / stride) - height
               for stride, (height, _) in sides.items()), default=0)
  if lost > worst:
    maps, _ = nets_factory.get_feature_maps_fn(name, tuple(found))(
        tf.zeros([1, size - 1, size - 1, 3]))
    worst = max(math.ceil((size - 1) / stride) - net.shape[1]
                for stride, net in maps.items())
  assert lost == worst


def test_feature_maps_are_the_deepest_features_of_their_stride(image_network):
  """Later end points of a resolution are inside the next strided unit."""
  name = image_network
  facts = evaluated(name)
  found = list(nets_factory.feature_map_names(name).values())
  assert facts.logits_need == set(found)
  for number, end_point in enumerate(found):
    assert set(found[number + 1:]) <= facts.later[end_point]
    side = facts.shapes[end_point][1:3]
    deeper = [other for other in facts.later[end_point]
              if len(facts.shapes[other]) == 4 and facts.shapes[other][1:3] == side
              and not inside_a_strided_unit(other, facts.shapes)]
    assert deeper == []


def test_backbone_has_the_variables_of_its_maps_and_no_others(
    image_network):
  """The variables of the whole network from which the same maps are computed."""
  name = image_network
  facts, names = evaluated(name), nets_factory.feature_map_names(name)
  strides = list(names)
  # The deepest takes long; `nets_fcn_test` has it of small networks.
  chosen = [strides[-2:-1]]
  if EVERY_NETWORK in os.environ:
    chosen = [strides, *([stride] for stride in strides[:-1])]
  for some in chosen:
    with tf.Graph().as_default():
      nets_factory.get_feature_maps_fn(name, some)(
          tf.placeholder(tf.float32, [1, *facts.cost.input_shape]))
      built = {variable.op.name: tuple(variable.shape.as_list())
               for variable in tf.global_variables()}
    assert set(built) == set().union(*(facts.map_needs[names[stride]]
                                       for stride in some))
    assert built.items() <= facts.variables.items()


def inside_a_strided_unit(end_point, shapes):
  """Returns whether an end point is a part of one with another resolution.

  A unit that has parts itself is not such a part: a ResNet's block ends at another
  resolution than most of its units have.
  """
  if any(other.startswith(f'{end_point}/') for other in shapes):
    return False
  parts = end_point.split('/')
  wholes = ['/'.join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]
  whole = next((whole for whole in wholes if whole in shapes), None)
  return whole is not None and shapes[whole][1:3] != shapes[end_point][1:3]
