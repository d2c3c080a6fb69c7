"""Preprocessing for VGG, ResNet and other networks trained on RGB minus its mean.

Scale jittering and the subtracted mean follow Simonyan and Zisserman 2015, Very
deep convolutional networks for large-scale image recognition, arXiv 1409.1556.
"""

from collections.abc import Callable

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.preprocessing import channels, lazy_image, randomness
from slim_zoo.tf_compat import tf

# The mean colour of ImageNet's training images.
_RGB_MEANS = (123.68, 116.78, 103.94)
# The mean of gray images is the luma of the mean colour.
_GRAY_MEAN = sum(
    weight * mean for weight, mean in zip(
        channels.LUMA_WEIGHTS, _RGB_MEANS, strict=True))
_RESIZE_SIDE_MIN = 256
_RESIZE_SIDE_MAX = 512
# Candidate widths, in pixels, of the margin resized around a crop.
_MARGINS = np.arange(8, dtype=np.int32)
# If the resized image has at most this many times the crop's pixels, it is faster to
# compute it as a whole.
_MOST_RESIZED = 8


def _resized_shape(image, side, crop):
  """Returns the shape with a shorter side of `side`, or larger if the crop needs it.

  Sizes and `crop` are int32 [height, width].
  """
  size = tf.cast(lazy_image.size_of(image), tf.float32)
  scale = tf.maximum(tf.cast(side, tf.float32) / tf.reduce_min(size),
                     tf.reduce_max(tf.cast(crop, tf.float32) / size))
  return tf.cast(tf.round(size * scale), tf.int32)


def _resize(image, shape, use_grayscale):
  """Returns the image as float32 [*shape, 1 or 3]."""
  return tf.image.resize_images(channels.for_network(
      tf.cast(image, tf.float32), 'vgg', use_grayscale), shape)


def _part_of_resized(image, resized, begin, crop, use_grayscale):
  """Returns a crop of the resized image, and resizes only the crop and a margin.

  The margin ends at pixel borders of the image that are nearly pixel borders of the
  resized image. So the content may be shifted by a small part of a pixel.

  Args:
    image: [height, width, 1 or 3], or a `LazyImage`.
    resized: int32 [2], height and width of the resized image.
    begin: int32 [2], position of the crop in the resized image.
    crop: int32 [2], height and width of the crop.
    use_grayscale: whether the result has one channel.
  """
  size = lazy_image.size_of(image)
  step = tf.cast(size, tf.float32) / tf.cast(resized, tf.float32)

  def find_edge(position, margins):
    nearest = tf.cast(tf.cast(position, tf.float32) * step, tf.int32)
    candidates = tf.clip_by_value(nearest[:, tf.newaxis] + margins, 0,
                                  size[:, tf.newaxis])
    after = tf.cast(candidates, tf.float32) / step[:, tf.newaxis]
    best = tf.argmin(tf.abs(after - tf.round(after)), 1)
    edge, after = (tf.gather(values, best, batch_dims=1)
                   for values in (candidates, tf.round(after)))
    return edge, tf.cast(after, tf.int32)

  start, first = find_edge(begin, -_MARGINS)
  # The last pixel of the crop is interpolated from two pixels of the image.
  stop, end = find_edge(begin + crop, 2 + _MARGINS)
  part = _resize(lazy_image.window(image, start, stop - start, end - first),
                 end - first, use_grayscale)
  return _cropped(part, begin - first, crop)


def _cropped(image, begin, crop):
  """Returns the part of an image at `begin` with the size `crop`, both int32 [2]."""
  return image[begin[0]:begin[0] + crop[0], begin[1]:begin[1] + crop[1]]


def _sampled_rows(begin, count, length, resized_length):
  """Returns the pixels of one axis that a resized image interpolates, with weights.

  Uses the float32 arithmetic of `tf.image.resize_images`, so the results are equal.

  Args:
    begin: int32 scalar, the first row of the resized image.
    count: int32 scalar, the number of rows.
    length: int32 scalar, size of the image along this axis.
    resized_length: int32 scalar, size of the resized image along this axis.

  Returns:
    int32 [count], the row before; int32 [count], the row after; float32 [count], the
    weight of the row after.
  """
  step = tf.cast(length, tf.float32) / tf.cast(resized_length, tf.float32)
  positions = tf.cast(begin + tf.range(count), tf.float32) * step
  before = tf.floor(positions)
  # float32 may round to a position after the last row.
  rows, rows_after = (tf.minimum(tf.cast(position, tf.int32), length - 1)
                      for position in (before, tf.math.ceil(positions)))
  return rows, rows_after, positions - before


def _crop_of_resized(image, resized, begin, crop, use_grayscale):
  """Returns a crop of the resized image, and computes no other pixels.

  The resized image of a long and narrow image is far larger than the crop: from 20,000
  x 2 pixels to 2,560,000 x 256, which takes 8 GB.

  Arguments as in `_part_of_resized`; the result equals the cropped result of `_resize`.
  """
  size = tf.shape(image)[:2]
  (top, bottom, down), (left, right, across) = (
      _sampled_rows(begin[axis], crop[axis], size[axis], resized[axis])
      for axis in (0, 1))
  pixels = tf.gather(tf.gather(image, tf.concat([top, bottom], 0)),
                     tf.concat([left, right], 0), axis=1)
  pixels = channels.with_channels(
      tf.cast(pixels, tf.float32), 1 if use_grayscale else 3)
  tops_and_bottoms = _interpolate(
      *tf.split(pixels, 2, axis=1), across[:, tf.newaxis])
  return _interpolate(*tf.split(tops_and_bottoms, 2), down[:, tf.newaxis, tf.newaxis])


