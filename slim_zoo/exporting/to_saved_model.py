"""A SavedModel that is sent JPEG and PNG files, or tensors, and gives classes."""

import os

from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.datasets import labels
from slim_zoo.exporting import pixel_graph
from slim_zoo.inference import inference_graph
from slim_zoo.tf_compat import tf

# TensorFlow Serving takes an input for base64 of bytes by this ending of its name.
BYTES_INPUT = 'image_bytes'
TENSOR_INPUT = 'images'


def write(folder: str, trained: TrainedNetwork,
          network: inference_graph.InferenceGraph) -> None:
  """Writes a SavedModel with three signatures, and its labels.

    serving_default  'image_bytes', strings [batch]: JPEG or PNG files.
    tensors          'images', uint8 [batch, height, width, channels]: pixels of the
                     network's size.
    preprocessed     'images', float32 of the same shape: as preprocessing gives them.

  Each gives what `pixel_graph.answers` returns. assets.extra/labels.txt has the names
  of all classes.

  Args:
    folder: is made; it must not be there.
    trained: the network to export.
    network: of `trained`, frozen and folded.
  """
  size, signatures = trained.image_size, {}
  shape = [None, size, size, trained.channels]
  with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
    classify = network.sharing_weights()
    for name, alias, placeholder, prepare in (
        ('serving_default', BYTES_INPUT,
         tf.placeholder(tf.string, [None], BYTES_INPUT), pixel_graph.prepared),
        ('tensors', TENSOR_INPUT,
         tf.placeholder(tf.uint8, shape, 'pixels'), pixel_graph.scaled),
        ('preprocessed', TENSOR_INPUT,
         tf.placeholder(tf.float32, shape, 'preprocessed_images'),
         lambda images, trained: images)):
      with tf.name_scope(name):
        _, probabilities = classify(prepare(placeholder, trained))
        answers = pixel_graph.answers(probabilities, trained)
      signatures[name] = tf.saved_model.predict_signature_def(
          {alias: placeholder}, answers)
    builder = tf.saved_model.Builder(folder)
    builder.add_meta_graph_and_variables(
        session, [tf.saved_model.SERVING], signatures, strip_default_attrs=True)
    builder.save()
  extra = os.path.join(folder, 'assets.extra')
  os.makedirs(extra)
  labels.write_label_file(dict(enumerate(trained.class_names)), extra)
