"""The operations of RandAugment, each against PIL's, and how they are drawn."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from slim_zoo import diagnostics
from slim_zoo.preprocessing.rand_augment import (
  OPERATIONS,
  apply_operation,
  rand_augment,
  trivial_augment,
)
from slim_zoo.tf_compat import tf
from tests.mapped_images import draw, evaluate, sample_photo


@pytest.fixture(scope='module')
def photo():
  return sample_photo()


def gray(photo):
  return np.asarray(Image.fromarray(photo).convert('L'))[..., None]


def warped(image, transform):
  """Returns PIL's affine transformation: what each output pixel (x, y) shows."""
  return image.transform(image.size, Image.Transform.AFFINE, transform,
                         Image.Resampling.NEAREST,
                         fillcolor=(128,) * len(image.getbands()))


def sheared_x(image, factor):
  # About the centre: PIL counts from the corner.
  return warped(image, (1, factor, -factor * image.height / 2, 0, 1, 0))


def sheared_y(image, factor):
  return warped(image, (1, 0, 0, factor, 1, -factor * image.width / 2))


# For each operation at a magnitude and a sign: what PIL makes of it, the tolerance in
# levels of brightness, and the share of pixels that may be further off.
REFERENCES = [
    ('identity', 17, 1, lambda image: image, 0, 0),
    ('autocontrast', 4, 1, ImageOps.autocontrast, 1, 0),
    ('equalize', 4, 1, ImageOps.equalize, 3, 0),
    ('solarize', 3, 1, lambda image: ImageOps.solarize(image, 180), 0, 0),
    ('solarize', 20, 1, ImageOps.invert, 0, 0),
    ('posterize', 5, 1, lambda image: ImageOps.posterize(image, 6), 0, 0),
    ('posterize', 30, 1, lambda image: ImageOps.posterize(image, 1), 0, 0),
    ('color', 9, 1, lambda image: ImageEnhance.Color(image).enhance(1.81), 2, 0),
    ('color', 9, -1, lambda image: ImageEnhance.Color(image).enhance(0.19), 2, 0),
    ('contrast', 5, 1, lambda image: ImageEnhance.Contrast(image).enhance(1.45), 1, 0),
    ('contrast', 30, -1, lambda image: ImageEnhance.Contrast(image).enhance(0.1), 1, 0),
    ('brightness', 10, 1, lambda image: ImageEnhance.Brightness(image).enhance(1.9),
     1, 0),
    ('brightness', 5, -1, lambda image: ImageEnhance.Brightness(image).enhance(0.55),
     1, 0),
    ('sharpness', 10, 1, lambda image: ImageEnhance.Sharpness(image).enhance(1.9),
     2, 0),
    ('sharpness', 8, -1, lambda image: ImageEnhance.Sharpness(image).enhance(0.28),
     2, 0),
    # Where a source is half way between two pixels, either is right.
    ('rotate', 10, 1, lambda image: image.rotate(30, fillcolor=(128,) * len(
        image.getbands())), 0, 0.02),
    ('rotate', 25, -1, lambda image: image.rotate(-75, fillcolor=(128,) * len(
        image.getbands())), 0, 0.02),
    ('shear_x', 9, 1, lambda image: sheared_x(image, 0.27), 0, 0.02),
    ('shear_y', 9, -1, lambda image: sheared_y(image, -0.27), 0, 0.02),
    ('translate_x', 5, 1, lambda image: warped(image, (1, 0, 36, 0, 1, 0)), 0, 0),
    ('translate_x', 30, 1, lambda image: warped(image, (1, 0, 72, 0, 1, 0)), 0, 0),
    ('translate_y', 10, -1, lambda image: warped(image, (1, 0, 0, 0, 1, -48)), 0, 0),
]


