"""Noise: Gaussian noise, shot noise of few photons, impulse noise.

Images and results are float32 [height, width, channels] from 0 to 1; results are not
yet clipped. The random numbers do not depend on the strength, except for `shot`.
"""

import numpy as np


def gaussian(image: np.ndarray, generator: np.random.Generator,
             deviation: float) -> np.ndarray:
  """Adds normal noise with a standard deviation."""
  return image + deviation * generator.standard_normal(image.shape, np.float32)


def shot(image: np.ndarray, generator: np.random.Generator,
         photons: float) -> np.ndarray:
  """Draws Poisson numbers of photons: a white pixel has `photons` on average.

  The random numbers depend on the mean of the distribution, so on the strength.
  """
  return (generator.poisson(image * photons) / photons).astype(np.float32)


def impulse(image: np.ndarray, generator: np.random.Generator,
            share: float) -> np.ndarray:
  """Replaces a share of the values by 0 or 1."""
  drawn, extreme = generator.random(image.shape), generator.random(image.shape) < 0.5
  return np.where(drawn < share, extreme.astype(np.float32), image)
