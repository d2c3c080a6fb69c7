"""ONNX models in tests: of networks with random weights, and run by onnxruntime."""

import collections
import dataclasses

import numpy as np
import onnx
import onnxruntime

from slim_zoo.catalog import networks
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import to_onnx
from slim_zoo.inference import batch_norm_folding, freezing, inference_graph
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf
from tests import random_weights, recipe

CLASSES = 7
_OUTPUTS = ['logits', 'probabilities']


@dataclasses.dataclass(frozen=True)
class Network:
  """A network with random weights.

  Attributes:
    folded: what is exported.
    frozen: the same network before its batch norm was folded.
  """

  folded: inference_graph.InferenceGraph
  frozen: inference_graph.InferenceGraph


def trained(name, size):
  """Returns the description of a network, without a checkpoint."""
  return TrainedNetwork(
      '', name, CLASSES, size, networks.NETWORKS[name].channels, name,
      class_names=tuple(f'class {number}' for number in range(CLASSES)))


def network(name, size, num_frames=8):
  """Builds a network of images or clips for `size` x `size` pixels."""
  row = networks.NETWORKS[name]
  network_fn = nets_factory.get_network_fn(name, CLASSES)
  with tf.Graph().as_default() as graph:
    frames = [num_frames] if row.frames else []
    logits, _ = network_fn(tf.placeholder(
        tf.float32, [None, *frames, size, size, row.channels], 'images'))
    tf.identity(logits, _OUTPUTS[0])
    tf.nn.softmax(logits, name=_OUTPUTS[1])
  shapes = {name: [size.size for size in graph.get_operation_by_name(
      name).get_attr('shape').dim]
            for name in freezing.needed_variables(graph, _OUTPUTS)}
  frozen = freezing.freeze(
      graph, _OUTPUTS, random_weights.values(shapes).__getitem__)
  unfolded = _imported(frozen)
  batch_norm_folding.fold(frozen, _OUTPUTS)
  return Network(_imported(frozen), unfolded)


def _imported(graph_def):
  with tf.Graph().as_default() as graph:
    images, logits, probabilities = tf.import_graph_def(
        graph_def, name='', return_elements=[
            f'{name}:0' for name in ('images', *_OUTPUTS)])
  return inference_graph.InferenceGraph(graph, images, logits, probabilities, {}, '')


def photos(shape):
  """Returns uint8 images of [images, height, width, channels]."""
  return np.stack([recipe.photo(*shape[1:], seed) for seed in range(shape[0])])


def run(model, images, batches=(1, 3)):
  """Returns the logits of images, run in batches that end at these places.

  Args:
    model: a ModelProto, or the path of a file.
    images: float [images, ..., channels].
    batches: of all images but the last ones.
  """
  content = model if isinstance(model, str) else model.SerializeToString()
  session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
  return np.concatenate([
      session.run([to_onnx.LOGITS], {to_onnx.INPUT: batch.astype(np.float32)})[0]
      for batch in np.split(images, batches)])


def count(model, kind):
  """Returns how many operations of a kind a ModelProto has."""
  return collections.Counter(node.op_type for node in model.graph.node)[kind]


def check(model):
  """Raises unless ONNX's own checker finds types and shapes right."""
  onnx.checker.check_model(model, full_check=True)


def off_by(found, expected):
  """Returns the largest difference of logits, as a share of their spread."""
  return np.abs(found - expected).max() / expected.std(axis=1).mean()
