"""Masks of segmentation: PNG files whose pixels are class numbers.

A mask has one channel (1, 2, 4, 8 or 16 bits) or a palette; its colours do not matter.
The value 255 is for pixels without a class. Needs no TensorFlow.
"""

import io

import numpy as np
from PIL import Image

from slim_zoo.catalog.datasets import IGNORED
from slim_zoo.images import image_check, plain_pixels

# The palette of written masks is the one of Pascal VOC: class n has the bits of n,
# the lowest first, in the highest bits of red, green and blue.
_BITS_OF_COLOUR = 8
# The largest gray of Pillow.
_WHITE = 255


def decode(data: bytes) -> np.ndarray:
  """Returns the class numbers of a mask.

  Args:
    data: the bytes of a PNG.

  Returns:
    uint8 [height, width].

  Raises:
    RefusedError: it is not a PNG of class numbers, or damaged, or too large.
  """
  if not data:
    raise image_check.RefusedError('the file is empty')
  try:
    image = Image.open(io.BytesIO(data), formats=['PNG'])
    image_check.check_size(*image.size)
    image.load()
    image_check.check_png(data)
    values = _values(image, data)
  except image_check.RefusedError:
    raise
  except Image.UnidentifiedImageError as error:
    raise image_check.RefusedError(
        'it is not a PNG: other formats may change the class numbers') from error
  except Image.DecompressionBombError as error:
    raise image_check.too_large() from error
  except Exception as error:  # For damaged files, Pillow raises many kinds.
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise image_check.RefusedError(f'it is damaged: {reason}') from error
  if values.max(initial=0) > IGNORED:
    raise image_check.RefusedError(
        f'it has the value {values.max()}: classes are below {IGNORED}')
  return values.astype(np.uint8)


def _values(image, data):
  """Returns the values of the pixels as they are in the file."""
  if image.mode == 'P' or image.mode.startswith('I'):
    return np.asarray(image)
  if image.mode not in ('1', 'L'):
    raise image_check.RefusedError(
        f'its pixels are colours ({image.mode}), not class numbers: expected one'
        ' channel or a palette')
  values = np.asarray(image).astype(np.uint8)
  bits = plain_pixels.bits_per_sample(image, data)
  # Pillow scales gray of 2 and 4 bits to 0 to 255.
  return values // (_WHITE // (2**bits - 1)) if bits in (2, 4) else values


def encode(values: np.ndarray, has_palette: bool = False) -> bytes:
  """Returns a PNG of class numbers.

  Args:
    values: uint8 [height, width].
    has_palette: whether the classes have colours, `palette()`.
  """
  image = Image.fromarray(np.ascontiguousarray(values, np.uint8))
  if has_palette:
    image.putpalette(palette().tobytes())
  file = io.BytesIO()
  image.save(file, 'PNG')
  return file.getvalue()


def palette() -> np.ndarray:
  """Returns the colour of each class, uint8 [256, 3]; 255 is nearly white."""
  numbers = np.arange(256)
  colours = np.zeros([256, 3], int)
  for place in range(_BITS_OF_COLOUR):
    for channel in range(3):
      bit = (numbers >> (3 * place + channel)) & 1
      colours[:, channel] |= bit << (_BITS_OF_COLOUR - 1 - place)
  return colours.astype(np.uint8)


def overlay(picture: Image.Image, values: np.ndarray, opacity: float = 0.5
            ) -> Image.Image:
  """Returns a picture with the colours of a mask over it.

  Pixels of class 0, usually the background, and pixels without a class do not change.

  Args:
    picture: of any mode.
    values: uint8 [height, width], of the size of the picture.
    opacity: of the colours, 0 to 1.
  """
  pixels = np.asarray(picture.convert('RGB'), np.float32)
  shown = ((values > 0) & (values != IGNORED))[..., np.newaxis] * opacity
  mixed = pixels * (1 - shown) + palette()[values] * shown
  return Image.fromarray(np.uint8(np.round(mixed)))
