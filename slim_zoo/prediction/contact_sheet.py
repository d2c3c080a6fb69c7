"""A sheet of images, each with its most probable class and the probability."""

import dataclasses
import os
from collections.abc import Sequence

from PIL import Image

from slim_zoo.drawing import colours, fonts, sheets
from slim_zoo.prediction.classifier import Answer

# More would be too small on any screen.
MAX_IMAGES = 60


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image of a sheet.

  Attributes:
    thumbnail: of the image.
    file_name: of the image.
    class_name: of the most probable class, from `fonts.legible_classes`.
    probability: of that class.
  """

  thumbnail: Image.Image
  file_name: str
  class_name: str
  probability: float


def spread(items: Sequence, count: int = MAX_IMAGES) -> list:
  """Returns up to `count` items, evenly spaced."""
  count = min(count, len(items))
  return [items[place * len(items) // count] for place in range(count)]


def draw(entries: Sequence[Entry], title: str) -> Image.Image:
  """Draws at least one entry, row by row, below a title."""
  return sheets.draw([sheets.Section(title, [_tile(entry) for entry in entries])])


def _tile(entry):
  return sheets.Tile(entry.thumbnail, bar=entry.probability, lines=[
      sheets.Line(entry.class_name, value=f'{entry.probability:.0%}',
                  value_colour=colours.BLUE),
      sheets.Line(fonts.legible(entry.file_name), colours.MUTED, size=11,
                  cut_middle=True)])


class ContactSheet:
  """Collects the thumbnails of answers, and draws the sheet at the end.

  Args:
    path: of the PNG file.
    files: the paths of all images.
    names: of the classes.

  Attributes:
    shown: the paths of the images on the sheet.
  """

  def __init__(self, path: str, files: Sequence[str], names: Sequence[str]):
    self._path, self._entries = path, []
    self._names = fonts.legible_classes(names)
    self._count = 0
    self.shown = frozenset(spread(files))

  def add(self, answer: Answer) -> None:
    """Adds an answer, whether its image is shown or not."""
    self._count += not answer.refused
    if answer.thumbnail is not None:
      ((label, probability),) = answer.most_probable(1)
      self._entries.append(Entry(
          answer.thumbnail, os.path.basename(answer.path), self._names[label],
          probability))

  def finish(self) -> None:
    """Writes the sheet, if it has any images."""
    if self._entries:
      count = len(self._entries)
      of_all = f' of {self._count:,}' if self._count > count else ''
      title = f'{count}{of_all} image{"s" if self._count > 1 else ""}, classified'
      sheets.save(draw(self._entries, title), self._path)
