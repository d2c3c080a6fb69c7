"""Accuracy on ImageNet-ReaL: several labels, or none, for each validation image.

Beyer 2020, arXiv 2006.07159. The file real.json has a list of classes for each of the
50,000 images, in the order of the image numbers. Classes are 0 to 999, in the order of
the sorted WordNet ids, without background.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.evaluation.metrics import Accuracy
from slim_zoo.evaluation.predictions import Records
from slim_zoo.input import records as record_files
from slim_zoo.progress import Progress

_NUM_CLASSES = 1000
_NUMBER = re.compile(r'_(\d+)(?:\.\w+)?$')


@dataclasses.dataclass(frozen=True)
class RealAccuracy:
  """The accuracy on the images that have labels.

  Attributes:
    accuracy: accuracy on the images with labels.
    left_out: number of images without labels.
  """

  accuracy: Accuracy
  left_out: int

  @property
  def values(self) -> dict[str, int | float]:
    """The numbers as plain values."""
    return {'correct': self.accuracy.correct, 'total': self.accuracy.total,
            'accuracy': self.accuracy.value, 'left_out': self.left_out}

  def __str__(self):
    return (f'{self.accuracy.percent}, {self.accuracy.correct:,} of'
            f' {self.accuracy.total:,} images with labels; {self.left_out:,} without'
            ' labels are left out')


def read(path: str) -> list[list[int]]:
  """Returns the classes of each image, in the order of the image numbers.

  Args:
    path: path of real.json.

  Raises:
    UserError: the file has another content.
    OSError: the file cannot be read.
  """
  try:
    with open(path, encoding='utf-8') as file:
      lists = json.load(file)
  except (ValueError, RecursionError) as error:
    raise diagnostics.UserError(
        f"'{path}' is not a JSON file: expected real.json of ImageNet-ReaL") from error
  if not isinstance(lists, list) or not lists:
    raise diagnostics.UserError(
        f"'{path}' is not a list: expected real.json of ImageNet-ReaL, a list of"
        ' classes for each validation image')
  for number, classes in enumerate(lists, 1):
    if not isinstance(classes, list) or not all(
        isinstance(one, int) and not isinstance(one, bool) and 0 <= one < _NUM_CLASSES
        for one in classes):
      raise diagnostics.UserError(
          f"'{path}' has {str(classes)[:60]} for image {number}: expected a list of"
          f' classes from 0 to {_NUM_CLASSES - 1}')
  return lists


def image_numbers(files: Sequence[str], keys: Mapping[int, tuple[int, int]]
                  ) -> dict[int, int]:
  """Returns the ImageNet number of each image, from 1, by its number in the split.

  Args:
    files: record files.
    keys: index of the file and position in it, by number in the split.

  Raises:
    UserError: an image has no name such as ILSVRC2012_val_00000001.JPEG.
  """
  reader, numbers = record_files.RecordReader(files), {}
  with Progress('reading names', len(keys), 'images') as progress:
    for done, (number, (file_index, position)) in enumerate(keys.items(), 1):
      features = record_files.features_of(reader.read(int(file_index), int(position)))
      names = features.get('image/filename') or [b'']
      found = _NUMBER.search(names[0].decode(errors='replace'))
      if not found or not int(found[1]):
        raise diagnostics.UserError(
            f'{record_files.describe(files, int(file_index), int(position))} is not a'
            ' validation image of ImageNet: expected a name such as'
            ' ILSVRC2012_val_00000001.JPEG')
      numbers[number] = int(found[1])
      progress.update(done)
  return numbers


def evaluate(records: Records, lists: Sequence[Sequence[int]],
             numbers: Mapping[int, int], labels_offset: int) -> RealAccuracy:
  """Returns the accuracy; an image that cannot be decoded counts as wrong.

  Args:
    records: predictions for the images.
    lists: classes of each image, see `read`.
    numbers: ImageNet number of each image, see `image_numbers`.
    labels_offset: 0 for networks with the background class, 1 for others.

  Raises:
    UserError: no image has labels, or an image number is not in the file.
  """
  correct = total = 0
  for key, prediction in zip(
      records.keys.tolist(), records.predictions.tolist(), strict=True):
    number = numbers[key]
    if number > len(lists):
      raise diagnostics.UserError(
          f'the split has the validation image {number}, but --real_labels has labels'
          f' of {len(lists)} images: use the whole real.json')
    classes = lists[number - 1]
    total += bool(classes)
    # Label 0 of the records is the background.
    correct += prediction + labels_offset - 1 in classes
  if not total:
    raise diagnostics.UserError(
        'no image of the split has labels in --real_labels: use the validation split of'
        ' ImageNet')
  return RealAccuracy(Accuracy(1, correct, total), len(records.keys) - total)
