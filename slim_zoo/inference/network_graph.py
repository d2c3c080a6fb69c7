"""The graph of a network without weights, for tools that freeze it with a checkpoint.

Its variables are of the kind that TensorFlow 1 made, whose values are read by their own
names. TensorFlow's `freeze_graph`, and the tools of its time, restore only these.
Checkpoints do not depend on the kind.
"""

import dataclasses

from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf

INPUT = 'input'
# As the networks call them.
_PROBABILITIES = ('Predictions', 'predictions')


@dataclasses.dataclass(frozen=True)
class NetworkGraph:
  """A network whose variables have no values.

  Attributes:
    graph: holds nothing else.
    images: the placeholder 'input', float32 [batch, height, width, channels], of video
      networks [batch, frames, height, width, channels].
    logits: float32 [batch, classes].
    probabilities: float32 [batch, classes]; None where the network makes none.
  """

  graph: tf.Graph
  images: tf.Tensor
  logits: tf.Tensor
  probabilities: tf.Tensor | None


def build(model_name: str, num_classes: int, channels: int,
          image_size: int | None = None, batch_size: int | None = None,
          num_frames: int | None = None, is_training: bool = False,
          quantize: bool = False) -> NetworkGraph:
  """Builds a network of the zoo.

  Args:
    model_name: a name of `catalog.networks.NETWORKS`.
    num_classes: number of logits.
    channels: of the images.
    image_size: height and width of the images; None: the network's own.
    batch_size: None leaves it open.
    num_frames: of a clip, for video networks; None for all others.
    is_training: whether dropout is on and batch norm uses the batch's statistics.
    quantize: whether weights and activations are rounded, see
      `nets.quantization.fake_quantization`.

  Raises:
    UserError: there is no such network, or it cannot be quantized.
  """
  network_fn = nets_factory.get_network_fn(
      model_name, num_classes, is_training=is_training, quantize=quantize)
  size = image_size or network_fn.default_image_size
  frames = [num_frames] if num_frames else []
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(
        tf.float32, [batch_size, *frames, size, size, channels], INPUT)
    with tf.variable_scope(tf.get_variable_scope(), use_resource=False):
      logits, end_points = network_fn(images)
  return NetworkGraph(graph, images, logits, next(
      (end_points[name] for name in _PROBABILITIES if name in end_points), None))
