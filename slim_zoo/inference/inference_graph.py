"""From a checkpoint to the graph that predicts: frozen, folded, ready to run.

The one piece of code behind evaluation, classification and every export.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog import complexity, networks
from slim_zoo.checkpoints import identify, quantization, restore
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.deployment import graph_rewrite
from slim_zoo.inference import batch_norm_folding, freezing
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf

IMAGES = 'images'
LOGITS = 'logits'
PROBABILITIES = 'probabilities'


@dataclasses.dataclass(frozen=True)
class InferenceGraph:
  """A network in evaluation mode whose weights are constants.

  Attributes:
    graph: holds nothing else.
    images: the placeholder, float32 [batch, height, width, channels], preprocessed.
    logits: float32 [batch, classes].
    probabilities: float32 [batch, classes].
    end_points: the requested ones, by name.
    checkpoint: the prefix that the weights were read from.
  """

  graph: tf.Graph
  images: tf.Tensor
  logits: tf.Tensor
  probabilities: tf.Tensor
  end_points: dict[str, tf.Tensor]
  checkpoint: str

  @contextlib.contextmanager
  def session(self) -> Iterator[tf.Session]:
    """Opens a session on the graph, which is the default one in the block."""
    with self.graph.as_default(), tf.Session(
        graph=self.graph, config=graph_rewrite.frozen_config()) as session:
      yield session

  def attach(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts the network over other images, in the graph that these are in.

    Args:
      images: float32 [batch, height, width, channels], preprocessed.

    Returns:
      (logits, probabilities).
    """
    with images.graph.as_default():
      return self.sharing_weights()(images)

  def sharing_weights(self) -> Callable:
    """Returns classify(images), which is `attach` but for the weights.

    They come into the default graph once, however often it is called.
    """
    weights, layers = tf.GraphDef(), tf.GraphDef()
    for node in self.graph.as_graph_def().node:
      if node.name != self.images.op.name:
        (weights if node.op == 'Const' else layers).node.append(node)
    for part in (weights, layers):
      part.versions.CopyFrom(self.graph.graph_def_versions)
    names = [f'{node.name}:0' for node in weights.node]
    shared = dict(zip(names, tf.import_graph_def(
        weights, return_elements=names, name='weights'), strict=True))

    def classify(images):
      return tuple(tf.import_graph_def(
          layers, {self.images.name: images, **shared},
          [self.logits.name, self.probabilities.name], name='frozen'))

    return classify


def of_network(network: TrainedNetwork, end_point_names: Sequence[str] = (),
               fold: bool = True) -> InferenceGraph:
  """Builds a trained network for inference alone; see `build`."""
  return build(
      network.model_name, network.num_classes, network.checkpoint, network.image_size,
      network.channels, network.moving_averages, end_point_names, fold=fold,
      multi_label=network.multi_label, quantized=network.quantized)


def build(model_name: str, num_classes: int, checkpoint: str,
          image_size: int | None = None, channels: int | None = None,
          moving_averages: bool = False, end_point_names: Sequence[str] = (),
          batch_size: int | None = None, fold: bool = True,
          multi_label: bool = False,
          quantized: quantization.Quantized | None = None) -> InferenceGraph:
  """Builds a network of the zoo from a checkpoint, for inference alone.

  Args:
    model_name: a name of `catalog.networks.NETWORKS`.
    num_classes: number of logits.
    checkpoint: a prefix, or a folder, for its latest.
    image_size: height and width of the images; None: the network's own.
    channels: of the images; None: those of the network's published weights.
    moving_averages: whether to use the moving averages that training kept of the
      weights, in their place.
    end_point_names: of the end points that are wanted too.
    batch_size: None leaves it open.
    fold: whether batch norm is folded into the weights before it.
    multi_label: whether an image may have several classes, or none: probabilities
      are then of sigmoids, not of the softmax.
    quantized: how values are rounded by the ranges in the checkpoint; None: not.

  Raises:
    UserError: there is no such network or end point, the checkpoint is of another
      one, or it cannot be read.
  """
  path = restore.find(checkpoint)
  source, tensors = _evaluation_graph(
      model_name, num_classes, image_size, channels, batch_size, end_point_names,
      multi_label, quantized)
  return frozen(source, tensors, path, model_name, moving_averages, fold)


