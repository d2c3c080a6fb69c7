"""Classification with an exported SavedModel, which has its preprocessing inside."""

import glob
import os

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.datasets import labels
from slim_zoo.deployment import session_configs, session_settings
from slim_zoo.exporting import to_saved_model, to_segmentation_model
from slim_zoo.prediction import classifier, mask_model
from slim_zoo.tf_compat import tf

_FILE = 'saved_model.pb'
_SIGNATURE, _PROBABILITIES = 'serving_default', 'probabilities'
_LABELS_FOLDER = 'assets.extra'


def find(path: str) -> str:
  """Returns the folder of the SavedModel that lies in `path`, or up to two below it.

  Raises:
    UserError: there is none, or there are several.
  """
  for below in ('', '*', os.path.join('*', '*')):
    paths = sorted(glob.glob(os.path.join(glob.escape(path), below, _FILE)))
    if len(paths) == 1:
      return os.path.dirname(paths[0])
    if paths:
      raise diagnostics.UserError(
          f"--export='{path}' holds {len(paths)} SavedModels: name one of them, such as"
          f" '{os.path.dirname(paths[0])}'")
  raise diagnostics.UserError(
      f"no SavedModel in --export='{path}': name a folder that slim-zoo export wrote")


def load(folder: str, settings: session_settings.SessionSettings =
         session_settings.DEFAULTS):
  """Returns the `classifier.Model` of a SavedModel: of classes or of masks.

  Args:
    folder: of `find`.
    settings: of the session: memory of GPUs, threads.

  Raises:
    UserError: it cannot be read, or is not one that slim-zoo export wrote.
  """
  if to_segmentation_model.is_one(folder):
    return _masks(folder, settings)
  return ExportedModel(folder, settings)


def _unusable(folder):
  return diagnostics.UserError(
      f"the SavedModel '{folder}' cannot be used: it is damaged, or not one that"
      ' slim-zoo export wrote')


def _masks(folder, settings):
  """Returns the model of a SavedModel of a segmentation network."""
  session = tf.Session(
      graph=tf.Graph(), config=session_configs.session_config(settings))
  labels_folder = os.path.join(folder, _LABELS_FOLDER)
  try:
    with session.graph.as_default():
      meta = tf.saved_model.load(session, [tf.saved_model.SERVING], folder)
    signature = meta.signature_def[to_segmentation_model.SIGNATURE]
    tensor = session.graph.get_tensor_by_name
    pixels = tensor(signature.inputs[to_segmentation_model.IMAGES].name)
    outputs = [tensor(signature.outputs[name].name)
               for name in (to_segmentation_model.CLASSES,
                            to_segmentation_model.PROBABILITIES)]
    num_classes = len(labels.read_label_file(labels_folder))
  except (tf.errors.OpError, OSError, RuntimeError, KeyError, ValueError) as error:
    session.close()
    raise _unusable(folder) from error

  def run(image):
    return [values[0] for values in session.run(outputs, {pixels: image[np.newaxis]})]

  model = mask_model.MaskModel(
      num_classes, mask_model.ExportedPredictor(session, run),
      pixels.shape.as_list()[-1])
  model.labels_folder = labels_folder
  return model


class ExportedModel:
  """A `classifier.Model` of a SavedModel. Use it as a context manager.

  Args:
    folder: of `find`.
    settings: of the session: memory of GPUs, threads.

  Attributes:
    num_classes: as many as there are probabilities.
    labels_folder: where its labels.txt is, if it has one.
    inputs: of its signatures with one input and probabilities, by the name of the
      signature: (name of the input, placeholder).

  Raises:
    UserError: it cannot be read, or takes no image files.
  """

  def __init__(self, folder: str, settings: session_settings.SessionSettings =
               session_settings.DEFAULTS):
    self.labels_folder = os.path.join(folder, _LABELS_FOLDER)
    self._session = tf.Session(
        graph=tf.Graph(), config=session_configs.session_config(settings))
    try:
      with self._session.graph.as_default():
        meta = tf.saved_model.load(
            self._session, [tf.saved_model.SERVING], folder)
      tensor = self._session.graph.get_tensor_by_name
      self.inputs, self._probabilities = {}, {}
      for name, signature in meta.signature_def.items():
        if len(signature.inputs) == 1 and _PROBABILITIES in signature.outputs:
          ((alias, placeholder),) = signature.inputs.items()
          self.inputs[name] = (alias, tensor(placeholder.name))
          self._probabilities[name] = tensor(signature.outputs[_PROBABILITIES].name)
      if self.inputs[_SIGNATURE][0] != to_saved_model.BYTES_INPUT:
        raise KeyError(to_saved_model.BYTES_INPUT)
    except (tf.errors.OpError, OSError, RuntimeError, KeyError, ValueError) as error:
      self.close()
      raise _unusable(folder) from error
    self.num_classes = self._probabilities[_SIGNATURE].shape.as_list()[-1]

  def prepare(self, data: bytes) -> bytes:
    """Returns the bytes: the model prepares them itself."""
    return data

  def predict(self, images: list[bytes]) -> classifier.Predictions:
    """Returns the predictions for image files."""
    return classifier.Predictions(
        self.probabilities(_SIGNATURE, np.array(images, object)))

  def probabilities(self, name: str, values: list | np.ndarray) -> np.ndarray:
    """Returns float32 [batch, classes].

    Args:
      name: of a signature in `inputs`.
      values: of its input, a batch.
    """
    return self._session.run(
        self._probabilities[name], {self.inputs[name][1]: values})

  def close(self) -> None:
    """Frees the memory."""
    self._session.close()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()
