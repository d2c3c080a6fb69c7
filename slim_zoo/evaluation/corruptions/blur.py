"""Blur: out of focus, behind rough glass, of a moving camera, of a zoom.

Lengths are relative to the side of the image. See `noise` for images and results.
"""

import numpy as np

from slim_zoo.evaluation.corruptions import sampling

_MOST_ZOOMS = 16


def defocus(image: np.ndarray, generator: np.random.Generator,
            radius: float) -> np.ndarray:
  """Convolves with a disk."""
  del generator  # Nothing is random.
  return sampling.convolve(image, sampling.disk(radius * sampling.side_of(image)))


def glass(image: np.ndarray, generator: np.random.Generator,
          distance: float) -> np.ndarray:
  """Takes each pixel from a random place near it, and blurs the result a little."""
  height, width, _ = image.shape
  pixels = distance * sampling.side_of(image)
  rows, columns = np.mgrid[:height, :width] + pixels * generator.uniform(
      -1, 1, [2, height, width])
  return sampling.gaussian_blur(sampling.sample(image, rows, columns), pixels / 3)


def motion(image: np.ndarray, generator: np.random.Generator,
           length: float) -> np.ndarray:
  """Convolves with a line of a random direction."""
  angle = generator.uniform(0, np.pi)
  return sampling.convolve(
      image, sampling.line(length * sampling.side_of(image), angle))


def zoom(image: np.ndarray, generator: np.random.Generator,
         share: float) -> np.ndarray:
  """Averages enlargements around the centre, from none to 1 + share."""
  del generator
  height, width, _ = image.shape
  count = min(_MOST_ZOOMS, 3 + int(share * sampling.side_of(image) / 2))
  total = np.zeros_like(image)
  for factor in np.linspace(1, 1 + share, count):
    rows, columns = (
        (np.arange(size) - (size - 1) / 2) / factor + (size - 1) / 2
        for size in (height, width))
    total += sampling.sample_grid(image, rows, columns)
  return total / count
