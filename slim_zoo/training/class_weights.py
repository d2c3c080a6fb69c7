"""Weights of classes by how many images each has: rare classes count more.

All are scaled so that their sum is the number of classes that have images, as Cui et
al. do; a class without images has the weight 0.
"""

import numpy as np

from slim_zoo import diagnostics


def inverse_frequency(counts) -> np.ndarray:
  """Returns weights in proportion to 1 / images.

  Args:
    counts: int [classes], the images of each class.

  Returns:
    float64 [classes].

  Raises:
    UserError: no class has an image.
  """
  counts = np.asarray(counts, np.float64)
  return _scaled(np.divide(1.0, counts, where=counts > 0, out=np.zeros_like(counts)))


def effective_number(counts, beta: float) -> np.ndarray:
  """Returns weights in proportion to (1 - beta) / (1 - beta ** images).

  The effective number of images: Cui et al. 2019, Class-balanced loss based on
  effective number of samples, arXiv 1901.05555.

  Args:
    counts: int [classes], the images of each class.
    beta: from 0, which weighs all classes alike, to below 1, which comes near
      `inverse_frequency`.

  Returns:
    float64 [classes].

  Raises:
    UserError: no class has an image, or beta is out of range.
  """
  if not 0 <= beta < 1:
    raise diagnostics.UserError(
        f'beta is {beta:g}: expected 0 or more and less than 1, such as 0.999')
  counts = np.asarray(counts, np.float64)
  # expm1 keeps the digits that 1 - beta ** images loses where that is near 0.
  numbers = (-np.expm1(counts * np.log(beta)) if beta else np.ones_like(counts))
  return _scaled(np.divide(
      1.0 - beta, numbers, where=counts > 0, out=np.zeros_like(counts)))


def _scaled(weights: np.ndarray) -> np.ndarray:
  if not weights.any():
    raise diagnostics.UserError('there are no images to weigh the classes by')
  return weights * np.count_nonzero(weights) / weights.sum()
