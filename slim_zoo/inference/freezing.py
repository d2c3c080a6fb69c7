"""Variables made constants, and what inference does not need taken out."""

from collections.abc import Callable, Sequence

import numpy as np

from slim_zoo.deployment import session_configs
from slim_zoo.inference import graph_editing
from slim_zoo.tf_compat import tf

_VARIABLES = {'VariableV2', 'VarHandleOp'}
# Constants are computed once, here. What makes much of little is left to the runtime.
_GROWING = {'Fill', 'Tile', 'BroadcastTo', 'Range', 'OneHot'}
# Exports of 8 bits read the ranges of weights from these.
_ROUNDING = {'FakeQuantWithMinMaxVars', 'FakeQuantWithMinMaxVarsPerChannel'}


def needed_variables(graph: tf.Graph, outputs: Sequence[str]) -> list[str]:
  """Returns the names of the variables that the operations `outputs` depend on."""
  graph_def = graph.as_graph_def()
  needed = graph_editing.needed(graph_def, outputs)
  return [node.name for node in graph_def.node
          if node.name in needed and node.op in _VARIABLES]


def freeze(graph: tf.Graph, outputs: Sequence[str],
           value_of: Callable[[str], np.ndarray]) -> tf.GraphDef:
  """Returns the graph that `outputs` need, with constants in place of variables.

  Dropout, which is off, and whatever else passes its input on is taken out; so are
  devices and control inputs. What depends on constants alone is computed.

  Args:
    graph: of a network in evaluation mode. It is not changed.
    outputs: names of operations, which keep their names.
    value_of: returns the value of a variable by its name.
  """
  graph_def = graph.as_graph_def()
  graph_editing.prune(graph_def, outputs)
  variables = {node.name for node in graph_def.node if node.op in _VARIABLES}
  for node in graph_def.node:
    if node.op == 'ReadVariableOp':
      # It only passes on what is a value from now on.
      node.op = 'Identity'
      node.attr['T'].CopyFrom(node.attr.pop('dtype'))
  for node in graph_def.node:
    if node.name in variables:
      graph_editing.set_constant(node, value_of(node.name))
  graph_editing.drop_places(graph_def)
  graph_editing.drop_control_inputs(graph_def)
  graph_editing.drop_identities(graph_def, outputs)
  graph_editing.prune(graph_def, outputs)
  _compute_constants(graph_def)
  graph_editing.prune(graph_def, outputs)
  return graph_def


def _compute_constants(graph_def):
  """Puts constants in the place of the nodes that depend on constants alone."""
  fixed = set()
  for node in _inputs_first(graph_def):
    if node.op == 'Const' or (
        node.input and node.op not in _GROWING | _ROUNDING
        and all(graph_editing.node_name(name) in fixed for name in node.input)):
      fixed.add(node.name)
  readers = graph_editing.consumers(graph_def)
  needed = [node for node in graph_def.node
            if node.name in fixed and node.op != 'Const'
            and any(reader.name not in fixed for reader in readers[node.name])
            and _single_output(node, readers)]
  if not needed:
    return
  part = graph_editing.part(
      graph_def, graph_editing.needed(graph_def, [node.name for node in needed]))
  with tf.Graph().as_default(), tf.Session(
      config=session_configs.unoptimized_config()) as session:
    tf.import_graph_def(part, name='')
    values = session.run([f'{node.name}:0' for node in needed])
  for node, value in zip(needed, values, strict=True):
    graph_editing.set_constant(node, value)


def _single_output(node, readers):
  """Returns whether only the first output of a node is read."""
  return all(graph_editing.output(reference)[1] == 0
             for reader in readers[node.name] for reference in reader.input
             if graph_editing.node_name(reference) == node.name)


def _inputs_first(graph_def):
  """Yields the nodes of a graph without loops, each after those that it reads."""
  nodes, done = graph_editing.nodes_by_name(graph_def), set()
  for root in graph_def.node:
    waiting = [root]
    while waiting:
      node = waiting[-1]
      missing = [nodes[name] for name in map(graph_editing.node_name, node.input)
                 if name not in done]
      if missing:
        waiting.extend(missing)
        continue
      waiting.pop()
      if node.name not in done:
        done.add(node.name)
        yield node
