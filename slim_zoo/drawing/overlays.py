"""Maps with several channels, drawn in colours over an image."""

import colorsys

import numpy as np
from PIL import Image

from slim_zoo.drawing import colours

# The opacity where a channel is 1: the image stays visible.
_OPACITY = 0.65


def palette(count: int) -> np.ndarray:
  """Returns float64 [count, 3], RGB colours from 0 to 1 that differ from each other.

  The first ones are those of `colours.SERIES`.
  """
  series = [[int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
            for colour in colours.SERIES[:count]]
  # Steps of the golden ratio keep the hues apart, however many there are.
  more = [colorsys.hsv_to_rgb(number * 0.61803 % 1, 0.85, 0.8)
          for number in range(count - len(series))]
  return np.array([*series, *more]).reshape(-1, 3)


def maps_over(image: Image.Image, maps: np.ndarray,
              longest_side: int | None = None) -> Image.Image:
  """Returns an image in gray with maps over it, each channel in its colour.

  Args:
    image: of any mode.
    maps: float [rows, columns, channels] or [rows, columns], from 0, which shows the
      image, to 1. They cover the whole image. If several channels are above 0 in a
      cell, their colours are mixed.
    longest_side: in pixels; smaller images are enlarged to it, so that cells of maps
      stay visible. None: the size of the image.

  Raises:
    ValueError: `maps` have another shape.
  """
  maps = np.asarray(maps, np.float32)
  if maps.ndim == 2:
    maps = maps[..., np.newaxis]
  if maps.ndim != 3 or not maps.size:
    raise ValueError(
        f'maps have the shape {list(maps.shape)}, expected [rows, columns, channels]')
  gray = image.convert('L')
  if longest_side and longest_side > max(image.size):
    scale = longest_side / max(image.size)
    gray = gray.resize([max(1, round(side * scale)) for side in image.size],
                       Image.Resampling.NEAREST)
  # A network that diverged has no finite values.
  maps = np.nan_to_num(maps).clip(0, 1)
  total = maps.sum(2, keepdims=True)
  mixed = maps @ palette(maps.shape[2]).astype(np.float32) / np.maximum(total, 1e-6)
  opacity = _OPACITY * np.minimum(total, 1)
  layer = np.concatenate([mixed, opacity], 2)
  layer = Image.fromarray(np.uint8(np.round(255 * layer)), 'RGBA').resize(
      gray.size, Image.Resampling.NEAREST)
  over = Image.alpha_composite(gray.convert('RGBA'), layer)
  return over.convert('RGB')
