"""Feature taps: the end points that detectors and segmentations stand on."""

import json
import math

import pytest

import diagnostics
from catalog import networks, taps
from nets import nets_factory
from tests.evaluated_networks import BUILT, evaluated
from tests.nets_contract_test import CONTRACTS

IMAGE_NETWORKS = [name for name, row in networks.NETWORKS.items()
                  if row.frames is None]
VIDEO_NETWORKS = sorted(set(networks.NETWORKS) - set(IMAGE_NETWORKS))


# Of the module, so that all tests of a network come together, and with them its graph.
@pytest.fixture(scope='module', params=[
    name for name in IMAGE_NETWORKS if name in BUILT])
def name(request):
  return request.param


def test_taps_are_end_points_at_their_strides(name):
  """Each has ceil(size / stride) pixels a side, less what is lost to the border."""
  found, shapes = nets_factory.feature_taps(name), evaluated(name).shapes
  assert set(found.values()) <= set(shapes)
  size, lost = evaluated(name).cost.input_shape[0], taps.find_taps(name).lost
  sides = {stride: shapes[tap][1:3] for stride, tap in found.items()}
  for stride, (height, width) in sides.items():
    assert height == width
    assert math.ceil(size / stride) - lost <= height <= math.ceil(size / stride)
  if lost:
    # No row claims more than its worst tap needs.
    assert lost == max(math.ceil(size / stride) - height
                       for stride, (height, _) in sides.items())


@pytest.mark.parametrize('name', [
    name for name in IMAGE_NETWORKS if (CONTRACTS / 'nets' / f'{name}.json').exists()])
def test_taps_are_end_points_of_the_contract(name):
  contract = json.loads((CONTRACTS / 'nets' / f'{name}.json').read_text())
  shapes = {end_point: shape for end_point, shape, *_ in contract['end_points']}
  size, lost = contract['input_shape'][1], taps.find_taps(name).lost
  for stride, tap in nets_factory.feature_taps(name).items():
    assert math.ceil(size / stride) - lost <= shapes[tap][1] <= math.ceil(size / stride)


def test_taps_are_the_deepest_features_of_their_stride(name):
  """What comes after a tap at its resolution lies inside the next strided unit."""
  facts = evaluated(name)
  found = list(nets_factory.feature_taps(name).values())
  assert facts.logits_need == set(found)
  for number, tap in enumerate(found):
    assert set(found[number + 1:]) <= facts.later[tap]
    side = facts.shapes[tap][1:3]
    deeper = [other for other in facts.later[tap]
              if len(facts.shapes[other]) == 4 and facts.shapes[other][1:3] == side
              and not inside_a_strided_unit(other, facts.shapes)]
    assert deeper == []


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


def test_taps_cover_every_stride_in_order(name):
  """From the first tap on no stride is left out."""
  strides = list(nets_factory.feature_taps(name))
  assert set(strides) <= set(taps.STRIDES)
  assert len(strides) >= 2
  assert strides == [strides[0] * 2 ** number for number in range(len(strides))]


def test_every_row_of_taps_is_used():
  used = [taps.find_taps(name) for name in IMAGE_NETWORKS]
  assert None not in used
  assert [row.pattern for row in taps.TAPS if row not in used] == []


@pytest.mark.parametrize('name', VIDEO_NETWORKS)
def test_video_networks_have_no_taps(name):
  with pytest.raises(diagnostics.UserError, match=f"'{name}' reads video"):
    nets_factory.feature_taps(name)


def test_unknown_network_suggests_the_nearest():
  with pytest.raises(diagnostics.UserError, match="did you mean 'vgg_16'"):
    nets_factory.feature_taps('vgg16')


def test_network_without_a_row_says_where_to_add_it(monkeypatch):
  row = networks.NETWORKS['lenet']
  monkeypatch.setitem(networks.NETWORKS, 'novel', row)
  with pytest.raises(diagnostics.UserError, match=r"'novel'.*catalog/taps\.py"):
    nets_factory.feature_taps('novel')
