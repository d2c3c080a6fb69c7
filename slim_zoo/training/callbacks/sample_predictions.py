"""The predictions for the same few images, repeatedly, as pictures.

TensorBoard shows them under 'predictions/fixed_images': moving its slider shows what
the network learns, and when.
"""

import collections
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from google.protobuf import message
from PIL import Image

from slim_zoo.drawing import colours, fonts, sheets
from slim_zoo.images import image_check
from slim_zoo.input import records
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network, intervals
from slim_zoo.training.callbacks import summaries
from slim_zoo.training.callbacks.callback import Callback

TAG = 'predictions/fixed_images'
# What images are chosen from: some for each class, if there are not too many classes.
_CANDIDATES, _FILES = 192, 16
# The share of a run's time that drawing may take.
_SHARE = 0.01
# Going through a large file takes its time.
_RECORDS_OF_A_FILE = 10_000


@dataclasses.dataclass(frozen=True)
class Sample:
  """An image to predict.

  Attributes:
    picture: uint8 [height, width] or [height, width, 3], as stored.
    labels: its classes, as the network counts them.
    record: the serialized tf.train.Example.
  """

  picture: np.ndarray
  labels: frozenset[int]
  record: bytes


def _read(data: bytes, labels_offset: int, num_classes: int | None,
          several: bool, n_hot: bool) -> Sample | None:
  """Returns a sample, or None where the record has no label or no readable image."""
  try:
    features = records.features_of(data)
  except message.DecodeError:
    return None
  labels = frozenset(
      label - labels_offset for label in records.labels_of(features, n_hot))
  encoded = features.get('image/encoded')
  if not encoded or not isinstance(encoded[0], bytes) or not (labels or several):
    return None
  if min(labels, default=0) < 0 or (
      num_classes is not None and max(labels, default=0) >= num_classes):
    return None
  try:
    return Sample(image_check.picture(encoded[0]), labels, data)
  except image_check.RefusedError:
    return None


