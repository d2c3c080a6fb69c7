"""The numeric check of a conversion: both networks on the same images, in float64.

In float32, rounding errors can hide everything else. In SE-ResNeXt-50 with random
weights and values from -128 to 128, each unit multiplies them by three, because gates
saturate: float32 logits differ from the same framework's float64 logits by half of
their spread, while the float64 logits of both frameworks agree to 1.4e-6 of the spread.
"""

import dataclasses

import numpy as np

NUM_IMAGES = 4
# Relative to the spread of the logits. Equal networks differ by up to 5e-7, because
# Keras adds 1.001e-5 to a ResNet's variances and slim 1e-5, and folded weights are
# rounded to float32. The smallest real difference, NASNet's average pools at borders,
# is 1.3e-3.
_TOLERANCE = 1e-4


def images(size: int, channels: int, reads_bytes: bool) -> np.ndarray:
  """Returns deterministic images with structure at all scales.

  Args:
    size: height and width.
    channels: 3 or 1.
    reads_bytes: whether the values are from about -128 to 128; else from about -1 to 1.

  Returns:
    float32 [4, size, size, channels].
  """
  random = np.random.default_rng(0)
  values = np.zeros([NUM_IMAGES, size, size, channels])
  cells = 1
  while cells <= size:
    positions = np.arange(size) * cells // size
    coarse = random.uniform(-1, 1, [NUM_IMAGES, cells, cells, channels])
    values += coarse[:, positions][:, :, positions]
    cells *= 4
  values /= np.abs(values).max()
  return (values * (128 if reads_bytes else 1)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The difference between the logits of two networks.

  Attributes:
    largest: the largest difference.
    spread: the largest distance of a logit from the mean of its image.
    agreeing: the number of images with the same first class.
    images: the number of images.
  """

  largest: float
  spread: float
  agreeing: int
  images: int

  @property
  def same(self) -> bool:
    """Whether the networks compute the same function."""
    # Not <, so that NaN is a failure.
    return bool(self.spread > 0 and self.largest <= _TOLERANCE * self.spread
                and self.agreeing == self.images)

  def __str__(self):
    return (f'largest difference of logits {self.largest:.2g} (their spread is'
            f' {self.spread:.3g}), top-1 agrees on {self.agreeing} of {self.images}'
            ' images')


def compare(logits: np.ndarray, others: np.ndarray) -> Comparison:
  """Compares logits [batch, classes] of the same images."""
  spread = np.abs(others - others.mean(axis=1, keepdims=True)).max()
  # Rounding may swap two classes with equal logits.
  first_class = others[np.arange(len(logits)), logits.argmax(axis=1)]
  agreeing = first_class >= others.max(axis=1) - _TOLERANCE * spread
  return Comparison(float(np.abs(logits - others).max()), float(spread),
                    int(agreeing.sum()), len(logits))
