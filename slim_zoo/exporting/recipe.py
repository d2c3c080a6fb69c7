"""What is exported: a network, how its images are made ready, what its classes are."""

import dataclasses

from slim_zoo.inference import inference_graph


@dataclasses.dataclass(frozen=True)
class Recipe:
  """A trained network, and what an export has inside besides the weights.

  Attributes:
    checkpoint: the prefix of the checkpoint.
    model_name: a name of `catalog.networks.NETWORKS`.
    labels: the name of each class; there are as many logits.
    image_size: height and width of the images.
    channels: of the images that the network takes.
    preprocessing_name: a preprocessing family, or a network.
    use_grayscale: whether colour images are turned to gray. Otherwise a network on
      one channel is given what the decoder makes of them.
    moving_averages: whether the weights' moving averages are exported.
    multi_label: whether an image may have several classes, or none: probabilities
      are then of sigmoids, not of the softmax.
  """

  checkpoint: str
  model_name: str
  labels: tuple[str, ...]
  image_size: int
  channels: int
  preprocessing_name: str
  use_grayscale: bool = False
  moving_averages: bool = False
  multi_label: bool = False

  def build(self) -> inference_graph.InferenceGraph:
    """Returns the network, frozen and folded; see `inference_graph.build`."""
    return inference_graph.build(
        self.model_name, len(self.labels), self.checkpoint, self.image_size,
        self.channels, self.moving_averages, multi_label=self.multi_label)
