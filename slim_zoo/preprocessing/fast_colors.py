"""The colour distortion of the fast recipe, compiled into one pass over an image.

TensorFlow's operations go over the image once each, and take the saturation by way of
the hue. In the HSV model a pixel's value v is its largest channel and its saturation
(v - smallest) / v, so to scale the saturation is to scale the distance of each channel
to v, and the hue is never needed.
"""

import functools

from slim_zoo.tf_compat import tf


def distort(image, white: float, brightness, saturation, ordering):
  """Changes brightness and saturation of an RGB image, as `tf.image` does.

  Args:
    image: float32 [height, width, 3] of known size, values from 0 to `white`.
    white: the value of white in the image.
    brightness: float32 scalar that is added to the image, as a share of white.
    saturation: float32 scalar that saturation is multiplied by; it ends at 1.
    ordering: bool scalar, whether brightness goes first.

  Returns:
    float32 of the same shape in [-1, 1], black to white, what lies outside cut off.
  """
  nothing = tf.zeros_like(brightness)
  before, after = tf.cond(
      ordering, lambda: (brightness, nothing), lambda: (nothing, brightness))
  return _compiled(*image.shape.as_list()[:2])(
      image, tf.constant(1 / white, tf.float32), before, saturation, after)


@functools.cache
def _compiled(height: int, width: int):
  scalar = tf.TensorSpec([], tf.float32)
  return tf.compat.v2.function(
      _distort, jit_compile=True, autograph=False, input_signature=[
          tf.TensorSpec([height, width, 3], tf.float32), *[scalar] * 4])


def _distort(image, scale, before, saturation, after):
  shape = tf.shape(image)
  # As a list of pixels XLA makes vector instructions of it, as a picture it does not.
  pixels = tf.reshape(image, [-1, 3]) * scale + before
  red, green, blue = tf.unstack(pixels, axis=-1)
  value = tf.maximum(red, tf.maximum(green, blue))
  distance = value - tf.minimum(red, tf.minimum(green, blue))
  # Up to full saturation; below black, where brightness may lead, there is none.
  factor = tf.minimum(saturation, tf.math.divide_no_nan(
      tf.maximum(value, 0.0), distance))
  value, factor = value[:, tf.newaxis], factor[:, tf.newaxis]
  distorted = value - (value - pixels) * factor + after
  return tf.reshape(tf.clip_by_value(distorted, 0.0, 1.0) * 2.0 - 1.0, shape)
