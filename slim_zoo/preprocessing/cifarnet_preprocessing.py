"""Preprocessing for small images such as CIFAR-10's.

Crops, flips and distortions follow Krizhevsky 2009, Learning multiple layers of
features from tiny images (technical report), and cuda-convnet's CIFAR-10 setup.
"""

from collections.abc import Callable

from slim_zoo.preprocessing import channels, corners, randomness
from slim_zoo.preprocessing.display import add_image_summary
from slim_zoo.tf_compat import tf

_MAX_BRIGHTNESS_DELTA = 63
_CONTRAST_RANGE = (0.2, 1.8)


def _load(image, use_grayscale, add_image_summaries):
  image = channels.for_network(
      tf.cast(image, tf.float32), 'cifarnet', use_grayscale)
  if add_image_summaries:
    add_image_summary('image', image)
  return image


def preprocess_for_train(image, output_height, output_width, padding: int = 4,
                         add_image_summaries: bool = True,
                         use_grayscale: bool = False, seed=None,
                         augment: Callable | None = None):
  """Crops, flips and distorts an image at random, then standardizes it.

  Args:
    image: [height, width, 1 or 3], values 0 to 255, any numeric type.
    output_height: height of the result.
    output_width: width of the result.
    padding: black pixels added on each side before the crop; more are added if the
      image would still be smaller than the result.
    add_image_summaries: whether to show the image before and after in
      TensorBoard; inside a tf.data function nothing is added.
    use_grayscale: converts RGB to gray; otherwise the channels do not change.
    seed: an integer tensor of shape [2] that decides everything random; None
      draws one.
    augment: called with the image after crop and flip, float32 [output_height,
      output_width, channels] with values 0 to 255; returns another such image.

  Returns:
    float32 [output_height, output_width, channels] of mean 0 and standard
    deviation 1 (an image of a single colour becomes 0).

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  crop, flip, brightness, contrast = randomness.split_seed(seed, 4)
  image = _load(image, use_grayscale, add_image_summaries)
  shape = tf.shape(image)
  image = tf.image.resize_image_with_crop_or_pad(
      image,
      tf.maximum(shape[0] + 2 * padding, output_height),
      tf.maximum(shape[1] + 2 * padding, output_width))
  image = randomness.random_crop(image, output_height, output_width, crop)
  image = channels.with_static_size(image, output_height, output_width)
  image = randomness.random_flip(image, flip)
  if augment is not None:
    image = augment(image)
  if add_image_summaries:
    add_image_summary('distorted_image', image)
  image = randomness.stateless_image.stateless_random_brightness(
      image, _MAX_BRIGHTNESS_DELTA, brightness)
  image = randomness.stateless_image.stateless_random_contrast(
      image, *_CONTRAST_RANGE, contrast)
  return tf.image.per_image_standardization(image)


def preprocess_for_eval(image, output_height, output_width,
                        add_image_summaries: bool = True,
                        use_grayscale: bool = False,
                        corner: tuple[int, int] | None = None):
  """Crops or pads an image centrally, then standardizes it.

  Args:
    image: [height, width, 1 or 3], values 0 to 255, any numeric type.
    output_height: height of the result.
    output_width: width of the result.
    add_image_summaries: whether to show the image before and after in
      TensorBoard; inside a tf.data function nothing is added.
    use_grayscale: converts RGB to gray; otherwise the channels do not change.
    corner: the corner to crop of an image that is larger than the result, (0 for top or
      1 for bottom, 0 for left or 1 for right); None: the centre.

  Returns:
    float32 [output_height, output_width, channels] of mean 0 and standard
    deviation 1, padding included.

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  image = _load(image, use_grayscale, add_image_summaries)
  image = corners.crop_or_pad(image, output_height, output_width, corner)
  image = channels.with_static_size(image, output_height, output_width)
  if add_image_summaries:
    add_image_summary('resized_image', image)
  return tf.image.per_image_standardization(image)


def preprocess_image(image, output_height, output_width, is_training: bool = False,
                     add_image_summaries: bool = True, use_grayscale: bool = False,
                     seed=None, augment: Callable | None = None,
                     corner: tuple[int, int] | None = None):
  """Calls `preprocess_for_train` if `is_training`, else `preprocess_for_eval`.

  Arguments, result and errors as there; evaluation ignores `seed` and `augment`,
  training `corner`.
  """
  if is_training:
    return preprocess_for_train(
        image, output_height, output_width, use_grayscale=use_grayscale,
        add_image_summaries=add_image_summaries, seed=seed, augment=augment)
  return preprocess_for_eval(
      image, output_height, output_width, add_image_summaries, use_grayscale, corner)
