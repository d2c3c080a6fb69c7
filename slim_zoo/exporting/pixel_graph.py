"""A frozen network with its preprocessing and its labels inside, for exports.

Preprocessing has three parts: decoding, crop and size, scale of the values. A served
model gets files and needs all three. A phone decodes and crops the image itself, so
its model has the scale only.
"""

import dataclasses

from slim_zoo.catalog import preprocessing_families
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.inference import inference_graph
from slim_zoo.preprocessing import display, preprocessing_factory, value_ranges
from slim_zoo.tf_compat import tf

# Its values cannot be found again once they are standardized; its crop is LeNet's.
_SAME_CROP = {'cifarnet': 'lenet'}


def scaled(images: tf.Tensor, trained: TrainedNetwork) -> tf.Tensor:
  """Returns network-ready images, made of pixels.

  Args:
    images: uint8 or float32 [batch, height, width, channels], values 0 to 255.
    trained: says the preprocessing.
  """
  return value_ranges.scaled(images, trained.preprocessing_name)


def decoded(data: tf.Tensor, trained: TrainedNetwork) -> tf.Tensor:
  """Returns the picture in the bytes of a JPEG or PNG.

  Args:
    data: a string.
    trained: says the channels.

  Returns:
    uint8 [height, width, 1 or 3]; of moving pictures the first.
  """
  channels = 3 if trained.use_grayscale else trained.channels
  image = tf.io.decode_image(data, channels, expand_animations=False)
  image.set_shape([None, None, channels])
  return image


def prepared(data: tf.Tensor, trained: TrainedNetwork) -> tf.Tensor:
  """Returns network-ready images as an evaluation prepares them.

  Args:
    data: strings [batch], each a JPEG or PNG.
    trained: says the preprocessing.

  Returns:
    float32 [batch, image_size, image_size, channels].
  """
  preprocessing_fn = _preprocessing_fn(trained.preprocessing_name, trained)
  size = trained.image_size
  images = tf.map_fn(
      lambda one: preprocessing_fn(decoded(one, trained), size, size), data,
      fn_output_signature=tf.float32)
  return tf.ensure_shape(images, [None, size, size, trained.channels])


def cropped(data: tf.Tensor, trained: TrainedNetwork) -> tf.Tensor:
  """Returns the pixels of one picture, cropped and of the network's size.

  Args:
    data: a string, a JPEG or PNG.
    trained: says the preprocessing.

  Returns:
    uint8 [image_size, image_size, channels]; `scaled` makes of it what preprocessing
    does, but for the rounding.
  """
  name = preprocessing_families.family_of(trained.preprocessing_name)
  name = _SAME_CROP.get(name, name)
  image = _preprocessing_fn(name, trained)(
      decoded(data, trained), trained.image_size, trained.image_size)
  return display.displayable(image[tf.newaxis], name)[0]


def _preprocessing_fn(name, trained):
  return preprocessing_factory.get_preprocessing(
      name, is_training=False, use_grayscale=trained.channels == 1)


INPUT = 'input'
OUTPUTS = ('probabilities', 'classes', 'labels')


@dataclasses.dataclass(frozen=True)
class PixelGraph:
  """A frozen network with the scale of the values and the labels inside.

  Attributes:
    graph: holds nothing else.
    images: the placeholder 'input', float32 [batch, height, width, channels], values
      0 to 255.
    logits: float32 [batch, classes].
    probabilities: 'probabilities', float32 [batch, classes].
  """

  graph: tf.Graph
  images: tf.Tensor
  logits: tf.Tensor
  probabilities: tf.Tensor


def build(trained: TrainedNetwork, network: inference_graph.InferenceGraph,
          batch_size: int | None = None) -> PixelGraph:
  """Returns the graph of a network for pixels; batch size None leaves it open."""
  size = trained.image_size
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(
        tf.float32, [batch_size, size, size, trained.channels], INPUT)
    logits, probabilities = network.attach(scaled(images, trained))
    outputs = answers(probabilities, trained)
  return PixelGraph(graph, images, logits, outputs['probabilities'])


def answers(probabilities: tf.Tensor, trained: TrainedNetwork) -> dict[str, tf.Tensor]:
  """Returns the answers of a network for each image, by the names of OUTPUTS.

  Returns:
    'probabilities' float32 [batch, classes]; of the most probable class 'classes' int64
    [batch], its number, and 'labels' string [batch], its name.
  """
  probabilities = tf.identity(probabilities, 'probabilities')
  classes = tf.argmax(probabilities, axis=1, name='classes')
  names = tf.constant([label.encode('utf-8', 'surrogateescape')
                       for label in trained.class_names])
  return {'probabilities': probabilities, 'classes': classes,
          'labels': tf.gather(names, classes, name='labels')}


def write_frozen_graph(path: str, trained: TrainedNetwork,
                       network: inference_graph.InferenceGraph) -> None:
  """Writes a GraphDef with all weights in it: 'input' to OUTPUTS."""
  graph_def = build(trained, network).graph.as_graph_def()
  with open(path, 'wb') as file:
    file.write(graph_def.SerializeToString())
