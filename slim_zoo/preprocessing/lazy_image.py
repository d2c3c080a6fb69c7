"""Images that are decoded after their crop is chosen.

Most pixels of a large photo are outside of the crop, or finer than the network's input.
So the crop is chosen with the size in the header, and only then decoded.
"""

from typing import Protocol, runtime_checkable

from slim_zoo.tf_compat import tf


@runtime_checkable
class LazyImage(Protocol):
  """An image that replaces a tensor, such as `images.image_decoding.EncodedImage`.

  Attributes:
    size: int32 [2], height and width.
    channels: 1 or 3.
  """

  size: tf.Tensor
  channels: int

  def decode(self) -> tf.Tensor:
    """Returns the whole image, uint8 [height, width, channels]."""

  def decode_window(self, begin, size, smallest) -> tf.Tensor:
    """Returns a part of the image; see `window`."""


def size_of(image) -> tf.Tensor:
  """Returns int32 [2], height and width of a tensor or a `LazyImage`."""
  return image.size if isinstance(image, LazyImage) else tf.shape(image)[:2]


def window(image, begin, size, smallest) -> tf.Tensor:
  """Returns a part of an image.

  Args:
    image: a tensor [height, width, channels] or a `LazyImage`.
    begin: int32 [2], first row and column.
    size: int32 [2], height and width.
    smallest: int32 [2], minimum height and width of the result: a `LazyImage` may
      return the part at 1/2, 1/4 or 1/8 of its size.
  """
  if isinstance(image, LazyImage):
    return image.decode_window(begin, size, smallest)
  image = tf.convert_to_tensor(image)
  return image[begin[0]:begin[0] + size[0], begin[1]:begin[1] + size[1]]


def whole(image, smallest) -> tf.Tensor:
  """Returns a whole image; arguments are those of `window`."""
  if isinstance(image, LazyImage):
    return image.decode_window(tf.zeros_like(image.size), image.size, smallest)
  return image
