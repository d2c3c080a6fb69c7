"""Corrupts an image by kind and severity; the table of the strengths."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog.corruptions import KINDS, SEVERITIES
from slim_zoo.evaluation.corruptions import blur, digital, noise, weather

# Increase it when the images change, so that old results are not used.
VERSION = 1


class Corruption(NamedTuple):
  """A kind of corruption.

  Attributes:
    function: function of (image, generator, strength), see `noise`.
    strengths: strength for each severity, from weak to strong.
  """

  function: Callable
  strengths: tuple[float, float, float, float, float]


CORRUPTIONS = {
    'gaussian_noise': Corruption(noise.gaussian, (0.06, 0.10, 0.16, 0.24, 0.34)),
    'shot_noise': Corruption(noise.shot, (60, 30, 15, 8, 4)),
    'impulse_noise': Corruption(noise.impulse, (0.02, 0.05, 0.09, 0.15, 0.25)),
    'defocus_blur': Corruption(blur.defocus, (0.010, 0.016, 0.024, 0.034, 0.046)),
    'glass_blur': Corruption(blur.glass, (0.006, 0.010, 0.015, 0.021, 0.030)),
    'motion_blur': Corruption(blur.motion, (0.03, 0.05, 0.075, 0.11, 0.15)),
    'zoom_blur': Corruption(blur.zoom, (0.06, 0.11, 0.16, 0.22, 0.30)),
    'snow': Corruption(weather.snow, (0.05, 0.11, 0.18, 0.26, 0.36)),
    'frost': Corruption(weather.frost, (0.20, 0.35, 0.50, 0.65, 0.80)),
    'fog': Corruption(weather.fog, (0.30, 0.45, 0.58, 0.70, 0.82)),
    'brightness': Corruption(weather.brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    'contrast': Corruption(digital.contrast, (0.6, 0.45, 0.3, 0.2, 0.1)),
    'elastic': Corruption(digital.elastic, (0.008, 0.014, 0.021, 0.029, 0.038)),
    'pixelate': Corruption(digital.pixelate, (2, 3, 4, 5, 6)),
    'jpeg': Corruption(digital.jpeg, (30, 20, 14, 9, 5)),
}


def corrupt(image: np.ndarray, kind: str, severity: int, number: int = 0,
            seed: int = 0) -> np.ndarray:
  """Returns a corrupted copy of an image.

  The same arguments give the same result. All severities of an image have the same
  random numbers, except for 'shot_noise'.

  Args:
    image: uint8 [height, width, channels] of 1 or 3 channels, of any size.
    kind: a name of `catalog.corruptions.KINDS`.
    severity: 1 to 5.
    number: number of the image; each image has different random numbers.
    seed: seed of all random numbers.

  Returns:
    uint8, of the same shape.

  Raises:
    UserError: the kind does not exist.
    ValueError: the image or the severity is not as above.
  """
  if kind not in CORRUPTIONS:
    raise diagnostics.unknown_name('corruption', kind, KINDS)
  if severity not in SEVERITIES:
    raise ValueError(f'severity is {severity!r}, expected one of {SEVERITIES}')
  if image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape or (
      image.shape[2] not in (1, 3)):
    raise ValueError(f'an image is {image.dtype} {list(image.shape)}, expected uint8'
                     ' [height, width, 1 or 3]')
  generator = np.random.default_rng([seed, KINDS.index(kind), number])
  function, strengths = CORRUPTIONS[kind]
  changed = function(
      image.astype(np.float32) / 255, generator, strengths[severity - 1])
  return np.uint8(np.round(255 * np.clip(changed, 0, 1)))


def severities(image: np.ndarray, kind: str | None, number: int = 0, seed: int = 0,
               shortest: int | None = None) -> np.ndarray:
  """Returns an image in all severities of a kind, or without corruption.

  Args:
    image: see `corrupt`.
    kind: see `corrupt`; None: no corruption.
    number: see `corrupt`.
    seed: see `corrupt`.
    shortest: an image with a larger shorter side is first reduced to this side, in
      pixels; None: images are not reduced.

  Returns:
    uint8 [5, height, width, channels]; without a kind [1, height, width, channels].
  """
  image = reduced(image, shortest)
  if kind is None:
    return image[np.newaxis]
  return np.stack([corrupt(image, kind, severity, number, seed)
                   for severity in SEVERITIES])


def reduced(image: np.ndarray, shortest: int | None) -> np.ndarray:
  """Returns an image reduced so that its shorter side is at most `shortest` pixels."""
  height, width, channels = image.shape
  if shortest is None or min(height, width) <= shortest:
    return image
  scale = shortest / min(height, width)
  size = (max(shortest, round(width * scale)), max(shortest, round(height * scale)))
  small = Image.fromarray(image[..., 0] if channels == 1 else image).resize(
      size, Image.Resampling.LANCZOS, reducing_gap=3.0)
  return np.asarray(small).reshape(size[1], size[0], channels)
