"""Blur: defocus, rough glass, motion, zoom.

Lengths are relative to `sampling.side_of`. See `noise` for the form of the images.
"""

import numpy as np

from slim_zoo.evaluation.corruptions import sampling

_MAX_ZOOMS = 16


def defocus(image: np.ndarray, generator: np.random.Generator,
            radius: float) -> np.ndarray:
  """Convolves with a disk."""
  del generator  # Nothing is random.
  return sampling.convolve(image, sampling.disk(radius * sampling.side_of(image)))


def glass(image: np.ndarray, generator: np.random.Generator,
          distance: float) -> np.ndarray:
  """Takes each pixel from a random position near it, and blurs the result slightly."""
  height, width, _ = image.shape
  pixels = distance * sampling.side_of(image)
  rows, columns = np.mgrid[:height, :width] + pixels * generator.uniform(
      -1, 1, [2, height, width])
  return sampling.gaussian_blur(sampling.sample(image, rows, columns), pixels / 3)


def motion(image: np.ndarray, generator: np.random.Generator,
           length: float) -> np.ndarray:
  """Convolves with a line in a random direction."""
  angle = generator.uniform(0, np.pi)
  return sampling.convolve(
      image, sampling.line(length * sampling.side_of(image), angle))


def zoom(image: np.ndarray, generator: np.random.Generator,
         share: float) -> np.ndarray:
  """Averages the image at zooms from 1 to 1 + share, around the centre."""
  del generator
  height, width, _ = image.shape
  count = min(_MAX_ZOOMS, 3 + int(share * sampling.side_of(image) / 2))
  total = np.zeros_like(image)
  for factor in np.linspace(1, 1 + share, count):
    rows, columns = (
        (np.arange(size) - (size - 1) / 2) / factor + (size - 1) / 2
        for size in (height, width))
    total += sampling.sample_grid(image, rows, columns)
  return total / count
