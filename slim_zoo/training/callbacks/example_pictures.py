"""Pictures of the same few examples every N steps, for any model.

A function of the program says what is shown of an example: its image, predicted maps as
coloured overlays, and text. The sheets go to TensorBoard, to PNG files, or to both.

    def show(index, values):
      return example_pictures.Example(
          images[index], {'characters': values['characters'][index]},
          [sheets.Line(text_of(values, index))])

    pictures = example_pictures.ExamplePictures(
        {'characters': probabilities}, {placeholder: images}, len(images), show,
        every_steps=500, folder='run/pictures')
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from slim_zoo.drawing import overlays, sheets
from slim_zoo.training import intervals
from slim_zoo.training.callbacks import summaries
from slim_zoo.training.callbacks.callback import Callback

TAG = 'examples'


@dataclasses.dataclass(frozen=True)
class Example:
  """What is shown of an example.

  Attributes:
    image: uint8 [height, width] or [height, width, 1 or 3].
    maps: by name, float [rows, columns, channels] or [rows, columns]: how much of each
      channel a cell has, 0 to 1. Each channel has its own colour. Rows and columns
      cover the whole image.
    lines: of text below the image.
  """

  image: np.ndarray
  maps: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  lines: Sequence[sheets.Line] = ()


def draw_sheet(examples: Sequence[Example], title: str,
               side: int = sheets.THUMBNAIL_SIDE) -> Image.Image:
  """Draws a row for each example: its image and text, then each of its maps.

  Args:
    examples: at least one, all with maps of the same names.
    title: the line above them.
    side: the longer side of a picture, in pixels.
  """
  tiles = []
  for example in examples:
    image = sheets.image_of(example.image)
    tiles.append(sheets.Tile(image, example.lines))
    for name, values in example.maps.items():
      tiles.append(sheets.Tile(
          overlays.maps_over(image, np.asarray(values), side), [sheets.Line(name)]))
  return sheets.draw([sheets.Section(title, tiles)], 1 + len(examples[0].maps), side,
                     is_tight=True)


class ExamplePictures(Callback):
  """Draws a fixed set of examples at the begin, every N steps and at the end.

  Args:
    fetches: tensors to compute, in any structure that a session runs.
    feeds: the fixed examples, by placeholder; {} if the tensors need none.
    count: number of examples.
    show: called as show(index, values) for each example, with the values of `fetches`;
      returns its `Example`.
    every_steps: global steps between two sheets, 1 or more.
    folder: for the PNG files, 'examples-STEP.png'; created if it is missing. None: the
      sheets are in TensorBoard only.
    tag: the name in TensorBoard.
    title: called as title(step, values); returns the line above. None: the step.
    side: the longer side of a picture, in pixels.
  """

  def __init__(self, fetches: Any, feeds: Mapping[Any, Any], count: int,
               show: Callable[[int, Any], Example], every_steps: int,
               folder: str | None = None, tag: str = TAG,
               title: Callable[[int, Any], str] | None = None,
               side: int = sheets.THUMBNAIL_SIDE):
    self._fetches, self._feeds, self._count, self._show = fetches, feeds, count, show
    self._due, self._folder, self._tag = intervals.EverySteps(every_steps), folder, tag
    self._title = title or (lambda step, unused_values: f'step {step:,}')
    self._side = side
    self._writer = self._drawn_at = None

  def begin(self, session, step, writer):
    """Draws the examples before the first step."""
    self._writer = writer
    self._due.start(step)
    self._draw(session, step)

  def after_step(self, session, step):
    """Draws them every N steps."""
    if self._due.take(step):
      self._draw(session, step)

  def end(self, session, step):
    """Draws them once more, unless this step has a sheet."""
    if self._drawn_at is not None:
      self._draw(session, step)

  def _draw(self, session, step):
    if step == self._drawn_at or (self._writer is None and self._folder is None):
      return
    values = session.run(self._fetches, self._feeds)
    sheet = draw_sheet([self._show(index, values) for index in range(self._count)],
                       self._title(step, values), self._side)
    self._drawn_at = step
    if self._writer is not None:
      summaries.write_picture(self._writer, self._tag, sheet, step)
    if self._folder is not None:
      os.makedirs(self._folder, exist_ok=True)
      sheets.save(sheet, os.path.join(self._folder, f'examples-{step}.png'))
