"""Preprocessing for the Inception, MobileNet, NASNet and PNASNet families.

Random boxes follow Szegedy et al. 2015, Going deeper with convolutions, arXiv
1409.4842; colour distortion follows Howard 2013, Some improvements on deep
convolutional neural network based image classification, arXiv 1312.5402.
"""

from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.preprocessing import (
  channels,
  corners,
  fast_colors,
  lazy_image,
  randomness,
)
from slim_zoo.preprocessing.display import add_image_summary
from slim_zoo.tf_compat import tf

_stateless = randomness.stateless_image

# The largest change of brightness of an image in [0, 1].
_BRIGHTNESS = 32 / 255
_SATURATIONS = (0.5, 1.5)
# The colour distortions of an image in [0, 1].
_DISTORTIONS = {
    'brightness': lambda image, seed: _stateless.stateless_random_brightness(
        image, _BRIGHTNESS, seed),
    'saturation': lambda image, seed: _stateless.stateless_random_saturation(
        image, *_SATURATIONS, seed),
    'hue': lambda image, seed: _stateless.stateless_random_hue(image, 0.2, seed),
    'contrast': lambda image, seed: _stateless.stateless_random_contrast(
        image, 0.5, 1.5, seed),
}
# The distortions do not all commute, so the order is random too.
_ORDERINGS = (
    ('brightness', 'saturation', 'hue', 'contrast'),
    ('saturation', 'brightness', 'contrast', 'hue'),
    ('contrast', 'hue', 'brightness', 'saturation'),
    ('hue', 'saturation', 'contrast', 'brightness'),
)
_FAST_DISTORTIONS = ('brightness', 'saturation')
_GRAY_DISTORTIONS = ('brightness', 'contrast')

_RESIZE_METHODS = (
    tf.image.ResizeMethod.BILINEAR,
    tf.image.ResizeMethod.NEAREST_NEIGHBOR,
    tf.image.ResizeMethod.BICUBIC,
    tf.image.ResizeMethod.AREA,
)


def apply_with_random_selector(x, func: Callable, num_cases: int, seed=None):
  """Returns func(x, case) for a random case from 0 to num_cases - 1.

  Only that case is computed.

  Args:
    x: a tensor.
    func: function of x and the case, a Python int; the results of all cases have the
      same type.
    num_cases: number of cases, equally likely.
    seed: an integer tensor of shape [2] that decides the case; None draws one.
  """
  if num_cases == 1:
    return func(x, 0)
  (seed,) = randomness.split_seed(seed, 1)
  drawn = tf.random.stateless_uniform([], seed, 0, num_cases, tf.int32)
  return tf.switch_case(drawn, [
      lambda case=case: func(x, case) for case in range(num_cases)])


def distort_color(image, color_ordering: int = 0, fast_mode: bool = True,
                  scope: str | None = None, seed=None):
  """Changes brightness, saturation, hue and contrast of an image at random.

  Args:
    image: float32 [height, width, 1 or 3] in [0, 1].
    color_ordering: order of the distortions, 0 to 3.
    fast_mode: whether to skip hue and contrast of an RGB image, which are slow. A gray
      image has only brightness and contrast, in both modes.
    scope: name scope, 'distort_color' by default.
    seed: an integer tensor of shape [2] that decides everything random; None
      draws one.

  Returns:
    float32 of the same shape, in [0, 1].

  Raises:
    UserError: the image has neither 1 nor 3 channels, or the order does not exist.
  """
  if color_ordering not in range(len(_ORDERINGS)):
    raise diagnostics.UserError(
        f'no color_ordering {color_ordering}: expected 0 to {len(_ORDERINGS) - 1}')
  if channels.count_channels(image) == 1:
    selected = _GRAY_DISTORTIONS
  else:
    selected = _FAST_DISTORTIONS if fast_mode else tuple(_DISTORTIONS)
  with tf.name_scope(scope, 'distort_color', [image]):
    names = [name for name in _ORDERINGS[color_ordering] if name in selected]
    for name, name_seed in zip(
        names, randomness.split_seed(seed, len(names)), strict=True):
      image = _DISTORTIONS[name](image, name_seed)
    return tf.clip_by_value(image, 0.0, 1.0)


