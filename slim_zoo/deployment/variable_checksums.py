"""Checksums of variables, which show where several sets of them differ."""

from collections.abc import Sequence

import numpy as np

from slim_zoo.tf_compat import tf


def checksums(variables: Sequence[tf.Variable]) -> tf.Tensor:
  """Returns int32 [variables, 2]: checksums of the bits of each variable.

  They are a sum and a sum of squares of whole numbers, which may overflow.
  """
  rows = []
  for variable in variables:
    value = variable.read_value()
    size = max(2, min(value.dtype.size, 4))
    bits = tf.cast(tf.bitcast(value, {2: tf.int16, 4: tf.int32}[size]), tf.int32)
    rows.append(tf.stack([tf.reduce_sum(bits), tf.reduce_sum(bits * bits)]))
  return tf.stack(rows)


def differences(of_sets: np.ndarray) -> np.ndarray:
  """Returns where variables differ from those of the first set.

  Args:
    of_sets: int32 [sets, variables, 2], the `checksums` of each set.

  Returns:
    int64 [differences, 2]: the number of a set and of a variable, in this order.
  """
  return np.argwhere((of_sets != of_sets[:1]).any(axis=2))
