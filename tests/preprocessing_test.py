"""Preprocessing: the pixels of evaluation; names, channels and sizes."""

import importlib
import pathlib

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.preprocessing import inception_preprocessing
from slim_zoo.preprocessing.preprocessing_factory import get_preprocessing
from slim_zoo.tf_compat import tf
from tests import recipe
from tests.mapped_images import evaluate, through_tf_data

FAMILIES = ('cifarnet', 'inception', 'lenet', 'vgg')
CONTRACTS = dict(np.load(pathlib.Path(__file__).parent / 'data/preprocessing.npz'))


# Evaluation.


@pytest.mark.parametrize('case', CONTRACTS)
def test_evaluation_pixels_equal_the_contract(case):
  name, size, output, gray, seed = case.split('|')
  # A network whose row is still to come is named by its family.
  name = name if name in networks.NETWORKS else name.split('_')[0]
  photo = recipe.photo(
      *map(int, size.split('x')), seed=int(seed.removeprefix('seed=')))
  height, width = map(int, output.split('x'))
  preprocess = get_preprocessing(name, use_grayscale=gray == 'gray=True')

  _, (unknown_size,) = through_tf_data(
      lambda image: preprocess(image, height, width), [photo])
  known_size = evaluate(preprocess(tf.constant(photo), height, width))

  expected = CONTRACTS[case]
  for actual in (known_size, unknown_size):
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize('family', FAMILIES)
def test_evaluation_is_the_same_each_time(family):
  preprocess = get_preprocessing(family)
  _, outputs = through_tf_data(
      lambda image: preprocess(image, 16, 16), [recipe.photo(20, 24)] * 3)
  assert np.ptp(outputs[0]) > 0
  np.testing.assert_array_equal(outputs[1], outputs[0])
  np.testing.assert_array_equal(outputs[2], outputs[0])


def test_inception_evaluation_takes_floats_in_0_1_as_it_takes_uint8():
  photo = recipe.photo(20, 24)
  preprocess = get_preprocessing('inception')
  integers, floats = evaluate([
      preprocess(tf.constant(image), 9, 9)
      for image in (photo, np.float32(photo / 255))])
  np.testing.assert_allclose(integers, floats, atol=1e-6)


