"""Noise: of the sensor, of few photons, of dead pixels.

Images are float32 [height, width, channels] from 0 to 1, and so are results, before
they are clipped. The random numbers do not depend on the strength, except for `shot`.
"""

import numpy as np


def gaussian(image: np.ndarray, generator: np.random.Generator,
             deviation: float) -> np.ndarray:
  """Adds normal noise with a standard deviation."""
  return image + deviation * generator.standard_normal(image.shape, np.float32)


def shot(image: np.ndarray, generator: np.random.Generator,
         photons: float) -> np.ndarray:
  """Draws Poisson numbers of photons: a white pixel has `photons` on average.

  The draws of a generator depend on the mean, so on the strength.
  """
  return (generator.poisson(image * photons) / photons).astype(np.float32)


def impulse(image: np.ndarray, generator: np.random.Generator,
            share: float) -> np.ndarray:
  """Makes a share of the values black or white."""
  drawn, extreme = generator.random(image.shape), generator.random(image.shape) < 0.5
  return np.where(drawn < share, extreme.astype(np.float32), image)