def _interpolate(before, after, weight):
  return before + (after - before) * weight


def _mean(depth):
  return tf.constant(_RGB_MEANS if depth == 3 else (_GRAY_MEAN,), tf.float32)


def _subtract_mean(image):
  depth = channels.count_channels(image)
  height, width = image.shape.as_list()[:2]
  if None in (height, width):
    return image - _mean(depth)
  # Subtracts a row of means: broadcasting three values takes twice as long.
  rows = tf.reshape(image, [height, width * depth]) - tf.tile(_mean(depth), [width])
  return tf.reshape(rows, [height, width, depth])


def add_mean(images):
  """Adds the mean again: float32 [..., 1 or 3], then with values 0 to 255."""
  return images + _mean(images.shape.as_list()[-1])


def preprocess_for_train(image, output_height, output_width,
                         resize_side_min=_RESIZE_SIDE_MIN,
                         resize_side_max=_RESIZE_SIDE_MAX,
                         use_grayscale: bool = False, seed=None,
                         augment: Callable | None = None):
  """Resizes an image to a random scale, crops and flips it at random.

  Args:
    image: [height, width, 1 or 3], values 0 to 255, any numeric type; or a `LazyImage`.
    output_height: height of the result.
    output_width: width of the result.
    resize_side_min: smallest shorter side of the resized image. If the crop does not
      fit into the resized image, the image is resized to the smallest size that fits.
    resize_side_max: largest shorter side. An integer between both is drawn uniformly;
      the aspect ratio is kept.
    use_grayscale: returns one channel; otherwise a gray image gets three.
    seed: an integer tensor of shape [2] that decides everything random; None
      draws one.
    augment: called with the image after crop and flip, float32 [output_height,
      output_width, 3 or 1] with values 0 to 255; returns another such image.

  Returns:
    float32 [output_height, output_width, 3 or 1] minus 123.68, 116.78 and 103.94
    (RGB), or minus 117.37, the luma of these (gray).

  Raises:
    UserError: the image has neither 1 nor 3 channels, or resize_side_min is greater
      than resize_side_max.
  """
  if resize_side_min > resize_side_max:
    raise diagnostics.UserError(
        f'resize_side_min is {resize_side_min}, above resize_side_max'
        f' ({resize_side_max}): give the smaller side first')
  scale, crop, flip = randomness.split_seed(seed, 3)
  side = tf.random.stateless_uniform(
      [], scale, resize_side_min, resize_side_max + 1, tf.int32)
  cropped = tf.stack([output_height, output_width])
  resized = _resized_shape(image, side, cropped)
  begin = randomness.random_offsets(resized - cropped, crop)
  image = _part_of_resized(image, resized, begin, cropped, use_grayscale)
  image = channels.with_static_size(image, output_height, output_width)
  image = randomness.random_flip(image, flip)
  if augment is not None:
    image = augment(image)
  return _subtract_mean(image)


def preprocess_for_eval(image, output_height, output_width, resize_side,
                        use_grayscale: bool = False,
                        corner: tuple[int, int] | None = None):
  """Resizes an image to a shorter side of `resize_side` and crops its centre.

  Args:
    image: [height, width, 1 or 3], values 0 to 255, any numeric type.
    output_height: height of the result.
    output_width: width of the result.
    resize_side: shorter side of the resized image. If the crop does not fit into it
      (320 pixels into 256), the image is resized to the smallest size that fits.
    use_grayscale: returns one channel; otherwise a gray image gets three.
    corner: the corner to crop, (0 for top or 1 for bottom, 0 for left or 1 for right);
      None: the centre.

  Returns:
    float32 [output_height, output_width, 3 or 1] minus 123.68, 116.78 and 103.94
    (RGB), or minus 117.37, the luma of these (gray).

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  cropped = tf.stack([output_height, output_width])
  resized = _resized_shape(image, resize_side, cropped)
  margin = resized - cropped
  begin = margin // 2 if corner is None else margin * tf.constant(corner)
  whole = image
  image = tf.cond(
      # As floats: the product of two sides may exceed int32.
      tf.reduce_prod(tf.cast(resized, tf.float32)) > _MOST_RESIZED * tf.reduce_prod(
          tf.cast(cropped, tf.float32)),
      lambda: _crop_of_resized(whole, resized, begin, cropped, use_grayscale),
      lambda: _cropped(_resize(whole, resized, use_grayscale), begin, cropped))
  image = channels.with_static_size(image, output_height, output_width)
  return _subtract_mean(image)


def preprocess_image(image, output_height, output_width, is_training: bool = False,
                     resize_side_min=_RESIZE_SIDE_MIN,
                     resize_side_max=_RESIZE_SIDE_MAX,
                     use_grayscale: bool = False, seed=None,
                     augment: Callable | None = None,
                     corner: tuple[int, int] | None = None):
  """Calls `preprocess_for_train` if `is_training`, else `preprocess_for_eval`.

  Arguments, result and errors as there. Evaluation resizes the shorter side to
  `resize_side_min` and ignores `resize_side_max`, `seed` and `augment`. Training
  ignores `corner`.
  """
  if is_training:
    return preprocess_for_train(
        image, output_height, output_width, resize_side_min, resize_side_max,
        use_grayscale, seed, augment)
  return preprocess_for_eval(
      image, output_height, output_width, resize_side_min, use_grayscale, corner)
