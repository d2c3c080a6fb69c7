"""Batch norm statistics of a checkpoint, estimated again on training images.

The weights stay. A moving average lags behind weights that change, and a short run
leaves it near where it began; the mean over many batches at fixed weights does not.
Mean and variance of each channel are put together from those of the batches by the law
of total variance: Wu and Johnson 2021, Rethinking Batch in BatchNorm, arXiv 2105.07576.
"""

import glob
import math
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.checkpoints import restore, writing
from slim_zoo.deployment import session_configs, session_settings
from slim_zoo.evaluation import predictions
from slim_zoo.input import pipeline
from slim_zoo.nets import normalization
from slim_zoo.progress import Progress
from slim_zoo.tf_compat import slim, tf

SUFFIX = '-recalibrated'
# Images, at the most, on which a checkpoint is compared with the recalibrated one.
MOST_JUDGED = 1000
_KINDS = ('moving_mean', 'moving_variance')


class Recalibration:
  """Estimates the statistics of a network; makes it in the default graph.

  Args:
    images: training images, shuffled; of `pipeline.training_input`.
    network_fn: of `nets_factory.get_network_fn`, not for training.
    moving_average_decay: estimate them for the moving averages that training kept
      with this decay, in place of the weights.

  Raises:
    UserError: the network has no batch norm.
  """

  def __init__(self, images: pipeline.Input, network_fn: Callable,
               moving_average_decay: float | None = None):
    tf.train.get_or_create_global_step()
    self._images, self._batch = images, images.next_batch()
    # With a decay of 0 the moving averages become those of the batch.
    with normalization.batch_statistics(decay=0.0):
      network_fn(self._batch.images)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    # By the names in a checkpoint.
    self._variables = {
        variable.op.name: variable for variable in slim.get_model_variables()}
    if moving_average_decay:
      self._variables = restore.averages_by_name(slim.get_model_variables())
    self._saver = tf.train.Saver(self._variables)
    self._statistics = {
        name: variable for name, variable in self._variables.items()
        if variable.op.name.endswith(_KINDS)}
    if not self._statistics:
      raise diagnostics.UserError(
          'the network has no batch norm: there is nothing to recalibrate')
    self._clear = [variable.assign(tf.zeros_like(variable)).op
                   for variable in self._statistics.values()]
    with tf.control_dependencies(updates):
      self._of_batch = {
          name: variable.read_value() for name, variable in self._statistics.items()}

  def run(self, checkpoint: str, num_batches: int, master: str = '',
          settings: session_settings.SessionSettings = session_settings.DEFAULTS
          ) -> str:
    """Writes a checkpoint with the new statistics beside one; returns its prefix.

    Args:
      checkpoint: its prefix; it is not changed.
      num_batches: how many batches of images to use.
      master: the address of a TensorFlow server; '': this process.
      settings: of the session: memory of GPUs, threads.

    Raises:
      UserError: the checkpoint or the records cannot be read, there is such a
        checkpoint already, or a statistic is not finite.
    """
    target = checkpoint + SUFFIX
    if checkpoint.endswith(SUFFIX) or os.path.exists(target + '.index'):
      raise diagnostics.UserError(
          f"'{target}' is there already: evaluate it as --checkpoint_path, without"
          ' --recalibrate_batch_norm, or remove it')
    restore.verify(checkpoint)
    restore.plan_restore(checkpoint, self._variables).check_complete()
    config = session_configs.session_config(settings)
    with tf.Session(master, config=config) as session:
      self._saver.restore(session, checkpoint)
      statistics = self._estimate(session, num_batches)
    _write(checkpoint, target, statistics)
    return target

  def _estimate(self, session, num_batches):
    """Returns {name: array} of all statistics."""
    self._images.log.restart()
    session.run(self._images.initializer)
    # A moving average is changed by differences: large old values would round them.
    session.run(self._clear)
    sums = {name: 0.0 for name in self._statistics}
    squares = dict(sums)
    with Progress('recalibrating', num_batches, 'batches') as progress:
      for done in range(num_batches):
        try:
          numbers, values = session.run([self._batch.numbers, self._of_batch])
        except tf.errors.OpError as error:
          raise self._images.failure(error) or error from error
        self._images.log.deliver(numbers)
        for name, value in values.items():
          sums[name] = sums[name] + value.astype(np.float64)
          squares[name] = squares[name] + np.square(value, dtype=np.float64)
        progress.update(done + 1)
    return _totals(sums, squares, num_batches)


def _totals(sums: Mapping, squares: Mapping, count: int) -> dict:
  """Returns the means, and the variances over all batches together."""
  totals = {}
  for name, total in sums.items():
    value = total / count
    if 'moving_variance' in name:
      of_mean = name.replace('moving_variance', 'moving_mean')
      value = value + squares[of_mean] / count - np.square(sums[of_mean] / count)
    if not np.isfinite(value).all():
      raise diagnostics.UserError(
          f"the statistic '{name}' is not finite over these images: the weights of the"
          ' checkpoint diverged, take an earlier one')
    totals[name] = value
  return totals


def _write(checkpoint, target, replaced):
  """Writes all that a checkpoint holds to another one, with some values replaced."""
  reader = restore.open_reader(checkpoint)
  names = sorted(reader.get_variable_to_shape_map())
  values = [reader.get_tensor(name) for name in names]
  values = [replaced[name].astype(value.dtype) if name in replaced else value
            for name, value in zip(names, values, strict=True)]
  writing.write(target, dict(zip(names, values, strict=True)))


def keep_better_checkpoint(checkpoint: str, target: str,
                           measure: Callable) -> tuple[str, str]:
  """Removes a recalibrated checkpoint that does worse than the one it is made of.

  Args:
    checkpoint: the prefix of the one that it is made of.
    target: its prefix.
    measure: measure(prefix) returns `metrics.Metrics`, `multi_label.Metrics` or
      `segmentation.Metrics` on images that nothing is tested on.

  Returns:
    (the prefix of the better one, what to say of both).
  """
  try:
    before, after = (_measured(measure, path) for path in (checkpoint, target))
  except BaseException:
    _remove(target)
    raise
  comparison = (f'{before.words} with those of the checkpoint, {after.words} with'
                ' the new ones')
  if after.scores >= before.scores:
    return target, f'{comparison}: written to {target}'
  _remove(target)
  return checkpoint, f'{comparison}: {checkpoint} stays as it is'


class _Measured(NamedTuple):
  """How a checkpoint does: scores, the most important first, and in words."""

  scores: tuple[float, ...]
  words: str


def _measured(measure, path) -> _Measured:
  try:
    metrics = measure(path)
  except predictions.NotFiniteError:
    return _Measured((-math.inf,), 'NaN')
  images = f'on {metrics.num_images:,} images'
  if hasattr(metrics, 'mean_average_precision'):
    score = metrics.mean_average_precision
    return _Measured((score,), f'mean average precision {score:.2%} {images}')
  if hasattr(metrics, 'mean_iou'):
    return _Measured((metrics.mean_iou, -metrics.cross_entropy),
                     f'mean IoU {metrics.mean_iou:.2%} {images}')
  return _Measured((metrics.top1.value, -metrics.cross_entropy),
                   f'accuracy {metrics.top1.value:.2%} {images}')


def _remove(prefix):
  for path in glob.glob(f'{glob.escape(prefix)}.*'):
    os.remove(path)
