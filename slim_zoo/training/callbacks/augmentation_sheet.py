"""A sheet that shows what augmentation does to a few images: a row for each step."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from slim_zoo import pictures

_GAP, _MARGIN, _TITLE, _CAPTION = 12, 16, 30, 18


@dataclasses.dataclass(frozen=True)
class Row:
  """The images after one step.

  Attributes:
    title: what was done.
    pictures: uint8, each [height, width] or [height, width, 1 or 3].
    captions: a line below each picture; or none.
  """

  title: str
  pictures: Sequence[np.ndarray]
  captions: Sequence[str] = ()


def draw(rows: Sequence[Row]) -> Image.Image:
  """Draws rows of as many pictures each, the titles above them."""
  side = pictures.THUMBNAIL_SIDE
  heights = [_TITLE + side + (_CAPTION if row.captions else 0) for row in rows]
  columns = max(len(row.pictures) for row in rows)
  sheet = Image.new('RGB', (
      2 * _MARGIN + columns * (side + _GAP) - _GAP,
      sum(heights) + 2 * _MARGIN - _GAP), pictures.PAPER)
  drawing = ImageDraw.Draw(sheet)
  top = _MARGIN - _GAP
  for row, height in zip(rows, heights, strict=True):
    drawing.text((_MARGIN, top + _TITLE - 6), row.title, pictures.INK,
                 pictures.font(13, bold=True), anchor='ls')
    for column, pixels in enumerate(row.pictures):
      left = _MARGIN + column * (side + _GAP)
      if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
      picture = pictures.thumbnail(Image.fromarray(pixels))
      sheet.paste(picture, (left + (side - picture.width) // 2,
                            top + _TITLE + (side - picture.height) // 2))
      if row.captions:
        drawing.text((left, top + _TITLE + side + _CAPTION - 4), row.captions[column],
                     pictures.MUTED, pictures.font(11), anchor='ls')
    top += height
  return sheet
