"""A function of tf.contrib.data that tf.data has in another form."""


def batch_and_drop_remainder(batch_size):
  """Returns a transformation of a tf.data.Dataset, for its `apply`.

  Args:
    batch_size: images of a batch; a last batch with fewer is left out.
  """
  return lambda dataset: dataset.batch(batch_size, drop_remainder=True)
