"""The JSON answer to a photo: its classes, and pictures as data URLs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from slim_zoo.drawing import data_urls, sheets
from slim_zoo.images import mask_files
from slim_zoo.prediction import explanation
from slim_zoo.prediction.classifier import Answer

# The longer side of a picture with a mask, in pixels.
_MAX_SIDE = 800


def values(answer: Answer, names: Sequence[str], top_k: int) -> dict[str, Any]:
  """Returns the values of the JSON answer.

  Args:
    answer: the answer to a photo.
    names: names of the classes.
    top_k: number of most probable classes.

  Returns:
    A dict of
    'predictions': a list of dicts of 'class', 'name', 'probability', and for a mask
      'colour';
    'read_as': how the image was changed when it was read, or None;
    'picture' and 'heat', with Grad-CAM: data URLs of the network's input, without and
      with the Grad-CAM heat map;
    'mask', for a segmentation network: data URL of the photo with its mask.
  """
  predictions = [{'class': label, 'name': names[label], 'probability': probability}
                 for label, probability in answer.most_probable(top_k)]
  found = {'predictions': predictions, 'read_as': answer.change}
  if answer.mask is not None:
    colours = mask_files.palette()
    for prediction in predictions:
      red, green, blue = colours[prediction['class']]
      prediction['colour'] = f'#{red:02x}{green:02x}{blue:02x}'
    found['mask'] = data_urls.of(_with_mask(answer), 'PNG')
  elif answer.heat is not None:
    plain, with_heat = explanation.pictures(answer.picture, answer.heat)
    found.update(picture=data_urls.of(plain, 'PNG'),
                 heat=data_urls.of(with_heat, 'PNG'))
  return found


def _with_mask(answer):
  picture, mask = sheets.image_of(answer.picture), Image.fromarray(answer.mask)
  scale = _MAX_SIDE / max(picture.size)
  if scale < 1:
    size = [max(1, round(side * scale)) for side in picture.size]
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    # Interpolated class numbers would be other classes.
    mask = mask.resize(size, Image.Resampling.NEAREST)
  return mask_files.overlay(picture, np.asarray(mask))
