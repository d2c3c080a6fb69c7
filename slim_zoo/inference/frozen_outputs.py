"""The outputs of any network as a graph without variables, to run or to export."""

import dataclasses
from collections.abc import Mapping

from slim_zoo import diagnostics
from slim_zoo.checkpoints import restore
from slim_zoo.inference import batch_norm_folding, freezing
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class FrozenOutputs:
  """A network in evaluation mode whose weights are constants.

  Attributes:
    graph: has nothing else.
    images: the placeholder.
    outputs: by name.
  """

  graph: tf.Graph
  images: tf.Tensor
  outputs: dict[str, tf.Tensor]


def freeze(images: tf.Tensor, outputs: Mapping[str, tf.Tensor],
           checkpoint: str) -> FrozenOutputs:
  """Returns the outputs of a network with the weights of a checkpoint.

  Batch norm is folded into the weights before it.

  Args:
    images: the placeholder of the network, which was built in evaluation mode.
    outputs: what is wanted, by any names.
    checkpoint: a prefix, or a folder, for its latest.

  Raises:
    UserError: the checkpoint does not exist, or lacks a variable of the network.
  """
  source = images.graph
  names = list(dict.fromkeys(tensor.op.name for tensor in outputs.values()))
  needed = set(freezing.needed_variables(source, names))
  with source.as_default():
    variables = {variable.op.name: variable for variable in tf.global_variables()
                 if variable.op.name in needed}
  plan = restore.plan_restore(restore.find(checkpoint), variables)
  if unfit := [*plan.missing, *(name for name, *_ in plan.mismatched)]:
    raise diagnostics.UserError(
        f"'{plan.path}' lacks {diagnostics.some(unfit)}, or has them in other shapes:"
        ' give a checkpoint of this network')
  values = restore.read_values(plan.path, plan.restored)
  graph_def = freezing.freeze(source, names, values.__getitem__)
  batch_norm_folding.fold(graph_def, names)
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
  frozen = {name: graph.get_tensor_by_name(tensor.name)
            for name, tensor in outputs.items()}
  for name, tensor in frozen.items():
    tensor.set_shape(outputs[name].shape)
  return FrozenOutputs(graph, graph.get_tensor_by_name(images.name), frozen)
