"""Crops at a corner of an image, for several views of it."""

from slim_zoo.tf_compat import tf


def crop(image: tf.Tensor, size: tf.Tensor, corner: tuple[int, int]) -> tf.Tensor:
  """Returns the part of an image in a corner.

  Args:
    image: [height, width, channels].
    size: int32 [2], height and width of the part, at most those of the image.
    corner: (0 for top or 1 for bottom, 0 for left or 1 for right).
  """
  begin = (tf.shape(image)[:2] - size) * tf.constant(corner)
  return image[begin[0]:begin[0] + size[0], begin[1]:begin[1] + size[1]]


def crop_or_pad(image: tf.Tensor, height: int, width: int,
                corner: tuple[int, int] | None = None) -> tf.Tensor:
  """Returns an image in another size: cropped where it is larger, else padded.

  Args:
    image: [height, width, channels].
    height: of the result.
    width: of the result.
    corner: where a larger image is cropped, see `crop`; None: the centre. A smaller
      image is padded with zeros on all sides.
  """
  if corner is None:
    return tf.image.resize_image_with_crop_or_pad(image, height, width)
  shape = tf.shape(image)
  padded = tf.image.resize_image_with_crop_or_pad(
      image, tf.maximum(shape[0], height), tf.maximum(shape[1], width))
  return crop(padded, tf.stack([height, width]), corner)
