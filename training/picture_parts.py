"""What the sheets of pictures for TensorBoard are drawn with."""

import functools
import os

import numpy as np
from PIL import Image, ImageFont

SIDE = 132


def thumbnail(pixels: np.ndarray) -> Image.Image:
  """Returns an image, uint8 [height, width] or [height, width, 3], fit into `SIDE`."""
  picture = Image.fromarray(pixels).convert('RGB')
  scale = SIDE / max(picture.size)
  size = [max(1, round(side * scale)) for side in picture.size]
  # The pixels of a tiny image are kept as squares: they are what was seen.
  return picture.resize(
      size, Image.Resampling.NEAREST if scale >= 3 else Image.Resampling.LANCZOS)


@functools.cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
  """Returns the font of that size in pixels."""
  import matplotlib  # Brings the font along, so that it is the same everywhere.
  name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
  return ImageFont.truetype(
      os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', name), size)
