"""RandAugment: random image operations with one magnitude.

Cubuk et al. 2019, RandAugment: Practical automated data augmentation with a reduced
search space, arXiv 1909.13719. The operations and their amounts at magnitude 10 are
those of AutoAugment (Cubuk et al. 2018, arXiv 1805.09501, table 6). Amounts are
proportional to the magnitude up to 30, as in the paper's experiments; each operation is
limited so that an image stays visible.

TrivialAugment, Mueller and Hutter 2021, arXiv 2103.10158, draws one operation and its
magnitude for each image.
"""

import dataclasses
import math
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.preprocessing import channels, randomness
from slim_zoo.tf_compat import tf

MAX_MAGNITUDE = 30
_FULL_MAGNITUDE = 10
# The value of pixels from outside the image.
_FILL = 128.0
_FARTHEST_TRANSLATION = 0.45
_LEAST_ENHANCEMENT = 0.1


@dataclasses.dataclass(frozen=True)
class Operation:
  """An operation on images.

  Attributes:
    apply: function of an image, uint8 [height, width, 1 or 3], and an amount, a float32
      scalar; returns the changed image. An amount of 0 changes nothing, except for
      operations without an amount.
    full: the amount at magnitude 10; 0 if there is none.
    either_way: whether the amount may also be negative.
  """

  apply: Callable
  full: float = 0.0
  either_way: bool = False


def _as_pixels(values):
  return tf.cast(tf.clip_by_value(tf.round(values), 0.0, 255.0), tf.uint8)


def _identity(image, unused_amount):
  return tf.identity(image)


def _autocontrast(image, unused_amount):
  values = tf.cast(image, tf.float32)
  low = tf.reduce_min(values, [0, 1], keepdims=True)
  span = tf.reduce_max(values, [0, 1], keepdims=True) - low
  # A channel with a single value does not change.
  stretched = (values - low) * tf.math.divide_no_nan(255.0, span)
  return _as_pixels(tf.where_v2(span > 0, stretched, values))


def _equalize(image, unused_amount):
  depth = channels.count_channels(image)
  # Each channel has its own histogram; one op counts all of them.
  bins = tf.cast(image, tf.int32) + 256 * tf.range(depth)
  counts = tf.reshape(tf.math.unsorted_segment_sum(
      tf.ones_like(bins), bins, 256 * depth), [depth, 256])
  darker = tf.cumsum(counts, axis=1, exclusive=True)
  darker_than_brightest = tf.reduce_max(
      tf.where_v2(counts > 0, darker, 0), axis=1, keepdims=True)
  levels = tf.cast(darker, tf.float32) * tf.math.divide_no_nan(
      255.0, tf.cast(darker_than_brightest, tf.float32))
  levels = tf.where_v2(
      darker_than_brightest > 0, levels, tf.range(256, dtype=tf.float32))
  return tf.gather(tf.reshape(_as_pixels(levels), [-1]), bins)


def _solarize(image, amount):
  threshold = 256.0 - amount
  return tf.where_v2(tf.cast(image, tf.float32) < threshold, image, 255 - image)


def _posterize(image, amount):
  dropped_bits = tf.cast(tf.clip_by_value(tf.round(amount), 0.0, 7.0), tf.uint8)
  return tf.bitwise.left_shift(
      tf.bitwise.right_shift(image, dropped_bits), dropped_bits)


def _enhance(image, plain, amount):
  """Moves an image away from `plain`, or towards it for negative amounts."""
  values = tf.cast(image, tf.float32)
  factor = tf.maximum(1.0 + amount, _LEAST_ENHANCEMENT)
  return _as_pixels(plain + factor * (values - plain))


def _luma(image):
  return channels.with_channels(tf.cast(image, tf.float32), 1)


def _color(image, amount):
  if channels.count_channels(image) == 1:
    return _identity(image, amount)
  return _enhance(image, _luma(image), amount)


def _contrast(image, amount):
  return _enhance(image, tf.round(tf.reduce_mean(_luma(image))), amount)


def _brightness(image, amount):
  return _enhance(image, 0.0, amount)


def _sharpness(image, amount):
  depth = channels.count_channels(image)
  values = tf.cast(image, tf.float32)
  weights = tf.constant([[1, 1, 1], [1, 5, 1], [1, 1, 1]], tf.float32) / 13
  smooth = tf.nn.depthwise_conv2d(
      values[tf.newaxis],
      tf.tile(weights[..., tf.newaxis, tf.newaxis], [1, 1, depth, 1]),
      [1, 1, 1, 1], 'SAME')[0]
  height, width = tf.unstack(tf.shape(image)[:2])
  row, column = tf.range(height)[:, tf.newaxis], tf.range(width)[tf.newaxis]
  # The border pixels lack neighbours and do not change.
  inside = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
  return _enhance(
      image, tf.where_v2(inside[..., tf.newaxis], smooth, values), amount)


def _warp(image, matrix, shift=(0.0, 0.0)):
  """Transforms an image about its centre, with nearest-neighbour sampling.

  Args:
    image: uint8 [height, width, channels].
    matrix: ((xx, xy), (yx, yy)); an output pixel at (x, y) from the centre shows
      the input pixel at matrix * (x, y) + shift from it.
    shift: (x, y) in pixels.
  """
  (xx, xy), (yx, yy) = matrix
  size = tf.cast(tf.shape(image), tf.float32)
  center_x, center_y = (size[1] - 1) / 2, (size[0] - 1) / 2
  transform = tf.stack([
      xx, xy, center_x - xx * center_x - xy * center_y + shift[0],
      yx, yy, center_y - yx * center_x - yy * center_y + shift[1],
      0.0, 0.0])
  return tf.raw_ops.ImageProjectiveTransformV3(
      images=image[tf.newaxis], transforms=transform[tf.newaxis],
      output_shape=tf.shape(image)[:2], fill_value=_FILL, interpolation='NEAREST',
      fill_mode='CONSTANT')[0]


