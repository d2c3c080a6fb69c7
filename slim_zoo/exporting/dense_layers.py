"""Fully connected layers as convolutions, for TensorFlow Lite.

TensorFlow Lite keeps the weights of a fully connected layer as [outputs, inputs]. Its
converter transposes them behind their rounding, and loses the ranges of the output
channels there. A convolution of 1 x 1 computes the same values, and its weights keep
their ranges.
"""

import numpy as np

from slim_zoo.inference import graph_editing
from slim_zoo.tf_compat import tf

_RANGES_BY_CHANNEL = 'FakeQuantWithMinMaxVarsPerChannel'
# The converter makes one operation of a layer and of these behind it.
_OF_A_LAYER = ('BiasAdd', 'Add', 'AddV2', 'Relu', 'Relu6', 'FakeQuantWithMinMaxVars')


def as_convolutions(graph_def: tf.GraphDef) -> tf.GraphDef:
  """Returns a graph whose fully connected layers with channel ranges are convolutions.

  Names of nodes stay, but a node of `_OF_A_LAYER` behind such a layer has the shape
  [batch, 1, 1, channels]. The readers of the last of these nodes get [batch, channels].

  Args:
    graph_def: weights are constants, behind FakeQuantWithMinMaxVarsPerChannel.
  """
  changed = tf.GraphDef()
  changed.CopyFrom(graph_def)
  nodes = graph_editing.nodes_by_name(changed)
  for node in list(changed.node):
    if node.op != 'MatMul' or node.attr['transpose_a'].b or node.attr['transpose_b'].b:
      continue
    rounded = nodes[graph_editing.node_name(node.input[1])]
    if rounded.op == _RANGES_BY_CHANNEL:
      _flatten_behind(changed, node, _convolution(changed, nodes, node, rounded))
  return changed


def _convolution(graph_def, nodes, node, rounded):
  """Makes a product a convolution; returns its channels."""
  weights = nodes[graph_editing.node_name(rounded.input[0])]
  values = graph_editing.constant(weights)
  reshaped = graph_def.node.add()
  reshaped.name = f'{weights.name}/of_convolution'
  graph_editing.set_constant(reshaped, values[np.newaxis, np.newaxis])
  rounded.input[0] = reshaped.name
  node.input[0] = _add_reshape(
      graph_def, f'{node.name}/images', node.input[0], [-1, 1, 1, len(values)])
  node.op = 'Conv2D'
  kind = node.attr['T'].type
  node.attr.clear()
  node.attr['T'].type = kind
  node.attr['strides'].list.i.extend([1, 1, 1, 1])
  node.attr['padding'].s = b'VALID'
  return values.shape[1]


def _flatten_behind(graph_def, node, channels):
  """Gives [batch, channels] to the readers of a layer."""
  readers = graph_editing.consumers(graph_def)
  while len(readers[node.name]) == 1 and readers[node.name][0].op in _OF_A_LAYER:
    (node,) = readers[node.name]
  reading = readers[node.name]
  flat = _add_reshape(graph_def, f'{node.name}/flat', node.name, [-1, channels])
  for reader in reading:
    for index, reference in enumerate(reader.input):
      if graph_editing.output(reference) == (node.name, 0):
        reader.input[index] = flat


def _add_reshape(graph_def, name, reference, shape):
  """Adds a node that gives a float32 tensor another shape; returns its name."""
  constant, node = graph_def.node.add(), graph_def.node.add()
  constant.name, node.name, node.op = f'{name}/shape', name, 'Reshape'
  graph_editing.set_constant(constant, np.array(shape, np.int32))
  node.input.extend([reference, constant.name])
  node.attr['T'].type = tf.float32.as_datatype_enum
  node.attr['Tshape'].type = tf.int32.as_datatype_enum
  return name
