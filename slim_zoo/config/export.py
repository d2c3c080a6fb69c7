"""Exports: which formats, checked with which images, and where they are written."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import networks
from slim_zoo.config.data import DatasetSplit
from slim_zoo.config.devices import Devices
from slim_zoo.config.options import Config, Group, option
from slim_zoo.config.segmentation import refuse
from slim_zoo.config.trained_network import TrainedCheckpoint
from slim_zoo.exporting import formats


@dataclasses.dataclass(frozen=True)
class ExportedFiles(Group):
  """What is written."""

  format: tuple[str, ...] = option(
      ('saved_model',), f"Formats, of {', '.join(formats.FORMATS)}.")
  export_dir: str | None = option(None, 'Folder to write to.', str, is_path=True)
  python: str = option(
      '', 'Interpreter that has PyTorch (torch and safetensors) or OpenVINO, for'
      ' --format=torch and --format=openvino, if it is not this one.', is_path=True)

  @property
  def calibrates(self) -> bool:
    """Whether a format needs images for its calibration."""
    return 'tflite_int8' in self.format

  def check(self) -> None:
    """Refuses unknown formats.

    Raises:
      UserError: the first fault.
    """
    formats.check_names(self.format)

  def check_export_dir(self) -> None:
    """Refuses an export to nowhere.

    Raises:
      UserError: there is no folder.
    """
    if not self.export_dir:
      raise diagnostics.UserError('no --export_dir: name the folder to write to')


@dataclasses.dataclass(frozen=True)
class SampleImages(DatasetSplit):
  """The images to check with, and to calibrate tflite_int8."""

  dataset_name: str | None = option(
      None, 'Data set whose records have the images.', str)
  images: tuple[str, ...] = option(
      (), 'Instead of records: image files, folders or patterns.', is_path=True)
  num_images: int = option(32, 'How many images to check with.', lower=1)
  num_calibration_images: int = option(
      100, 'How many other images to calibrate tflite_int8 with.', lower=1)
  check: bool = option(True, 'Check each export; --nocheck writes it without a look.')

  def check_named(self) -> None:
    """Refuses options that name no images, or images twice.

    Raises:
      UserError: the first fault.
    """
    if self.images and self.dataset_name:
      raise diagnostics.UserError(
          '--images and --dataset_name both name the images: leave one out')
    if self.dataset_dir and not self.dataset_name:
      raise diagnostics.UserError('--dataset_dir has no effect without --dataset_name')
    if self.dataset_name:
      self.record_files()
    elif not self.images and self.check:
      raise diagnostics.UserError(
          'no images to check the export with: name --dataset_name and --dataset_dir,'
          ' or --images=FILE,FOLDER,...; --nocheck leaves the export unchecked')


# Options that do not fit a segmentation network, with the reason.
_NOT_WITH_MASKS = {
    'eval_image_size': 'the export takes images of any size',
    'labels_offset': 'classes are the values of the masks',
    'quantize': 'segmentation networks are not quantized',
    'python': 'it is for PyTorch and OpenVINO',
    'num_calibration_images': 'it is for tflite_int8'}


@dataclasses.dataclass(frozen=True)
class ExportConfig(Config):
  """Everything that decides what an export writes; groups in the order of --help.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  network: TrainedCheckpoint
  files: ExportedFiles
  samples: SampleImages
  devices: Devices
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that make no sense, and names and files that are not there.

    Raises:
      UserError: the first fault.
    """
    self.files.check()
    self.network.check()
    if self.network.has_card_of_segmentation:
      self.check_segmentation()
    self.files.check_export_dir()
    self.samples.check_named()

  def check_segmentation(self) -> None:
    """Refuses options that do not fit a segmentation network.

    Raises:
      UserError: the first one.
    """
    for name in self.files.format:
      if name != 'saved_model':
        raise diagnostics.UserError(
            f'--format={name}: a segmentation network is exported as saved_model only')
    refuse(_NOT_WITH_MASKS, self.values(), self.user_options)

  # --- Derived values.

  @property
  def num_compared(self) -> int:
    """How many images the exports are checked with."""
    return self.samples.num_images if self.samples.check else 0

  def num_calibrating(self, has_ranges: bool) -> int:
    """Returns how many other images an export is calibrated with.

    Args:
      has_ranges: whether the checkpoint is quantized; its ranges need no calibration.

    Raises:
      UserError: no images are named.
    """
    if has_ranges or not self.files.calibrates:
      return 0
    if not self.samples.dataset_name and not self.samples.images:
      raise diagnostics.UserError(
          '--format=tflite_int8 needs images to calibrate with: name --dataset_name'
          ' and --dataset_dir, or --images=FILE,FOLDER,...; or a checkpoint that was'
          ' trained with --quantize_delay')
    return self.samples.num_calibration_images


# --- A graph without weights.


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
      networks.check_preprocessing(graph.preprocessing_name)
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
    return networks.channels_after(
        self.graph.preprocessing_name or self.graph.model_name, self.spec().channels,
        self.graph.use_grayscale)