def _distort_color_at_random(image, white, fast_mode, seed):
  """Returns `distort_color` of image / white in a random order, in [-1, 1]."""
  ordering, color = randomness.split_seed(seed, 2)
  if (not fast_mode or channels.count_channels(image) == 1
      or not image.shape.is_fully_defined()):
    return 2.0 * apply_with_random_selector(
        image / white,
        lambda image, case: distort_color(image, case, fast_mode, seed=color),
        len(_ORDERINGS), ordering) - 1.0
  brightness, saturation = randomness.split_seed(color, 2)
  brightness_first = [
      names.index('brightness') < names.index('saturation') for names in _ORDERINGS]
  case = tf.random.stateless_uniform([], ordering, 0, len(_ORDERINGS), tf.int32)
  return fast_colors.distort(
      image, white,
      tf.random.stateless_uniform([], brightness, -_BRIGHTNESS, _BRIGHTNESS),
      tf.random.stateless_uniform([], saturation, *_SATURATIONS),
      tf.gather(brightness_first, case))


def _to_float(image):
  """Returns the image as float32, and the value of white in it."""
  image = tf.convert_to_tensor(image)
  white = 1.0 if image.dtype.is_floating else float(image.dtype.max)
  return tf.cast(image, tf.float32), white


def distorted_bounding_box_crop(image, bbox, min_object_covered=0.1,
                                aspect_ratio_range=(0.75, 1.33),
                                area_range=(0.05, 1.0), max_attempts=100,
                                scope: str | None = None, seed=None,
                                smallest=None):
  """Crops an image to a random box that shows a part of an object.

  Args:
    image: [height, width, 1 or 3], any numeric type; or a `LazyImage`.
    bbox: float32 [1, boxes, 4], the objects as (ymin, xmin, ymax, xmax), fractions of
      the image; clipped to the image. Without boxes (None or 0), the whole image is the
      object.
    min_object_covered: the smallest part of an object that the box must cover.
    aspect_ratio_range: width / height of the box, smallest and largest.
    area_range: the box's share of the image's area, smallest and largest.
    max_attempts: after this number of failures the box is the whole image.
    scope: name scope, 'distorted_bounding_box_crop' by default.
    seed: an integer tensor of shape [2] that decides the box; None draws one.
    smallest: int32 [2], height and width that are needed of a `LazyImage`; it may be
      decoded at a part of its size. None: in its own size.

  Returns:
    The cropped image, of the image's type, and the box, float32 [1, 1, 4].

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  depth, whole_size = channels.count_channels(image), lazy_image.size_of(image)
  with tf.name_scope(scope, 'distorted_bounding_box_crop'):
    if bbox is None:
      bbox = tf.zeros([1, 0, 4])
    (seed,) = randomness.split_seed(seed, 1)
    begin, size, box = _stateless.stateless_sample_distorted_bounding_box(
        tf.concat([whole_size, [depth]], 0), tf.clip_by_value(bbox, 0.0, 1.0), seed,
        min_object_covered=min_object_covered,
        aspect_ratio_range=aspect_ratio_range,
        area_range=area_range,
        max_attempts=max_attempts,
        use_image_if_no_bounding_boxes=True)
    cropped = lazy_image.window(
        image, begin[:2], size[:2], whole_size if smallest is None else smallest)
    cropped.set_shape([None, None, depth])
    return cropped, box


def _summarize_box(image, bbox, box):
  """Adds a summary of the image with its objects' boxes and the crop's box."""
  image = tf.expand_dims(channels.with_channels(
      tf.image.convert_image_dtype(image, tf.float32), 3), 0)
  boxes = box if bbox is None else tf.concat([bbox, box], 1)
  add_image_summary(
      'image_with_bounding_boxes', tf.image.draw_bounding_boxes(image, boxes)[0])


def preprocess_for_train(image, height, width, bbox, fast_mode: bool = True,
                         scope: str | None = None,
                         add_image_summaries: bool = True,
                         random_crop: bool = True, use_grayscale: bool = False,
                         seed=None, augment: Callable | None = None):
  """Crops an image to a random box, resizes it, flips it and distorts its colours.

  Args:
    image: [height, width, 1 or 3], integers over the whole range of their type, or
      floats in [0, 1]; or a `LazyImage`, for which there are no summaries.
    height: height of the result.
    width: width of the result.
    bbox: objects in the image, as in `distorted_bounding_box_crop`, or None.
    fast_mode: bilinear resizing and no slow colour distortions; otherwise one of four
      resizing methods is drawn.
    scope: name scope, 'distort_image' by default.
    add_image_summaries: whether to show the steps in TensorBoard; inside a
      tf.data function nothing is added.
    random_crop: whether to crop; otherwise the whole image is resized.
    use_grayscale: returns one channel; otherwise a gray image gets three.
    seed: an integer tensor of shape [2] that decides everything random; None
      draws one.
    augment: called with the image after crop, resizing and flip, float32 [height,
      width, 3 or 1] with values 0 to 255; returns another such image.

  Returns:
    float32 [height, width, 3 or 1] in [-1, 1].

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  crop, resize, flip, color = randomness.split_seed(seed, 4)
  needed = tf.stack([height, width])
  with tf.name_scope(scope, 'distort_image'):
    if random_crop:
      whole = image
      image, box = distorted_bounding_box_crop(
          image, bbox, seed=crop, smallest=needed)
      if add_image_summaries:
        _summarize_box(whole, bbox, box)
    else:
      image = lazy_image.whole(image, needed)
    # Crop before the conversion to float: fewer pixels to convert.
    image, white = _to_float(image)
    image = channels.for_network(image, 'inception', use_grayscale)
    image = apply_with_random_selector(
        image,
        lambda image, case: tf.image.resize_images(
            image, [height, width], _RESIZE_METHODS[case]),
        1 if fast_mode else len(_RESIZE_METHODS), resize)
    image = channels.with_static_size(image, height, width)
    image = randomness.random_flip(image, flip)
    if augment is not None:
      image, white = augment(image * (255.0 / white)), 255.0
    if add_image_summaries:
      add_image_summary('resized_image', image / white)
    image = _distort_color_at_random(image, white, fast_mode, color)
    if add_image_summaries:
      add_image_summary('distorted_image', (image + 1.0) / 2.0)
    return image


