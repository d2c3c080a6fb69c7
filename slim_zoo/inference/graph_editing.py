"""Small edits of a GraphDef: who feeds whom, renaming of inputs, pruning, constants."""

import collections
from collections.abc import Callable, Collection, Iterable

import numpy as np

from slim_zoo.tf_compat import tf

# They pass a value on, and do nothing else once no gradient flows.
_PASSING_ON = {'Identity', 'StopGradient', 'PreventGradient', 'CheckNumerics',
               'Snapshot'}


def node_name(reference: str) -> str:
  """Returns the node of an input such as 'name', 'name:1' or '^name'."""
  return reference.removeprefix('^').split(':')[0]


def output(reference: str) -> tuple[str, int]:
  """Returns (node, index of its output) of an input that is not a control input."""
  name, _, index = reference.partition(':')
  return name, int(index or 0)


def nodes_by_name(graph_def: tf.GraphDef) -> dict[str, tf.NodeDef]:
  """Returns the nodes of a graph by name."""
  return {node.name: node for node in graph_def.node}


def consumers(graph_def: tf.GraphDef) -> dict[str, list[tf.NodeDef]]:
  """Returns, by name of a node, those that read it; twice where they do so twice."""
  readers = collections.defaultdict(list)
  for node in graph_def.node:
    for reference in node.input:
      readers[node_name(reference)].append(node)
  return readers


def needed(graph_def: tf.GraphDef, outputs: Iterable[str]) -> set[str]:
  """Returns the names of the nodes that `outputs` depend on, including themselves."""
  nodes = nodes_by_name(graph_def)
  names, waiting = set(), list(outputs)
  while waiting:
    name = waiting.pop()
    if name not in names:
      names.add(name)
      waiting.extend(node_name(reference) for reference in nodes[name].input)
  return names


def prune(graph_def: tf.GraphDef, outputs: Iterable[str]) -> None:
  """Removes the nodes that `outputs` do not depend on."""
  names = needed(graph_def, outputs)
  # In place: weights take hundreds of megabytes.
  for index in reversed(range(len(graph_def.node))):
    if graph_def.node[index].name not in names:
      del graph_def.node[index]


def part(graph_def: tf.GraphDef, names: Collection[str]) -> tf.GraphDef:
  """Returns a graph of the nodes called `names`, in the same order."""
  copied = tf.GraphDef()
  copied.versions.CopyFrom(graph_def.versions)
  copied.library.CopyFrom(graph_def.library)
  copied.node.extend(node for node in graph_def.node if node.name in names)
  return copied


def rename_inputs(graph_def: tf.GraphDef, new: Callable[[str], str]) -> None:
  """Replaces each input that is not a control input by `new(input)`."""
  for node in graph_def.node:
    for index, reference in enumerate(node.input):
      if not reference.startswith('^'):
        node.input[index] = new(reference)


def set_constant(node: tf.NodeDef, value: np.ndarray) -> None:
  """Replaces a node by a constant of the same name."""
  value = np.asarray(value)
  node.op = 'Const'
  del node.input[:]
  node.attr.clear()
  node.attr['dtype'].type = tf.as_dtype(value.dtype).as_datatype_enum
  node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value))


def attribute(node: tf.NodeDef, name: str) -> tf.AttrValue:
  """Returns an attribute of a node; an empty one if it has none of that name."""
  # Asking with [] would give the node the attribute.
  return node.attr[name] if name in node.attr else tf.AttrValue()


def constant(node: tf.NodeDef) -> np.ndarray | None:
  """Returns the value of a constant; None for any other node."""
  return tf.make_ndarray(node.attr['value'].tensor) if node.op == 'Const' else None


def drop_places(graph_def: tf.GraphDef) -> None:
  """Removes devices and colocation of nodes."""
  for node in graph_def.node:
    node.device = ''
    node.attr.pop('_class', None)


def drop_control_inputs(graph_def: tf.GraphDef) -> None:
  """Removes control dependencies; for graphs without any state."""
  for node in graph_def.node:
    values = [reference for reference in node.input if not reference.startswith('^')]
    del node.input[:]
    node.input.extend(values)


def drop_identities(graph_def: tf.GraphDef, outputs: Iterable[str]) -> None:
  """Makes those that read a node which passes its input on read the input itself.

  The nodes stay, for `prune`. `outputs` are read as before.
  """
  outputs, source = set(outputs), {}
  for node in graph_def.node:
    if node.op in _PASSING_ON and node.name not in outputs:
      source[node.name] = node.input[0]

  def origin(reference):
    name, index = output(reference)
    while index == 0 and name in source:
      reference = source[name]
      name, index = output(reference)
    return reference

  rename_inputs(graph_def, origin)
