"""Predictions among a part of the classes of a network."""

from collections.abc import Sequence

import numpy as np

from slim_zoo.tf_compat import tf

# A split of so many classes, of which fewer than this share have images, is a part.
_MANY_CLASSES, _FEW = 100, 0.9


def probabilities(logits: tf.Tensor, classes: Sequence[int]) -> tf.Tensor:
  """Returns the softmax over some classes; that of all others is 0.

  Args:
    logits: float32 [batch, classes].
    classes: numbers of the classes that are allowed, one or more.
  """
  allowed = np.zeros(logits.shape.as_list()[-1], bool)
  allowed[list(classes)] = True
  return tf.nn.softmax(tf.where_v2(
      allowed, logits, tf.constant(-np.inf, logits.dtype)))


def of(support: np.ndarray) -> list[int]:
  """Returns the classes that have images; int64 [classes], the images of each."""
  return np.flatnonzero(support).tolist()


def note(support: np.ndarray) -> str | None:
  """Returns a line on a split that has images of few classes only, or None.

  Args:
    support: int64 [classes], the images of each.
  """
  present = len(of(support))
  if len(support) < _MANY_CLASSES or present >= _FEW * len(support):
    return None
  return (f'{present:,} of {len(support):,} classes have images: --only_present_classes'
          ' chooses among these, as published results on ImageNet-A and -R do')
