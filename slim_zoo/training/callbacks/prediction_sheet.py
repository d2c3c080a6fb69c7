"""A sheet of images, each with what it is, what the network says, and how sure it is.

Drawn with PIL, in milliseconds, since it is drawn again and again while a network
trains. Blue is right and vermilion is wrong, as in the reports of an evaluation;
both are of the palette by Okabe and Ito (Color Universal Design, 2008), which
colour-blind readers can tell apart.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from slim_zoo import pictures

_FRAME, _GAP, _MARGIN = 5, 18, 16
_LINE, _BAR, _HEAD = 18, 7, 40


@dataclasses.dataclass(frozen=True)
class Answer:
  """What a network says of one image.

  Attributes:
    picture: uint8 [height, width] or [height, width, 3], the image as stored.
    truth: the true classes; one, unless images have several.
    probabilities: float [classes].
    several: whether an image may have several classes, or none. Then those with a
      probability of at least a half are predicted, otherwise the likeliest one.
  """

  picture: np.ndarray
  truth: frozenset[int]
  probabilities: np.ndarray
  several: bool = False

  @property
  def predicted(self) -> frozenset[int]:
    """The predicted classes."""
    if self.several:
      return frozenset(np.flatnonzero(self.probabilities >= 0.5).tolist())
    return frozenset([int(np.argmax(self.probabilities))])

  @property
  def is_right(self) -> bool:
    """Whether exactly the true classes are predicted."""
    return self.predicted == self.truth

  def probability_of(self, classes: frozenset[int]) -> float:
    """Returns the least probability of some classes; of none, the largest of all."""
    among = self.probabilities[sorted(classes)] if classes else None
    return float(self.probabilities.max() if among is None else among.min())


def draw(answers: Sequence[Answer], names: Mapping[int, str] | None,
         title: str) -> Image.Image:
  """Draws all answers, row by row, in about as many columns as rows.

  Args:
    answers: at least one.
    names: the name of each class; None, or a missing one, shows its number.
    title: the line above them.
  """
  columns = max(3, round(len(answers) ** 0.5 + 0.49))
  rows = -(-len(answers) // columns)
  width = pictures.THUMBNAIL_SIDE + 2 * _FRAME
  height = width + 2 * _LINE + _BAR + 6
  sheet = Image.new('RGB', (
      2 * _MARGIN + columns * (width + _GAP) - _GAP,
      _HEAD + rows * (height + _GAP) - _GAP + _MARGIN), pictures.PAPER)
  drawing = ImageDraw.Draw(sheet)
  drawing.text((_MARGIN, _HEAD / 2), title, pictures.INK, pictures.font(16, bold=True),
               anchor='lm')
  for place, answer in enumerate(answers):
    left = _MARGIN + place % columns * (width + _GAP)
    top = _HEAD + place // columns * (height + _GAP)
    _draw_answer(sheet, drawing, answer, names or {}, left, top, width)
  return sheet


def _draw_answer(sheet, drawing, answer, names, left, top, width):
  colour = pictures.BLUE if answer.is_right else pictures.VERMILION
  drawing.rectangle((left, top, left + width - 1, top + width - 1), colour)
  drawing.rectangle((left + _FRAME, top + _FRAME, left + width - 1 - _FRAME,
                     top + width - 1 - _FRAME), pictures.PAPER)
  picture = pictures.thumbnail(Image.fromarray(answer.picture))
  sheet.paste(picture, (left + (width - picture.width) // 2,
                        top + (width - picture.height) // 2))
  below = top + width + 3
  _draw_bar(drawing, left, below, width, answer.probability_of(answer.predicted),
            colour)
  _draw_line(drawing, left, below + _BAR + _LINE // 2 + 2, width, names,
             answer.predicted, answer, colour)
  if not answer.is_right:
    _draw_line(drawing, left, below + _BAR + _LINE * 3 // 2 + 2, width, names,
               answer.truth, answer, pictures.MUTED, 'is ')


def _draw_bar(drawing, left, top, width, share, colour):
  drawing.rectangle((left, top, left + width - 1, top + _BAR - 1), pictures.FAINT)
  if np.isfinite(share) and round(share * width):
    drawing.rectangle(
        (left, top, left + round(share * width) - 1, top + _BAR - 1), colour)


def _draw_line(drawing, left, middle, width, names, classes, answer, colour, before=''):
  font = pictures.font(13)
  percent = f'{answer.probability_of(classes):.0%}' if classes else ''
  drawing.text((left + width, middle), percent, colour, font, anchor='rm')
  room = width - font.getlength(percent) - 6
  text = before + (', '.join(
      pictures.legible(names.get(label, str(label)), f'class {label}')
      for label in sorted(classes)) or 'none')
  shown = pictures.shorten(text, 13, room)
  drawing.text((left, middle), shown, colour, pictures.font(13, text=shown),
               anchor='lm')
