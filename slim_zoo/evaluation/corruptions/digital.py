"""Digital: contrast, elastic deformation, large pixels, JPEG.

Lengths are relative to `sampling.side_of`, except for the blocks of `pixelate`, which
are in pixels. See `noise` for the form of the images.
"""

import io

import numpy as np
from PIL import Image

from slim_zoo.evaluation.corruptions import sampling

# The standard deviation of the blur that makes random displacements smooth.
_SMOOTH = 0.05


def contrast(image: np.ndarray, generator: np.random.Generator,
             share: float) -> np.ndarray:
  """Multiplies the difference of each value from its channel's mean by `share`."""
  del generator
  mean = image.mean(axis=(0, 1), keepdims=True)
  return mean + share * (image - mean)


def elastic(image: np.ndarray, generator: np.random.Generator,
            distance: float) -> np.ndarray:
  """Moves pixels by smooth random displacements."""
  height, width, _ = image.shape
  side = sampling.side_of(image)
  noise = generator.uniform(-1, 1, [height, width, 2]).astype(np.float32)
  smooth = sampling.gaussian_blur(noise, _SMOOTH * side)
  moves = distance * side * smooth / max(float(smooth.std()), 1e-6)
  rows, columns = np.mgrid[:height, :width] + np.moveaxis(moves, 2, 0)
  return sampling.sample(image, rows, columns)


def pixelate(image: np.ndarray, generator: np.random.Generator,
             block: int) -> np.ndarray:
  """Replaces blocks of `block` x `block` pixels by their mean."""
  del generator
  height, width, _ = image.shape
  rows, columns = np.arange(0, height, block), np.arange(0, width, block)
  sums = np.add.reduceat(np.add.reduceat(image, rows, axis=0), columns, axis=1)
  sizes = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
  means = sums / sizes[..., np.newaxis]
  return means[np.arange(height)[:, np.newaxis] // block, np.arange(width) // block]


def jpeg(image: np.ndarray, generator: np.random.Generator,
         quality: float) -> np.ndarray:
  """Encodes the image as JPEG of a quality from 1 to 95, and decodes it."""
  del generator
  pixels = np.uint8(np.round(255 * np.clip(image, 0, 1)))
  file = io.BytesIO()
  Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(
      file, 'JPEG', quality=int(quality))
  return (np.asarray(Image.open(file), np.float32) / 255).reshape(image.shape)
