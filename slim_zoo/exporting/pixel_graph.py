"""A graph from pixels to names of classes: what phones and other runtimes are given."""

import dataclasses

from slim_zoo.exporting import pixels
from slim_zoo.exporting.recipe import Recipe
from slim_zoo.inference import inference_graph
from slim_zoo.tf_compat import tf

INPUT = 'input'
OUTPUTS = ('probabilities', 'classes', 'labels')


@dataclasses.dataclass(frozen=True)
class PixelGraph:
  """A frozen network with the scale of the values and the labels inside.

  Attributes:
    graph: holds nothing else.
    images: the placeholder 'input', float32 [batch, height, width, channels], values
      0 to 255.
    probabilities: 'probabilities', float32 [batch, classes].
  """

  graph: tf.Graph
  images: tf.Tensor
  probabilities: tf.Tensor


def build(recipe: Recipe, network: inference_graph.InferenceGraph,
          batch_size: int | None = None) -> PixelGraph:
  """Returns the graph of a network for pixels; batch size None leaves it open."""
  size = recipe.image_size
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(
        tf.float32, [batch_size, size, size, recipe.channels], INPUT)
    _, probabilities = network.attach(pixels.scaled(images, recipe))
    outputs = answers(probabilities, recipe)
  return PixelGraph(graph, images, outputs['probabilities'])


def answers(probabilities: tf.Tensor, recipe: Recipe) -> dict[str, tf.Tensor]:
  """Returns what a network says of each image, by the names of OUTPUTS.

  Returns:
    'probabilities' float32 [batch, classes]; of the likeliest class 'classes' int64
    [batch], its number, and 'labels' string [batch], its name.
  """
  probabilities = tf.identity(probabilities, 'probabilities')
  classes = tf.argmax(probabilities, axis=1, name='classes')
  names = tf.constant([label.encode('utf-8', 'surrogateescape')
                       for label in recipe.labels])
  return {'probabilities': probabilities, 'classes': classes,
          'labels': tf.gather(names, classes, name='labels')}


def write_frozen_graph(path: str, recipe: Recipe,
                       network: inference_graph.InferenceGraph) -> None:
  """Writes a GraphDef with all weights in it: 'input' to OUTPUTS."""
  graph_def = build(recipe, network).graph.as_graph_def()
  with open(path, 'wb') as file:
    file.write(graph_def.SerializeToString())
