"""Preprocessing for training: what is drawn, from which range, and by which seed."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.preprocessing import (
  cifarnet_preprocessing,
  fast_colors,
  inception_preprocessing,
  vgg_preprocessing,
)
from slim_zoo.preprocessing.preprocessing_factory import get_preprocessing
from slim_zoo.tf_compat import tf
from tests import recipe
from tests.mapped_images import draw, evaluate, ramp, through_tf_data

RANDOM_FAMILIES = ('cifarnet', 'inception', 'vgg')


@pytest.mark.parametrize('family', RANDOM_FAMILIES)
def test_a_seed_decides_everything_random_in_parallel(family):
  photo = recipe.photo(20, 24)
  preprocess = get_preprocessing(family, True)
  options = {'fast_mode': False} if family == 'inception' else {}
  first, second = (
      draw(lambda seed: preprocess(photo, 16, 16, seed=seed, **options), 12, parallel)
      for parallel in (1, 4))
  np.testing.assert_array_equal(first, second)
  assert len({image.tobytes() for image in first}) == len(first)


# TensorFlow warns that the map function follows the graph's seed: it should.
@pytest.mark.filterwarnings('ignore:Seed 5 from outer graph')
@pytest.mark.parametrize('family', RANDOM_FAMILIES)
def test_without_a_seed_each_image_is_drawn_anew_from_the_graph_seed(family):
  preprocess = get_preprocessing(family, True)
  runs = []
  for _ in range(2):
    tf.reset_default_graph()
    tf.set_random_seed(5)
    runs.append(through_tf_data(
        lambda image: preprocess(image, 16, 16), [recipe.photo(20, 24)] * 4)[1])
  assert len({image.tobytes() for image in runs[0]}) == 4
  np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize('family', RANDOM_FAMILIES)
def test_half_of_the_images_are_flipped(family):
  image = ramp(16, 16)
  preprocess = get_preprocessing(family, True)
  outputs = draw(lambda seed: preprocess(image, 16, 16, seed=seed), 120)
  if family == 'cifarnet':  # Without the black border.
    outputs = outputs[:, 6:10, 5:11]
  # The widest step between columns: negative where the ramp runs backwards.
  steps = np.diff(outputs.mean((1, 3)), axis=1)
  flipped = sum(row[np.abs(row).argmax()] < 0 for row in steps)
  assert 40 < flipped < 80


def test_the_crop_box_keeps_its_area_and_aspect():
  height, width = 200, 300
  boxes = draw(lambda seed: inception_preprocessing.distorted_bounding_box_crop(
      tf.zeros([height, width, 3], tf.uint8), None, 0.0, seed=seed)[1][0, 0], 300)
  top, left, bottom, right = boxes.T
  area = (bottom - top) * (right - left)
  aspect = (right - left) * width / ((bottom - top) * height)
  assert (boxes >= 0).all()
  assert (boxes <= 1).all()
  # The box's sides are whole pixels.
  assert 0.045 < area.min() < 0.1
  assert 0.8 < area.max() <= 1
  assert 0.73 < aspect.min() < 0.8
  assert 1.27 < aspect.max() < 1.36


def test_the_crop_is_what_the_box_says():
  photo = recipe.photo(50, 70)
  cropped, box = evaluate(inception_preprocessing.distorted_bounding_box_crop(
      tf.constant(photo), None, seed=tf.constant([3, 4])))
  top, left, bottom, right = np.round(box[0, 0] * [50, 70, 50, 70]).astype(int)
  assert cropped.shape[:2] != (50, 70)
  np.testing.assert_array_equal(cropped, photo[top:bottom, left:right])


def test_the_crop_box_covers_the_wanted_part_of_the_object():
  object_box = np.float32([[[0.7, 0.6, 0.95, 0.9]]])
  boxes = draw(lambda seed: inception_preprocessing.distorted_bounding_box_crop(
      tf.zeros([100, 100, 1]), object_box, 0.9, seed=seed)[1][0, 0], 100)
  top, left, bottom, right = boxes.T
  covered = (np.minimum(bottom, 0.95) - np.maximum(top, 0.7)) * (
      np.minimum(right, 0.9) - np.maximum(left, 0.6))
  assert (covered > 0.85 * 0.25 * 0.3).all()
  assert ((bottom - top) * (right - left)).min() < 0.3


@pytest.mark.parametrize('use_grayscale', [False, True])
def test_inception_training_shows_some_of_the_given_object(use_grayscale):
  image = np.zeros((48, 48, 3), np.uint8)
  image[36:, 36:] = 255
  preprocess = get_preprocessing('inception', True, use_grayscale)

  def count_with_object(bbox):
    outputs = draw(lambda seed: preprocess(image, 48, 48, bbox=bbox, seed=seed), 60)
    return (np.ptp(outputs, axis=(1, 2, 3)) > 0.3).sum()

  assert count_with_object(np.float32([[[0.75, 0.75, 1, 1]]])) == 60
  assert count_with_object(None) < 55


def test_no_box_stands_for_the_whole_image():
  photo = recipe.photo(20, 24)
  preprocess = get_preprocessing('inception', True)
  boxes = tf.placeholder_with_default(np.zeros((1, 0, 4), np.float32), [1, None, 4])
  outputs = evaluate([
      preprocess(photo, 16, 16, bbox=bbox, seed=tf.constant([1, 2]))
      for bbox in (None, boxes, tf.constant([[[0.0, 0.0, 1.0, 1.0]]]))])
  np.testing.assert_array_equal(outputs[1], outputs[0])
  np.testing.assert_array_equal(outputs[2], outputs[0])


def test_a_box_beyond_the_image_is_cut_off():
  photo = recipe.photo(20, 24)
  preprocess = get_preprocessing('inception', True)
  inside, beyond = evaluate([
      preprocess(photo, 16, 16, bbox=tf.constant([[box]]), seed=tf.constant([1, 2]))
      for box in ([0.5, 0.0, 1.0, 0.4], [0.5, -0.2, 1.01, 0.4])])
  np.testing.assert_array_equal(inside, beyond)


def test_inception_training_without_a_crop_resizes_the_whole_image():
  image = ramp(8, 8)
  outputs = draw(lambda seed: get_preprocessing('inception', True)(
      image, 8, 8, crop_image=False, seed=seed), 40)
  left, right = outputs[:, :, 0].mean((1, 2)), outputs[:, :, -1].mean((1, 2))
  # Brightness adds at most 32/255 of half the range; a crop would lose an end.
  assert (np.abs(left - right) > 1.7).all()


@pytest.mark.parametrize('channels', [1, 3])
def test_slow_inception_training_draws_other_resizes_and_stays_in_range(channels):
  # Bicubic interpolation overshoots at such edges.
  image = np.uint8(255 * (np.indices((9, 9)).sum(0) % 2))[..., None].repeat(channels, 2)
  outputs = draw(lambda seed: get_preprocessing('inception', True)(
      image, 32, 32, fast_mode=False, seed=seed), 40)
  assert outputs.min() >= -1
  assert outputs.max() <= 1
  # Nearest neighbour (and area) leave two values per channel, the others many.
  few = sum(len(np.unique(output[..., 0].round(4))) <= 2 for output in outputs)
  assert 10 <= few <= 30


@pytest.mark.parametrize('ordering', range(4))
def test_fast_color_distortion_moves_brightness_and_saturation(ordering):
  colors = draw(lambda seed: inception_preprocessing.distort_color(
      tf.constant([[[0.6, 0.4, 0.4]]]), ordering, seed=seed)[0, 0], 300)
  red, green, blue = colors.T
  np.testing.assert_allclose(green, blue, atol=1e-5)  # The hue is kept.
  brightness, saturation = red - 0.6, (red - green) / 0.2
  assert -0.126 < brightness.min() < -0.11
  assert 0.11 < brightness.max() < 0.126
  assert 0.499 < saturation.min() < 0.55
  assert 1.45 < saturation.max() < 1.501


@pytest.mark.parametrize('ordering', range(4))
def test_slow_color_distortion_moves_the_hue_too(ordering):
  colors = draw(lambda seed: inception_preprocessing.distort_color(
      tf.constant([[[0.6, 0.4, 0.4]]]), ordering, False, seed=seed)[0, 0], 50)
  assert (np.abs(colors[:, 1] - colors[:, 2]) > 1e-3).sum() > 40


@pytest.mark.parametrize('fast_mode', [False, True])
def test_color_distortion_of_gray_moves_brightness_and_contrast(fast_mode):
  pixels = draw(lambda seed: inception_preprocessing.distort_color(
      tf.constant([[[0.4], [0.6]]]), 0, fast_mode, seed=seed)[0, :, 0], 300)
  brightness, contrast = pixels.mean(1) - 0.5, np.diff(pixels)[:, 0] / 0.2
  assert -0.126 < brightness.min() < -0.11
  assert 0.11 < brightness.max() < 0.126
  assert 0.499 < contrast.min() < 0.55
  assert 1.45 < contrast.max() < 1.501


def test_color_distortion_refuses_an_unknown_order():
  with pytest.raises(diagnostics.UserError, match='no color_ordering 4: expected 0 to'):
    inception_preprocessing.distort_color(tf.zeros([4, 4, 3]), 4)


def test_the_random_selector_takes_each_case_equally_often():
  cases = draw(lambda seed: inception_preprocessing.apply_with_random_selector(
      tf.constant(10), lambda x, case: x + case, 4, seed=seed), 400)
  values, counts = np.unique(cases, return_counts=True)
  np.testing.assert_array_equal(values, [10, 11, 12, 13])
  assert counts.min() > 70


def drawn_sides(output, count, **sides):
  """Returns the side that vgg training resized a square image to, per draw."""
  image = ramp(32, 32, 1, np.float32) * 31 * 8
  outputs = draw(lambda seed: vgg_preprocessing.preprocess_for_train(
      image, output, output, seed=seed, **sides), count)
  return 32 * 8 / np.abs(np.diff(outputs.mean((1, 3)), axis=1)).max(1)


def test_vgg_training_draws_the_shorter_side_from_256_to_512():
  sides = drawn_sides(24, 60)
  assert 255.9 < sides.min() < 280
  assert 490 < sides.max() < 512.1


def test_vgg_training_draws_each_side_of_a_given_range():
  sides = drawn_sides(32, 80, resize_side_min=40, resize_side_max=44)
  assert set(sides.round(1)) == {40, 41, 42, 43, 44}


def test_vgg_training_enlarges_the_image_until_the_crop_fits():
  sides = drawn_sides(96, 20, resize_side_min=40, resize_side_max=104)
  assert sides.min() == pytest.approx(96, abs=0.05)
  assert 98 < sides.max() < 104.1


def test_vgg_training_crops_everywhere():
  image = np.stack(np.meshgrid(
      np.arange(32.0), np.arange(32.0), indexing='ij'), -1).astype(np.float32)
  image = np.concatenate([image, np.zeros((32, 32, 1), np.float32)], 2)
  outputs = draw(lambda seed: vgg_preprocessing.preprocess_for_train(
      image, 24, 24, 32, 32, seed=seed), 150)
  outputs += np.float32([123.68, 116.78, 103.94])
  top, left = outputs[..., 0].min((1, 2)), outputs[..., 1].min((1, 2))
  assert set(top.round(2)) == set(left.round(2)) == set(range(9))


def test_vgg_training_refuses_a_range_that_runs_backwards():
  with pytest.raises(diagnostics.UserError, match='resize_side_min is 600'):
    get_preprocessing('vgg', True)(tf.zeros([8, 8, 3]), 8, 8, resize_side_min=600)


def test_cifarnet_training_shifts_the_image_by_up_to_its_padding():
  image = np.full((8, 8, 1), 255, np.uint8)
  outputs = draw(lambda seed: cifarnet_preprocessing.preprocess_for_train(
      image, 8, 8, seed=seed), 200)
  visible = outputs > outputs.mean((1, 2, 3), keepdims=True)
  # A shift of 0 leaves an image of one color, standardized to 0.
  rows = {int(image.any((1, 2)).sum()) for image in visible if image.any()}
  columns = {int(image.any((0, 2)).sum()) for image in visible if image.any()}
  assert rows == columns == {4, 5, 6, 7, 8}


def test_cifarnet_training_scales_contrast_by_0_2_to_1_8():
  image = np.zeros((8, 8, 3), np.float32)
  image[..., 0] = 100
  image[..., 2] = ramp(8, 8, 1)[..., 0]
  outputs = draw(lambda seed: cifarnet_preprocessing.preprocess_for_train(
      image, 8, 8, padding=0, seed=seed), 200)
  # Contrast acts on each channel around its mean; standardization on all alike.
  spread = outputs[..., 2].std((1, 2))
  distance = (outputs[..., 0] - outputs[..., 1]).mean((1, 2))
  contrast = spread / distance * 100 / image[..., 2].std()
  assert 0.199 < contrast.min() < 0.25
  assert 1.75 < contrast.max() < 1.801


@pytest.mark.parametrize('is_training', [False, True])
def test_cifarnet_standardizes_each_image(is_training):
  preprocess = get_preprocessing('cifarnet', is_training)
  _, outputs = through_tf_data(
      lambda image: preprocess(image, 16, 16),
      [recipe.photo(20, 24, seed=seed) for seed in range(3)])
  np.testing.assert_allclose(outputs.mean((1, 2, 3)), 0, atol=1e-5)
  np.testing.assert_allclose(outputs.std((1, 2, 3)), 1, atol=1e-4)


# Summaries.


@pytest.mark.parametrize('family', ['inception', 'cifarnet'])
def test_image_summaries_show_the_steps_of_training_when_asked(family):
  photo = tf.constant(recipe.photo(20, 24))
  preprocess = get_preprocessing(family, True)
  preprocess(photo, 16, 16, add_image_summaries=False)
  assert tf.summary.merge_all() is None
  preprocess(photo, 16, 16)
  summary = tf.Summary.FromString(evaluate(tf.summary.merge_all()))
  tags = ' '.join(value.tag for value in summary.value)
  assert len(summary.value) >= 2
  assert 'distorted_image' in tags
  assert ('image_with_bounding_boxes' in tags) == (family == 'inception')


@pytest.mark.parametrize('family', ['inception', 'cifarnet'])
def test_image_summaries_are_left_out_inside_tf_data(family):
  preprocess = get_preprocessing(family, True)
  _, outputs = through_tf_data(
      lambda image: preprocess(image, 16, 16, add_image_summaries=True),
      [recipe.photo(20, 24)])
  assert np.isfinite(outputs).all()
  text = tf.get_default_graph().as_graph_def().SerializeToString()
  assert b'ImageSummary' not in text


@pytest.mark.parametrize('brightness_first', [True, False])
def test_the_compiled_colors_are_those_of_tensorflow(brightness_first):
  # Colours below black and above white, gray pixels and black ones are among them.
  random = np.random.default_rng(3)
  image = random.integers(0, 256, [20, 30, 3]).astype(np.float32)
  image[:4], image[4:8, :, 1:] = image[:4, :, :1], 0.0
  for brightness, saturation in ((-0.12, 1.5), (0.12, 0.5), (0.1, 1.3)):
    steps = [lambda image, by=brightness: tf.image.adjust_brightness(image, by),
             lambda image, by=saturation: tf.image.adjust_saturation(image, by)]
    wanted = tf.constant(image / 255)
    for step in steps if brightness_first else steps[::-1]:
      wanted = step(wanted)
    distorted = fast_colors.distort(
        tf.constant(image), 255.0, tf.constant(brightness), tf.constant(saturation),
        tf.constant(brightness_first))
    np.testing.assert_allclose(*evaluate(
        (distorted, tf.clip_by_value(wanted, 0.0, 1.0) * 2.0 - 1.0)), atol=2e-6)


@pytest.mark.parametrize(('size', 'side'), [
    ((75, 100), 32), ((40, 30), 64), ((9, 12), 32), ((32, 32), 32)])
def test_vgg_training_shows_the_part_of_the_resized_image(size, side):
  # On a ramp a difference of colour is one of place.
  photo = np.tile(np.linspace(0, 255, size[1])[:, np.newaxis], [size[0], 1, 1])
  photo = photo.astype(np.float32)
  crop = tf.constant([28, 24])
  resized = vgg_preprocessing._resized_shape(photo, side, crop)
  whole = vgg_preprocessing._resize(photo, resized, False)
  places = [tf.cast(tf.cast(resized - crop, tf.float32) * share, tf.int32)
            for share in (0.0, 0.3, 0.7, 1.0)]
  pairs = [
      (vgg_preprocessing._part_of_resized(photo, resized, place, crop, False),
       tf.slice(whole, tf.pad(place, [[0, 1]]), [28, 24, 3])) for place in places]
  *pairs, shape = evaluate([*pairs, resized])
  for part, wanted in pairs:
    np.testing.assert_allclose(part, wanted, atol=0.2 * 255 / shape[1])


@pytest.mark.parametrize('channels', [1, 3])
def test_vgg_subtracts_the_mean_whether_the_size_is_known_or_not(channels):
  photo = recipe.photo(6, 8)[..., :channels].astype(np.float32)
  known, unknown = evaluate((
      vgg_preprocessing._subtract_mean(tf.constant(photo)),
      vgg_preprocessing._subtract_mean(tf.placeholder_with_default(
          photo, [None, None, channels]))))
  np.testing.assert_array_equal(known, unknown)
