"""The colour wheel of optical flow, and animations."""

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.drawing import animations, flow_colours


def test_wheel_goes_from_red_over_the_six_colours():
  wheel = flow_colours.wheel()
  assert wheel.shape == (55, 3)
  corners = np.cumsum([0, 15, 6, 4, 11, 13])
  assert wheel[corners].tolist() == [
      [255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 255, 255], [0, 0, 255],
      [255, 0, 255]]
  # Between them one component changes, in equal steps.
  assert wheel[1].tolist() == [255, 17, 0]
  assert wheel[16].tolist() == [213, 255, 0]
  assert wheel[54].tolist() == [255, 0, 43]


@pytest.mark.parametrize(('flow', 'colour'), [
    ((0, 0), (255, 255, 255)),
    ((2, 0), (255, 0, 0)),         # Right, the first hue.
    ((1, 0), (255, 127, 127)),     # Half the length, half the saturation.
    ((4, 0), (191, 0, 0)),         # Beyond the largest.
    ((0, 2), (255, 229, 0)),       # Down, between the hues 13 and 14.
    ((-2, 0), (0, 209, 255)),      # Left, the hue 27.
    ((0, -2), (88, 0, 255)),       # Up, between the hues 40 and 41.
    ((np.nan, 0), (0, 0, 0)),
    ((1e10, 0), (0, 0, 0)),
])
def test_colours(flow, colour):
  assert flow_colours.colours_of(np.array(flow), 2.0).tolist() == list(colour)


def test_without_a_largest_length_it_is_that_of_the_flow():
  flow = np.zeros([2, 3, 2])
  assert (flow_colours.colours_of(flow) == 255).all()
  flow[1, 2] = 3, 4
  flow[0, 0] = 6, 8
  np.testing.assert_array_equal(
      flow_colours.colours_of(flow), flow_colours.colours_of(flow, 10.0))


def test_legend_has_the_colour_of_the_flow_to_each_point():
  pixels = np.asarray(flow_colours.legend(101))
  assert pixels[50, 50].tolist() == [255, 255, 255]
  assert pixels[0, 0].tolist() == [255, 255, 255]
  assert pixels[50, 75].tolist() == flow_colours.colours_of(
      np.array([25 / 50.5, 0]), 1.0).tolist()


@pytest.mark.parametrize(('flow', 'largest', 'words'), [
    (np.zeros([2, 3]), None, r'\[2, 3\]: expected'),
    (np.zeros([2, 2]), 0.0, 'above 0'),
])
def test_what_is_no_flow_is_refused(flow, largest, words):
  with pytest.raises(ValueError, match=words):
    flow_colours.colours_of(flow, largest)


@pytest.mark.parametrize('suffix', ['.gif', '.png', '.apng'])
def test_animations_have_all_frames(tmp_path, suffix):
  frames = [Image.new('RGB', (9, 7), colour) for colour in ('red', 'lime', 'blue')]
  path = tmp_path / f'moving{suffix}'
  animations.write(path, frames, milliseconds=70)
  with Image.open(path) as written:
    assert written.n_frames == 3
    assert written.info['loop'] == 0
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
      written.seek(number)
      assert written.info['duration'] == 70
      assert written.convert('RGB').getpixel((4, 3)) == colour


def test_animations_of_another_format_or_of_no_frames_are_refused(tmp_path):
  frame = Image.new('RGB', (9, 7))
  with pytest.raises(diagnostics.UserError, match=r"suffix '\.mp4': expected"):
    animations.write(tmp_path / 'moving.mp4', [frame])
  with pytest.raises(ValueError, match='0 frames'):
    animations.write(tmp_path / 'moving.gif', [])
  with pytest.raises(ValueError, match='expected one size'):
    animations.write(tmp_path / 'moving.gif', [frame, Image.new('RGB', (5, 5))])
