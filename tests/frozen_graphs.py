"""Frozen graphs of networks with random weights, in the forms that people have."""

import functools
import random

import numpy as np

from slim_zoo.catalog import networks
from slim_zoo.inference import (
  batch_norm_folding,
  freezing,
  graph_editing,
  network_graph,
)
from slim_zoo.tf_compat import slim, tf
from tests import random_weights


@functools.cache
def _frozen(name, classes, size):
  network = network_graph.build(name, classes, networks.NETWORKS[name].channels, size)
  with network.graph.as_default(), tf.Session() as session:
    variables = {one.op.name: one for one in slim.get_model_variables()}
    values = random_weights.values(
        {key: tuple(one.shape.as_list()) for key, one in variables.items()})
    for key, one in variables.items():
      one.load(values[key], session)
    graph_def = tf.graph_util.convert_variables_to_constants(
        session, network.graph.as_graph_def(), [network.logits.op.name])
  there = {node.name for node in graph_def.node}
  return graph_def, network.logits.op.name, {
      key: value for key, value in values.items() if key in there}


def make(name, classes, size, *changes):
  """Returns (graph, name of the logits, values of the variables by name).

  Args:
    name: the network.
    classes: number of logits.
    size: height and width of its images.
    *changes: functions of this module, applied one after the other.
  """
  original, logits, values = _frozen(name, classes, size)
  graph_def = tf.GraphDef()
  graph_def.CopyFrom(original)
  for change in changes:
    graph_def, logits = change(graph_def, logits)
  return graph_def, logits, values


def below_a_scope(graph_def, logits):
  """Puts the graph below import/, as tf.import_graph_def does."""
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='import')
  return graph.as_graph_def(), f'import/{logits}'


def without_names(graph_def, logits):
  """Gives all nodes other names, in another order."""
  nodes = list(graph_def.node)
  random.Random(0).shuffle(nodes)
  names = {node.name: f'node_{number}' for number, node in enumerate(nodes)}
  renamed = tf.GraphDef()
  renamed.node.extend(nodes)
  graph_editing.drop_places(renamed)
  for node in renamed.node:
    node.name = names[node.name]
  graph_editing.drop_control_inputs(renamed)
  graph_editing.rename_inputs(renamed, lambda reference: ':'.join(
      [names[reference.partition(':')[0]], *reference.split(':')[1:]]))
  return renamed, names[logits]


def folded(graph_def, logits):
  """Folds batch norm, as the export of this project does."""
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
  folding = freezing.freeze(graph, [logits], None)
  batch_norm_folding.fold(folding, [logits])
  return folding, logits


def separate(graph_def, logits):
  """Computes batch norm by single operations, as TensorFlow 1.0 did."""
  for node in list(graph_def.node):
    if not node.op.startswith('FusedBatchNorm'):
      continue
    data, gamma, beta, mean, variance = node.input

    def add(operation, name, *inputs, scope=node.name):
      new = graph_def.node.add(op=operation, name=f'{scope}/batchnorm/{name}')
      new.input.extend(inputs)
      new.attr['T'].type = tf.float32.as_datatype_enum
      return new.name

    epsilon = graph_def.node.add(name=f'{node.name}/batchnorm/y')
    graph_editing.set_constant(epsilon, np.float32(node.attr['epsilon'].f))
    scale = add('Mul', 'mul', gamma, add(
        'Rsqrt', 'Rsqrt', add('Add', 'add', variance, epsilon.name)))
    node.op = 'Add'
    node.attr.clear()
    node.attr['T'].type = tf.float32.as_datatype_enum
    del node.input[:]
    node.input.extend([
        add('Mul', 'mul_1', data, scale),
        add('Sub', 'sub', beta, add('Mul', 'mul_2', mean, scale))])
  return graph_def, logits


