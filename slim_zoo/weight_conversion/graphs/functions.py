"""Inlines the functions of a GraphDef, and removes branches that are never taken.

A SavedModel of TensorFlow 2 has its network in functions, which call each other.
"""

import importlib
from collections.abc import Iterator

from slim_zoo.inference import graph_editing
from slim_zoo.tf_compat import tf

_CALLS = {'PartitionedCall', 'StatefulPartitionedCall'}
_CHOICES = {'If', 'StatelessIf'}


def inline(graph_def: tf.GraphDef) -> None:
  """Replaces calls by the nodes of their functions, until no call is left.

  A condition on a constant is a call of one of its branches. Control inputs are
  dropped, because inference assigns nothing.
  """
  graph_editing.drop_control_inputs(graph_def)
  functions = {function.signature.name: function
               for function in graph_def.library.function}
  while True:
    known = known_conditions(graph_def)
    calls = {node.name: name for node in graph_def.node
             if (name := _called(node, functions, known)) in functions}
    if not calls:
      return
    _inline_all(graph_def, calls, functions)


def _called(node, functions, known):
  """Returns the name of the function that a node calls, or None."""
  if node.op in _CALLS:
    return node.attr['f'].func.name
  if node.op in _CHOICES and node.input[0] in known:
    branch = 'then_branch' if known[node.input[0]] else 'else_branch'
    return node.attr[branch].func.name
  return node.op if node.op in functions else None


def _inline_all(graph_def, calls, functions):
  """Replaces the nodes in `calls` by the bodies of the functions."""
  results = {}  # By call: the inputs that replace its outputs.
  nodes = list(graph_def.node)
  kept = [node for node in nodes if node.name not in calls]
  added = []
  for node in nodes:
    if node.name in calls:
      arguments = list(node.input)[1:] if node.op in _CHOICES else list(node.input)
      # Other nodes may be below the name of the call.
      body, results[node.name] = _body(
          f'{node.name}/inlined', arguments, functions[calls[node.name]], functions)
      added.extend(body)
  new = tf.GraphDef()
  new.node.extend([*kept, *added])

  def without_calls(reference):
    name, index = graph_editing.output(reference)
    while name in results:
      reference = results[name][index]
      name, index = graph_editing.output(reference)
    return reference

  graph_editing.rename_inputs(new, without_calls)
  del graph_def.node[:]
  graph_def.node.extend(new.node)


def _body(scope, arguments, function, functions):
  """Returns (the nodes of a call, the inputs that replace its outputs)."""
  argument_of = dict(zip(
      (argument.name for argument in function.signature.input_arg), arguments,
      strict=True))
  by_name = {node.name: node for node in function.node_def}

  def in_graph(reference):
    """Returns an input as the graph names it, for one as the function names it."""
    if reference in argument_of:
      return argument_of[reference]
    node, _, rest = reference.partition(':')
    output_name, _, index = rest.partition(':')
    number = _flat_index(by_name[node], output_name, functions) + int(index or 0)
    return f'{scope}/{node}:{number}' if number else f'{scope}/{node}'

  nodes = []
  for inner in function.node_def:
    node = tf.NodeDef()
    node.CopyFrom(inner)
    node.name = f'{scope}/{inner.name}'
    del node.input[:]
    node.input.extend(in_graph(reference) for reference in inner.input
                      if not reference.startswith('^'))
    nodes.append(node)
  return nodes, [in_graph(function.ret[result.name])
                 for result in function.signature.output_arg]


def _flat_index(node, output_name, functions):
  """Returns the number of the first output called `output_name`."""
  definition = (functions[node.op].signature if node.op in functions else
                operation_definition(node.op))
  number = 0
  for output in definition.output_arg if definition else ():
    if output.name == output_name:
      break
    number += (node.attr[output.number_attr].i if output.number_attr else
               len(node.attr[output.type_list_attr].list.type)
               if output.type_list_attr else 1)
  return number


def operation_definition(name: str):
  """Returns TensorFlow's OpDef of a kind of operation, or None for an unknown one."""
  registry = importlib.import_module('tensorflow.python.framework.op_def_registry')
  return registry.get(name)


def decide_conditions(graph_def: tf.GraphDef) -> None:
  """Removes the branches of tf.cond of TensorFlow 1 that are never taken.

  A condition is known if it is a constant. The Merge of its branches passes on the
  value of the one that is taken.
  """
  known, dead = known_conditions(graph_def), set()
  for node in inputs_first(graph_def):
    inputs = [reference for reference in node.input if not reference.startswith('^')]
    if node.op in ('Switch', 'RefSwitch') and node.input[1] in known:
      taken = int(known[node.input[1]])
      dead.add((node.name, 1 - taken))
      if graph_editing.output(inputs[0]) in dead:
        dead.add((node.name, taken))
    elif node.op in ('Merge', 'RefMerge'):
      alive = [reference for reference in inputs
               if graph_editing.output(reference) not in dead]
      if not alive:
        dead |= {(node.name, 0), (node.name, 1)}
      elif len(alive) == 1 < len(inputs):
        node.op = 'Identity'
        del node.input[:]
        node.input.append(alive[0])
        node.attr.pop('N', None)
    elif any(graph_editing.output(reference) in dead for reference in inputs):
      dead |= {(node.name, index) for index in range(8)}
  for node in graph_def.node:
    if node.op in ('Switch', 'RefSwitch') and node.input[1] in known:
      _pass_on(graph_def, node, int(known[node.input[1]]))
  names = {name for name, index in dead if (name, 1 - index) in dead}
  for index in reversed(range(len(graph_def.node))):
    if graph_def.node[index].name in names:
      del graph_def.node[index]


def _pass_on(graph_def, node, taken):
  """Makes a Switch an Identity, which the branch that is taken reads."""
  node.op = 'Identity'
  del node.input[1:]
  if taken:
    graph_editing.rename_inputs(
        graph_def,
        lambda reference: node.name if reference == f'{node.name}:1' else reference)


def known_conditions(graph_def: tf.GraphDef) -> dict[str, bool]:
  """Returns the values of constant booleans, by the name that inputs read."""
  known = {}
  for node in inputs_first(graph_def):
    if node.op == 'Const' and node.attr['dtype'].type == tf.bool.as_datatype_enum:
      value = graph_editing.constant(node)
      if value.size == 1:
        known[node.name] = bool(value.reshape(-1)[0])
    elif node.op in ('Identity', 'LogicalNot') and node.input[0] in known:
      known[node.name] = known[node.input[0]] != (node.op == 'LogicalNot')
  return known


def inputs_first(graph_def) -> Iterator[tf.NodeDef]:
  """Yields each node after its inputs, except where a loop goes back."""
  nodes, entered = graph_editing.nodes_by_name(graph_def), set()
  for root in graph_def.node:
    waiting = [(root, False)]
    while waiting:
      node, is_complete = waiting.pop()
      if is_complete:
        yield node
      elif node.name not in entered:
        entered.add(node.name)
        waiting.append((node, True))
        waiting.extend((nodes[name], False) for name in map(
            graph_editing.node_name, node.input) if name in nodes)
