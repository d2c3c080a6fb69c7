"""From the checkpoint of a segmentation network to the graph that predicts."""

from slim_zoo.checkpoints.segmentation_network import SegmentationNetwork
from slim_zoo.inference import inference_graph
from slim_zoo.nets import fcn
from slim_zoo.tf_compat import tf


def of_network(network: SegmentationNetwork) -> inference_graph.InferenceGraph:
  """Builds a segmentation network for images of any size, for inference alone.

  Args:
    network: the network.

  Returns:
    The graph. Its images are float32 [batch, height, width, channels], preprocessed;
    height and width are multiples of the network's stride. Its logits and probabilities
    are float32 [batch, height, width, classes].

  Raises:
    UserError: the checkpoint is of another network, or it cannot be read.
  """
  graph = tf.Graph()
  with graph.as_default():
    images = tf.placeholder(
        tf.float32, [None, None, None, network.channels], inference_graph.IMAGES)
    logits, _ = fcn.get_network_fn(
        network.model_name, network.num_classes, network.strides)(images)
    tensors = {
        inference_graph.IMAGES: images,
        inference_graph.LOGITS: tf.identity(logits, inference_graph.LOGITS),
        inference_graph.PROBABILITIES: tf.nn.softmax(
            logits, name=inference_graph.PROBABILITIES)}
  return inference_graph.frozen(
      graph, tensors, network.checkpoint, network.model_name, network.moving_averages)
