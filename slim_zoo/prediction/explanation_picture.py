"""An image beside itself with what spoke for its class painted over it."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from slim_zoo import pictures
from slim_zoo.prediction import sources
from slim_zoo.prediction.classifier import Answer

_MIN_SIDE = 256
_MARGIN, _GAP, _LINE = 12, 12, 20
# How much of the image stays to be seen where the heat is greatest.
_STRONGEST = 0.7


def draw(picture: np.ndarray, heat: np.ndarray, heading: str,
         caption: str) -> Image.Image:
  """Draws the image as the network saw it, plain on the left, painted on the right.

  Args:
    picture: uint8 [height, width, 1 or 3].
    heat: float32 [rows, columns], 0 or more, over the whole picture.
    heading: the first line above it.
    caption: the second.
  """
  plain = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
  larger = max(1, -(-_MIN_SIDE // max(plain.size)))
  # Whole squares: a pixel is what the network saw.
  plain = plain.convert('RGB').resize(
      [side * larger for side in plain.size], Image.Resampling.NEAREST)
  painted = _paint(plain, heat)
  width, height = plain.size
  sheet = Image.new('RGB', (2 * width + _GAP + 2 * _MARGIN,
                            height + 2 * _MARGIN + 2 * _LINE + 4), pictures.PAPER)
  drawing = ImageDraw.Draw(sheet)
  room = sheet.width - 2 * _MARGIN
  for line, (text, size, colour) in enumerate(
      [(heading, 14, pictures.INK), (caption, 11, pictures.MUTED)]):
    shown = pictures.shorten(text, size, room)
    drawing.text((_MARGIN, _MARGIN + line * _LINE + _LINE // 2), shown, colour,
                 pictures.font(size, text=shown), anchor='lm')
  top = _MARGIN + 2 * _LINE + 4
  sheet.paste(plain, (_MARGIN, top))
  sheet.paste(painted, (_MARGIN + width + _GAP, top))
  return sheet


def _paint(plain, heat):
  """Returns a picture with its heat over it, from nothing at 0 to yellow at most."""
  import matplotlib
  most = float(heat.max())
  share = heat / most if most > 0 else heat
  share = np.asarray(Image.fromarray(share.astype(np.float32)).resize(
      plain.size, Image.Resampling.BICUBIC)).clip(0, 1)[..., np.newaxis]
  # In gray, so that no colour of the image is taken for heat.
  gray = np.asarray(plain.convert('L').convert('RGB'), np.float32)
  colours = matplotlib.colormaps['inferno'](share[..., 0])[..., :3] * 255
  strength = _STRONGEST * np.sqrt(share)
  return Image.fromarray(np.uint8(np.round(gray * (1 - strength) + colours * strength)))


class ExplanationFolder:
  """Draws what spoke for the likeliest class of each image, a PNG file for each.

  Args:
    folder: where to; images of different folders go to folders of the same names.
    files: all that are classified.
    names: of the classes.
    end_point: that the heat is of.
  """

  def __init__(self, folder: str, files: Sequence[str], names: Sequence[str],
               end_point: str):
    self._names = pictures.legible_classes(names)
    self._end_point = end_point
    # The suffix stays: cat.jpg and cat.png are two images.
    self._places = {path: os.path.join(folder, f'{name}.png')
                    for path, name in sources.relative_names(files).items()}

  def add(self, answer: Answer) -> None:
    """Draws an answer, unless its file was refused."""
    if answer.refused:
      return
    ((label, probability),) = answer.likeliest(1)
    place = self._places[answer.path]
    os.makedirs(os.path.dirname(place), exist_ok=True)
    draw(answer.picture, answer.heat,
         f'{self._names[label]}, {probability:.1%}',
         f'Grad-CAM at {self._end_point}: the brighter, the more it speaks for it'
         ).save(place, 'PNG')

  def finish(self) -> None:
    """Has nothing left to do."""