def frozen(source: tf.Graph, tensors: dict[str, tf.Tensor], path: str,
           model_name: str, moving_averages: bool = False, fold: bool = True
           ) -> InferenceGraph:
  """Returns a graph with the weights of a checkpoint in place of its variables.

  Args:
    source: of a network in evaluation mode.
    tensors: of it: 'images', 'logits', 'probabilities', and '/NAME' for end points.
    path: prefix of the checkpoint.
    model_name: of the network, for messages.
    moving_averages: as in `build`.
    fold: as in `build`.

  Raises:
    UserError: the checkpoint is of another network, or cannot be read.
  """
  outputs = list(dict.fromkeys(tensor.op.name for tensor in tensors.values()))
  graph_def = freezing.freeze(
      source, outputs,
      _read_values(source, outputs, path, model_name, moving_averages).__getitem__)
  if fold:
    batch_norm_folding.fold(graph_def, outputs)
  graph = tf.Graph()
  with graph.as_default():
    tf.import_graph_def(graph_def, name='')
  found = {name: graph.get_tensor_by_name(tensor.name)
           for name, tensor in tensors.items()}
  # An import knows the shapes that the rewritten nodes infer, not those set by hand.
  for name, tensor in found.items():
    tensor.set_shape(tensors[name].shape)
  return InferenceGraph(
      graph, found.pop(IMAGES), found.pop(LOGITS), found.pop(PROBABILITIES),
      {name[1:]: tensor for name, tensor in found.items()}, path)


def _evaluation_graph(model_name, num_classes, image_size, channels, batch_size,
                      end_point_names, multi_label, quantized):
  """Returns a graph with variables, and the tensors that are wanted of it by name."""
  row = networks.get_image_network(model_name)
  network_fn = nets_factory.get_network_fn(
      model_name, num_classes, with_feature_maps=True,
      **quantization.network_options(quantized))
  size = image_size or network_fn.default_image_size
  graph = tf.Graph()
  with graph.as_default():
    images = tf.placeholder(
        tf.float32, [batch_size, size, size, channels or row.channels], IMAGES)
    logits, end_points = network_fn(images)
    # Under names of their own, whatever the network calls them.
    tensors = {IMAGES: images, LOGITS: tf.identity(logits, LOGITS),
               PROBABILITIES: (tf.nn.sigmoid if multi_label else tf.nn.softmax)(
                   logits, name=PROBABILITIES)}
    for name in end_point_names:
      if name not in end_points:
        raise diagnostics.unknown_name(
            'end point', name, end_points, f' in {model_name}')
      # The slash keeps an end point called 'logits' apart.
      tensors[f'/{name}'] = end_points[name]
  return graph, tensors


def _read_values(graph, outputs, path, model_name, moving_averages):
  """Returns the values of the variables that are needed, by their names."""
  needed = set(freezing.needed_variables(graph, outputs))
  with graph.as_default():
    variables = slim.get_model_variables()
    by_name = {variable.op.name: variable for variable in variables}
    if moving_averages:
      by_name = restore.averages_by_name(variables)
  by_name = {name: variable for name, variable in by_name.items()
             if variable.op.name in needed}
  plan = restore.plan_restore(path, by_name)
  _check(plan, model_name)
  values = restore.read_values(path, plan.restored)
  return {variable.op.name: values[name] for name, variable in plan.restored.items()}


def _check(plan, model_name):
  """Raises UserError, with the right name if it is known, for another checkpoint."""
  try:
    plan.check_complete()
  except diagnostics.UserError as error:
    if advice := identify.advice(plan.listing.shapes, model_name):
      network = advice.removeprefix('this is a checkpoint of ')
      raise diagnostics.UserError(
          f"'{plan.path}' is a checkpoint of another network, {network}") from error
    if size := _trained_size(plan, model_name):
      raise diagnostics.UserError(
          f"'{plan.path}' was trained on images of {size} x {size}, the size that its"
          f' fully connected layers are made for: set --eval_image_size={size}'
      ) from error
    raise


def _trained_size(plan, model_name):
  """Returns the image size of a checkpoint, if weights differ by the size alone."""
  of_inputs = [there for _, there, here in plan.mismatched
               if len(there) == len(here) == 2 and there[1] == here[1]]
  if not of_inputs or len(of_inputs) < len(plan.mismatched) or plan.missing:
    return None
  match = next((match for match in identify.identify(plan.listing.shapes, limit=None)
                if match.fits and match.network == model_name), None)
  cost = complexity.load().get(model_name)
  return match and (match.image_size or (cost and cost.input_shape[0]))
