"""The graph of a quantized network for uint8 pixels.

An 8-bit input is (pixel - zero point) * scale, with one scale and one whole zero point
for all channels. Preprocessing needs another shift, such as 127.5, or one for each
channel. The rest goes into the bias of the first layer, where each filter turns it into
a constant. Only the padding of that layer differs, for most networks by less than a
pixel.
"""

import dataclasses

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog import preprocessing_families
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import pixel_graph
from slim_zoo.inference import graph_editing, inference_graph
from slim_zoo.tf_compat import tf

_LAYERS = ('Conv2D', 'DepthwiseConv2dNative')
_PASSING_ON = ('Identity', 'Pad', 'SpaceToBatchND', 'BatchToSpaceND')


@dataclasses.dataclass(frozen=True)
class QuantizedGraph:
  """A quantized network for pixels.

  Attributes:
    graph: holds nothing else.
    images: the placeholder 'input', float32 [batch, height, width, channels]: what the
      pixels stand for.
    logits: float32 [batch, classes].
    probabilities: float32 [batch, classes].
    scale: of a pixel in `images`.
    zero_point: the pixel that stands for 0.
  """

  graph: tf.Graph
  images: tf.Tensor
  logits: tf.Tensor
  probabilities: tf.Tensor
  scale: float
  zero_point: int


def build(trained: TrainedNetwork, network: inference_graph.InferenceGraph,
          batch_size: int | None = 1) -> QuantizedGraph:
  """Returns the graph of a quantized network.

  Args:
    trained: says the preprocessing.
    network: of `trained`, with its ranges.
    batch_size: None leaves it open.

  Raises:
    UserError: the preprocessing is not the same for each pixel.
  """
  scale, shifts = _preprocessing(trained)
  zero_point = int(np.clip(np.round(-np.mean(shifts) / scale), 0, 255))
  left = shifts + scale * zero_point
  size = trained.image_size
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(
        tf.float32, [batch_size, size, size, trained.channels], pixel_graph.INPUT)
    logits, probabilities = network.attach(images)
    probabilities = tf.identity(probabilities, 'probabilities')
  if np.abs(left).max() < 1e-6 * scale:
    return QuantizedGraph(
        graph, images, logits, probabilities, scale, zero_point)
  graph_def = graph.as_graph_def()
  _add_to_first_bias(graph_def, left)
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
  return QuantizedGraph(
      graph, *(graph.get_tensor_by_name(tensor.name)
               for tensor in (images, logits, probabilities)), scale, zero_point)


def takes_pixels(trained: TrainedNetwork) -> bool:
  """Returns whether preprocessing is the same for each pixel, as `build` needs it."""
  return preprocessing_families.family_of(trained.preprocessing_name) != 'cifarnet'


def _preprocessing(trained):
  """Returns (scale, shift of each channel): values are pixels * scale + shift."""
  if not takes_pixels(trained):
    raise diagnostics.UserError(
        f'{trained.model_name} has cifarnet preprocessing, which scales each image by'
        ' its own pixels: an 8-bit input cannot; train with'
        ' --preprocessing_name=inception or lenet')
  with tf.Graph().as_default(), tf.Session() as session:
    pixels = np.zeros([2, 1, 1, trained.channels], np.float32)
    pixels[1] = 255
    values = session.run(pixel_graph.scaled(tf.constant(pixels), trained))
    black, white = values[:, 0, 0]
  return float((white - black).mean() / 255), black.astype(np.float64)


def _add_to_first_bias(graph_def, shifts):
  """Adds what a first layer makes of constant images to the bias behind it.

  Args:
    graph_def: with the placeholder 'input'; it is changed.
    shifts: float [channels], the value of each channel of the images. Nothing is done
      where no bias follows the layer: the shifts are less than a pixel then.
  """
  nodes = graph_editing.nodes_by_name(graph_def)
  readers = graph_editing.consumers(graph_def)
  node = nodes[pixel_graph.INPUT]
  while node.op not in _LAYERS:
    if node.op not in ('Placeholder', *_PASSING_ON) or len(readers[node.name]) != 1:
      return
    (node,) = readers[node.name]
  layer = node
  while len(readers[node.name]) == 1 and node.op in (*_LAYERS, *_PASSING_ON):
    (node,) = readers[node.name]
  if node.op not in ('BiasAdd', 'Add', 'AddV2'):
    return
  biases = next((nodes[name] for name in map(graph_editing.node_name, node.input)
                 if nodes[name].op == 'Const'), None)
  if biases is None:
    return
  weights = _value(graph_def, layer.input[1])
  sums = np.einsum('hwio,i->io', weights.astype(np.float64), shifts)
  more = sums.reshape(-1) if layer.op == 'DepthwiseConv2dNative' else sums.sum(0)
  graph_editing.set_constant(
      biases, (graph_editing.constant(biases) + more).astype(np.float32))


def _value(graph_def, reference):
  """Returns the value of a tensor that depends on constants alone."""
  name = graph_editing.node_name(reference)
  part = graph_editing.part(graph_def, graph_editing.needed(graph_def, [name]))
  with tf.Graph().as_default(), tf.Session() as session:
    tf.import_graph_def(part, name='')
    return session.run(f'{name}:0')
