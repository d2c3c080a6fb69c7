"""The numeric check of a conversion: both networks on the same images, in float64.

In float32 rounding can be all that a check sees. SE-ResNeXt-50 with random weights,
given values from -128 to 128, grows it threefold in each unit as its gates tip over:
each framework's logits are then half of their spread away from its own in float64,
while in float64 the two agree to 1.4e-6 of the spread.
"""

import dataclasses

import numpy as np

NUM_IMAGES = 4
# Of the spread of the logits. Equal networks were at most 5e-7 apart, as Keras adds
# 1.001e-5 to a ResNet's variances and slim 1e-5; folded weights are rounded to float32.
# The smallest difference that is one, of NASNet's average pools at borders, is 1.3e-3.
_TOLERANCE = 1e-4


def images(size: int, channels: int, reads_bytes: bool) -> np.ndarray:
  """Returns images with structure at all scales, the same ones every time.

  Args:
    size: height and width.
    channels: 3 or 1.
    reads_bytes: whether the network takes values about from -128 to 128; else
      about from -1 to 1.

  Returns:
    float32 [4, size, size, channels].
  """
  random = np.random.default_rng(0)
  values = np.zeros([NUM_IMAGES, size, size, channels])
  cells = 1
  while cells <= size:
    places = np.arange(size) * cells // size
    coarse = random.uniform(-1, 1, [NUM_IMAGES, cells, cells, channels])
    values += coarse[:, places][:, :, places]
    cells *= 4
  values /= np.abs(values).max()
  return (values * (128 if reads_bytes else 1)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """How the logits of two networks differ.

  Attributes:
    largest: the largest difference.
    spread: the largest distance of a logit from the mean of its image's.
    agreeing: on how many images the first class is the same.
    images: how many there were.
  """

  largest: float
  spread: float
  agreeing: int
  images: int

  @property
  def same(self) -> bool:
    """Whether the networks compute the same."""
    # Not <, so that NaN is no success.
    return bool(self.spread > 0 and self.largest <= _TOLERANCE * self.spread
                and self.agreeing == self.images)

  def __str__(self):
    return (f'largest difference of logits {self.largest:.2g} (they spread by'
            f' {self.spread:.3g}), top-1 agrees on {self.agreeing} of {self.images}'
            ' images')


def compare(logits: np.ndarray, others: np.ndarray) -> Comparison:
  """Compares logits [batch, classes] of the same images."""
  spread = np.abs(others - others.mean(axis=1, keepdims=True)).max()
  # Two classes that are as likely as each other may change places by rounding.
  chosen = others[np.arange(len(logits)), logits.argmax(axis=1)]
  agreeing = chosen >= others.max(axis=1) - _TOLERANCE * spread
  return Comparison(float(np.abs(logits - others).max()), float(spread),
                    int(agreeing.sum()), len(logits))
