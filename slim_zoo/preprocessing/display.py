"""Displayable images from preprocessed ones, and image summaries for TensorBoard."""

from slim_zoo.catalog import networks
from slim_zoo.preprocessing import value_ranges
from slim_zoo.tf_compat import tf


def _stretched(images):
  """Maps the darkest value of each image to 0 and the brightest to 255."""
  low = tf.reduce_min(images, axis=[1, 2, 3], keepdims=True)
  high = tf.reduce_max(images, axis=[1, 2, 3], keepdims=True)
  return tf.math.divide_no_nan(images - low, high - low) * 255.0


def displayable(images, name: str):
  """Inverts the scaling of a preprocessing; crops, flips and colours stay.

  Args:
    images: float32 [batch, height, width, 1 or 3], from `get_preprocessing(name)`.
    name: a family, or a network for its default family. Images of cifarnet and of other
      preprocessing are stretched from their darkest to their brightest value.

  Returns:
    uint8 of the same shape.
  """
  family = networks.NETWORKS[name].preprocessing if name in networks.NETWORKS else name
  images = (value_ranges.pixels(images, family) if value_ranges.is_invertible(family)
            else _stretched(images))
  return tf.cast(tf.clip_by_value(tf.round(images), 0.0, 255.0), tf.uint8)


def add_image_summary(name: str, image) -> None:
  """Adds an image [height, width, channels] to TensorBoard as `name`.

  Does nothing inside a tf.data function: a summary op there reaches no writer.
  """
  if not tf.get_default_graph().building_function:
    tf.summary.image(name, tf.expand_dims(image, 0))
