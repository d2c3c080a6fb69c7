"""Compares the answers of bfloat16 and float32 for the first images."""

import numpy as np

# So many images are compared, or all where there are fewer.
IMAGES = 200
# What may differ: top-1 classes, as a share of the images, and the cross entropy.
MOST_CLASSES, MOST_CROSS_ENTROPY = 0.005, 0.01
# A class of a multi-label image counts from this probability.
_THRESHOLD = 0.5
_SMALLEST = float(np.finfo(np.float32).tiny)


class PrecisionCheck:
  """Compares the probabilities of two precisions, batch by batch.

  Args:
    multi_label: whether an image may have several classes, or none. It then counts as
      different if any class changes.

  Attributes:
    num_images: how many images were compared.
    num_different: how many of them have another class.
  """

  def __init__(self, multi_label: bool = False):
    self.num_images = self.num_different = 0
    self._multi_label = multi_label
    # Sums over the images that count, of float32 and of bfloat16.
    self._sums = np.zeros(2)

  @property
  def is_done(self) -> bool:
    """Whether enough images were compared, or too many differ already."""
    return self.num_images >= IMAGES or self.num_different > MOST_CLASSES * IMAGES

  def add(self, usual: np.ndarray, reduced: np.ndarray,
          labels: np.ndarray | None = None) -> None:
    """Compares a batch.

    Args:
      usual: float32 [batch, classes], probabilities of float32.
      reduced: likewise, of bfloat16.
      labels: int64 [batch], or [batch, classes] of 0 and 1; those outside the classes
        do not count. None: the cross entropy is that of `usual` as targets.
    """
    self.num_images += len(usual)
    if self._multi_label:
      differs = ((usual >= _THRESHOLD) != (reduced >= _THRESHOLD)).any(axis=1)
    else:
      differs = usual.argmax(axis=1) != reduced.argmax(axis=1)
    self.num_different += int(differs.sum())
    targets = usual if labels is None else _targets(labels, usual.shape[1])
    self._sums += [self._cross_entropy(values, targets) for values in (usual, reduced)]

  def _cross_entropy(self, probabilities, targets):
    """Returns the sum over the images."""
    values = probabilities.astype(np.float64)
    total = -(targets * np.log(np.maximum(values, _SMALLEST))).sum()
    if self._multi_label:
      total -= ((1 - targets) * np.log(np.maximum(1 - values, _SMALLEST))).sum()
    return float(total)

  def fault(self) -> str | None:
    """Returns why bfloat16 is not to be used; None if the answers are alike."""
    if self.num_different > MOST_CLASSES * self.num_images:
      what = 'classes' if self._multi_label else 'top-1 class'
      return (f'because bfloat16 changes the {what} of {self.num_different} of'
              f' {self.num_images} images (at most {MOST_CLASSES:.1%} may change)')
    usual, reduced = self._sums
    change = abs(reduced - usual)
    if not change <= MOST_CROSS_ENTROPY * usual:
      count = max(1, self.num_images)
      return (f'because bfloat16 changes the cross entropy of {self.num_images} images'
              f' from {usual / count:.4g} to {reduced / count:.4g} (at most'
              f' {MOST_CROSS_ENTROPY:.0%} is allowed)')
    return None


def _targets(labels, num_classes):
  """Returns float64 [batch, classes]; a row of zeros for a label outside of them."""
  labels = np.asarray(labels)
  if labels.ndim > 1:
    return labels.astype(np.float64)
  return (labels[:, np.newaxis] == np.arange(num_classes)).astype(np.float64)
