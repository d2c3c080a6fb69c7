"""Images that are decoded when their crop is known.

Of a large photograph most pixels are outside of the crop, or finer than the network
sees them. So the crop is drawn by the size in the header, and decoded afterwards.
"""

from typing import Protocol, runtime_checkable

from slim_zoo.tf_compat import tf


@runtime_checkable
class LazyImage(Protocol):
  """An image in place of a tensor, such as `images.image_decoding.EncodedImage`.

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
    begin: int32 [2], the first row and column.
    size: int32 [2], height and width.
    smallest: int32 [2], height and width that are needed of the part: a `LazyImage`
      may return it at 1/2, 1/4 or 1/8 of its size, but not smaller than this.
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