def _candidates(files: Sequence[str], num_samples: int) -> Iterator[bytes]:
  """Yields records from all over a split: a file may be sorted by class."""
  files = files[::-(-len(files) // _FILES)]
  each = -(-_CANDIDATES // len(files))
  within = min(num_samples // len(files), _RECORDS_OF_A_FILE)
  stride = max(1, within // each)
  for path in files:
    yield from records.read_records(path, range(0, each * stride, stride))


def choose(files: Sequence[str], num_samples: int, count: int,
           labels_offset: int = 0, num_classes: int | None = None,
           several: bool = False, n_hot: bool = False) -> list[Sample]:
  """Returns the same `count` images of a split each time, of many classes.

  Args:
    files: the record files of the split.
    num_samples: how many records they hold, about.
    count: how many are wanted; there may be fewer.
    labels_offset: taken off every label.
    num_classes: without images of other classes; None takes any.
    several: whether an image may have several labels, or none.
    n_hot: whether records hold a 0 or 1 for each class, in place of labels.

  Returns:
    Samples, by label.

  Raises:
    UserError: a file is damaged.
  """
  images_of_labels, ranked = collections.Counter(), []
  for data in _candidates(files, num_samples):
    sample = _read(data, labels_offset, num_classes, several, n_hot)
    if sample is not None:
      # The first image of each class goes before the second one of any.
      ranked.append((images_of_labels[sample.labels], len(ranked), sample))
      images_of_labels[sample.labels] += 1
  chosen = [sample for *_, sample in sorted(ranked, key=lambda entry: entry[:2])]
  return sorted(chosen[:count], key=lambda sample: sorted(sample.labels))


@dataclasses.dataclass(frozen=True)
class Answer:
  """The prediction of a network for one image.

  Attributes:
    picture: uint8 [height, width] or [height, width, 3], the image as stored.
    truth: the true classes; one, unless images have several.
    probabilities: float [classes].
    several: whether an image may have several classes, or none. Then classes with a
      probability of at least a half are predicted, otherwise the most probable class.
  """

  picture: np.ndarray
  truth: frozenset[int]
  probabilities: np.ndarray
  several: bool = False

  @property
  def predicted(self) -> frozenset[int]:
    """The predicted classes."""
    if self.several:
      return frozenset(np.flatnonzero(self.probabilities >= 0.5).tolist())
    return frozenset([int(np.argmax(self.probabilities))])

  @property
  def is_right(self) -> bool:
    """Whether exactly the true classes are predicted."""
    return self.predicted == self.truth

  def probability_of(self, classes: frozenset[int]) -> float:
    """Returns the least probability of some classes; of none, the largest of all."""
    among = self.probabilities[sorted(classes)] if classes else None
    return float(self.probabilities.max() if among is None else among.min())


def draw_sheet(answers: Sequence[Answer], names: Mapping[int, str] | None,
               title: str) -> Image.Image:
  """Draws all answers, row by row: the predicted and, if they differ, true classes.

  Args:
    answers: at least one.
    names: the name of each class; None, or a missing one, shows its number.
    title: the line above them.
  """
  tiles = []
  for answer in answers:
    colour = colours.BLUE if answer.is_right else colours.VERMILION
    # The second line is empty, so that all sheets of a run have the same size.
    truth = sheets.Line('') if answer.is_right else _line(
        answer, answer.truth, names or {}, colours.MUTED, 'is ')
    tiles.append(sheets.Tile(
        sheets.image_of(answer.picture), frame=colour,
        bar=answer.probability_of(answer.predicted), bar_colour=colour,
        lines=[_line(answer, answer.predicted, names or {}, colour), truth]))
  return sheets.draw([sheets.Section(title, tiles)])


def _line(answer, classes, names, colour, before=''):
  text = before + (', '.join(
      fonts.legible(names.get(label, str(label)), f'class {label}')
      for label in sorted(classes)) or 'none')
  return sheets.Line(
      text, colour, f'{answer.probability_of(classes):.0%}' if classes else '')


class SamplePredictions(Callback):
  """Draws the predictions for a few images: first, repeatedly, and last.

  The first time is after the first step, which need not wait for it.

  Args:
    network: in evaluation mode; its images are fed.
    samples: of `choose`, at least one.
    record: a placeholder for a serialized record, string [].
    image: its network input, float32 [height, width, channels].
    names: the name of each class, or None.
    every_secs: seconds between two pictures, or more where the network takes long to
      predict; 0: none at all.
    batch_size: images at a time, for which there is memory.
    several: whether an image may have several classes: the logits are sigmoids'.
    source: the end of the title.
  """

  def __init__(self, network: eval_network.EvalNetwork, samples: Sequence[Sample],
               record: tf.Tensor, image: tf.Tensor, names: Mapping[int, str] | None,
               every_secs: float, batch_size: int, several: bool = False,
               source: str = ''):
    self._network, self._samples, self._names = network, samples, names
    self._every_secs, self._due = every_secs, intervals.Every(0)
    self._batch_size, self._several, self._source = batch_size, several, source
    self._writer, self._inputs, self._drawn_at = None, None, None
    self._probabilities = (tf.nn.sigmoid if several else tf.nn.softmax)(network.logits)
    self._record, self._image = record, image

  def begin(self, session, step, writer):
    """Takes the writer."""
    self._writer = writer if self._every_secs else None

  def after_step(self, session, step):
    """Draws, the first time and where it is time."""
    if self._inputs is None and self._writer is not None:
      self._prepare(session)
      self._draw(session, step)
    elif self._due.due():
      self._draw(session, step)

  def end(self, session, step):
    """Draws the last predictions."""
    self._draw(session, step)

  def _prepare(self, session):
    inputs = []
    for sample in self._samples:
      # TensorFlow cannot decode all images that PIL can.
      with contextlib.suppress(tf.errors.InvalidArgumentError):
        inputs.append((session.run(self._image, {self._record: sample.record}), sample))
    if not inputs:
      self._writer = None
      return
    images, self._samples = zip(*inputs, strict=True)
    self._inputs = np.stack(images)

  def _draw(self, session, step):
    if self._writer is None or self._inputs is None or step == self._drawn_at:
      return
    self._drawn_at, begin = step, time.monotonic()
    answers = [
        Answer(
            sample.picture, sample.labels, probabilities, self._several)
        for sample, probabilities in zip(
            self._samples, self.predict(session), strict=True)]
    right = sum(answer.is_right for answer in answers)
    sheet = draw_sheet(
        answers, self._names,
        f'step {step:,}: {right} of {len(answers)} right{self._source}')
    summaries.write_picture(self._writer, TAG, sheet, step)
    seconds = time.monotonic() - begin
    self._due = intervals.Every(max(self._every_secs, seconds / _SHARE))

  def predict(self, session) -> np.ndarray:
    """Returns float32 [samples, classes], from the weights as they are now."""
    return np.concatenate([
        session.run(self._probabilities, {
            self._network.images: self._inputs[first:first + self._batch_size]})
        for first in range(0, len(self._inputs), self._batch_size)])


def image_of_record(dataset: slim.dataset.Dataset, preprocess: Callable) -> tuple:
  """Returns the `record` and the `image` of `SamplePredictions`.

  Args:
    dataset: whose decoder knows 'image'.
    preprocess: of `pipeline.preprocess_with`, for evaluation.
  """
  with tf.device('/cpu:0'), tf.name_scope('sample'):
    record = tf.placeholder(tf.string, [], name='record')
    (image,) = dataset.decoder.decode(record, ['image'])
    return record, preprocess(number=tf.constant(0, tf.int64), image=image)
