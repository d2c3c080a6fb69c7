"""Batch norm folded into the weights before it.

In evaluation batch norm is y = x * scale + shift for each channel, with

  scale = gamma / sqrt(variance + epsilon)
  shift = beta - mean * scale

A convolution or a matrix product without activation before it can have the scale in
its weights and the shift in its biases: Jacob et al. 2018, arXiv 1712.05877, section
3.2. The same holds for every other product or sum with constants.

What cannot be folded stays: batch norm after an addition, as in ResNet v2, or after
a layer whose own output is wanted or read by others too.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from slim_zoo.inference import graph_editing
from slim_zoo.tf_compat import tf

# Layers, and the rank of their outputs.
_LAYERS = {'Conv2D': 4, 'DepthwiseConv2dNative': 4, 'Conv3D': 5, 'MatMul': 2}
_BATCH_NORMS = {'FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3'}
_CHANNELS_LAST = {b'', b'NHWC', b'NDHWC'}


@dataclasses.dataclass
class _Folding:
  """The scale and shift for the weights and biases of one layer.

  Attributes:
    scale: float64 [channels].
    shift: float64 [channels].
    last: the node whose value the layer and its biases give.
    source: what the biases are added to: the layer, or what it is seen through.
    passed: the nodes between the layer and `last` that stay.
    is_worth_it: whether more than the layer's own biases would be folded.
  """

  scale: np.ndarray
  shift: np.ndarray
  last: tf.NodeDef | None = None
  source: tf.NodeDef | None = None
  passed: list = dataclasses.field(default_factory=list)
  is_worth_it: bool = False


def fold(graph_def: tf.GraphDef, outputs: Sequence[str]) -> None:
  """Folds scales and shifts of the outputs of layers into their weights.

  Args:
    graph_def: a frozen graph in evaluation mode, as `freezing.freeze` returns it.
    outputs: names of operations, whose names and values stay.
  """
  nodes = graph_editing.nodes_by_name(graph_def)
  readers = graph_editing.consumers(graph_def)
  for layer in list(graph_def.node):
    weights = _weights(layer, nodes)
    if weights is not None:
      folding = _look_behind(layer, _channels(layer, weights), nodes, readers, outputs)
      if folding.is_worth_it:
        _apply(graph_def, layer, weights, folding)
  graph_editing.prune(graph_def, outputs)


def _weights(layer, nodes):
  """Returns the constant weights of a layer that can be folded into, or None."""
  if layer.op not in _LAYERS or not _is_channels_last(layer):
    return None
  if graph_editing.attribute(layer, 'T').type != tf.float32.as_datatype_enum or (
      graph_editing.attribute(layer, 'transpose_b').b):
    return None
  return graph_editing.constant(nodes[graph_editing.node_name(layer.input[1])])


def _channels(layer, weights):
  """Returns the number of channels that a layer gives."""
  return (weights.shape[-2] * weights.shape[-1]
          if layer.op == 'DepthwiseConv2dNative' else weights.shape[-1])


def _look_behind(layer, channels, nodes, readers, outputs):
  """Follows a layer's output as long as nothing but scales and shifts reads it."""
  folding = _Folding(np.ones(channels), np.zeros(channels))
  node, passed, folded = layer, [], 0
  while node.name not in outputs and len(readers[node.name]) == 1:
    (reader,) = readers[node.name]
    if reader.op == 'BatchToSpaceND':
      # It moves values without mixing them, so it changes places with what follows.
      passed.append(reader)
    elif (affine := _scale_and_shift(
        reader, node, channels, _LAYERS[layer.op], nodes)) is not None:
      scale, shift = affine
      folding.scale = folding.scale * scale
      folding.shift = folding.shift * scale + shift
      folding.last, folding.passed = reader, list(passed)
      folded += 1
      folding.is_worth_it = folded > 1 or reader.op != 'BiasAdd'
    else:
      break
    node = reader
  return folding


def _scale_and_shift(node, data, channels, rank, nodes):
  """Returns (scale, shift) of a node that computes data * scale + shift, or None."""
  if graph_editing.output(node.input[0]) == (data.name, 0):
    others = node.input[1:]
  elif node.op in ('Mul', 'Add', 'AddV2') and graph_editing.output(
      node.input[1]) == (data.name, 0):
    others = node.input[:1]
  else:
    return None
  values = [graph_editing.constant(nodes[graph_editing.node_name(name)])
            for name in others]
  if any(value is None for value in values) or not _is_channels_last(node):
    return None
  values = [value.astype(np.float64) for value in values]
  if node.op in _BATCH_NORMS and not (
      graph_editing.attribute(node, 'is_training').b):
    gamma, beta, mean, variance = values
    scale = gamma / np.sqrt(variance + node.attr['epsilon'].f)
    return scale, beta - mean * scale
  if node.op not in ('Mul', 'Add', 'AddV2', 'Sub', 'BiasAdd') or not (
      _is_by_channel(values[0], channels, rank)):
    return None
  value = np.broadcast_to(values[0].reshape(-1), [channels])
  if node.op == 'Mul':
    return value, np.zeros(channels)
  return np.ones(channels), -value if node.op == 'Sub' else value


def _is_channels_last(node):
  return graph_editing.attribute(node, 'data_format').s in _CHANNELS_LAST


def _is_by_channel(value, channels, rank):
  """Returns whether a constant is one number, or one for each channel."""
  return value.ndim <= rank and value.size in (1, channels) and (
      value.size == 1 or value.shape[-1] == channels)


def _apply(graph_def, layer, weights, folding):
  """Writes a layer's new weights and, in the place of the last node, its biases."""
  scale = folding.scale
  if layer.op == 'DepthwiseConv2dNative':
    scale = scale.reshape(weights.shape[-2:])
  new_weights = graph_def.node.add(name=f'{layer.name}/folded_weights')
  graph_editing.set_constant(
      new_weights, (weights.astype(np.float64) * scale).astype(np.float32))
  new_biases = graph_def.node.add(name=f'{layer.name}/folded_biases')
  graph_editing.set_constant(new_biases, folding.shift.astype(np.float32))
  layer.input[1] = new_weights.name
  source = layer
  for node in folding.passed:
    node.input[0] = source.name
    source = node
  last = folding.last
  last.op = 'BiasAdd'
  last.attr.clear()
  last.attr['T'].type = tf.float32.as_datatype_enum
  del last.input[:]
  last.input.extend([source.name, new_biases.name])
