"""From the bytes of an image to what a network takes, as in an evaluation."""

from collections.abc import Callable

import numpy as np

from slim_zoo.images import image_decoding
from slim_zoo.tf_compat import tf


class Preparation:
  """Decodes and preprocesses images one at a time; for use by several threads.

  Decoding is that of records, so an image gives what its record would give.

  Args:
    preprocessing_fn: of `preprocessing_factory.get_preprocessing`, for evaluation.
    image_size: height and width of the results.
    channels: to decode, 1 or 3.
  """

  def __init__(self, preprocessing_fn: Callable, image_size: int, channels: int):
    with tf.Graph().as_default() as graph:
      self._encoded = tf.placeholder(tf.string, [])
      image = image_decoding.decode(self._encoded, channels)
      self._prepared = preprocessing_fn(image, image_size, image_size)
    # Each call is one image's work; how many run at once is for the caller to say.
    self._session = tf.Session(graph=graph, config=tf.ConfigProto(
        intra_op_parallelism_threads=1))

  def __call__(self, data: bytes) -> np.ndarray:
    """Returns float32 [image_size, image_size, channels] for a JPEG or PNG."""
    return self._session.run(self._prepared, {self._encoded: data})

  def close(self) -> None:
    """Gives back the memory."""
    self._session.close()
