"""Preprocessing for segmentation: of an image and its mask together.

A crop of a scaled, flipped image is given by the positions of its rows and columns in
the image. Images are interpolated bilinearly there, and masks take the nearest pixel,
so both have exactly the same geometry. Values are those of a preprocessing family.
"""

import math

from slim_zoo.catalog import preprocessing_families
from slim_zoo.catalog.datasets import IGNORED
from slim_zoo.preprocessing import channels, randomness, value_ranges
from slim_zoo.tf_compat import tf


def preprocess_for_train(image, mask, output_height: int, output_width: int, name: str,
                         use_grayscale: bool = False,
                         scales: tuple[float, float] = (0.5, 2.0), flip: bool = True,
                         seed=None) -> tuple[tf.Tensor, tf.Tensor]:
  """Scales, crops and flips an image and its mask at random.

  Args:
    image: uint8 [height, width, 1 or 3].
    mask: uint8 [height, width].
    output_height: height of the results.
    output_width: width of the results.
    name: a preprocessing family or a network, whose values the image gets.
    use_grayscale: whether the image becomes gray.
    scales: the smallest and the largest scale. Scales are drawn between them with a
      uniform logarithm, so that 0.5 to 1 is as likely as 1 to 2.
    flip: whether half of the images are flipped from left to right.
    seed: an integer tensor of shape [2] that decides everything random; None draws one.

  Returns:
    (float32 [output_height, output_width, channels], uint8 [output_height,
    output_width]). Pixels outside of a scaled image that is smaller than the results
    are 0 in the image and 255, without a class, in the mask.
  """
  scale_seed, place_seed, flip_seed = randomness.split_seed(seed, 3)
  scale = tf.exp(tf.random.stateless_uniform(
      [], scale_seed, *map(math.log, scales)))
  size = tf.cast(tf.shape(mask), tf.float32)
  output = tf.constant([output_height, output_width], tf.float32)
  # Of the crop in the scaled image; negative where that is smaller.
  free = tf.round(size * scale) - output
  begin = tf.round(tf.random.stateless_uniform([2], place_seed) * free)
  rows, columns = (
      (tf.range(length, dtype=tf.float32) + begin[axis] + 0.5) / scale - 0.5
      for axis, length in enumerate((output_height, output_width)))
  if flip:
    is_flipped = tf.random.stateless_uniform([], flip_seed) < 0.5
    columns = tf.cond(is_flipped, lambda: columns[::-1], lambda: columns)
  inside = _inside(rows, size[0])[:, None] & _inside(columns, size[1])
  image = channels.for_network(
      tf.cast(_bilinear(image, rows, columns), tf.float32),
      preprocessing_families.family_of(name), use_grayscale)
  image = tf.where_v2(inside[..., None], value_ranges.scaled(image, name), 0.0)
  mask = tf.where_v2(inside, _nearest(mask, rows, columns),
                     tf.constant(IGNORED, tf.uint8))
  image.set_shape([output_height, output_width, None])
  mask.set_shape([output_height, output_width])
  return image, mask


def _inside(positions, length):
  """Returns which positions are within the pixels of an axis."""
  return (positions > -0.5) & (positions < length - 0.5)


def _bilinear(image, rows, columns):
  """Returns float32 values of an image at positions, which are moved into it."""
  size = tf.shape(image)

  def neighbours(positions, length):
    positions = tf.clip_by_value(positions, 0.0, tf.cast(length - 1, tf.float32))
    before = tf.cast(tf.floor(positions), tf.int32)
    return (before, tf.minimum(before + 1, length - 1),
            positions - tf.cast(before, tf.float32))

  (top, bottom, down), (left, right, across) = (
      neighbours(positions, size[axis]) for axis, positions in enumerate(
          (rows, columns)))
  # Only the pixels that are needed are converted.
  pixels = tf.cast(tf.gather(
      tf.gather(image, tf.concat([top, bottom], 0)),
      tf.concat([left, right], 0), axis=1), tf.float32)
  first, second = tf.split(pixels, 2, axis=1)
  upper, lower = tf.split(first + (second - first) * across[:, None], 2, axis=0)
  return upper + (lower - upper) * down[:, None, None]


def _nearest(mask, rows, columns):
  """Returns the pixels of a mask that are the nearest to positions."""
  size = tf.shape(mask)
  at_rows, at_columns = (
      tf.clip_by_value(tf.cast(tf.floor(positions + 0.5), tf.int32), 0, size[axis] - 1)
      for axis, positions in enumerate((rows, columns)))
  return tf.gather(tf.gather(mask, at_rows), at_columns, axis=1)


def preprocess_for_eval(image, mask, name: str, stride: int, smallest: int = 1,
                        use_grayscale: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns a whole image and its mask, padded to the stride of a network.

  Args:
    image: uint8 [height, width, 1 or 3].
    mask: uint8 [height, width].
    name: a preprocessing family or a network, whose values the image gets.
    stride: the largest stride of the network's feature maps.
    smallest: the smallest height and width that the network takes.
    use_grayscale: whether the image becomes gray.

  Returns:
    (float32 [rows, columns, channels], uint8 [rows, columns]), where rows and columns
    are multiples of `stride`. Added pixels are below and to the right: 0 in the image
    and 255, without a class, in the mask.
  """
  padded = for_network(image, name, stride, smallest, use_grayscale)
  added = tf.shape(padded)[:2] - tf.shape(mask)
  mask = tf.pad(mask, tf.stack([tf.zeros_like(added), added], 1),
                constant_values=IGNORED)
  return padded, mask


def for_network(image, name: str, stride: int, smallest: int = 1,
                use_grayscale: bool = False):
  """Returns a whole image as `preprocess_for_eval` does; arguments are those there."""
  image = channels.for_network(
      tf.cast(image, tf.float32), preprocessing_families.family_of(name), use_grayscale)
  return pad(value_ranges.scaled(image[None], name), stride, smallest)[0]


def pad(images, stride: int, smallest: int = 1):
  """Returns images [batch, height, width, channels] with zeros below and to the right.

  Height and width become multiples of `stride`, of at least `smallest`.
  """
  size = tf.shape(images)[1:3]
  added = -(-tf.maximum(size, smallest) // stride) * stride - size
  return tf.pad(images, [[0, 0], [0, added[0]], [0, added[1]], [0, 0]])
