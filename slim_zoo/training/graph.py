"""The graph of a training run: clones, loss, train op, summaries."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

from slim_zoo.deployment import layer_devices, model_deploy
from slim_zoo.deployment.agreement import Agreement, Workers
from slim_zoo.deployment.collectives import Replica
from slim_zoo.deployment.variable_copies import CopiedVariables
from slim_zoo.nets import normalization, synchronized_batch_norm
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training.callbacks import summaries
from slim_zoo.training.distillation import Distillation
from slim_zoo.training.updates import learning_rates, loss_scaling, numerics, updates


@dataclasses.dataclass(frozen=True)
class TrainingGraph:
  """The parts of a training graph that the loop runs.

  Attributes:
    train_op: trains one step and gives the total loss.
    step: the global step after it.
    learning_rate: the rate that the step took.
    waited: seconds that the step waited for input.
    numbers: int64, the numbers of the records that the step read.
    summary_op: the summaries of the step; None if there are none.
    curve_tags: of the numbers in `curves`.
    curves: float32 [number of tags], of the step; see `summaries.add`.
    sync_optimizer: of synchronous replicas, else None.
    accumulate_steps: batches of a step.
    accumulate_op: takes a batch before the last one of a step, None if there is none.
    finite_check: looks for variables that are not finite.
    scaling: what scales the loss, or None.
    agreement: of all-reduce workers, else None.
    agreed: float32, number of workers with each request; () if there is one worker.
    copies: the variables of the other clones, if they have their own.
    batches: the `pipeline.Batch` of each clone.
  """

  train_op: tf.Tensor
  step: tf.Tensor
  learning_rate: tf.Tensor
  waited: tf.Tensor
  numbers: tf.Tensor
  summary_op: tf.Tensor | None
  curve_tags: tuple[str, ...]
  curves: tf.Tensor
  sync_optimizer: tf.train.SyncReplicasOptimizer | None
  accumulate_steps: int = 1
  accumulate_op: tf.Tensor | None = None
  finite_check: numerics.FiniteCheck | None = None
  scaling: loss_scaling.LossScaling | None = None
  agreement: Agreement | None = None
  agreed: tf.Tensor | tuple = ()
  copies: CopiedVariables | None = None
  batches: Sequence = ()


def build(config: model_deploy.DeploymentConfig,
          next_batch: Callable,
          network_fn: Callable,
          loss_fn: Callable,
          schedule: learning_rates.Schedule,
          optimizer_fn: Callable,
          update_options: updates.UpdateOptions = updates.UpdateOptions(),
          displayable: Callable | None = None,
          cross_entropy_fn: Callable | None = None,
          workers: Workers | None = None,
          batch_norm_replicas: Sequence[Replica] = (),
          devices_of_layers: Mapping[str, str] | None = None,
          distillation: Distillation | None = None) -> TrainingGraph:
  """Builds the training graph in the default graph.

  Args:
    config: where clones and variables go.
    next_batch: returns the next `datasets.pipeline.Batch`; called once a clone.
    network_fn: of `nets_factory.get_network_fn`, for training.
    loss_fn: called as loss_fn(logits, end_points, labels) for each clone; adds its
      losses to tf.GraphKeys.LOSSES.
    schedule: of the learning rate.
    optimizer_fn: makes the optimizer, given the learning rate.
    update_options: which variables a step changes, and how.
    displayable: of `summaries.add`.
    cross_entropy_fn: of `summaries.add`.
    workers: those with which this one reduces its gradients; None: there are none.
    batch_norm_replicas: for each clone, the replica that shares the statistics of batch
      norm with all others; empty: each clone has its own.
    devices_of_layers: see `layer_devices.placement`; None: a clone is on one device.
    distillation: adds the losses of a teacher; None: there is none.

  Raises:
    UserError: a trainable scope matches no variable.
  """
  with tf.device(config.step_device()):
    global_step = tf.train.get_or_create_global_step()

  place_layers = contextlib.nullcontext
  if devices_of_layers:
    place_layers = functools.partial(
        tf.device, layer_devices.placement(devices_of_layers))
  clone_numbers = itertools.count()
  statistics = iter([synchronized_batch_norm.Statistics(replica.sum, replica.size)
                     for replica in batch_norm_replicas])

  def build_clone():
    batch = next_batch()
    with (normalization.synchronized(next(statistics, None)),
          place_layers()):
      logits, end_points = network_fn(batch.images)
    loss_fn(logits, end_points, batch.labels)
    if distillation is not None:
      # Behind the network, whose first weights do not depend on the teacher.
      distillation.add(next(clone_numbers), batch.images, logits, end_points)
    return batch, logits, end_points

  clones = model_deploy.create_clones(config, build_clone)
  layer_devices.check_scopes(devices_of_layers or {}, slim.get_model_variables())
  update = updates.make_train_op(
      clones, config, schedule, optimizer_fn, update_options, workers,
      batch_norm_replicas)
  with tf.control_dependencies([update.train_op]):
    step = tf.identity(global_step.read_value())
  curves = summaries.add(
      clones, update.total_loss, update.learning_rate, update.group_rates,
      displayable, cross_entropy_fn)
  batches = [clone.outputs[0] for clone in clones]
  reduction = update.reduction
  copies = [clone.copies for clone in clones[1:] if clone.copies]
  return TrainingGraph(
      update.train_op, step, update.learning_rate,
      waited=tf.add_n([batch.waited for batch in batches]),
      numbers=tf.concat([batch.numbers for batch in batches], 0),
      summary_op=tf.summary.merge_all(), curve_tags=tuple(curves),
      curves=tf.stack(list(curves.values()), name='curves'),
      sync_optimizer=update.sync_optimizer,
      accumulate_steps=update_options.accumulate_steps,
      accumulate_op=update.accumulate_op,
      finite_check=numerics.FiniteCheck(), scaling=update.scaling,
      agreement=workers and Agreement(workers, reduction.requests),
      agreed=reduction.agreed if workers else (),
      copies=CopiedVariables(copies) if copies else None, batches=batches)
