"""Exports: which formats, checked with which images, and where they are written."""

import dataclasses

from slim_zoo import diagnostics
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
NOT_WITH_MASKS = {
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
    refuse(NOT_WITH_MASKS, self.values(), self.user_options)

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
