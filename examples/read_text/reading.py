"""Reads lines with a trained network."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from examples.read_text import lines, network, word_formation
from slim_zoo import diagnostics
from slim_zoo.checkpoints import restore
from slim_zoo.deployment import session_configs
from slim_zoo.drawing import colours, sheets
from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks import example_pictures

_BATCH = 64


class Reader:
  """A trained network.

  Args:
    folder: of its checkpoints; the last one is used.

  Raises:
    UserError: there is no trained network in the folder.
  """

  def __init__(self, folder: str):
    architecture = network.load_architecture(folder)
    with tf.Graph().as_default():
      self._images = tf.placeholder(tf.uint8, [None, lines.HEIGHT, lines.WIDTH])
      self._readings = network.readings(network.build(self._images, architecture))
      saver = tf.train.Saver(tf.model_variables())
      self._session = tf.Session(config=session_configs.session_config())
      saver.restore(self._session, restore.find(folder))

  def probabilities(self, images: Sequence[np.ndarray]) -> network.Readings:
    """Returns the maps of lines as arrays.

    Args:
      images: each uint8 [lines.HEIGHT, lines.WIDTH].
    """
    batches = [
        self._session.run(self._readings, {
            self._images: np.stack(images[first:first + _BATCH])})
        for first in range(0, len(images), _BATCH)]
    return network.Readings(*(np.concatenate(maps) for maps in zip(
        *batches, strict=True)))

  def read(self, images: Sequence[np.ndarray]) -> list[word_formation.Reading]:
    """Returns the text of lines; the arguments are those of `probabilities`."""
    maps = self.probabilities(images)
    return [word_formation.form(characters, orders)
            for characters, orders in zip(maps.characters, maps.orders, strict=True)]

  def read_picture(self, image: np.ndarray, name: str) -> word_formation.Reading:
    """Returns the text of the line of a picture.

    Args:
      image: uint8 [lines.HEIGHT, lines.WIDTH], of `photographs.find_line`.
      name: of the picture in the error.

    Raises:
      UserError: the line has more digits than the network reads.
    """
    maps = self.probabilities([image])
    reading = word_formation.form(maps.characters[0], maps.orders[0])
    digits = word_formation.count_centres(maps.localization[0])
    if len(reading.text) == lines.MOST_DIGITS and digits > lines.MOST_DIGITS:
      raise diagnostics.UserError(
          f"'{name}' has about {digits} digits, and this network reads up to"
          f' {lines.MOST_DIGITS}: cut the picture into parts')
    return reading

  def sheet(self, images: Sequence[np.ndarray], truths: Sequence[str | None],
            title: str, names: Sequence[str] = ()) -> Image.Image:
    """Returns a picture of lines, their maps, and what is read; see `example`.

    Args:
      images: as for `probabilities`.
      truths: of each line.
      title: of the picture.
      names: of the files of the lines; (): they have none.
    """
    maps = self.probabilities(images)
    rows = [example(image, maps, index, truth, name)
            for index, (image, truth, name) in enumerate(zip(
                images, truths, names or [''] * len(images), strict=True))]
    return example_pictures.draw_sheet(rows, title, side=240)


def example(image: np.ndarray, maps: network.Readings, index: int,
            truth: str | None, name: str = '') -> example_pictures.Example:
  """Returns the row of a sheet for a line: its image, its maps, what is read.

  Args:
    image: uint8 [lines.HEIGHT, lines.WIDTH].
    maps: of a batch of lines, as arrays.
    index: of the line in the batch.
    truth: the true text; None: it is not known.
    name: of its file; '': it has none.
  """
  reading = word_formation.form(maps.characters[index], maps.orders[index])
  text, colour = reading.text or 'nothing', colours.INK
  if truth is not None:
    colour = colours.BLUE if reading.text == truth else colours.VERMILION
    text += '' if reading.text == truth else f', is {truth}'
  confidence = f'{reading.confidence:.0%}' if reading.text else ''
  of_file = [sheets.Line(diagnostics.printable(name), cut_middle=True)] if name else []
  return example_pictures.Example(
      image, {'characters': maps.characters[index][..., 1:],
              'order': maps.orders[index]},
      [*of_file, sheets.Line(text, colour, confidence)])
