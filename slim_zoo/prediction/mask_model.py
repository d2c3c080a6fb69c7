"""Segmentation of image files, with the weights of a checkpoint or with an export."""

from collections.abc import Callable

import numpy as np

from slim_zoo.checkpoints.segmentation_network import SegmentationNetwork
from slim_zoo.deployment import session_settings
from slim_zoo.inference import mask_predictor
from slim_zoo.prediction import checkpoint_model, classifier


class MaskModel:
  """A `classifier.Model` of a segmentation network. Use it as a context manager.

  The probability of a class is its share of the pixels of the predicted mask.

  Args:
    num_classes: how many classes there are.
    predictor: has `predict(pixels)`, see `mask_predictor.MaskPredictor`, and `close`.
    channels: channels of the images that it takes, 1 or 3.

  Attributes:
    num_classes: as given.
  """

  def __init__(self, num_classes: int, predictor, channels: int):
    self.num_classes, self._predictor = num_classes, predictor
    self._decode = checkpoint_model.Preparation(
        lambda image, height, width: image, 0, channels)

  def prepare(self, data: bytes) -> np.ndarray:
    """Returns the pixels of an image, uint8 [height, width, channels]."""
    return self._decode(data)

  def predict(self, images: list[np.ndarray]) -> classifier.Predictions:
    """Returns the masks of images of any sizes, one after the other."""
    masks = [self._predictor.predict(pixels)[0] for pixels in images]
    shares = [np.bincount(mask.ravel(), minlength=self.num_classes) / mask.size
              for mask in masks]
    return classifier.Predictions(
        np.array(shares, np.float32), pictures=images, masks=masks)

  def close(self) -> None:
    """Frees the memory."""
    self._predictor.close()
    self._decode.close()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()


def of_network(network: SegmentationNetwork,
               settings: session_settings.SessionSettings = session_settings.DEFAULTS
               ) -> MaskModel:
  """Returns the model of a checkpoint.

  Raises:
    UserError: the checkpoint cannot be read.
  """
  return MaskModel(
      network.num_classes, mask_predictor.MaskPredictor(network, settings),
      network.decoded_channels)


class ExportedPredictor:
  """The `predictor` of a SavedModel.

  Args:
    session: with the model.
    run: run(pixels) returns the classes and their probabilities, uint8 and float32
      [height, width].
  """

  def __init__(self, session, run: Callable):
    self._session, self._run = session, run

  def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mask of an image; see `mask_predictor.MaskPredictor.predict`."""
    return self._run(pixels)

  def close(self) -> None:
    """Frees the memory."""
    self._session.close()