def _rotate(image, amount):
  angle = amount * (math.pi / 180)
  cos, sin = tf.cos(angle), tf.sin(angle)
  return _warp(image, ((cos, -sin), (sin, cos)))


def _shear_x(image, amount):
  return _warp(image, ((1.0, amount), (0.0, 1.0)))


def _shear_y(image, amount):
  return _warp(image, ((1.0, 0.0), (amount, 1.0)))


def _distance(amount, pixels):
  share = tf.clip_by_value(amount, -_FARTHEST_TRANSLATION, _FARTHEST_TRANSLATION)
  return tf.round(share * tf.cast(pixels, tf.float32))


def _translate_x(image, amount):
  return _warp(image, ((1.0, 0.0), (0.0, 1.0)),
               (_distance(amount, tf.shape(image)[1]), 0.0))


def _translate_y(image, amount):
  return _warp(image, ((1.0, 0.0), (0.0, 1.0)),
               (0.0, _distance(amount, tf.shape(image)[0])))


# Angles are in degrees, counter-clockwise. Translations are shares of the side (150 of
# 331 pixels in AutoAugment). Enhancements multiply by 1 + amount.
OPERATIONS = {
    'identity': Operation(_identity),
    'autocontrast': Operation(_autocontrast),
    'equalize': Operation(_equalize),
    'rotate': Operation(_rotate, 30.0, either_way=True),
    'solarize': Operation(_solarize, 256.0),
    'color': Operation(_color, 0.9, either_way=True),
    'posterize': Operation(_posterize, 4.0),
    'contrast': Operation(_contrast, 0.9, either_way=True),
    'brightness': Operation(_brightness, 0.9, either_way=True),
    'sharpness': Operation(_sharpness, 0.9, either_way=True),
    'shear_x': Operation(_shear_x, 0.3, either_way=True),
    'shear_y': Operation(_shear_y, 0.3, either_way=True),
    'translate_x': Operation(_translate_x, 0.45, either_way=True),
    'translate_y': Operation(_translate_y, 0.45, either_way=True),
}


def apply_operation(image, name: str, magnitude, sign=1.0):
  """Applies one operation to an image.

  Args:
    image: uint8 [height, width, 1 or 3].
    name: one of `OPERATIONS`; 'color' does not change a gray image.
    magnitude: 0 to 30, a number or a float32 scalar tensor.
    sign: 1 or -1, a number or a float32 scalar: the direction of operations with
      `either_way`.

  Returns:
    uint8 of the same shape.

  Raises:
    UserError: the operation does not exist, the magnitude is out of its range, or
      the image has neither 1 nor 3 channels.
  """
  if name not in OPERATIONS:
    raise diagnostics.unknown_name('operation', name, OPERATIONS)
  if not tf.is_tensor(magnitude) and not 0 <= magnitude <= MAX_MAGNITUDE:
    raise diagnostics.UserError(
        f'the magnitude of RandAugment is {magnitude}: expected 0 to {MAX_MAGNITUDE}')
  channels.count_channels(image)
  operation = OPERATIONS[name]
  amount = tf.cast(operation.full * magnitude / _FULL_MAGNITUDE, tf.float32)
  changed = operation.apply(image, amount * sign if operation.either_way else amount)
  changed.set_shape(image.shape)
  return changed


def trivial_augment(image, seed=None):
  """Applies one random operation with a random magnitude to an image.

  The magnitude is a whole number from 0 to 30; each is equally likely.

  Args:
    image: uint8 [height, width, 1 or 3].
    seed: an integer tensor of shape [2] that decides everything random; None
      draws one.

  Returns:
    uint8 of the same shape.

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  strength, operation = randomness.split_seed(seed, 2)
  magnitude = tf.cast(tf.random.stateless_uniform(
      [], strength, 0, MAX_MAGNITUDE + 1, tf.int32), tf.float32)
  return rand_augment(image, 1, magnitude, operation)


def rand_augment(image, layers: int, magnitude, seed=None):
  """Applies random `OPERATIONS` to an image in sequence.

  Each is drawn from all operations; those with `either_way` draw their direction.

  Args:
    image: uint8 [height, width, 1 or 3].
    layers: number of operations.
    magnitude: magnitude of all operations, 0 to 30, a number or a float32 scalar
      tensor.
    seed: an integer tensor of shape [2] that decides everything random; None
      draws one.

  Returns:
    uint8 of the same shape.

  Raises:
    UserError: the magnitude is out of its range, or the image has neither 1 nor 3
      channels.
  """
  names = list(OPERATIONS)
  with tf.name_scope('rand_augment'):
    for layer_seed in randomness.split_seed(seed, layers):
      which, way = randomness.split_seed(layer_seed, 2)
      drawn = tf.random.stateless_uniform([], which, 0, len(names), tf.int32)
      heads = tf.random.stateless_uniform([], way) < 0.5
      sign = tf.where_v2(heads, 1.0, -1.0)
      before = image
      image = tf.switch_case(drawn, [
          lambda name=name, image=before, sign=sign: apply_operation(
              image, name, magnitude, sign)
          for name in names])
      image.set_shape(before.shape)
  return image