def test_inception_evaluation_without_a_size_or_crop_keeps_the_pixels():
  photo = recipe.photo(20, 24)
  whole = inception_preprocessing.preprocess_for_eval(
      tf.constant(photo), None, None, central_crop=False)
  np.testing.assert_allclose(evaluate(whole), photo / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize(('size', 'output', 'resized'), [
    ((40, 20), (300, 300), (600, 300)),
    ((40, 20), (320, 64), (512, 256)),
    ((40, 20), (32, 320), (640, 320)),
    ((20, 40), (8, 640), (320, 640)),
])
def test_vgg_evaluation_enlarges_the_image_until_the_crop_fits(size, output, resized):
  photo = tf.constant(recipe.photo(*size))
  larger = tf.image.resize_images(photo, resized)
  top, left = (resized[0] - output[0]) // 2, (resized[1] - output[1]) // 2
  expected = larger[top:top + output[0], left:left + output[1]]
  expected, actual = evaluate(
      [expected - [123.68, 116.78, 103.94], get_preprocessing('vgg')(photo, *output)])
  np.testing.assert_allclose(actual, expected, atol=2e-3)


def test_vgg_evaluation_resizes_to_resize_side_min():
  preprocess = get_preprocessing('vgg')
  photo = tf.constant(recipe.photo(32, 48))
  actual, expected = evaluate([
      preprocess(photo, 16, 16, resize_side_min=32),
      photo[8:24, 16:32]])
  np.testing.assert_allclose(
      actual, expected - np.float32([123.68, 116.78, 103.94]), atol=1e-4)


# Names, channels and sizes.


@pytest.mark.parametrize('name', networks.NETWORKS)
def test_every_network_has_the_preprocessing_of_its_row(name):
  module = importlib.import_module(
      f'slim_zoo.preprocessing.{networks.NETWORKS[name].preprocessing}_preprocessing')
  photo = tf.constant(recipe.photo(20, 24))
  for is_training in (False, True):
    preprocess = get_preprocessing(name, is_training)
    seed = {'seed': tf.constant([1, 2])} if 'seed' in preprocess.options else {}
    actual, expected = evaluate([
        preprocess(photo, 16, 16, **seed),
        module.preprocess_image(photo, 16, 16, is_training, **seed)])
    assert np.ptp(expected) > 0
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('use_grayscale', [False, True])
@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('family', FAMILIES)
def test_images_of_any_size_become_network_ready_in_tf_data(
    family, is_training, use_grayscale, channels):
  preprocess = get_preprocessing(family, is_training, use_grayscale)
  sizes = ((5, 7), (1, 1), (40, 9), (16, 64), (32, 24), (80, 61))
  dataset, outputs = through_tf_data(
      lambda image: preprocess(image, 32, 24),
      [recipe.photo(*size, channels) for size in sizes])

  if use_grayscale:
    expected_channels = 1
  else:
    expected_channels = 3 if family in ('vgg', 'inception') else channels
  shape = [32, 24, expected_channels]
  assert tf.data.get_output_shapes(dataset).as_list() == shape
  assert tf.data.get_output_types(dataset) == tf.float32
  assert outputs.shape == (len(sizes), *shape)
  assert np.isfinite(outputs).all()
  assert np.ptp(outputs[-1]) > 0.1
  if family == 'inception':
    assert outputs.min() >= -1
    assert outputs.max() <= 1


@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('family', FAMILIES)
def test_sizes_may_be_tensors(family, is_training):
  size = tf.placeholder_with_default(12, [])
  preprocess = get_preprocessing(family, is_training)
  output = preprocess(tf.constant(recipe.photo(20, 24)), size, size + 1)
  assert evaluate(output).shape == (12, 13, 3)


@pytest.mark.parametrize('family', ['vgg', 'inception'])
def test_a_gray_image_becomes_three_equal_channels(family):
  gray = tf.constant(recipe.photo(20, 24, 1))
  preprocess = get_preprocessing(family)
  from_gray, from_rgb = evaluate([
      preprocess(gray, 16, 16), preprocess(tf.tile(gray, [1, 1, 3]), 16, 16)])
  np.testing.assert_array_equal(from_gray, from_rgb)


def test_vgg_grayscale_is_the_luma_of_what_rgb_gives():
  photo = tf.constant(recipe.photo(20, 24))
  gray, rgb = evaluate([
      get_preprocessing('vgg', use_grayscale=use_grayscale)(photo, 16, 16)
      for use_grayscale in (True, False)])
  luma = rgb @ np.float32([[0.2989], [0.5870], [0.1140]])
  np.testing.assert_allclose(gray, luma, atol=1e-3)


@pytest.mark.parametrize('family', ['lenet', 'cifarnet'])
def test_grayscale_turns_rgb_into_its_luma_without_rounding(family):
  photo = recipe.photo(16, 16)
  luma = np.float32(photo) @ np.float32([[0.2989], [0.5870], [0.1140]])
  from_rgb, from_luma = evaluate([
      get_preprocessing(family, use_grayscale=True)(tf.constant(image), 16, 16)
      for image in (photo, luma)])
  np.testing.assert_allclose(from_rgb, from_luma, atol=1e-5)


@pytest.mark.parametrize('family', ['cifarnet', 'inception', 'vgg'])
def test_options_name_the_further_arguments_of_a_family(family):
  options = get_preprocessing(family, True).options
  assert 'seed' in options
  assert ('bbox' in options) == (family == 'inception')
  assert ('resize_side_min' in options) == (family == 'vgg')
  assert not options & {'image', 'is_training', 'use_grayscale', 'output_height'}


def test_a_misspelt_name_is_answered_with_the_nearest():
  with pytest.raises(diagnostics.UserError, match="no preprocessing 'inceptoin'; did"
                     " you mean 'inception'"):
    get_preprocessing('inceptoin')
  with pytest.raises(diagnostics.UserError, match="did you mean 'resnet_v1_50'"):
    get_preprocessing('resnet_v1_5')


@pytest.mark.parametrize('shape', [(8, 8, 4), (8, 8, None), (8, 8), (2, 8, 8, 3), None])
@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('family', FAMILIES)
def test_an_image_of_another_shape_is_refused(family, is_training, shape):
  image = tf.placeholder(tf.uint8, shape)
  with pytest.raises(diagnostics.UserError, match='1 \\(gray\\) or 3 \\(RGB\\)'):
    get_preprocessing(family, is_training)(image, 8, 8)
