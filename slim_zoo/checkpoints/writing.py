"""Writes values as a checkpoint, without a network."""

from collections.abc import Mapping

import numpy as np

from slim_zoo.tf_compat import tf


def write(prefix: str, values: Mapping[str, np.ndarray]) -> None:
  """Writes a checkpoint.

  Args:
    prefix: of its files.
    values: by the name of the variable.
  """
  names = sorted(values)
  arrays = [np.asarray(values[name]) for name in names]
  with tf.Graph().as_default(), tf.Session() as session:
    # Fed: a graph may not hold as much as the weights of a large network.
    holders = [tf.placeholder(tf.as_dtype(array.dtype), array.shape)
               for array in arrays]
    save = tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[''] * len(names),
        tensors=holders)
    session.run(save, dict(zip(holders, arrays, strict=True)))
