"""Counts the pixels of a split, each once, in a session."""

import contextlib
import dataclasses
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import IGNORED
from slim_zoo.deployment import session_configs, session_settings
from slim_zoo.evaluation import over_split, segmentation
from slim_zoo.evaluation.over_split import EvaluationStoppedError
from slim_zoo.input import pipeline
from slim_zoo.progress import Progress
from slim_zoo.tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Outputs:
  """The outputs of a network for a batch.

  Attributes:
    classes: uint8 [batch, height, width], the most probable class of each pixel.
    cross_entropy_sum: float64 scalar, over the pixels that have a class.
  """

  classes: tf.Tensor
  cross_entropy_sum: tf.Tensor


def outputs_of(logits: tf.Tensor, masks: tf.Tensor) -> Outputs:
  """Returns the outputs of a network.

  Args:
    logits: float32 [batch, height, width, classes].
    masks: uint8 [batch, height, width].
  """
  has_class = tf.not_equal(masks, IGNORED)
  labels = tf.where_v2(has_class, tf.cast(masks, tf.int32), 0)
  entropies = tf.cast(tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=labels, logits=logits), tf.float64)
  return Outputs(
      tf.cast(tf.argmax(logits, 3, output_type=tf.int32), tf.uint8),
      tf.reduce_sum(tf.where_v2(has_class, entropies, 0.0)))


def collect(session: tf.Session, images: pipeline.Input, batch: pipeline.Batch,
            outputs: Outputs, num_classes: int, max_num_batches: int | None = None,
            shows_progress: bool = True, is_to_stop: Callable[[], bool] = lambda: False,
            reported: set | None = None, shard: tuple[int, int] | None = None
            ) -> segmentation.Counts:
  """Returns the counts of the network as it is in the session.

  Args:
    session: with the weights; the input is started here, again if need be.
    images: of `pipeline.evaluation_input`.
    batch: its batch.
    outputs: of the network, for the batch.
    num_classes: how many classes there are.
    max_num_batches: stop after so many batches; None: after the last.
    shows_progress: whether the progress is printed.
    is_to_stop: asked before the first batch and after each.
    reported: keys of records that need not be named as unreadable again; grows.
    shard: (index, count) of the records to evaluate, of an input with a `shard` of
      placeholders; None: all.

  Raises:
    UserError: the records cannot be read, or the outputs are NaN
      (`predictions.NotFiniteError`).
    EvaluationStoppedError: `is_to_stop` returned True.
  """
  counter = segmentation.Counter(num_classes)
  reported = set() if reported is None else reported
  if is_to_stop():
    raise EvaluationStoppedError
  num_images = over_split.start(session, images, shard)
  with (Progress('evaluating', num_images, 'images') if shows_progress
        else contextlib.nullcontext()) as progress:
    for masks, keys, classes, entropy in _batches(
        session, images, batch, outputs, max_num_batches):
      counter.add(keys.tolist(), masks, classes, entropy)
      if progress:
        progress.update(len(counter))
      if is_to_stop():
        raise EvaluationStoppedError
  if max_num_batches is None:
    images.log.finish()
  _add_unreadable(images, counter, reported)
  if max_num_batches is None and len(counter) != num_images:
    raise diagnostics.UserError(
        f'read {len(counter)} of {num_images} images: the records changed or are'
        ' damaged; start again')
  return counter.counts()


def _batches(session, images, batch, outputs, max_num_batches):
  fetch = session.make_callable([
      batch.numbers, batch.labels, batch.keys, outputs.classes,
      outputs.cross_entropy_sum])
  num_batches = 0
  while max_num_batches is None or num_batches < max_num_batches:
    try:
      numbers, *values = fetch()
    except tf.errors.OutOfRangeError:
      return
    except tf.errors.OpError as error:
      raise images.failure(error) or error from error
    images.log.deliver(numbers)
    num_batches += 1
    yield values


def _add_unreadable(images, counter, reported):
  """Counts and names the images that cannot be decoded."""
  for number, key in images.log.take_lost():
    if key is None:
      raise diagnostics.UserError(f'image {number} cannot be decoded')
    fault, is_printed = images.faults.add(key)
    counter.add_unreadable(key)
    if tuple(key) not in reported:
      reported.add(tuple(key))
      if is_printed:
        print(f'cannot use {images.log.describe(key)} ({fault.reason}): its pixels are'
              ' not counted', flush=True)


@dataclasses.dataclass
class FrozenEvaluation:
  """The evaluation of networks with constant weights on a split.

  Attributes:
    make_images: returns the input pipeline, in the default graph.
    logits_of: logits_of(checkpoint, images) returns the logits, float32 [batch, height,
      width, classes], of images in their graph.
    num_classes: how many classes there are.
    settings: of the sessions: memory of GPUs, threads.
    images: the input pipeline of the last run.
  """

  make_images: Callable[[], pipeline.Input]
  logits_of: Callable[[str, tf.Tensor], tf.Tensor]
  num_classes: int
  settings: session_settings.SessionSettings = session_settings.DEFAULTS
  images: pipeline.Input | None = None

  def collect(self, checkpoint: str, max_num_batches: int | None = None,
              shard: tuple[int, int] | None = None) -> segmentation.Counts:
    """Returns the counts of one checkpoint.

    Args:
      checkpoint: its prefix.
      max_num_batches: see `collect`.
      shard: see `collect`.

    Raises:
      UserError: the checkpoint or the records cannot be read.
    """
    with tf.Graph().as_default():
      self.images = self.make_images()
      batch = self.images.next_batch()
      outputs = outputs_of(self.logits_of(checkpoint, batch.images), batch.labels)
      with tf.Session(config=session_configs.session_config(self.settings)) as session:
        return collect(session, self.images, batch, outputs, self.num_classes,
                       max_num_batches, shard=shard)
