"""Runs a network from a checkpoint over every image of a split, once."""

import dataclasses
from collections.abc import Callable

import diagnostics
from checkpoints import restore
from datasets import pipeline, records
from evaluation import metrics as metrics_lib
from evaluation import predictions as predictions_lib
from progress import Progress
from tf_compat import slim, tf


@dataclasses.dataclass
class Evaluation:
  """A network and a split in the default graph, ready for any checkpoint.

  Attributes:
    images: the input pipeline.
    probabilities: float32 [batch, classes].
    batch: the `pipeline.Batch` they belong to.
    variables: what is restored, by the names in a checkpoint.
    saver: restores it.
    num_classes: how many classes there are.
    labels_offset: what was taken off the labels of the records.
  """

  images: pipeline.Input
  probabilities: tf.Tensor
  batch: pipeline.Batch
  variables: dict
  saver: tf.train.Saver
  num_classes: int
  labels_offset: int

  def run(self, checkpoint: str, master: str = '',
          max_num_batches: int | None = None):
    """Evaluates one checkpoint.

    Args:
      checkpoint: its prefix.
      master: the address of a TensorFlow server; '': this process.
      max_num_batches: stop after so many batches; None: after the last.

    Returns:
      (metrics, keys): `evaluation.metrics.Metrics`, and an int64 array that gives
      the record key of each image by its number.

    Raises:
      UserError: the checkpoint or the records cannot be read.
    """
    predictions, keys = predictions_lib.Predictions(), {}
    # Also finds a file that was cut short where TensorFlow would see its end.
    num_images = records.count_records(self.images.files)
    restore.verify(checkpoint)
    restore.plan_restore(checkpoint, self.variables).check_complete()
    self.images.log.restart()
    placement = tf.ConfigProto(allow_soft_placement=True)
    with tf.Session(master, config=placement) as session:
      self.saver.restore(session, checkpoint)
      session.run(self.images.initializer)
      with Progress('evaluating', num_images, 'images') as progress:
        for labels, numbers, record_keys, probabilities in self._batches(
            session, max_num_batches):
          predictions.add(numbers, labels, probabilities)
          keys.update(zip(numbers.tolist(), record_keys.tolist(), strict=True))
          progress.update(len(predictions))
    self._add_unreadable(predictions, keys, whole=max_num_batches is None)
    if max_num_batches is None and len(predictions) != num_images:
      raise diagnostics.UserError(
          f'{len(predictions)} of {num_images} images came out of the records: an'
          ' accuracy would leave some out')
    return metrics_lib.evaluate(predictions, self.num_classes), keys

  def _batches(self, session, max_num_batches):
    fetch = session.make_callable([
        self.batch.labels, self.batch.numbers, self.batch.keys, self.probabilities])
    taken = 0
    while max_num_batches is None or taken < max_num_batches:
      try:
        values = fetch()
      except tf.errors.OutOfRangeError:
        return
      except tf.errors.OpError as error:
        raise self.images.failure(error) or error from error
      self.images.log.deliver(values[1])
      taken += 1
      yield values

  def _add_unreadable(self, predictions, keys, whole):
    """Counts the images that did not come out as mistakes of their classes."""
    if whole:
      self.images.log.finish()
    for number, key in self.images.log.take_lost():
      if key is None:
        raise diagnostics.UserError(
            f'image {number} cannot be decoded, and another process reads the'
            ' records: without --master it is named and counted')
      label = records.read_label(self.images.files, *key) - self.labels_offset
      print(f'cannot decode {self.images.log.describe(key)}: counted as a mistake')
      predictions.add_unreadable([number], [label])
      keys[number] = key


def build(images: pipeline.Input, network_fn: Callable, num_classes: int,
          labels_offset: int = 0,
          moving_average_decay: float | None = None) -> Evaluation:
  """Builds a network in evaluation mode over an input, in the default graph.

  Args:
    images: of `pipeline.evaluation_input`.
    network_fn: of `nets_factory.get_network_fn`.
    num_classes: how many classes there are.
    labels_offset: what was taken off the labels of the records.
    moving_average_decay: restore the moving averages that training kept with
      this decay, in place of the weights.
  """
  tf.train.get_or_create_global_step()
  batch = images.next_batch()
  logits, _ = network_fn(batch.images)
  variables = {variable.op.name: variable for variable in slim.get_model_variables()}
  if moving_average_decay:
    averages = tf.train.ExponentialMovingAverage(moving_average_decay)
    variables = averages.variables_to_restore(slim.get_model_variables())
  return Evaluation(images, tf.nn.softmax(logits), batch, variables,
                    tf.train.Saver(variables), num_classes, labels_offset)
