"""An image beside itself with the heat of its likeliest class over it."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from slim_zoo.drawing import colours, fonts, sheets
from slim_zoo.prediction import sources
from slim_zoo.prediction.classifier import Answer

_MIN_SIDE = 256


def draw(picture: np.ndarray, heat: np.ndarray, heading: str,
         caption: str) -> Image.Image:
  """Draws the network's input, plain on the left, with its heat on the right.

  Args:
    picture: uint8 [height, width, 1 or 3].
    heat: float32 [rows, columns], 0 or more, over the whole picture.
    heading: the first line above it.
    caption: the second line.
  """
  plain = sheets.image_of(picture)
  # Enlarged by a whole number, so that each pixel of the input is a square.
  scale = max(1, -(-_MIN_SIDE // max(plain.size)))
  plain = plain.resize([side * scale for side in plain.size],
                       Image.Resampling.NEAREST)
  tiles = [sheets.Tile(plain), sheets.Tile(colours.heat_overlay(plain, heat))]
  return sheets.draw([sheets.Section(heading, tiles, caption)], side=max(plain.size))


class ExplanationFolder:
  """Writes the heat of the likeliest class of each image, a PNG file for each.

  Args:
    folder: of the PNG files; it gets the same folders as the images.
    files: the paths of all images.
    names: of the classes.
    end_point: whose heat is drawn.
  """

  def __init__(self, folder: str, files: Sequence[str], names: Sequence[str],
               end_point: str):
    self._names = fonts.legible_classes(names)
    self._end_point = end_point
    # The suffix stays: cat.jpg and cat.png are two images.
    self._places = {path: os.path.join(folder, f'{name}.png')
                    for path, name in sources.relative_names(files).items()}

  def add(self, answer: Answer) -> None:
    """Writes the picture of an answer, unless its file was refused."""
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
    """Does nothing: all pictures are written."""
