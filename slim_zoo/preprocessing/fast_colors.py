"""The colour distortion of the fast recipe, compiled into one pass over an image.

TensorFlow's ops read the image once each and compute saturation from HSV. In the HSV
model the value v of a pixel is its largest channel and its saturation is
(v - smallest) / v. So a factor of the saturation is a factor of the distance of each
channel to v, and the hue is not needed.
"""

import functools

from slim_zoo.tf_compat import tf


def distort(image, white: float, brightness, saturation, ordering):
  """Changes brightness and saturation of an RGB image, as `tf.image` does.

  Args:
    image: float32 [height, width, 3] of known size, values from 0 to `white`.
    white: the value of white in the image.
    brightness: float32 scalar added to the image, as a share of white.
    saturation: float32 scalar factor of the saturation, which is limited to 1.
    ordering: bool scalar: whether brightness is changed first.

  Returns:
    float32 of the same shape in [-1, 1], black to white; values outside are clipped.
  """
  zero = tf.zeros_like(brightness)
  before, after = tf.cond(
      ordering, lambda: (brightness, zero), lambda: (zero, brightness))
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
  # XLA vectorizes a list of pixels, but not an image.
  pixels = tf.reshape(image, [-1, 3]) * scale + before
  red, green, blue = tf.unstack(pixels, axis=-1)
  value = tf.maximum(red, tf.maximum(green, blue))
  distance = value - tf.minimum(red, tf.minimum(green, blue))
  # At most full saturation. Brightness may give values below black, without saturation.
  factor = tf.minimum(saturation, tf.math.divide_no_nan(
      tf.maximum(value, 0.0), distance))
  value, factor = value[:, tf.newaxis], factor[:, tf.newaxis]
  distorted = value - (value - pixels) * factor + after
  return tf.reshape(tf.clip_by_value(distorted, 0.0, 1.0) * 2.0 - 1.0, shape)
