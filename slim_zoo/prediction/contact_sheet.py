"""A sheet of images, each with what the network takes it for and how sure it is."""

import dataclasses
import os
from collections.abc import Sequence

from PIL import Image, ImageDraw

from slim_zoo import pictures
from slim_zoo.prediction.classifier import Answer

# More would be small print on any screen.
MAX_IMAGES = 60
_FRAME, _GAP, _MARGIN = 1, 18, 16
_LINE, _BAR, _HEAD = 18, 7, 44


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image of a sheet.

  Attributes:
    thumbnail: of it.
    file_name: what it is called.
    class_name: what it is taken for, as `pictures.legible_classes` has it.
    probability: of that class.
  """

  thumbnail: Image.Image
  file_name: str
  class_name: str
  probability: float


def spread(items: Sequence, count: int = MAX_IMAGES) -> list:
  """Returns up to `count` items, from places all over their row."""
  count = min(count, len(items))
  return [items[place * len(items) // count] for place in range(count)]


def draw(entries: Sequence[Entry], title: str) -> Image.Image:
  """Draws all entries, row by row, in some more columns than rows.

  Args:
    entries: at least one.
    title: the line above them.
  """
  columns = min(len(entries), max(4, round((1.6 * len(entries)) ** 0.5)))
  rows = -(-len(entries) // columns)
  width = pictures.THUMBNAIL_SIDE + 2 * _FRAME
  height = width + 2 * _LINE + _BAR + 6
  title_width = round(pictures.font(16, bold=True).getlength(title))
  sheet = Image.new('RGB', (
      2 * _MARGIN + max(columns * (width + _GAP) - _GAP, title_width),
      _HEAD + rows * (height + _GAP) - _GAP + _MARGIN), pictures.PAPER)
  drawing = ImageDraw.Draw(sheet)
  drawing.text((_MARGIN, _HEAD / 2), title, pictures.INK,
               pictures.font(16, bold=True), anchor='lm')
  for place, entry in enumerate(entries):
    left = _MARGIN + place % columns * (width + _GAP)
    top = _HEAD + place // columns * (height + _GAP)
    _draw_entry(sheet, drawing, entry, left, top, width)
  return sheet


def _draw_entry(sheet, drawing, entry, left, top, width):
  drawing.rectangle((left, top, left + width - 1, top + width - 1), '#F6F6F6')
  picture = entry.thumbnail
  sheet.paste(picture, (left + (width - picture.width) // 2,
                        top + (width - picture.height) // 2))
  bar = top + width + 3
  drawing.rectangle((left, bar, left + width - 1, bar + _BAR - 1), pictures.FAINT)
  if filled := round(entry.probability * width):
    drawing.rectangle((left, bar, left + filled - 1, bar + _BAR - 1), pictures.BLUE)
  first, second = (bar + _BAR + 2 + _LINE // 2 + line * _LINE for line in (0, 1))
  percent = f'{entry.probability:.0%}'
  drawing.text((left + width, first), percent, pictures.BLUE, pictures.font(13),
               anchor='rm')
  room = width - pictures.font(13).getlength(percent) - 6
  class_name = pictures.shorten(entry.class_name, 13, room)
  drawing.text((left, first), class_name, pictures.INK,
               pictures.font(13, text=class_name), anchor='lm')
  file_name = pictures.shorten(
      pictures.legible(entry.file_name), 11, width, middle=True)
  drawing.text((left, second), file_name, pictures.MUTED,
               pictures.font(11, text=file_name), anchor='lm')


class ContactSheet:
  """Collects the thumbnails of answers, and draws the sheet in the end.

  Args:
    path: of the PNG file.
    files: all that are classified; `shown` are those that the sheet has room for.
    names: of the classes.

  Attributes:
    shown: paths.
  """

  def __init__(self, path: str, files: Sequence[str], names: Sequence[str]):
    self._path, self._entries = path, []
    self._names = pictures.legible_classes(names)
    self._count = 0
    self.shown = frozenset(spread(files))

  def add(self, answer: Answer) -> None:
    """Takes an answer, whether it is shown or not."""
    self._count += not answer.refused
    if answer.thumbnail is not None:
      ((label, probability),) = answer.likeliest(1)
      self._entries.append(Entry(
          answer.thumbnail, os.path.basename(answer.path), self._names[label],
          probability))

  def finish(self) -> None:
    """Draws the sheet; without any images there is none."""
    if self._entries:
      count = len(self._entries)
      of_all = f' of {self._count:,}' if self._count > count else ''
      title = f'{count}{of_all} image{"s" if self._count > 1 else ""}, classified'
      draw(self._entries, title).save(self._path, 'PNG')
