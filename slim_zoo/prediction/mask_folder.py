"""Writes the predicted masks of images, and pictures with the masks over the images."""

import os
from collections.abc import Sequence

from slim_zoo.drawing import sheets
from slim_zoo.images import mask_files
from slim_zoo.prediction import sources
from slim_zoo.prediction.classifier import Answer

# Of a mask and of its picture, after the name of the image.
MASK, OVERLAY = '.png', '_overlay.png'


class MaskFolder:
  """Writes two PNG files for each image: the mask, and the mask over the image.

  A mask has the size of its image as it was read. Its pixels are class numbers, with a
  palette.

  Args:
    folder: of the PNG files; it gets the same folders as the images.
    files: the paths of all images.
  """

  def __init__(self, folder: str, files: Sequence[str]):
    # The suffix stays: cat.jpg and cat.png are two images.
    self._places = {path: os.path.join(folder, name)
                    for path, name in sources.relative_names(files).items()}

  def add(self, answer: Answer) -> None:
    """Writes the mask of an answer, unless its file was refused."""
    if answer.refused:
      return
    place = self._places[answer.path]
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place + MASK, 'wb') as file:
      file.write(mask_files.encode(answer.mask, has_palette=True))
    mask_files.overlay(sheets.image_of(answer.picture), answer.mask).save(
        place + OVERLAY, 'PNG')

  def finish(self) -> None:
    """Does nothing: all files are written."""