@pytest.mark.parametrize('channels', [1, 3])
def test_operations_do_what_pil_does(photo, channels):
  pixels = photo if channels == 3 else gray(photo)
  image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
  results = evaluate([apply_operation(tf.constant(pixels), name, magnitude, sign)
                      for name, magnitude, sign, *_ in REFERENCES])
  assert {name for name, *_ in REFERENCES} == set(OPERATIONS)
  for (name, _, sign, reference, levels, share), result in zip(
      REFERENCES, results, strict=True):
    wanted = np.asarray(reference(image)).reshape(pixels.shape)
    assert result.dtype == np.uint8
    off = np.abs(result.astype(int) - wanted) > levels
    assert off.mean() <= share, (name, sign, off.mean())


def test_magnitude_0_changes_nothing_where_there_is_an_amount(photo):
  with_amount = [name for name, operation in OPERATIONS.items() if operation.full]
  assert len(with_amount) == 11
  for result in evaluate([
      apply_operation(tf.constant(photo), name, 0) for name in with_amount]):
    np.testing.assert_array_equal(result, photo)


def test_images_of_one_colour_stay_finite():
  flat = np.full((5, 4, 3), 77, np.uint8)
  for name in ('autocontrast', 'equalize', 'contrast', 'color', 'sharpness'):
    np.testing.assert_array_equal(
        evaluate(apply_operation(tf.constant(flat), name, 9)), flat)


def test_wrong_names_magnitudes_and_channels_are_refused():
  image = tf.zeros([4, 4, 3], tf.uint8)
  with pytest.raises(diagnostics.UserError, match="'rotat'; did you mean 'rotate'"):
    apply_operation(image, 'rotat', 9)
  with pytest.raises(diagnostics.UserError, match='is 31: expected 0 to 30'):
    apply_operation(image, 'rotate', 31)
  with pytest.raises(diagnostics.UserError, match=r'1 \(gray\) or 3'):
    rand_augment(tf.zeros([4, 4, 4], tf.uint8), 1, 9)


def test_rand_augment_draws_every_operation_and_both_ways(photo):
  small = photo[::4, ::4]
  ways = [(name, sign) for name, operation in OPERATIONS.items()
          for sign in ((1, -1) if operation.either_way else (1,))]
  wanted = evaluate([apply_operation(tf.constant(small), name, 9, sign)
                     for name, sign in ways])
  names = {result.tobytes(): way for result, way in zip(wanted, ways, strict=True)}
  assert len(names) == len(ways)  # Else an operation could pass for another.
  count = 28 * 20
  drawn = [names[image.tobytes()] for image in draw(
      lambda seed: rand_augment(tf.constant(small), 1, 9, seed), count)]
  times = {way: drawn.count(way) for way in ways}
  for (name, _), found in times.items():
    mean = count / len(OPERATIONS) / (2 if OPERATIONS[name].either_way else 1)
    assert abs(found - mean) < 4.5 * mean ** 0.5, times


def test_layers_follow_one_another(photo):
  """Two operations of one image are two of the table, in some order."""
  small = tf.constant(photo[::5, ::5])
  names = ('autocontrast', 'equalize', 'posterize', 'solarize')
  both = {image.tobytes() for image in evaluate([
      apply_operation(apply_operation(small, first, 9), second, 9)
      for first in names for second in names])}
  drawn = draw(lambda seed: rand_augment(small, 2, 9, seed), 400)
  # 16 of 196 pairs.
  assert 12 <= sum(image.tobytes() in both for image in drawn) <= 60


def test_trivial_augment_draws_the_operation_and_its_magnitude():
  """Brightness of a gray image shows the operation and its magnitude."""
  image = tf.fill([4, 4, 1], tf.constant(100, tf.uint8))
  drawn = draw(lambda seed: trivial_augment(image, seed), 600)
  values = np.unique(drawn[:, 0, 0, 0])
  assert drawn.shape == (600, 4, 4, 1)
  assert len(values) > 12
  # Magnitude 30 takes brightness to 370 and to a tenth.
  assert values.min() <= 10
  assert values.max() == 255
  again = draw(lambda seed: trivial_augment(image, seed), 600)
  np.testing.assert_array_equal(drawn, again)
