"""Grad-CAM: the regions of an image that raise the score of a class.

Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization, arXiv 1610.02391.
"""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog import feature_maps
from slim_zoo.drawing import colours, fonts, sheets
from slim_zoo.prediction import sources
from slim_zoo.prediction.classifier import Answer
from slim_zoo.tf_compat import tf


def default_end_point(model_name: str) -> str:
  """Returns the name of a network's last feature map.

  If that is the output of a pool, it is the feature map before it, which is larger.
  """
  *before, last = feature_maps.feature_map_names(model_name).values()
  return before[-1] if before and 'pool' in last.rsplit('/', 1)[-1] else last


def heat(logits: tf.Tensor, features: tf.Tensor, end_point: str,
         classes: tf.Tensor) -> tf.Tensor:
  """Returns Grad-CAM: how much each position raises the logit of a class.

  The weight of a channel is the mean gradient of the logit over its positions (equation
  1). Negative sums become 0 (equation 2).

  Args:
    logits: float32 [batch, classes], computed from the features.
    features: float32 [batch, height, width, channels].
    end_point: name of the features, for messages.
    classes: int64 [batch], the class of each image.

  Returns:
    float32 [batch, height, width], 0 or more; larger values raise the logit more.

  Raises:
    UserError: the features have no height and width, or the logits do not depend on
      them.
  """
  if features.shape.rank != 4:
    raise diagnostics.UserError(
        f'--explain_end_point={end_point} is of shape {features.shape}: Grad-CAM needs'
        ' one of [batch, height, width, channels]')
  with features.graph.as_default():
    # In evaluation mode the logits of an image do not depend on the other images.
    (gradients,) = tf.gradients(
        tf.reduce_sum(logits * tf.one_hot(classes, logits.shape[-1])), features)
    if gradients is None:
      raise diagnostics.UserError(
          f'--explain_end_point={end_point} has no effect on the logits: name an end'
          ' point that they are computed from')
    importance = tf.reduce_mean(gradients, axis=[1, 2], keepdims=True)
    return tf.nn.relu(tf.reduce_sum(importance * features, axis=3))


_MIN_SIDE = 256


def draw_picture(picture: np.ndarray, heat: np.ndarray, heading: str,
         caption: str) -> Image.Image:
  """Draws the network's input, plain on the left, with its heat on the right.

  Args:
    picture: uint8 [height, width, 1 or 3].
    heat: float32 [rows, columns], 0 or more, over the whole picture.
    heading: the first line above it.
    caption: the second line.
  """
  plain, with_heat = pictures(picture, heat)
  return sheets.draw(
      [sheets.Section(heading, [sheets.Tile(plain), sheets.Tile(with_heat)], caption)],
      side=max(plain.size))


def pictures(picture: np.ndarray, heat: np.ndarray) -> tuple[Image.Image, Image.Image]:
  """Returns the network's input, and the same with its heat.

  Args:
    picture: uint8 [height, width, 1 or 3].
    heat: float32 [rows, columns], 0 or more, over the whole picture.
  """
  plain = sheets.image_of(picture)
  # Enlarged by a whole number, so that each pixel of the input is a square.
  scale = max(1, -(-_MIN_SIDE // max(plain.size)))
  plain = plain.resize([side * scale for side in plain.size],
                       Image.Resampling.NEAREST)
  return plain, colours.heat_overlay(plain, heat)


class ExplanationFolder:
  """Writes the heat of the most probable class of each image, a PNG file for each.

  Args:
    folder: of the PNG files; it gets the same folders as the images. It is made.
    files: the paths of all images.
    names: of the classes.
    end_point: whose heat is drawn.

  Raises:
    OSError: the folder cannot be made.
  """

  def __init__(self, folder: str, files: Sequence[str], names: Sequence[str],
               end_point: str):
    os.makedirs(folder, exist_ok=True)
    self._names = fonts.legible_classes(names)
    self._end_point = end_point
    # The suffix stays: cat.jpg and cat.png are two images.
    self._places = {path: os.path.join(folder, f'{name}.png')
                    for path, name in sources.relative_names(files).items()}

  def add(self, answer: Answer) -> None:
    """Writes the picture of an answer, unless its file was refused."""
    if answer.refused:
      return
    ((label, probability),) = answer.most_probable(1)
    place = self._places[answer.path]
    os.makedirs(os.path.dirname(place), exist_ok=True)
    sheets.save(draw_picture(
        answer.picture, answer.heat, f'{self._names[label]}, {probability:.1%}',
        f'Grad-CAM at {self._end_point}: bright regions raise the score'), place)

  def finish(self) -> None:
    """Does nothing: all pictures are written."""
