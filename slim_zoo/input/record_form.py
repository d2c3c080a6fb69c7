"""The features that a data set requires in a record, and the features of a record."""

import dataclasses
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.input import batch_labels
from slim_zoo.tf_compat import slim, tf

# What the types of features are called in messages.
TYPES = {'bytes_list': 'text or bytes', 'float_list': 'float', 'int64_list': 'int64'}


@dataclasses.dataclass(frozen=True)
class Expected:
  """The required form of a record.

  Attributes:
    num_classes: how many different labels there are, before any offset.
    image_feature: the feature of the encoded image.
    label_feature: the feature of the label.
    multi_label: whether an image has any number of labels.
    n_hot: whether labels are a vector of 0 and 1, one value for each class.
    default_label: the label of a record without one; None: that is a fault.
    masks: whether an image has a mask in place of a label.
  """

  num_classes: int
  image_feature: str = 'image/encoded'
  label_feature: str = 'image/class/label'
  multi_label: bool = False
  n_hot: bool = False
  default_label: int | None = None
  masks: bool = False

  @property
  def feature_of_label(self) -> str:
    """The feature of the label or of the mask."""
    return catalog.MASK_FEATURE if self.masks else self.label_feature

  @property
  def label_in_words(self) -> str:
    """The required form of the label, as text."""
    if self.masks:
      return 'a PNG of class numbers'
    if self.n_hot:
      return f'{self.num_classes} int64 values of 0 and 1, one for each class'
    return ('int64 numbers of classes' if self.multi_label else
            'one int64, the number of the class')


def expected_of(dataset: slim.dataset.Dataset) -> Expected:
  """Returns the required form of the records of a data set."""
  return Expected(
      dataset.num_classes, getattr(dataset, 'image_feature', 'image/encoded'),
      getattr(dataset, 'label_feature', 'image/class/label'),
      batch_labels.is_multi_label(dataset), batch_labels.is_n_hot(dataset),
      masks=batch_labels.has_masks(dataset))


class Features:
  """The features of a record: their values and types by name.

  Args:
    example: the record.
  """

  def __init__(self, example: tf.train.Example):
    self._features = dict(example.features.feature)

  def values(self, name) -> list:
    """Returns the values of a feature; none, if it is not there."""
    kind = self.kind(name)
    return list(getattr(self._features[name], kind).value) if kind else []

  def has(self, name) -> bool:
    """Returns whether a feature is there, with values or without."""
    return name in self._features

  def missing(self, name) -> str:
    """Returns words for a feature without values: it is empty, or it is not there."""
    return (f'its {name} is an empty list' if self.has(name) else
            f'it has no {name}, but {self.listed()}')

  def kind(self, name) -> str | None:
    """Returns the type of a feature, such as 'int64_list'; None if it is empty."""
    return self._features[name].WhichOneof('kind') if name in self._features else None

  def listed(self) -> str:
    """Returns the names of the features with their types."""
    return diagnostics.some([
        f'{name} ({TYPES.get(self.kind(name), "empty")})'
        for name in sorted(self._features)], 12) or 'nothing'


def parse(data: bytes) -> Features | None:
  """Returns the features of a record; None if it is not a tf.train.Example."""
  from google.protobuf import message
  try:
    return Features(tf.train.Example.FromString(data))
  except message.DecodeError:
    return None


def shown(values) -> str:
  """Returns the first values of a feature, each of them shortened."""
  texts = [repr(value if not isinstance(value, bytes) else value[:20])
           for value in values[:8]]
  return f'[{", ".join(texts)}{", ..." * (len(values) > 8)}]'


def looks_n_hot(values: Sequence[int], num_classes: int) -> bool:
  """Returns whether labels can only be a vector with a 0 or 1 for each class.

  Three values of 0 and 1 name a class twice. Two values may be either: of two classes,
  [0, 1] may name both, while [0, 0] and [1, 1] name one twice.
  """
  if not set(values) <= {0, 1}:
    return False
  return len(values) > 2 or (len(values) == num_classes == 2 and values[0] == values[1])


def labels_of(data: bytes, expected: Expected) -> list[int]:
  """Returns the labels of a record whose label has the required form."""
  values = parse(data).values(expected.label_feature)
  if not values and expected.default_label is not None:
    return [expected.default_label]
  return [label for label, value in enumerate(values) if value] if (
      expected.n_hot) else values
