"""From the losses of the clones to one train op."""

import dataclasses
from collections.abc import Callable

from checkpoints import restore
from deployment import model_deploy
from tf_compat import slim, tf


@dataclasses.dataclass(frozen=True)
class UpdateOptions:
  """Which variables a step changes, and how.

  Attributes:
    trainable_scopes: train only the variables below these; all if empty.
    moving_average_decay: keep moving averages of the network's variables.
    replicas_to_aggregate: gather the gradients of this many replicas before each
      update; None updates with each replica's own.
  """

  trainable_scopes: tuple[str, ...] = ()
  moving_average_decay: float | None = None
  replicas_to_aggregate: int | None = None


@dataclasses.dataclass(frozen=True)
class Update:
  """The ops of an update.

  Attributes:
    train_op: makes one update and gives the total loss.
    total_loss: float32 scalar, before the update.
    learning_rate: float32 scalar, the rate that the update takes.
    sync_optimizer: of synchronous replicas, else None.
  """

  train_op: tf.Tensor
  total_loss: tf.Tensor
  learning_rate: tf.Tensor
  sync_optimizer: tf.train.SyncReplicasOptimizer | None


def make_train_op(clones: list[model_deploy.Clone],
                  config: model_deploy.DeploymentConfig, schedule,
                  optimizer_fn: Callable, options: UpdateOptions) -> Update:
  """Returns the update that minimizes the losses of the clones.

  Args:
    clones: of `model_deploy.create_clones`.
    config: where variables and the optimizer go.
    schedule: `learning_rates.Schedule`.
    optimizer_fn: makes the optimizer, given the learning rate.
    options: what is updated.

  Raises:
    UserError: a trainable scope matches no variable, or there is no gradient.
  """
  model_deploy.keep_first_clone_items(clones, tf.GraphKeys.UPDATE_OPS)
  global_step = tf.train.get_or_create_global_step()
  with tf.device(config.optimizer_device()):
    learning_rate = schedule.at(global_step)
    optimizer = optimizer_fn(learning_rate)
  averages, averaged = None, slim.get_model_variables()
  if options.moving_average_decay:
    averages = tf.train.ExponentialMovingAverage(
        options.moving_average_decay, global_step)
  sync_optimizer = None
  if options.replicas_to_aggregate is not None:
    optimizer = sync_optimizer = tf.train.SyncReplicasOptimizer(
        optimizer, options.replicas_to_aggregate, config.num_replicas,
        variable_averages=averages, variables_to_average=averaged)

  optimizer = model_deploy.CloneOptimizer(optimizer, clones)
  with tf.device(config.optimizer_device()):
    train_op = slim.learning.create_train_op(
        optimizer.total_loss, optimizer, global_step=global_step,
        variables_to_train=restore.variables_to_train(options.trainable_scopes))
  if averages and sync_optimizer is None:
    # After the update, so that a checkpoint's averages include its weights.
    with tf.control_dependencies([train_op]):
      with tf.control_dependencies([averages.apply(averaged)]):
        train_op = tf.identity(train_op)
  return Update(train_op, optimizer.total_loss, learning_rate, sync_optimizer)
