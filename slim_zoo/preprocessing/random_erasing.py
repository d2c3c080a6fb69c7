"""Random erasing: a box of the image is replaced by noise.

Zhong et al. 2017, Random erasing data augmentation, arXiv 1708.04896, with the ranges
of its experiments.
"""

import math

from slim_zoo.preprocessing import channels, randomness
from slim_zoo.tf_compat import tf

_AREA_RANGE = (0.02, 0.4)
_ASPECT_RANGE = (0.3, 1 / 0.3)
# 3% of boxes do not fit into a square, so one of this many fits.
_CANDIDATES = 32


def draw_box(height, width, seed, area_range=_AREA_RANGE, aspect_range=_ASPECT_RANGE):
  """Returns a random box inside an image, (top, left, height, width), int32.

  The size is drawn again until the box fits; its position is uniform.

  Args:
    height: height of the image, an int32 scalar.
    width: width of the image.
    seed: an integer tensor of shape [2] that decides the box.
    area_range: the box's share of the image, smallest and largest.
    aspect_range: height / width of the box. It is drawn on a logarithmic scale, so that
      upright and lying boxes are equally frequent; with the paper's linear scale three
      of four are upright.
  """
  size_seed, place_seed = randomness.split_seed(seed, 2)
  sides = tf.cast(tf.stack([height, width]), tf.float32)
  draws = tf.random.stateless_uniform([_CANDIDATES, 2], size_seed)
  between = lambda draw, low, high: low + draw * (high - low)
  area = between(draws[:, 0], *area_range) * tf.reduce_prod(sides)
  aspect = tf.exp(between(draws[:, 1], *map(math.log, aspect_range)))
  sizes = tf.maximum(tf.round(tf.sqrt(
      tf.stack([area * aspect, area / aspect], 1))), 1.0)
  first = tf.argmax(tf.cast(tf.reduce_all(sizes <= sides, 1), tf.int32))
  # In an image that is a few pixels wide none may fit; then the first is cut.
  size = tf.minimum(sizes[first], sides)
  place = tf.floor(tf.random.stateless_uniform([2], place_seed) * (sides - size + 1))
  # A draw just below 1 may be rounded up.
  place = tf.minimum(place, sides - size)
  return tuple(tf.unstack(tf.cast(tf.concat([place, size], 0), tf.int32)))


def random_erasing(image, probability: float, seed=None):
  """Fills a random box of an image with noise, or returns the image unchanged.

  Each value of the noise is uniform between the smallest and the largest value of the
  image, so it fits every scaling.

  Args:
    image: float32 [height, width, 1 or 3].
    probability: probability of a box.
    seed: an integer tensor of shape [2] that decides everything random; None
      draws one.

  Returns:
    float32 of the same shape.

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  channels.count_channels(image)
  with tf.name_scope('random_erasing'):
    whether, box_seed, noise_seed = randomness.split_seed(seed, 3)

    def erased():
      shape = tf.shape(image)
      top, left, height, width = draw_box(shape[0], shape[1], box_seed)
      row = tf.range(shape[0])[:, tf.newaxis, tf.newaxis]
      column = tf.range(shape[1])[tf.newaxis, :, tf.newaxis]
      inside = ((row >= top) & (row < top + height)
                & (column >= left) & (column < left + width))
      noise = tf.random.stateless_uniform(
          shape, noise_seed, tf.reduce_min(image), tf.reduce_max(image))
      return tf.where_v2(inside, noise, image)

    result = tf.cond(tf.random.stateless_uniform([], whether) < probability,
                     erased, lambda: tf.identity(image))
    result.set_shape(image.shape)
    return result
