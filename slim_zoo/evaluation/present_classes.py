"""Predictions among the classes that have images in a split."""

from collections.abc import Sequence

import numpy as np

from slim_zoo.tf_compat import tf

# The note is for splits of at least this many classes, if less than this share of them
# has images.
_MIN_CLASSES, _MIN_SHARE = 100, 0.9


def probabilities(logits: tf.Tensor, classes: Sequence[int]) -> tf.Tensor:
  """Returns the softmax over some classes; other classes have probability 0.

  Args:
    logits: float32 [batch, classes].
    classes: numbers of the allowed classes, one or more.
  """
  allowed = np.zeros(logits.shape.as_list()[-1], bool)
  allowed[list(classes)] = True
  return tf.nn.softmax(tf.where_v2(
      allowed, logits, tf.constant(-np.inf, logits.dtype)))


def classes_with_images(support: np.ndarray) -> list[int]:
  """Returns the numbers of the classes that have images.

  Args:
    support: int64 [classes], number of images of each class.
  """
  return np.flatnonzero(support).tolist()


def note(support: np.ndarray) -> str | None:
  """Returns a line about a split in which many classes have no images, or None.

  Args:
    support: int64 [classes], number of images of each class.
  """
  present = len(classes_with_images(support))
  if len(support) < _MIN_CLASSES or present >= _MIN_SHARE * len(support):
    return None
  return (f'{present:,} of {len(support):,} classes have images: --only_present_classes'
          ' chooses among these, as published results on ImageNet-A and -R do')
