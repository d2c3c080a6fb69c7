"""Decodes images of records, completely or in part, with a limit on their pixels.

The size is read from the header first: a file of a few kB may claim any number of
pixels, and decoding it would use up the memory. Images beyond the limits fail like
damaged ones, so they are skipped and reported (see `record_faults`).
"""

import dataclasses

from slim_zoo.images import image_check
from slim_zoo.tf_compat import slim, tf

# (first byte, offset of the width, of the height, bytes of each): little-endian.
_HEADERS = {'GIF': (0x47, 6, 8, 2), 'BMP': (0x42, 18, 22, 4)}
# A side of a WebP has 14 bits, at an offset that depends on its kind.
_WEBP_FIRST_BYTE = 0x52
_HEADER_BYTES = 26
# For JPEGs with more pixels, `open_encoded` decodes only a part.
LARGE_PIXELS = 2_000_000
# A JPEG decoder computes every second, fourth or eighth pixel much faster than all.
_REDUCTIONS = (1, 2, 4, 8)


def decode(data: tf.Tensor, channels: int) -> tf.Tensor:
  """Returns a decoded image.

  Args:
    data: string scalar: a JPEG, PNG, BMP, the first frame of a GIF, or a WebP if
      TensorFlow supports it.
    channels: 1 or 3.

  Returns:
    uint8 [height, width, channels]. Running it raises tf.errors.InvalidArgumentError if
    the image cannot be decoded or is too large for `image_check`.
  """
  def jpeg():
    with tf.control_dependencies([_check_size(tf.io.extract_jpeg_shape(data)[:2])]):
      return tf.io.decode_jpeg(data, channels)

  def png():
    # Width and height are big-endian, and below 2**31.
    sides = tf.io.decode_raw(
        tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)
    with tf.control_dependencies([_check_size(sides)]):
      return tf.io.decode_png(data, channels)

  def other():
    with tf.control_dependencies([_check_size(_sides_in_header(data))]):
      image = tf.io.decode_image(data, expand_animations=False)
    sides = tf.shape(image)[:2]
    with tf.control_dependencies([_check_size(sides)]):
      # Alpha is dropped, as for PNG.
      image = tf.broadcast_to(image[..., :3], tf.concat([sides, [3]], 0))
    return image if channels == 3 else tf.image.rgb_to_grayscale(image)

  image = tf.cond(
      tf.io.is_jpeg(data), jpeg,
      lambda: tf.cond(tf.equal(tf.strings.substr(data, 1, 3), 'PNG'), png, other))
  image.set_shape([None, None, channels])
  return image


def _sides_in_header(data):
  """Returns int64 [2], height and width; too large values for unsupported formats."""
  header = tf.cast(tf.io.decode_raw(
      tf.strings.substr(data, 0, _HEADER_BYTES), tf.uint8), tf.int64)
  header = tf.pad(header, [[0, _HEADER_BYTES - tf.size(header)]])

  def number(offset, count):
    return tf.reduce_sum(
        header[offset:offset + count] * [256 ** place for place in range(count)])

  # TensorFlow also decodes formats without a size in the header, such as JPEG XL.
  height = width = tf.where_v2(
      tf.equal(header[0], _WEBP_FIRST_BYTE), tf.constant(0, tf.int64),
      image_check.MAX_SIDE + 1)
  for first, width_offset, height_offset, count in _HEADERS.values():
    is_this = tf.equal(header[0], first)
    width = tf.where_v2(is_this, number(width_offset, count), width)
    height = tf.where_v2(is_this, number(height_offset, count), height)
  # The height of a BMP is negative if its first row is at the top.
  return tf.stack([tf.minimum(height, 2**32 - height), width])


def _check_size(sides):
  sides = tf.cast(sides, tf.int64)
  within = ((tf.reduce_prod(sides) <= image_check.MAX_PIXELS)
            & (tf.reduce_max(sides) <= image_check.MAX_SIDE))
  return tf.Assert(within, ['the image is too large, or of another format'])


@dataclasses.dataclass(frozen=True)
class EncodedImage:
  """An image with known size that is decoded later; a preprocessing.LazyImage.

  Attributes:
    size: int32 [2], height and width.
    channels: 1 or 3.
  """

  size: tf.Tensor
  channels: int
  _data: tf.Tensor
  _is_large: tf.Tensor
  _whole: tf.Tensor

  def decode(self) -> tf.Tensor:
    """Returns the whole image; see `decode`."""
    return decode(self._data, self.channels)

  def decode_window(self, begin, size, smallest) -> tf.Tensor:
    """Returns a part of the image, uint8 [height, width, channels].

    Only this part of a large JPEG is decoded, at 1/1, 1/2, 1/4 or 1/8 of its size: the
    smallest that is not below `smallest`. Pixels at its edges may come from outside.
    For other images the part is the same as that of `decode`.

    Args:
      begin: int32 [2], first row and column.
      size: int32 [2], height and width in the image.
      smallest: int32 [2], minimum height and width of the result.
    """
    end = begin + size

    def reduced(reduction):
      first = begin // reduction
      extent = -(-end // reduction) - first
      with tf.control_dependencies([_check_size(self.size)]):
        return tf.io.decode_and_crop_jpeg(
            self._data, tf.concat([first, extent], 0), self.channels, ratio=reduction)

    def window_of_jpeg():
      finest = tf.reduce_min(size // tf.maximum(smallest, 1))
      index = tf.reduce_sum(tf.cast(finest >= _REDUCTIONS[1:], tf.int32))
      return tf.switch_case(
          index, [lambda reduction=reduction: reduced(reduction)
                  for reduction in _REDUCTIONS])

    image = tf.cond(self._is_large, window_of_jpeg, lambda: self._whole[
        begin[0]:end[0], begin[1]:end[1]])
    image.set_shape([None, None, self.channels])
    return image


def open_encoded(data: tf.Tensor, channels: int) -> EncodedImage:
  """Returns an image that decodes its parts; arguments are those of `decode`.

  Only the requested part of a large JPEG is decoded. Damage after this part goes
  unnoticed.
  """
  def size_of_jpeg():
    return tf.io.extract_jpeg_shape(data)[:2]

  def is_large():
    return tf.reduce_prod(tf.cast(size_of_jpeg(), tf.int64)) > LARGE_PIXELS

  large = tf.cond(tf.io.is_jpeg(data), is_large, lambda: tf.constant(False))
  whole = tf.cond(large, lambda: tf.zeros([0, 0, channels], tf.uint8),
                  lambda: decode(data, channels))
  whole.set_shape([None, None, channels])
  size = tf.cond(large, size_of_jpeg, lambda: tf.shape(whole)[:2])
  return EncodedImage(size, channels, data, large, whole)


class ImageHandler(slim.tfexample_decoder.ItemHandler):
  """The image of a record, as `decode` returns it.

  Args:
    image_feature: feature of the encoded image.
    channels: 1 or 3.
  """

  def __init__(self, image_feature: str, channels: int):
    super().__init__([image_feature])
    self._image_feature, self._channels = image_feature, channels

  def tensors_to_item(self, keys_to_tensors):
    """Returns the image; see the base class."""
    return decode(keys_to_tensors[self._image_feature], self._channels)
