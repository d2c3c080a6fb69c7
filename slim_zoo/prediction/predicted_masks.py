"""Writes the predicted masks of images, and pictures with the masks over the images."""

import os
import shlex
from collections.abc import Sequence

from slim_zoo.drawing import sheets
from slim_zoo.images import mask_files
from slim_zoo.prediction import answers, sources
from slim_zoo.prediction.classifier import Answer

# Of a mask and of its picture, after the name of the image.
MASK, OVERLAY = '.png', '_overlay.png'


class PredictedMasks:
  """Writes two PNG files for each image: the mask, and the mask over the image.

  A mask has the size of its image as it was read. Its pixels are class numbers, with a
  palette.

  Args:
    folder: of the PNG files; it gets the same folders as the images. It is made.
    files: the paths of all images.

  Raises:
    OSError: the folder cannot be made.
  """

  def __init__(self, folder: str, files: Sequence[str]):
    os.makedirs(folder, exist_ok=True)
    self._folder, self._count = folder, 0
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
    self._count += 1

  def finish(self) -> None:
    """Prints a line with the number of the masks and their folder."""
    count = f'{self._count:,} mask{"" if self._count == 1 else "s"}'
    answers.note(f'wrote {count} to {shlex.quote(self._folder)}')
