"""Classification: how image files are classified, and what is written."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.config.devices import Devices
from slim_zoo.config.options import (
    Config,
    Group,
    check_png,
    expanded_paths,
    option,
)
from slim_zoo.config.precision import InferencePrecision
from slim_zoo.config.segmentation import refuse
from slim_zoo.config.test_time_augmentation import Views
from slim_zoo.config.trained_network import TrainedCheckpoint

ANSWER_FORMATS = ('text', 'csv', 'jsonl')
_SUFFIXES = {'.csv': 'csv', '.json': 'jsonl', '.jsonl': 'jsonl', '.ndjson': 'jsonl',
             '.txt': 'text'}


def image_paths(images: str | os.PathLike | Iterable[str | os.PathLike]) -> list[str]:
  """Returns the files, folders and patterns that a user names, expanded.

  Raises:
    UserError: there are none, or one is remote.
  """
  if isinstance(images, str) or hasattr(images, '__fspath__'):
    images = [images]
  paths = expanded_paths([os.fspath(image) for image in images])
  if not paths:
    raise diagnostics.UserError(
        'no images: name files, folders, patterns such as "photos/*.jpg", or - for a'
        ' list on standard input')
  return paths


def find_images(paths: list[str], standard_input=None):
  """Returns the `prediction.sources.NamedFiles` of paths; opens none of them.

  Args:
    paths: of `image_paths`.
    standard_input: a binary stream with names of files, for the path '-'.

  Raises:
    UserError: there is no such file, nothing fits a pattern, a folder has no images.
  """
  from slim_zoo.prediction import sources  # Imports NumPy and Pillow.
  return sources.find(paths, standard_input)


@dataclasses.dataclass(frozen=True)
class ExportedModel(Group):
  """A model in place of a checkpoint."""

  export: str | None = option(
      None, 'In place of a checkpoint: folder of a SavedModel that slim-zoo export'
      ' wrote, with its labels and preprocessing.', str, is_path=True)


@dataclasses.dataclass(frozen=True)
class Prediction(Group):
  """How images are classified."""

  multi_label: bool | None = option(
      None, 'An image may have several classes, or none: their probabilities are of'
      ' sigmoids, not of the softmax. By default as the data set of the run card beside'
      ' the checkpoint is.', bool)
  batch_size: int = option(32, 'Images at a time.', lower=1)
  num_preprocessing_threads: int = option(
      4, 'Images decoded and preprocessed at the same time.', lower=1)
  top_k: int = option(5, 'How many of the most probable classes are shown.', lower=1)


@dataclasses.dataclass(frozen=True)
class Answers(Group):
  """What is written of the answers."""

  output: str | None = option(
      None, 'File for the answers, as CSV or as JSON lines by its suffix; by default'
      ' they are printed.', str, is_path=True)
  format: str | None = option(
      None, 'How answers are written, whatever the suffix of --output.', str,
      choices=ANSWER_FORMATS)
  contact_sheet: str | None = option(
      None, 'PNG file for a sheet of up to 60 of the images, each with its most'
      ' probable class.', str, is_path=True)
  masks: str | None = option(
      None, 'Segmentation: folder for two PNG files of each image: IMAGE.png, the class'
      ' number of each pixel with a palette, and IMAGE_overlay.png, the mask over the'
      ' image.', str, is_path=True)
  explain: str | None = option(
      None, 'Folder for pictures of where in each image the network sees its most'
      ' probable class: Grad-CAM, arXiv 1610.02391.', str, is_path=True)
  explain_end_point: str | None = option(
      None, 'The end point for that; by default the last of a convolution.', str)
  features: str | None = option(
      None, "NPZ file for features of each image: arrays 'features', 'files'.", str,
      is_path=True)
  feature_end_point: str | None = option(
      None, 'The end point to write; by default what the last layer reads.', str)

  @property
  def _files(self):
    return {name: getattr(self, name) for name in (
        'output', 'contact_sheet', 'features') if getattr(self, name)}

  @property
  def file_format(self) -> str:
    """The format of the answers: of `format`, else of the suffix of `output`.

    Raises:
      UserError: the suffix stands for none.
    """
    if self.format or not self.output:
      return self.format or 'text'
    suffix = os.path.splitext(self.output)[1].lower()
    if suffix not in _SUFFIXES:
      raise diagnostics.UserError(
          f"--output='{self.output}' does not say its format: call it"
          f' {self.output}.csv or {self.output}.jsonl, or add --format=csv or'
          ' --format=jsonl')
    return _SUFFIXES[suffix]

  def check(self) -> None:
    """Refuses options that make no sense.

    Raises:
      UserError: the first fault.
    """
    for name, needed in (('explain_end_point', 'explain'),
                         ('feature_end_point', 'features')):
      if getattr(self, name) and not getattr(self, needed):
        raise diagnostics.UserError(f'--{name} has no effect without --{needed}')
    _ = self.file_format
    if self.contact_sheet:
      check_png(self.contact_sheet, 'contact_sheet')
    for name, path in self._files.items():
      if os.path.isdir(path):
        raise diagnostics.UserError(f"--{name}='{path}' is a folder: name a file in it")
    for name in ('explain', 'masks'):
      path = getattr(self, name)
      if path and os.path.exists(path) and not os.path.isdir(path):
        raise diagnostics.UserError(f"--{name}='{path}' is a file: name a folder")

  @property
  def folders(self) -> list[str]:
    """The folders of the files, as `Config.folders`.

    Those of `explain` and `masks` are made when the network is known to fit.
    """
    return [os.path.dirname(path) or '.' for path in self._files.values()]


# What an export has inside, or cannot give.
_OF_A_CHECKPOINT = (
    'checkpoint_path', 'model_name', 'num_classes', 'moving_average_decay',
    'preprocessing_name', 'use_grayscale', 'eval_image_size', 'quantize', 'multi_label',
    'tta', 'explain', 'explain_end_point', 'features', 'feature_end_point')


def check_export_alone(values: Mapping[str, Any]) -> None:
  """Refuses, beside an export, the options of what it has inside, or has not.

  Args:
    values: of all options by name.

  Raises:
    UserError: the first one that is set.
  """
  for name in _OF_A_CHECKPOINT:
    if values.get(name) is not None:
      raise diagnostics.UserError(
          f'--{name} is for a checkpoint, and an export has a fixed value: leave out'
          f' --export or --{name}')
  if values['precision'] != 'float32':
    raise diagnostics.UserError(
        f"--precision={values['precision']} is for a checkpoint, and an export has a"
        ' fixed type: leave out --export or --precision')


# Options that do not fit a segmentation network, with the reason.
_OF_CLASSES = 'it is for networks that classify images'
NOT_WITH_MASKS = {
    'tta': 'the masks of several views are not averaged',
    **dict.fromkeys(
        ('explain', 'explain_end_point', 'features', 'feature_end_point',
         'multi_label', 'quantize'), _OF_CLASSES),
    'eval_image_size': 'images are predicted whole',
    'labels_offset': 'classes are the values of the masks',
    'precision': 'segmentation networks are computed in float32'}


@dataclasses.dataclass(frozen=True)
class ClassifyConfig(Config):
  """Everything that decides how images are classified; groups in the order of --help.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  network: TrainedCheckpoint
  exported: ExportedModel
  prediction: Prediction
  views: Views
  precision: InferencePrecision
  answers: Answers
  devices: Devices
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that make no sense, and names and files that are not there.

    Raises:
      UserError: the first fault.
    """
    for name in ('explain', 'features'):
      if self.views.tta and self.values()[name]:
        raise diagnostics.UserError(
            f'--{name} is of one view of an image, --tta={self.views.tta} of several:'
            ' leave out one of them')
    if self.exported.export:
      check_export_alone(self.values())
    else:
      self.network.check()
    self.answers.check()

  @property
  def folders(self) -> list[str]:
    """The folders of the files that are written."""
    return self.answers.folders

  def check_segmentation(self) -> None:
    """Refuses options that do not fit a segmentation network.

    Raises:
      UserError: the first one.
    """
    refuse(NOT_WITH_MASKS, self.values(), self.user_options)

  def check_classification(self) -> None:
    """Refuses options that need a segmentation network.

    Raises:
      UserError: the first one.
    """
    if self.answers.masks:
      raise diagnostics.UserError(
          f'--masks={self.answers.masks}: this network classifies images; masks need'
          ' one that was trained with --segmentation')
