"""Graphs of networks without weights: which one is written, and where."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks, preprocessing_families
from slim_zoo.config.options import Config, Group, option


@dataclasses.dataclass(frozen=True)
class ExportedGraph(Group):
  """The graph of a network without weights."""

  model_name: str = option('inception_v3', 'Name of the network.')
  is_training: bool = option(
      False, 'Write the graph of training: batch norm by the statistics of the batch,'
      ' dropout on.')
  quantize: bool = option(
      False, 'Round weights and activations by the ranges that training with'
      ' --quantize_delay leaves in a checkpoint.')
  dataset_name: str = option(
      'imagenet', 'Data set that says how many classes there are.')
  dataset_dir: str = option(
      '', 'Folder of the data set; needed for one that a converter wrote.',
      is_path=True)
  labels_offset: int = option(
      0, 'Taken off the number of classes: 1 leaves out the background class of'
      ' ImageNet, which VGG and ResNet v1 do not have.', lower=0)
  num_classes: int | None = option(
      None, 'Number of logits, in place of what the data set says.', int, lower=1)
  image_size: int | None = option(
      None, 'Height and width of the images; by default those of the network.', int,
      lower=1)
  batch_size: int | None = option(
      None, 'Images at a time; by default any number.', int, lower=1)
  preprocessing_name: str | None = option(
      None, 'Preprocessing of the training; by default that of the network. It says how'
      ' many channels the network gets of gray images.', str)
  use_grayscale: bool = option(False, 'The images have one gray channel.')
  is_video_model: bool = option(
      False, 'The network takes clips [batch, frames, height, width, channels].')
  num_frames: int | None = option(
      None, 'With --is_video_model: the frames of a clip.', int, lower=1)
  output_file: str = option('', 'File to write.', is_path=True)
  write_text_graphdef: bool = option(
      False, 'Write the GraphDef as text, to be read by people.')


@dataclasses.dataclass(frozen=True)
class ExportGraphConfig(Config):
  """Everything that decides which graph without weights is written.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  graph: ExportedGraph
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that make no sense, and names that are unknown.

    Raises:
      UserError: the first fault.
    """
    graph = self.graph
    if not graph.output_file:
      raise diagnostics.UserError(
          'no --output_file: name the file to write, such as graph.pb')
    if os.path.isdir(graph.output_file):
      raise diagnostics.UserError(
          f"--output_file='{graph.output_file}' is a folder: name a file in it")
    networks.get_network(graph.model_name)
    if graph.preprocessing_name:
      preprocessing_families.check(graph.preprocessing_name)
    if graph.image_size:
      networks.check_image_size(
          graph.model_name, graph.image_size, graph.is_training, flag='image_size')
    for name in ('dataset_name', 'labels_offset'):
      if graph.num_classes and name in self.user_options:
        raise diagnostics.UserError(
            f'--num_classes={graph.num_classes} and --{name} both say how many classes'
            ' there are: leave out one of them')
    self._check_frames()
    self.spec().check_labels_offset(graph.labels_offset)

  def _check_frames(self):
    """Raises UserError for frames of a network of images, or a clip without frames."""
    name, frames = self.graph.model_name, networks.get_network(
        self.graph.model_name).frames
    is_video, num_frames = self.graph.is_video_model, self.graph.num_frames
    if is_video and not num_frames:
      raise diagnostics.UserError(
          '--is_video_model needs --num_frames, the frames of a clip')
    if num_frames and not is_video:
      raise diagnostics.UserError('--num_frames has no effect without --is_video_model')
    if is_video != (frames is not None):
      raise diagnostics.UserError(
          f"'{name}' is a video network: add --is_video_model and --num_frames={frames}"
          if frames else
          f"'{name}' takes single images: leave out --is_video_model")

  # --- Derived values.

  def spec(self) -> dataset_catalog.DatasetSpec:
    """Returns the facts of the data set.

    Raises:
      UserError: there is no such data set, or no such folder.
    """
    return dataset_catalog.find_dataset(
        self.graph.dataset_name, self.graph.dataset_dir or None)

  @property
  def num_classes(self) -> int:
    """The number of logits."""
    return self.graph.num_classes or (
        self.spec().num_classes - self.graph.labels_offset)

  @property
  def channels(self) -> int:
    """The channels of the images that the network reads."""
    return preprocessing_families.channels_after(
        self.graph.preprocessing_name or self.graph.model_name, self.spec().channels,
        self.graph.use_grayscale)
