"""The table of data sets in their established TFRecord formats."""

import dataclasses
from collections.abc import Mapping

import diagnostics


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
  """What the records of a data set hold and how their files are called.

  Attributes:
    name: what users type for --dataset_name.
    splits: number of images by split name.
    num_classes: how many different labels there are.
    file_pattern: the files of a split; {} stands for the split's name.
    channels: 1 (gray) or 3 (RGB): what an image is decoded to.
    label_description: what a label means.
    bounding_boxes: whether records carry image/object/bbox/*.
    text_labels: whether records carry image/class/text.
    default_label: the label of a record without one; None: an error.
    image_size: (height, width) where every image has the same, else None.
  """

  name: str
  splits: Mapping[str, int]
  num_classes: int
  file_pattern: str
  channels: int = 3
  label_description: str = 'The class of the image, an int from 0.'
  bounding_boxes: bool = False
  text_labels: bool = False
  default_label: int | None = None
  image_size: tuple[int, int] | None = None

  def check_split(self, split_name: str) -> None:
    """Raises UserError unless `split_name` is a split of this data set."""
    if split_name not in self.splits:
      raise diagnostics.unknown_name(
          'split', split_name, self.splits, where=f' in {self.name}')


DATASETS = {spec.name: spec for spec in (
    DatasetSpec(
        'cifar10', {'train': 50000, 'test': 10000}, 10,
        'cifar10_{}.tfrecord*', image_size=(32, 32)),
    DatasetSpec(
        'digits', {'train': 1437, 'test': 360}, 10,
        'digits_{}.tfrecord*', channels=1, image_size=(8, 8),
        label_description='The digit in the image, 0 to 9.'),
    DatasetSpec(
        'flowers', {'train': 3320, 'validation': 350}, 5,
        'flowers_{}_*.tfrecord'),
    DatasetSpec(
        'imagenet', {'train': 1281167, 'validation': 50000}, 1001,
        '{}-*', bounding_boxes=True, text_labels=True, default_label=-1,
        label_description='ILSVRC 2012 class, 1 to 1000; 0 is background.'),
    DatasetSpec(
        'mnist', {'train': 60000, 'test': 10000}, 10,
        'mnist_{}.tfrecord*', channels=1, image_size=(28, 28),
        label_description='The digit in the image, 0 to 9.'),
    DatasetSpec(
        'visualwakewords', {'train': 82783, 'val': 40504}, 2,
        '{}.record-*', label_description='1 if a person is in the image.'),
)}
