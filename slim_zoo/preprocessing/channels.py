"""Channels and static sizes of images, for all preprocessing families."""

from slim_zoo import diagnostics
from slim_zoo.catalog import preprocessing_families
from slim_zoo.preprocessing import lazy_image
from slim_zoo.tf_compat import tf

# The luma weights of ITU-R BT.601, as tf.image.rgb_to_grayscale applies them.
LUMA_WEIGHTS = (0.2989, 0.5870, 0.1140)


def count_channels(image) -> int:
  """Returns the channels of an image [height, width, channels]: 1 or 3.

  The image is a tensor or a `LazyImage`.

  Raises:
    UserError: the image has another rank or number of channels, or these are unknown
      when the graph is built.
  """
  if isinstance(image, lazy_image.LazyImage):
    return image.channels
  shape = tf.convert_to_tensor(image).shape
  if shape.rank != 3 or shape.as_list()[-1] not in (1, 3):
    raise diagnostics.UserError(
        f'cannot preprocess an image of shape {shape}: expected [height,'
        ' width, channels] with 1 (gray) or 3 (RGB) channels; name the channels'
        ' when decoding, as in tf.io.decode_image(data, channels=3,'
        ' expand_animations=False)')
  return shape.as_list()[-1]


def with_channels(image, channels: int | None = None):
  """Converts an image to a number of channels.

  Args:
    image: float [height, width, 1 or 3]; an integer image would be rounded.
    channels: 1 for the luma, 3 for RGB (three equal channels for a gray image), None
      to keep the image's channels.

  Returns:
    A tensor of the same type, [height, width, channels].

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  present = count_channels(image)
  if channels is None or channels == present:
    return image
  if channels == 1:
    return tf.image.rgb_to_grayscale(image)
  return tf.image.grayscale_to_rgb(image)


def for_network(image, family: str, use_grayscale: bool):
  """Converts an image to the channels that a preprocessing family returns.

  Args:
    image: float [height, width, 1 or 3].
    family: of `catalog.preprocessing_families.NAMES`.
    use_grayscale: whether to convert the image to gray.

  Returns:
    A tensor of the same type, [height, width, channels], with
    `catalog.preprocessing_families.channels_after` channels.

  Raises:
    UserError: the image has neither 1 nor 3 channels.
  """
  return with_channels(image, preprocessing_families.channels_after(
      family, count_channels(image), use_grayscale))


def with_static_size(image, height, width):
  """Sets the static shape of an image, if the sizes are constants; returns it."""
  image.set_shape([
      tf.get_static_value(tf.convert_to_tensor(height)),
      tf.get_static_value(tf.convert_to_tensor(width)),
      None])
  return image
