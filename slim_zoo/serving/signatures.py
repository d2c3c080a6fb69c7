"""The signatures of a model. A checkpoint has the same signatures as its export."""

import dataclasses
from typing import Protocol

import numpy as np

from slim_zoo.deployment import session_configs, session_settings
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.exporting import to_saved_model
from slim_zoo.prediction.checkpoint_model import CheckpointModel
from slim_zoo.prediction.exported_model import ExportedModel
from slim_zoo.preprocessing import value_ranges
from slim_zoo.tf_compat import tf

FILES, PIXELS, PREPROCESSED = 'serving_default', 'tensors', 'preprocessed'
_DTYPES = {tf.string: 'DT_STRING', tf.uint8: 'DT_UINT8', tf.float32: 'DT_FLOAT'}


@dataclasses.dataclass(frozen=True)
class Signature:
  """One way to call a model.

  Attributes:
    alias: name of the input.
    dtype: type of the input: 'DT_STRING' (image files), 'DT_UINT8' or 'DT_FLOAT'.
    shape: shape of the input; -1 is the batch.
  """

  alias: str
  dtype: str
  shape: tuple[int, ...]

  @property
  def is_of_files(self) -> bool:
    """Whether the input is image files."""
    return self.dtype == 'DT_STRING'


class Signatures(Protocol):
  """The signatures of a model by name, and how to call them."""

  by_name: dict[str, Signature]

  def probabilities(self, name: str, values: list | np.ndarray) -> np.ndarray:
    """Returns float32 [batch, classes].

    Args:
      name: name of a signature.
      values: a batch: image files, as `prepare` of the model returns them; or numbers
        of the signature's type.
    """

  def close(self) -> None:
    """Closes its session; the model stays open."""


class ExportSignatures:
  """The signatures of a SavedModel that have one input.

  Args:
    model: the SavedModel.

  Attributes:
    by_name: see `Signatures`.
  """

  def __init__(self, model: ExportedModel):
    self._model = model
    self.by_name = {
        name: Signature(alias, _DTYPES[tensor.dtype], _shape_of(tensor))
        for name, (alias, tensor) in model.inputs.items() if tensor.dtype in _DTYPES}

  def probabilities(self, name: str, values: list | np.ndarray) -> np.ndarray:
    """Returns float32 [batch, classes]; see `Signatures`."""
    return self._model.probabilities(name, values)

  def close(self) -> None:
    """Does nothing: there is no session besides that of the model."""


def _shape_of(tensor):
  return tuple(-1 if size is None else size for size in tensor.shape.as_list())


class CheckpointSignatures:
  """The signatures of a checkpoint; they are those of its export.

  Args:
    model: model of the checkpoint.
    settings: settings of the session that scales pixels; those of the model.

  Attributes:
    by_name: see `Signatures`.
  """

  def __init__(self, model: CheckpointModel,
               settings: SessionSettings = session_settings.DEFAULTS):
    self._model = model
    shape = (-1, model.image_size, model.image_size, model.channels)
    self.by_name = {
        FILES: Signature(to_saved_model.BYTES_INPUT, 'DT_STRING', (-1,)),
        PIXELS: Signature(to_saved_model.TENSOR_INPUT, 'DT_UINT8', shape),
        PREPROCESSED: Signature(to_saved_model.TENSOR_INPUT, 'DT_FLOAT', shape)}
    with tf.Graph().as_default() as graph:
      self._pixels = tf.placeholder(tf.uint8, [None, *shape[1:]])
      self._scaled = value_ranges.scaled(self._pixels, model.preprocessing_name)
    self._session = tf.Session(
        graph=graph, config=session_configs.session_config(settings))

  def probabilities(self, name: str, values: list | np.ndarray) -> np.ndarray:
    """Returns float32 [batch, classes]; see `Signatures`."""
    if name == PIXELS:
      values = self._session.run(self._scaled, {self._pixels: values})
    return self._model.predict(list(values), has_extras=False).probabilities

  def close(self) -> None:
    """Closes the session that scales pixels."""
    self._session.close()