def in_half_precision(graph_def, logits):
  """Keeps weights in float16, which are cast where they are read."""
  half, single = (one.as_datatype_enum for one in (tf.float16, tf.float32))
  for node in list(graph_def.node):
    value = graph_editing.constant(node)
    if value is None or value.dtype != np.float32:
      continue
    graph_editing.set_constant(node, value.astype(np.float16))
    cast = graph_def.node.add(name=f'{node.name}/single', op='Cast')
    cast.attr['SrcT'].type, cast.attr['DstT'].type = half, single
    graph_editing.rename_inputs(graph_def, lambda reference, new=cast.name, old=(
        node.name): new if reference == old else reference)
    cast.input.append(node.name)
  return graph_def, logits


def all_in_half_precision(graph_def, logits):
  """Computes everything in float16, from its images on."""
  half, single = (one.as_datatype_enum for one in (tf.float16, tf.float32))
  for node in graph_def.node:
    value = graph_editing.constant(node)
    if value is not None and value.dtype == np.float32:
      graph_editing.set_constant(node, value.astype(np.float16))
    for attribute in ('T', 'dtype'):
      if graph_editing.attribute(node, attribute).type == single:
        node.attr[attribute].type = half
  return graph_def, logits


def of_2015(graph_def, logits):
  """Reads a constant JPEG, and has the batch norm operation of that time."""
  with tf.Graph().as_default() as graph:
    (images,) = (node for node in graph_def.node if node.op == 'Placeholder')
    size = [side.size for side in images.attr['shape'].shape.dim[1:3]]
    pixels = tf.image.decode_jpeg(tf.constant(b'', name='DecodeJpeg/contents'), 3)
    resized = tf.image.resize_bilinear(tf.cast(pixels, tf.float32)[tf.newaxis], size)
    tf.import_graph_def(
        graph_def, {images.name: (resized - 128.0) * (1 / 128)}, name='net')
  old = graph.as_graph_def()
  for node in old.node:
    if node.op.startswith('FusedBatchNorm'):
      features, gamma, beta, mean, variance = node.input
      node.op = 'BatchNormWithGlobalNormalization'
      del node.input[:]
      node.input.extend([features, mean, variance, beta, gamma])
      epsilon = node.attr['epsilon'].f
      node.attr.clear()
      node.attr['T'].type = tf.float32.as_datatype_enum
      node.attr['variance_epsilon'].f = epsilon
      node.attr['scale_after_normalization'].b = True
  return old, f'net/{logits}'


def with_a_maximum_pool(graph_def, logits):
  """Makes the last average pool of 3 x 3 a maximum pool, as in a network of 2015."""
  pools = [node for node in graph_def.node if node.op == 'AvgPool'
           and list(node.attr['ksize'].list.i) == [1, 3, 3, 1]]
  pools[-1].op = 'MaxPool'
  return graph_def, logits


def with_another_head(graph_def, logits):
  """Adds a dense layer on the probabilities, as the retraining example did."""
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
    features = tf.reshape(graph.get_tensor_by_name(f'{logits}:0'), [-1, 10])
    weights = tf.constant(np.ones([10, 3], np.float32), name='retrain/weights')
    biases = tf.constant(np.zeros(3, np.float32), name='retrain/biases')
    tf.nn.softmax(tf.matmul(tf.nn.softmax(features), weights, name='retrain/MatMul')
                  + biases, name='final_result')
  return graph.as_graph_def(), logits


def with_pixels(graph_def, logits):
  """Reads pixels, 0 to 255, and has a switch for dropout on the way."""
  with tf.Graph().as_default() as graph:
    (images,) = (node for node in graph_def.node if node.op == 'Placeholder')
    shape = [side.size if side.size > 0 else None
             for side in images.attr['shape'].shape.dim]
    pixels = tf.placeholder(tf.uint8, shape, 'pixels')
    training = tf.placeholder(tf.bool, [], 'is_training')
    keep = tf.placeholder(tf.float32, name='keep_prob')
    scaled = (tf.cast(pixels, tf.float32) - 127.5) / 127.5
    tf.import_graph_def(graph_def, {images.name: scaled}, name='net')
    values = graph.get_tensor_by_name(f'net/{logits}:0')
    tf.cond(training, lambda: tf.nn.dropout(values, keep_prob=keep), lambda: values,
            name='dropout')
  return graph.as_graph_def(), f'net/{logits}'
