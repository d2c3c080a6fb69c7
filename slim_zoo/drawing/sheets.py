"""Sheets of captioned thumbnails, drawn with PIL in milliseconds.

A sheet has sections with a title and rows of tiles. A tile is a thumbnail, a bar and
lines of text below it. Training draws sheets again and again, so they must be fast.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from slim_zoo.drawing import colours, fonts
from slim_zoo.files import atomic

THUMBNAIL_SIDE = 132
# From this enlargement on, pixels stay squares, as the network saw them.
_SQUARES_FROM = 3
_MARGIN, _GAP, _FRAME = 16, 16, 5
_TITLE_SIZE, _TITLE_LINE, _SUBTITLE_SIZE, _SUBTITLE_LINE = 15, 32, 11, 20
_BAR, _LINE = 7, 18
# A title may make a sheet of few tiles as wide as this, in pixels.
_TITLE_WIDTH = 480


@dataclasses.dataclass(frozen=True)
class Line:
  """One line of text below a thumbnail, shortened to fit.

  Attributes:
    text: on the left.
    colour: of the text.
    value: on the right; never shortened.
    value_colour: of the value; None: the colour of the text.
    size: of the font, in pixels.
    cut_middle: whether the middle is left out, not the end: for file names.
  """

  text: str
  colour: str = colours.INK
  value: str = ''
  value_colour: str | None = None
  size: int = 13
  cut_middle: bool = False


@dataclasses.dataclass(frozen=True)
class Tile:
  """One image of a sheet.

  Attributes:
    image: larger ones are reduced, smaller ones are enlarged.
    lines: of text below it.
    frame: a colour, or None.
    bar: the share of the bar that is filled, in [0, 1]; None: no bar.
    bar_colour: of that share.
  """

  image: Image.Image
  lines: Sequence[Line] = ()
  frame: str | None = None
  bar: float | None = None
  bar_colour: str = colours.BLUE


@dataclasses.dataclass(frozen=True)
class Section:
  """Tiles below a title.

  Attributes:
    title: above the tiles.
    tiles: at least one, row by row.
    subtitle: a smaller line below the title, or ''.
  """

  title: str
  tiles: Sequence[Tile]
  subtitle: str = ''


def image_of(pixels: np.ndarray) -> Image.Image:
  """Returns an RGB image of uint8 [h, w], [h, w, 1] or [h, w, 3]; or ValueError."""
  pixels = np.asarray(pixels)
  if pixels.ndim == 3 and pixels.shape[2] == 1:
    pixels = pixels[:, :, 0]
  if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (
      pixels.ndim == 3 and pixels.shape[2] != 3):
    raise ValueError(
        f'an image is {pixels.dtype} {list(pixels.shape)}, expected uint8'
        ' [h, w], [h, w, 1] or [h, w, 3]')
  return Image.fromarray(pixels).convert('RGB')


def thumbnail(image: Image.Image, side: int = THUMBNAIL_SIDE) -> Image.Image:
  """Returns an RGB copy of an image whose longer side is `side` pixels."""
  scale, size = side / max(image.size), _size_of(image, side)
  # JPEG is decoded at a smaller scale in a fraction of the time.
  image.draft('RGB', (2 * side, 2 * side))
  return image.convert('RGB').resize(
      size, Image.Resampling.NEAREST if scale >= _SQUARES_FROM else
      Image.Resampling.LANCZOS)


def _size_of(image, side):
  """Returns the width and height of the thumbnail of an image."""
  scale = side / max(image.size)
  return [max(1, round(length * scale)) for length in image.size]


def draw(sections: Sequence[Section], columns: int | None = None,
         side: int = THUMBNAIL_SIDE, is_tight: bool = False) -> Image.Image:
  """Draws a sheet.

  Args:
    sections: from the top, at least one.
    columns: tiles of a row; None: as many as make the sheet a bit wider than high.
    side: the longer side of the thumbnails, in pixels.
    is_tight: whether a row is only as high as the highest thumbnail, for wide images;
      otherwise `side`.
  """
  tiles = [tile for section in sections for tile in section.tiles]
  if columns is None:
    rows = max(1, round((len(tiles) / 1.6) ** 0.5))
    columns = max(min(len(tiles), 4), -(-len(tiles) // rows))
  frame = _FRAME if any(tile.frame for tile in tiles) else 0
  width = side + 2 * frame
  inner = max(columns * (width + _GAP) - _GAP,
              min(_TITLE_WIDTH, max(_title_width(section) for section in sections)))
  tall = side if not is_tight else max(
      _size_of(tile.image, side)[1] for tile in tiles)
  tile_height = tall + 2 * frame
  heights = [_height(section, columns, tile_height) for section in sections]
  sheet = Image.new(
      'RGB', (inner + 2 * _MARGIN, sum(heights) + 2 * _MARGIN - _GAP), colours.PAPER)
  drawing = ImageDraw.Draw(sheet)
  top = _MARGIN // 2
  for section, height in zip(sections, heights, strict=True):
    _draw_title(drawing, section, top, inner)
    for place, tile in enumerate(section.tiles):
      _draw_tile(sheet, drawing, tile, side, tall, frame,
                 _MARGIN + place % columns * (width + _GAP),
                 top + _title_height(section)
                 + place // columns * _tile_height(section, tile_height))
    top += height
  return sheet


def save(sheet: Image.Image, path: str | os.PathLike) -> None:
  """Writes a sheet as a PNG file; if it fails, an earlier file stays unchanged.

  Raises:
    OSError: the file cannot be written.
  """
  with atomic.replacing(path) as unfinished:
    sheet.save(unfinished, 'PNG')


def _title_width(section):
  return round(fonts.font(_TITLE_SIZE, bold=True, text=section.title).getlength(
      section.title)) + 1


def _title_height(section):
  return _TITLE_LINE + (_SUBTITLE_LINE if section.subtitle else 0)


def _tile_height(section, height):
  """Returns the pixels from the top of a tile to the top of the tile below."""
  has_bar = any(tile.bar is not None for tile in section.tiles)
  lines = max(len(tile.lines) for tile in section.tiles)
  return height + (_BAR + 3 if has_bar else 0) + (_LINE * lines + 3 if lines else 0
                                                   ) + _GAP


def _height(section, columns, height):
  rows = -(-len(section.tiles) // columns)
  return _title_height(section) + rows * _tile_height(section, height)


def _draw_title(drawing, section, top, width):
  for text, size, bold, colour, middle in (
      (section.title, _TITLE_SIZE, True, colours.INK, _TITLE_LINE / 2),
      (section.subtitle, _SUBTITLE_SIZE, False, colours.MUTED,
       _TITLE_LINE + _SUBTITLE_LINE / 2 - 6)):
    shown = fonts.shorten(text, size, width, bold=bold)
    drawing.text((_MARGIN, top + middle), shown, colour,
                 fonts.font(size, bold, shown), anchor='lm')


def _draw_tile(sheet, drawing, tile, side, tall, frame, left, top):
  width, height = side + 2 * frame, tall + 2 * frame
  if tile.frame:
    drawing.rectangle((left, top, left + width - 1, top + height - 1), tile.frame)
  drawing.rectangle((left + frame, top + frame, left + frame + side - 1,
                     top + frame + tall - 1), colours.PALE)
  image = thumbnail(tile.image, side)
  sheet.paste(image, (left + (width - image.width) // 2,
                      top + (height - image.height) // 2))
  below = top + height + 3
  if tile.bar is not None:
    _draw_bar(drawing, tile, left, below, width)
    below += _BAR + 3
  for place, line in enumerate(tile.lines):
    _draw_line(drawing, line, left, below + place * _LINE + _LINE // 2, width)


def _draw_bar(drawing, tile, left, top, width):
  drawing.rectangle((left, top, left + width - 1, top + _BAR - 1), colours.FAINT)
  # A network that diverged has no finite probabilities.
  filled = round(tile.bar * width) if np.isfinite(tile.bar) else 0
  if filled:
    drawing.rectangle((left, top, left + filled - 1, top + _BAR - 1), tile.bar_colour)


def _draw_line(drawing, line, left, middle, width):
  if line.value:
    font = fonts.font(line.size)
    drawing.text((left + width, middle), line.value, line.value_colour or line.colour,
                 font, anchor='rm')
    width -= font.getlength(line.value) + 6
  shown = fonts.shorten(line.text, line.size, width, line.cut_middle)
  drawing.text((left, middle), shown, line.colour,
               fonts.font(line.size, text=shown), anchor='lm')
