"""Reads the lines of picture files; a file that cannot be read does not end the rest.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from examples.read_text import photographs, reading, word_formation
from slim_zoo import diagnostics


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture that was read.

  Attributes:
    path: of the file.
    image: its line, uint8 [lines.HEIGHT, lines.WIDTH].
    reading: the text of the line.
  """

  path: str
  image: np.ndarray
  reading: word_formation.Reading

  def __str__(self):
    text, confidence = self.reading.text, self.reading.confidence
    if not text:
      return f'{self.path}: no digits'
    return f'{self.path}: {text} (confidence {confidence:.0%})'


def read(reader: reading.Reader, paths: Sequence[str],
         report: Callable[[diagnostics.UserError], None]) -> Iterator[Picture]:
  """Yields the pictures in the order of `paths`. It skips files that cannot be read.

  Args:
    reader: the network.
    paths: of the files.
    report: called with the reason for each picture that is left out.
  """
  for path in paths:
    try:
      image = photographs.find_line(photographs.load(path), path).line
      text = reader.read_picture(image, path)
    except diagnostics.UserError as error:
      report(error)
    else:
      yield Picture(path, image, text)
