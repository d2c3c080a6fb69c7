"""Checkpoints of quantized networks with random weights."""

import dataclasses
import string

import numpy as np

from slim_zoo.catalog import networks
from slim_zoo.checkpoints import identified_network
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import pixel_graph
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from tests import quantization_contract_test, recipe


def make(folder, name: str, size: int, per_channel: bool = False, **options
         ) -> tuple[TrainedNetwork, np.ndarray]:
  """Writes a checkpoint whose ranges are those of photographs.

  Args:
    folder: a path.
    name: of the network.
    size: height and width of the images.
    per_channel: whether each output channel has a range of its own for its weights.
    **options: bits, as in `checkpoints.quantization.Quantized`.

  Returns:
    (network of 5 classes, uint8 photographs [16, size, size, channels]).
  """
  path = str(folder / 'model.ckpt-0')
  with tf.Graph().as_default(), tf.Session() as session:
    channels = networks.NETWORKS[name].channels
    pixels = np.stack([recipe.photo(size, size, channels, seed) for seed in range(16)])
    images = pixel_graph.scaled(
        tf.constant(pixels), TrainedNetwork('', name, 5, size, channels, name))
    network_fn = nets_factory.get_network_fn(
        name, 5, is_training=True, quantize=True,
        quantize_options={'per_channel': per_channel, **options})
    network_fn(images)
    quantization_contract_test.load(session, 0)
    states = [variable for variable in tf.global_variables()
              if variable.op.name.endswith(('/biased', '/local_step'))]
    session.run([variable.initializer for variable in states])
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    for _ in range(3):
      session.run(updates)
    tf.train.Saver(slim.get_model_variables()).save(session, path)
  trained = identified_network.find(path)
  assert trained.quantized.per_channel == per_channel
  # The bits are in a run card, which this checkpoint does not have.
  return dataclasses.replace(
      trained, image_size=size, class_names=tuple(string.ascii_lowercase[:5]),
      quantized=dataclasses.replace(trained.quantized, **options)), pixels

