"""Classification with the weights of a checkpoint, frozen into a graph."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from slim_zoo.catalog import view_kinds
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.deployment import session_settings
from slim_zoo.images import image_decoding
from slim_zoo.inference import inference_graph
from slim_zoo.prediction import classifier, explanation, precise_model
from slim_zoo.preprocessing import display, views
from slim_zoo.tf_compat import tf


class Preparation:
  """Decodes and preprocesses images one at a time; for use by several threads.

  Decoding is that of records, so an image gives what its record would give.

  Args:
    preprocessing_fn: of `preprocessing.views.get_preprocessing`.
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
    """Returns the result of the preprocessing for a JPEG or PNG."""
    return self._session.run(self._prepared, {self._encoded: data})

  def close(self) -> None:
    """Frees the memory."""
    self._session.close()


_LAYERS = ('Conv2D', 'MatMul')


def features(logits: tf.Tensor) -> tf.Tensor:
  """Returns the input of the last convolution or matrix product before logits.

  Args:
    logits: float32 [batch, classes], in a graph without variables.

  Returns:
    float32 [batch, channels]; or [batch, height, width, channels], of networks that
    give logits at several places and average them.
  """
  operation = logits.op
  while operation.type not in _LAYERS:
    # Between them are biases, pools and reshapes, whose first input is the data.
    operation = next(tensor.op for tensor in operation.inputs
                     if tensor.op.type != 'Const')
  read = operation.inputs[0]
  if read.shape.as_list()[1:-1] != [1, 1]:
    return read
  with read.graph.as_default():
    return tf.squeeze(read, [1, 2])


@dataclasses.dataclass(frozen=True)
class ModelOutputs:
  """The results to compute besides probabilities.

  Attributes:
    features: whether the features of each image are.
    feature_end_point: of which end point; None: those before the last layer.
    heat: whether heat is, for explanations.
    heat_end_point: of which end point; None: see `explanation.default_end_point`.
  """

  features: bool = False
  feature_end_point: str | None = None
  heat: bool = False
  heat_end_point: str | None = None


class CheckpointModel:
  """A `classifier.Model` of a checkpoint. Use it as a context manager.

  Args:
    trained: the network. With `use_grayscale` images are turned to gray as they were
      in training.
    extras: the results to compute besides probabilities.
    settings: of the session: memory of GPUs, threads.
    precision: 'float32', 'bfloat16', 'float16', or 'auto'.
    is_hinted: whether to say that bfloat16 would be faster than float32.
    view_kind: the kind of test-time augmentation, of `catalog.view_kinds`; None: one
      view. With several, there are no features and no heat.

  Attributes:
    num_classes: as many as there are probabilities.
    preprocessing_name: a family or a network.
    image_size: height and width of the network's input, in pixels.
    channels: of the network's input, 1 or 3.
    heat_end_point: the name of the end point that heat is of, or None.

  Raises:
    UserError: the checkpoint cannot be read, or lacks one of the extras; or this
      machine does not compute it in the precision.
  """

  def __init__(self, trained: TrainedNetwork, extras: ModelOutputs = ModelOutputs(),
               settings: session_settings.SessionSettings = session_settings.DEFAULTS,
               precision: str = 'float32', is_hinted: bool = False,
               view_kind: str | None = None):
    self.num_classes = trained.num_classes
    self.preprocessing_name = trained.preprocessing_name
    self.heat_end_point = self._explained = None
    if extras.heat:
      self.heat_end_point = extras.heat_end_point or explanation.default_end_point(
          trained.model_name)
    names = [name for name in (extras.feature_end_point, self.heat_end_point) if name]
    network = inference_graph.of_network(trained, list(dict.fromkeys(names)))
    *_, self.image_size, self.channels = network.images.shape.as_list()
    self._model = precise_model.PreciseModel(
        network.images, self._tensors(network, extras, view_kinds.count(view_kind)),
        precision, trained.multi_label,
        is_hinted, settings)
    self._prepare = _preparation(network, trained, view_kind)

  def _tensors(self, network, extras, num_views):
    """Returns the tensors of a `classifier.Predictions`, by attribute."""
    with network.graph.as_default():
      tensors = {'probabilities': network.probabilities if num_views == 1 else
                 views.mean_of_views(network.probabilities, num_views)}
      if extras.features:
        tensors['features'] = (
            network.end_points[extras.feature_end_point] if extras.feature_end_point
            else features(network.logits))
      if extras.heat:
        self._explained = tf.placeholder_with_default(
            tf.argmax(network.logits, axis=1), [None])
        tensors['heat'] = explanation.heat(
            network.logits, network.end_points[self.heat_end_point],
            self.heat_end_point, self._explained)
        tensors['pictures'] = display.displayable(
            network.images, self.preprocessing_name)
    return tensors

  def prepare(self, data: bytes) -> np.ndarray:
    """Returns an image, preprocessed as in an evaluation.

    Float32 [height, width, channels], or with views [views, height, width, channels].
    """
    return self._prepare(data)

  def predict(self, images: list[np.ndarray], has_extras: bool = True,
              explained: Sequence[int] | None = None) -> classifier.Predictions:
    """Returns the predictions for prepared images.

    Args:
      images: of `prepare`.
      has_extras: whether features and heat are computed, if the model has them.
      explained: the class of each image that the heat is of, for a model with heat;
        None: the most probable one.
    """
    batch = np.concatenate(images) if images[0].ndim == 4 else np.stack(images)
    return classifier.Predictions(**self._model.run(
        batch, None if has_extras else ['probabilities'],
        {} if explained is None else {self._explained: explained}))

  def close(self) -> None:
    """Frees the memory."""
    self._model.close()
    self._prepare.close()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()


def _preparation(network, trained, view_kind):
  *_, height, _, channels = network.images.shape.as_list()
  # A network on gray images was trained on those of a gray data set, which are decoded
  # as such, or with --use_grayscale, which turns colours to gray by other weights.
  preprocessing_fn = views.get_preprocessing(
      trained.preprocessing_name, view_kind, use_grayscale=channels == 1)
  return Preparation(
      preprocessing_fn, height, 3 if trained.use_grayscale else channels)
