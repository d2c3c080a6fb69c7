"""Predictions for every image of a split, once, in a session."""

import contextlib
from collections.abc import Callable, Iterator

from slim_zoo import diagnostics
from slim_zoo.evaluation import metrics as metrics_lib
from slim_zoo.evaluation import multi_label as multi_label_lib
from slim_zoo.evaluation import predictions as predictions_lib
from slim_zoo.input import held_out, pipeline
from slim_zoo.progress import Progress
from slim_zoo.tf_compat import tf


class EvaluationStoppedError(Exception):
  """The evaluation was to stop before its last image."""


def evaluate(session: tf.Session, images: pipeline.Input, batch: pipeline.Batch,
             probabilities: tf.Tensor, num_classes: int, labels_offset: int = 0,
             max_num_batches: int | None = None, shows_progress: bool = True,
             is_to_stop: Callable[[], bool] = lambda: False,
             reported: set | None = None, multi_label: bool = False,
             shard: tuple[int, int] | None = None) -> tuple:
  """Evaluates the network as it is in the session.

  Arguments and errors are those of `collect`.

  Returns:
    (metrics, keys): `evaluation.metrics.Metrics`, or `evaluation.multi_label.Metrics`,
    and a dict that gives the record key of each image by its number.
  """
  predictions, keys = collect(
      session, images, batch, probabilities, num_classes, labels_offset,
      max_num_batches, shows_progress, is_to_stop, reported, multi_label, shard)
  return metrics_of(predictions, num_classes), keys


def metrics_of(predictions, num_classes: int):
  """Returns the `Metrics` of either kind of predictions."""
  module = (multi_label_lib if isinstance(predictions, multi_label_lib.Predictions)
            else metrics_lib)
  return module.evaluate(predictions, num_classes)


def collect(session: tf.Session, images: pipeline.Input, batch: pipeline.Batch,
            probabilities: tf.Tensor, num_classes: int, labels_offset: int = 0,
            max_num_batches: int | None = None, shows_progress: bool = True,
            is_to_stop: Callable[[], bool] = lambda: False,
            reported: set | None = None, multi_label: bool = False,
            shard: tuple[int, int] | None = None) -> tuple:
  """Returns what the network predicts for each image, as it is in the session.

  Args:
    session: with the weights; the input is started here, again if need be.
    images: of `pipeline.evaluation_input`.
    batch: its batch.
    probabilities: float32 [batch, classes], of the network.
    num_classes: how many classes there are.
    labels_offset: subtracted from the labels of the records.
    max_num_batches: stop after so many batches; None: after the last.
    shows_progress: whether to tell how far it is, while it continues.
    is_to_stop: asked before the first batch and after each.
    reported: keys of records that need not be named as unreadable again; grows.
    multi_label: whether an image may have several classes, or none.
    shard: (index, count) of the records to evaluate, of an input with a `shard` of
      placeholders; None: all.

  Returns:
    (predictions, keys): `evaluation.predictions.Predictions`, or those of
    `evaluation.multi_label`, and a dict that gives the record key of each image by its
    number.

  Raises:
    UserError: the records cannot be read, or the network gives NaN
      (`predictions.NotFiniteError`).
    EvaluationStoppedError: `is_to_stop` returned True.
  """
  predictions, keys = (multi_label_lib if multi_label else predictions_lib
                       ).Predictions(), {}
  reported = set() if reported is None else reported
  if is_to_stop():
    raise EvaluationStoppedError
  num_images = start(session, images, shard)
  with (Progress('evaluating', num_images, 'images') if shows_progress
        else contextlib.nullcontext()) as progress:
    for labels, numbers, record_keys, probabilities_of in batches(
        session, images, batch, probabilities, max_num_batches):
      predictions.add(numbers, labels, probabilities_of)
      keys.update(zip(numbers.tolist(), record_keys.tolist(), strict=True))
      if progress:
        progress.update(len(predictions))
      if is_to_stop():
        raise EvaluationStoppedError
  _add_unreadable(images, labels_offset, predictions, keys, reported,
                  max_num_batches is None, multi_label, num_classes)
  if max_num_batches is None and len(predictions) != num_images:
    raise diagnostics.UserError(
        f'{len(predictions)} of {num_images} images were read, and an accuracy must'
        ' count all of them: the records changed or are damaged; start again')
  return predictions, keys


def start(session: tf.Session, images: pipeline.Input,
          shard: tuple[int, int] | None) -> int:
  """Starts the input at its first record; returns the number of its images.

  Args:
    session: with the input.
    images: of `pipeline.evaluation_input`.
    shard: (index, count) of the records; None: all.

  Raises:
    UserError: the records cannot be read.
  """
  # Also finds a file that was cut short where TensorFlow would see its end.
  num_images = images.count_records(shard and held_out.Shard(*shard))
  images.log.restart()
  session.run(images.initializer, {} if shard is None else {
      images.shard.index: shard[0], images.shard.count: shard[1]})
  return num_images


def batches(session: tf.Session, images: pipeline.Input, batch: pipeline.Batch,
            output: tf.Tensor, max_num_batches: int | None = None) -> Iterator[tuple]:
  """Yields (labels, numbers, keys, output) of each batch of a started input.

  Args:
    session: in which the input is started.
    images: the input.
    batch: its batch.
    output: a tensor of the batch.
    max_num_batches: stop after so many batches; None: after the last.

  Raises:
    UserError: the records cannot be read.
  """
  fetch = session.make_callable([
      batch.labels, batch.numbers, batch.keys, output])
  num_batches = 0
  while max_num_batches is None or num_batches < max_num_batches:
    try:
      values = fetch()
    except tf.errors.OutOfRangeError:
      return
    except tf.errors.OpError as error:
      raise images.failure(error) or error from error
    images.log.deliver(values[1])
    num_batches += 1
    yield values


def _add_unreadable(images, labels_offset, predictions, keys, reported, whole,
                    multi_label, num_classes):
  """Counts the images that did not come out as mistakes of their classes."""
  if whole:
    images.log.finish()
  for number, key in images.log.take_lost():
    if key is None:
      raise diagnostics.UserError(
          f'image {number} cannot be decoded, and another process reads the'
          ' records: without --master it is named and counted')
    fault, is_printed = images.faults.add(key)
    if fault.is_of_label:
      raise diagnostics.UserError(
          f'{images.log.describe(key)}: {fault.reason}; the accuracy needs its'
          ' class: write the record again')
    labels = [label - labels_offset for label in images.faults.labels_of(key)]
    if key not in reported:
      reported.add(key)
      if is_printed:
        reason = fault.reason.removeprefix('its image cannot be decoded: ')
        print(f'cannot decode {images.log.describe(key)} ({reason}): counted as a'
              ' mistake', flush=True)
    if multi_label:
      predictions.add_unreadable([number], [labels], num_classes)
    else:
      # Without a label it is of no class, which is refused as a wrong one is.
      predictions.add_unreadable([number], (labels or [-1])[:1])
    keys[number] = key
