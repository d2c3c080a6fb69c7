"""Predicts masks of images of any size with a segmentation network."""

from collections.abc import Callable

import numpy as np

from slim_zoo.checkpoints.segmentation_network import SegmentationNetwork
from slim_zoo.deployment import graph_rewrite, session_settings
from slim_zoo.inference import segmentation_graph
from slim_zoo.preprocessing import mask_preprocessing
from slim_zoo.tf_compat import tf


def predict(images: tf.Tensor, classify: Callable) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the classes of the pixels of preprocessed images.

  Args:
    images: float32 [batch, height, width, channels], padded to the stride.
    classify: of `InferenceGraph.sharing_weights`.

  Returns:
    (uint8 [batch, height, width], the most probable class; float32 of the same shape,
    its probability).
  """
  logits, probabilities = classify(images)
  return (tf.cast(tf.argmax(logits, 3, output_type=tf.int32), tf.uint8),
          tf.reduce_max(probabilities, 3))


class MaskPredictor:
  """A segmentation network with its preprocessing. Use it as a context manager.

  Args:
    network: the network.
    settings: of the session: memory of GPUs, threads.

  Raises:
    UserError: the checkpoint is of another network, or it cannot be read.
  """

  def __init__(self, network: SegmentationNetwork,
               settings: session_settings.SessionSettings = session_settings.DEFAULTS):
    frozen = segmentation_graph.of_network(network)
    with tf.Graph().as_default() as graph:
      self._pixels = tf.placeholder(
          tf.uint8, [None, None, network.decoded_channels], 'pixels')
      prepared = mask_preprocessing.for_network(
          self._pixels, network.preprocessing_name, network.stride, network.smallest,
          network.use_grayscale)
      prepared.set_shape([None, None, network.channels])
      size = tf.shape(self._pixels)
      classes, probabilities = (values[0, :size[0], :size[1]] for values in predict(
          prepared[None], frozen.sharing_weights()))
      self._outputs = (classes, probabilities)
    self._session = tf.Session(
        graph=graph, config=graph_rewrite.frozen_config(settings))

  def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mask of an image.

    Args:
      pixels: uint8 [height, width, channels], of `network.decoded_channels`.

    Returns:
      (uint8 [height, width], the class of each pixel; float32 of the same shape, its
      probability).
    """
    return self._session.run(self._outputs, {self._pixels: pixels})

  def close(self) -> None:
    """Frees the memory."""
    self._session.close()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()
