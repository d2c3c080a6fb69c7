"""The values of pixels as each preprocessing family gives them to a network."""

from slim_zoo import diagnostics
from slim_zoo.catalog import preprocessing_families
from slim_zoo.preprocessing import vgg_preprocessing
from slim_zoo.tf_compat import tf


def _without_mean(images):
  return images - vgg_preprocessing.add_mean(tf.zeros([1, 1, images.shape[-1]]))


_SCALES = {
    'cifarnet': lambda images: tf.image.per_image_standardization(images),
    'inception': lambda images: images * (2 / 255) - 1.0,
    'lenet': lambda images: images * (1 / 128) - 1.0,
    'vgg': _without_mean,
}
# Standardization of single images cannot be inverted.
_INVERSES = {
    'inception': lambda images: (images + 1.0) * 127.5,
    'lenet': lambda images: (images + 1.0) * 128.0,
    'vgg': vgg_preprocessing.add_mean,
}


def scaled(images: tf.Tensor, name: str) -> tf.Tensor:
  """Returns network-ready values, made of pixels.

  Args:
    images: uint8 or float32 [..., height, width, 1 or 3], values 0 to 255.
    name: a preprocessing family or a network.

  Returns:
    float32 of the same shape.
  """
  return _SCALES[preprocessing_families.family_of(name)](tf.cast(images, tf.float32))


def is_invertible(family: str) -> bool:
  """Returns whether `pixels` knows the inverse of a preprocessing family."""
  return family in _INVERSES


def pixels(images: tf.Tensor, family: str) -> tf.Tensor:
  """Returns the pixels that network-ready values were made of; inverts `scaled`.

  Args:
    images: float32 [..., height, width, 1 or 3].
    family: an invertible preprocessing family.

  Returns:
    float32 of the same shape, values 0 to 255.
  """
  return _INVERSES[family](images)


def check_convertible(source: str, target: str) -> None:
  """Raises UserError unless `converted` can make the values of one family of another.

  Args:
    source: a preprocessing family or a network.
    target: likewise.
  """
  source, target = map(preprocessing_families.family_of, (source, target))
  if source != target and not is_invertible(source):
    raise diagnostics.UserError(
        f'values of {source} preprocessing cannot be converted to those of {target}:'
        f' {source} divides each image by its own standard deviation, which is not'
        f' kept; train with {target} preprocessing')


def converted(images: tf.Tensor, source: str, target: str, size: int, channels: int
              ) -> tf.Tensor:
  """Returns the input of one network, made of the input of another.

  The pixels are the same: their values are scaled back and scaled again. Another size
  is interpolated bilinearly.

  Args:
    images: float32 [batch, height, width, 1 or 3], as `source` preprocessing gives it.
    source: a preprocessing family or a network.
    target: likewise.
    size: height and width of the result.
    channels: of the result: 1 for the luma, 3; gray images become three equal channels.

  Returns:
    float32 [batch, size, size, channels]; `images` itself if nothing differs.

  Raises:
    UserError: see `check_convertible`.
  """
  check_convertible(source, target)
  source, target = map(preprocessing_families.family_of, (source, target))
  present = images.shape.as_list()
  if source == target and present[1:] == [size, size, channels]:
    return images
  # Standardized again after the changes: the scale of its input has no effect.
  values = pixels(images, source) if is_invertible(source) else images
  if (present[3], channels) == (3, 1):
    values = tf.image.rgb_to_grayscale(values)
  if (present[3], channels) == (1, 3):
    values = tf.image.grayscale_to_rgb(values)
  if present[1:3] != [size, size]:
    values = tf.image.resize_bilinear(values, [size, size], half_pixel_centers=True)
  return scaled(values, target)
