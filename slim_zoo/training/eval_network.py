"""The network in evaluation mode beside the one that trains, with its weights.

Batch norm there uses its moving averages and dropout is off: what the network will
answer in use, from the weights as they are between two steps. No variable is added
and no collection grows, so the training step and its checkpoints stay as they are.
"""

import contextlib
import dataclasses
from collections.abc import Callable

from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import slim, tf

# What layers put things into; train ops, losses, summaries and savers read these.
_COLLECTIONS = (
    tf.GraphKeys.UPDATE_OPS, tf.GraphKeys.LOSSES,
    tf.GraphKeys.REGULARIZATION_LOSSES, tf.GraphKeys.SUMMARIES,
    tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.LOCAL_VARIABLES,
    tf.GraphKeys.MODEL_VARIABLES, tf.GraphKeys.TRAINABLE_VARIABLES)


@dataclasses.dataclass(frozen=True)
class EvalNetwork:
  """A network in evaluation mode.

  Attributes:
    images: float32 [batch, height, width, channels]; may be fed.
    logits: float32 [batch, classes].
    end_points: the network's, by name.
  """

  images: tf.Tensor
  logits: tf.Tensor
  end_points: dict


@contextlib.contextmanager
def unchanged_collections():
  """Removes the items that layers in the block add to collections."""
  graph = tf.get_default_graph()
  before = {name: list(graph.get_collection_ref(name)) for name in _COLLECTIONS}
  try:
    yield
  finally:
    for name, items in before.items():
      graph.get_collection_ref(name)[:] = items


def build(network_fn: Callable, images: tf.Tensor,
          config: model_deploy.DeploymentConfig,
          custom_getter: Callable | None = None) -> EvalNetwork:
  """Builds a network in evaluation mode on the variables of the default graph.

  Args:
    network_fn: of `nets_factory.get_network_fn`, with is_training=False, for the
      network that trains in this graph; call it after that one is built.
    images: float32 [batch, height, width, channels]; a placeholder, or with
      tf.placeholder_with_default the batches of an input that can still be fed.
    config: of the deployment; the network stands on the device of clone 0.
    custom_getter: of tf.variable_scope, to take other variables; see
      `moving_averages`.

  Raises:
    ValueError: the graph lacks a variable that the network needs.
  """
  with unchanged_collections():
    with (slim.arg_scope([slim.model_variable, slim.variable],
                         device=config.variables_device()),
          tf.name_scope('evaluation'), tf.device(config.clone_device(0)),
          tf.variable_scope(tf.get_variable_scope(), reuse=True,
                            custom_getter=custom_getter)):
      logits, end_points = network_fn(images)
  return EvalNetwork(images, logits, end_points)


def moving_averages() -> Callable:
  """Returns a custom getter that takes the moving averages in place of variables.

  Of the default graph, as --moving_average_decay keeps them; a variable without one
  is taken itself.
  """
  averages = {
      variable.op.name.removesuffix('/ExponentialMovingAverage'): variable
      for variable in tf.global_variables()
      if variable.op.name.endswith('/ExponentialMovingAverage')}

  def getter(usual_getter, name, *args, **kwargs):
    variable = usual_getter(name, *args, **kwargs)
    return averages.get(name, variable)

  return getter
