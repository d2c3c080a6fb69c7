"""What the sheets of pictures are drawn with: colours, a font, small images.

The colours are of the palette by Okabe and Ito (Color Universal Design, 2008), which
colour-blind readers can tell apart.
"""

import functools
import os

from PIL import Image, ImageFont

BLUE, VERMILION = '#0072B2', '#D55E00'
INK, MUTED, FAINT, PAPER = '#222222', '#666666', '#E4E4E4', '#FFFFFF'
THUMBNAIL_SIDE = 132
# Below this the pixels of an image are kept as squares: they are what was seen.
_LARGER_THAN_THIS = 3


def thumbnail(image: Image.Image, side: int = THUMBNAIL_SIDE) -> Image.Image:
  """Returns an RGB copy of an image, its longer side as long as `side`."""
  scale = side / max(image.size)
  size = [max(1, round(length * scale)) for length in image.size]
  # JPEG is decoded at a smaller scale in a fraction of the time.
  image.draft('RGB', (2 * side, 2 * side))
  return image.convert('RGB').resize(
      size, Image.Resampling.NEAREST if scale >= _LARGER_THAN_THIS else
      Image.Resampling.LANCZOS)


@functools.cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
  """Returns the font of that size in pixels."""
  import matplotlib  # Brings the font along, so that it is the same everywhere.
  name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
  return ImageFont.truetype(
      os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)


def shorten(text: str, size: int, room: float, middle: bool = False) -> str:
  """Returns text that fits into `room` pixels in the font of that size.

  Args:
    text: on one line.
    size: of the font.
    room: in pixels.
    middle: whether the middle is left out, not the end: for names of files.
  """
  text = ' '.join(text.split())
  length, cut = font(size).getlength, len(text)
  shorter = text
  while cut and length(shorter) > room:
    cut -= 1
    shorter = (f'{text[:cut - cut // 2]}…{text[len(text) - cut // 2:]}' if middle else
               f'{text[:cut].rstrip()}…')
  return shorter
