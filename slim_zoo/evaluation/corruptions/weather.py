"""Weather: snow, frost, fog, brightness. All are computed, without photographs.

Lengths are relative to `sampling.side_of`. See `noise` for the form of the images.
"""

import numpy as np

from slim_zoo.evaluation.corruptions import sampling

_FLAKE, _FALL = 0.008, 0.04
# The gray of snow and frost.
_WHITE = 0.95


def snow(image: np.ndarray, generator: np.random.Generator,
         amount: float) -> np.ndarray:
  """Adds flakes that cover a share `amount`, and mixes the image with white."""
  height, width, _ = image.shape
  side = sampling.side_of(image)
  field = generator.random([height, width, 1], np.float32)
  angle = generator.uniform(np.pi / 4, 3 * np.pi / 4)
  flakes = sampling.gaussian_blur(field, max(0.5, _FLAKE * side))
  limit = np.quantile(flakes, 1 - amount)
  covered = np.clip((flakes - limit) / max(np.ptp(flakes) / 8, 1e-6), 0, 1)
  fallen = sampling.convolve(covered, sampling.line(max(1.0, _FALL * side), angle))
  bleached = image + amount * (_WHITE - image)
  opacity = np.clip(1.5 * fallen, 0, 1)
  return bleached * (1 - opacity) + _WHITE * opacity


def frost(image: np.ndarray, generator: np.random.Generator,
          amount: float) -> np.ndarray:
  """Mixes the image with white ice with ridges; its opacity is random in space."""
  height, width, _ = image.shape
  ridges = 1 - np.abs(2 * sampling.clouds(generator, height, width, 0.75) - 1)
  density = sampling.clouds(generator, height, width, 0.4)
  opacity = np.clip(amount * (0.35 + 0.65 * density + 0.5 * ridges ** 4), 0, 0.95)
  ice = _WHITE * (0.65 + 0.35 * ridges ** 2)
  return (image * (1 - opacity[..., np.newaxis])
          + (ice * opacity)[..., np.newaxis]).astype(np.float32)


def fog(image: np.ndarray, generator: np.random.Generator,
        amount: float) -> np.ndarray:
  """Mixes the image with a light gray cloud."""
  height, width, _ = image.shape
  cloud = sampling.clouds(generator, height, width)[..., np.newaxis]
  opacity = amount * (0.5 + 0.5 * cloud)
  return image * (1 - opacity) + (0.7 + 0.3 * cloud) * opacity


def brightness(image: np.ndarray, generator: np.random.Generator,
               amount: float) -> np.ndarray:
  """Adds `amount` to the largest channel of a pixel; keeps the ratio of channels."""
  del generator
  value = image.max(axis=2, keepdims=True)
  brighter = np.minimum(value + amount, 1)
  return np.where(value > 0, image * (brighter / np.maximum(value, 1e-6)), brighter)