def preprocess_for_eval(image, height, width, central_fraction=0.875,
                        scope: str | None = None, central_crop: bool = True,
                        use_grayscale: bool = False,
                        corner: tuple[int, int] | None = None):
  """Crops an image to its centre and resizes it bilinearly.

  Args:
    image: [height, width, 1 or 3], integers over the whole range of their type, or
      floats in [0, 1].
    height: height of the result; None (also for width) keeps the size.
    width: width of the result.
    central_fraction: the share of each side that is kept; None keeps all.
    scope: name scope, 'eval_image' by default.
    central_crop: whether to crop.
    use_grayscale: returns one channel; otherwise a gray image gets three.
    corner: the corner to crop in place of the centre, (0 for top or 1 for bottom, 0 for
      left or 1 for right), with the size of the central crop.

  Returns:
    float32 [height, width, 3 or 1] in [-1, 1].

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  channels.count_channels(image)
  with tf.name_scope(scope, 'eval_image', [image, height, width]):
    if central_crop and central_fraction:
      centre = tf.image.central_crop(image, central_fraction)
      image = centre if corner is None else corners.crop(
          image, tf.shape(centre)[:2], corner)
    image, white = _to_float(image)
    image = channels.for_network(image, 'inception', use_grayscale)
    if height is not None and width is not None:
      image = tf.image.resize_images(image, [height, width])
      image = channels.with_static_size(image, height, width)
    return image * (2.0 / white) - 1.0


def preprocess_image(image, height, width, is_training: bool = False, bbox=None,
                     fast_mode: bool = True, add_image_summaries: bool = True,
                     crop_image: bool = True, use_grayscale: bool = False,
                     seed=None, augment: Callable | None = None,
                     corner: tuple[int, int] | None = None):
  """Calls `preprocess_for_train` if `is_training`, else `preprocess_for_eval`.

  Arguments, result and errors as there. `crop_image` is `random_crop` or
  `central_crop`; evaluation ignores `bbox`, `fast_mode`, summaries, `seed` and
  `augment`, training `corner`.
  """
  if is_training:
    return preprocess_for_train(
        image, height, width, bbox, fast_mode, random_crop=crop_image,
        add_image_summaries=add_image_summaries, use_grayscale=use_grayscale,
        seed=seed, augment=augment)
  return preprocess_for_eval(
      image, height, width, central_crop=crop_image, use_grayscale=use_grayscale,
      corner=corner)
