"""Reads frozen graphs and SavedModels into graphs whose weights are constants.

Frozen graphs are .pb and .pbtxt; SavedModels are of TensorFlow 1 or 2. Functions are
inlined. Switches between training and inference, such as `is_training` and
`keep_prob`, are set to inference.
"""

import dataclasses
import importlib
import os
import re

from google.protobuf import message, text_format

from slim_zoo import diagnostics
from slim_zoo.inference import graph_editing
from slim_zoo.tf_compat import tf
from slim_zoo.weight_conversion.graphs import functions, rewriting

_MODEL_FILES = ('saved_model.pb', 'saved_model.pbtxt')
_HANDLE, _REFERENCE = 'VarHandleOp', 'VariableV2'
_LAYERS = ('Conv2D', 'MatMul')
# The signature that every SavedModel of TensorFlow 2 has.
_INITIALIZER = '__saved_model_init_op'
_PLACEHOLDERS = ('Placeholder', 'PlaceholderWithDefault', 'PlaceholderV2')
_KEPT = re.compile(r'keep', re.IGNORECASE)
_DROPPED = re.compile(r'drop|rate$', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Source:
  """A graph that was read.

  Attributes:
    graph: with constants in place of variables.
    notes: lines about the changes, such as switches that were set.
    unset_variables: names of the variables of a SavedModel that have no values.
  """

  graph: tf.Graph
  notes: list[str]
  unset_variables: list[str]


def read(path: str, is_saved_model: bool) -> Source:
  """Reads a file.

  Args:
    path: of a GraphDef, as bytes or as text; or of a SavedModel, its folder or the
      file saved_model.pb in it.
    is_saved_model: which of the two.

  Raises:
    UserError: it cannot be read.
  """
  graph_def = _saved_model(path) if is_saved_model else _graph_def(path)
  unset_variables = [
      node.name for node in graph_def.node if node.op in (_HANDLE, _REFERENCE)]
  notes = _prepare(graph_def)
  graph = tf.Graph()
  try:
    with graph.as_default():
      tf.import_graph_def(graph_def, name='')
  except (ValueError, tf.errors.OpError) as error:
    raise diagnostics.UserError(
        f"cannot read the graph '{path}', TensorFlow says: {reason_of(error)}"
    ) from error
  return Source(graph, notes, unset_variables)


def reason_of(error: Exception) -> str:
  """Returns the first line of TensorFlow's message that gives the reason."""
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  # The reason is behind the place in the program where the node was made.
  node = max((number for number, line in enumerate(lines)
              if line.startswith('Node:')), default=-1)
  return next((line for line in lines[node + 1:] if not line.startswith(
      ('Graph execution error', 'Detected at'))), type(error).__name__)


def _graph_def(path):
  """Returns the GraphDef in a file.

  Raises:
    UserError: the file is damaged, or its graph has variables without values.
  """
  with open(path, 'rb') as file:
    content = file.read()
  graph_def = tf.GraphDef()
  try:
    if re.match(rb'\s*(#|node|versions|library)\b', content[:400]):
      text_format.Parse(content, graph_def)
    else:
      graph_def.ParseFromString(content)
  except (message.DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
    raise diagnostics.UserError(
        f"'{path}' is damaged, or no graph: its {len(content)} bytes cannot be read as"
        ' a GraphDef; copy it again') from error
  if not graph_def.node:
    raise diagnostics.UserError(f"the graph '{path}' is empty: name another --source")
  variables = [node.name for node in graph_def.node
               if node.op in (_HANDLE, _REFERENCE)
               and graph_editing.attribute(node, 'shape').shape.dim]
  if variables:
    raise diagnostics.UserError(
        f"the graph '{path}' is not frozen: it has {len(variables)} variables without"
        f' values ({diagnostics.some(variables)}); name the checkpoint that has them,'
        ' or freeze the graph with it')
  return graph_def


def _saved_model(path):
  """Returns the graph of a SavedModel with its variables as constants.

  Raises:
    UserError: it cannot be loaded.
  """
  folder = os.path.dirname(path) or '.' if os.path.isfile(path) else path
  tags = _tags(folder)
  with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
    try:
      model = tf.saved_model.loader.load(session, tags, folder)
    except (tf.errors.OpError, ValueError, OSError, RuntimeError, KeyError) as error:
      raise diagnostics.UserError(
          f"cannot read the SavedModel '{folder}': it is damaged, or incomplete;"
          f' TensorFlow says: {reason_of(error)}') from error
    graph_def = graph.as_graph_def()
    if not set(model.signature_def) - {_INITIALIZER} and not any(
        node.op in _LAYERS for node in graph_def.node):
      raise diagnostics.UserError(
          f"the SavedModel '{folder}' has no signature, so its graph cannot be called:"
          ' write it again, in Keras by model.export(folder)')
    values = _values(graph, session)
  for node in graph_def.node:
    if node.name in values:
      graph_editing.set_constant(node, values[node.name])
  return graph_def


def _tags(folder):
  """Returns the tags of a SavedModel's graph for serving, or of its first graph."""
  model = importlib.import_module(
      'tensorflow.core.protobuf.saved_model_pb2').SavedModel()
  path = next((path for path in (os.path.join(folder, name) for name in _MODEL_FILES)
               if os.path.isfile(path)), None)
  if path is None:
    raise diagnostics.UserError(
        f"'{folder}' is not a SavedModel: it has no file saved_model.pb")
  with open(path, 'rb') as file:
    content = file.read()
  try:
    if path.endswith('.pb'):
      model.ParseFromString(content)
    else:
      text_format.Parse(content, model)
  except (message.DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
    raise diagnostics.UserError(
        f"'{path}' is damaged: its {len(content)} bytes cannot be read as a SavedModel;"
        ' copy it again') from error
  all_tags = [list(graph.meta_info_def.tags) for graph in model.meta_graphs]
  if not all_tags:
    raise diagnostics.UserError(f"the SavedModel '{folder}' has no graph")
  return next((tags for tags in all_tags if tags == [tf.saved_model.SERVING]),
              min(all_tags, key=lambda tags: tf.saved_model.TRAINING in tags))


def _values(graph, session):
  """Returns the values of the variables that are initialized, by name."""
  operations = [operation for operation in graph.get_operations()
                if operation.type in (_HANDLE, _REFERENCE)]
  with graph.as_default():
    initialized = session.run(list(map(_is_initialized, operations)))
    return session.run({
        operation.name: _value(operation)
        for operation, has_value in zip(operations, initialized, strict=True)
        if has_value})


def _is_initialized(variable):
  """Returns the bool tensor that tells whether a variable has a value."""
  (output,) = variable.outputs
  return (tf.raw_ops.VarIsInitializedOp(resource=output) if variable.type == _HANDLE
          else tf.is_variable_initialized(output))


def _value(variable):
  """Returns the tensor with the value of a variable."""
  (output,) = variable.outputs
  return output if variable.type == _REFERENCE else tf.raw_ops.ReadVariableOp(
      resource=output, dtype=variable.get_attr('dtype'))


def _prepare(graph_def) -> list[str]:
  """Leaves the operations of inference in a graph; returns lines about the changes."""
  notes = _set_switches(graph_def)
  functions.inline(graph_def)
  graph_editing.drop_places(graph_def)
  functions.decide_conditions(graph_def)
  _read_constants(graph_def)
  rewriting.renew_batch_norms(graph_def)
  if narrow := rewriting.widen(graph_def):
    notes.append(f'values in {" and ".join(narrow)} become float32')
  unknown = _drop(graph_def)
  if unknown:
    notes.append('left out, because TensorFlow does not know these operations:'
                 f' {diagnostics.some(unknown)}')
  return notes


def _read_constants(graph_def):
  """Replaces reads of variables by reads of the constants that replaced them."""
  types = {node.name: node.attr['dtype'] for node in graph_def.node
           if node.op == 'Const'}
  for node in functions.inputs_first(graph_def):
    if node.op == 'ReadVariableOp' and node.input[0] in types:
      node.op = 'Identity'
      node.attr['T'].CopyFrom(node.attr.pop('dtype'))
    elif (node.op == 'Identity' and node.input[0] in types
          and node.attr['T'].type == tf.resource.as_datatype_enum):
      node.attr['T'].CopyFrom(types[node.input[0]])
      types[node.name] = node.attr['T']


def _set_switches(graph_def):
  """Makes constants of placeholders that switch between training and inference."""
  nodes, done = graph_editing.nodes_by_name(graph_def), {}
  for node in graph_def.node:
    if node.op in _PLACEHOLDERS and (value := _switch(node, nodes)) is not None:
      done[node.name] = value
      dtype = tf.as_dtype(graph_editing.attribute(node, 'dtype').type)
      graph_editing.set_constant(node, dtype.as_numpy_dtype(value))
  settings = [f'{name} to {value}' for name, value in sorted(done.items())]
  return [f'set for inference: {diagnostics.some(settings)}'] if done else []


def _switch(node, nodes):
  """Returns the value of a placeholder in inference; None for images and others."""
  dtype = graph_editing.attribute(node, 'dtype').type
  if dtype == tf.bool.as_datatype_enum:
    return False
  shape = graph_editing.attribute(node, 'shape').shape
  name = node.name.rpartition('/')[2]
  is_named = bool(_KEPT.search(name) or _DROPPED.search(name))
  if shape.dim or (shape.unknown_rank and not is_named and node.op != _PLACEHOLDERS[1]):
    return None
  if tf.as_dtype(dtype).is_floating and is_named:
    return 1.0 if _KEPT.search(name) else 0.0
  if node.op == 'PlaceholderWithDefault' and tf.as_dtype(dtype).is_integer:
    default = graph_editing.constant(nodes[graph_editing.node_name(node.input[0])])
    return int(default) if default is not None and default.ndim == 0 else None
  return None


def _drop(graph_def) -> list[str]:
  """Removes operations that cannot be imported, and operations that read them.

  Returns:
    The names of the operations that TensorFlow does not know.
  """
  unknown, dropped = set(), set()
  constants = {node.name for node in graph_def.node if node.op == 'Const'}
  for node in functions.inputs_first(graph_def):
    definition = functions.operation_definition(node.op)
    if definition is None:
      unknown.add(node.op)
    read = {graph_editing.node_name(reference) for reference in node.input}
    # A variable that was made a constant can no longer be assigned.
    if (definition is None or node.op in (_HANDLE, _REFERENCE) or read & dropped
        or any(argument.is_ref for argument in definition.input_arg)
        or (read & constants and any(
            argument.type == tf.resource.as_datatype_enum
            for argument in definition.input_arg))):
      dropped.add(node.name)
  for index in reversed(range(len(graph_def.node))):
    if graph_def.node[index].name in dropped:
      del graph_def.node[index]
  return sorted(unknown)
