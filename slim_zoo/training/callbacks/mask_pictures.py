"""The predicted masks of the same few images, repeatedly, as pictures.

TensorBoard shows them under 'predictions/fixed_images': moving its slider shows what
the network learns, and when.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
from google.protobuf import message

from slim_zoo.catalog.datasets import IGNORED, MASK_FEATURE
from slim_zoo.drawing import colours, sheets
from slim_zoo.images import image_check, mask_files
from slim_zoo.input import records
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network, intervals
from slim_zoo.training.callbacks import summaries
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.callbacks.sample_predictions import TAG

# The share of a run's time that drawing may take.
_SHARE = 0.01
# Going through a large file takes its time.
_RECORDS_OF_A_FILE = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
  """An image to predict.

  Attributes:
    picture: uint8 [height, width] or [height, width, 3], as stored.
    mask: uint8 [height, width], its true classes.
    record: the serialized tf.train.Example.
  """

  picture: np.ndarray
  mask: np.ndarray
  record: bytes


def choose(files: Sequence[str], num_samples: int, count: int) -> list[Sample]:
  """Returns the same images of a split each time, from all over it.

  Args:
    files: the record files of the split.
    num_samples: how many records they hold, about.
    count: how many are wanted; there may be fewer.

  Raises:
    UserError: a file is damaged.
  """
  files = files[::-(-len(files) // count)]
  each = -(-count // len(files))
  within = min(num_samples // len(files), _RECORDS_OF_A_FILE)
  stride = max(1, within // each)
  samples = []
  for path in files:
    for data in records.read_records(path, range(0, each * stride, stride)):
      with contextlib.suppress(
          image_check.RefusedError, message.DecodeError, KeyError, IndexError):
        features = records.features_of(data)
        samples.append(Sample(
            image_check.picture(features['image/encoded'][0]),
            mask_files.decode(features[MASK_FEATURE][0]), data))
  return samples[:count]


def input_of_record(dataset: slim.dataset.Dataset, preprocess: Callable) -> tuple:
  """Returns a placeholder for a record, and the network input made of it.

  Args:
    dataset: whose decoder knows 'image' and 'mask'.
    preprocess: of `pipeline.preprocess_masks_with`, for evaluation.
  """
  with tf.device('/cpu:0'), tf.name_scope('sample'):
    record = tf.placeholder(tf.string, [], name='record')
    image, mask = dataset.decoder.decode(record, ['image', 'mask'])
    return record, preprocess(tf.constant(0, tf.int64), image, mask)[0]


class MaskPictures(Callback):
  """Draws the masks of a few images: after the first step, repeatedly, and last.

  Args:
    network: in evaluation mode; its images are fed.
    samples: of `choose`, at least one.
    record: of `input_of_record`.
    image: of `input_of_record`.
    every_secs: seconds between two pictures, or more where they take long; 0: none.
    source: the end of the title.
  """

  def __init__(self, network: eval_network.EvalNetwork, samples: Sequence[Sample],
               record: tf.Tensor, image: tf.Tensor, every_secs: float,
               source: str = ''):
    self._network, self._samples, self._source = network, samples, source
    self._record, self._image = record, image
    self._classes = tf.argmax(network.logits, 3, output_type=tf.int32)
    self._every_secs, self._due = every_secs, intervals.Every(0)
    self._writer, self._drawn_at, self._inputs = None, None, None

  def begin(self, session, step, writer):
    """Takes the writer."""
    self._writer = writer if self._every_secs else None

  def after_step(self, session, step):
    """Draws, the first time and where it is time."""
    if self._inputs is None and self._writer is not None:
      self._inputs = [session.run(self._image, {self._record: sample.record})
                      for sample in self._samples]
      self._draw(session, step)
    elif self._due.due():
      self._draw(session, step)

  def end(self, session, step):
    """Draws the last masks."""
    self._draw(session, step)

  def _draw(self, session, step):
    if self._writer is None or self._inputs is None or step == self._drawn_at:
      return
    self._drawn_at, begin = step, time.monotonic()
    tiles, right, total = [], 0, 0
    for sample, image in zip(self._samples, self._inputs, strict=True):
      height, width = sample.mask.shape
      predicted = session.run(
          self._classes, {self._network.images: image[np.newaxis]})[0, :height, :width]
      has_class = sample.mask != IGNORED
      right_here = int((predicted == sample.mask)[has_class].sum())
      right, total = right + right_here, total + int(has_class.sum())
      tiles += _tiles(sample, predicted, right_here / max(1, has_class.sum()))
    sheet = sheets.draw([sheets.Section(
        f'step {step:,}: {right / max(1, total):.1%} of the pixels right{self._source}',
        tiles, 'image, mask, predicted mask')], 6)
    summaries.write_picture(self._writer, TAG, sheet, step)
    seconds = time.monotonic() - begin
    self._due = intervals.Every(max(self._every_secs, seconds / _SHARE))


def _tiles(sample, predicted, accuracy):
  image = sheets.image_of(sample.picture)
  text = sheets.Line('', value=f'{accuracy:.0%}', value_colour=colours.BLUE)
  return [
      sheets.Tile(image), sheets.Tile(mask_files.overlay(image, sample.mask)),
      sheets.Tile(mask_files.overlay(image, predicted.astype(np.uint8)), [text])]
