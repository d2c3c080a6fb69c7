"""The graph of a training run: clones, loss, train op, summaries."""

import dataclasses
from collections.abc import Callable

from checkpoints import restore
from deployment import model_deploy
from tf_compat import slim, tf
from training import learning_rates, losses


@dataclasses.dataclass(frozen=True)
class TrainingGraph:
  """What the loop runs.

  Attributes:
    train_op: trains one step and gives the total loss.
    step: the global step after it.
    learning_rate: the rate that the step took.
    waited: seconds that the step waited for input.
    numbers: int64, the numbers of the records that the step read.
    summary_op: the summaries of the step; None if there are none.
    sync_optimizer: of synchronous replicas, else None.
    model_variables: the network's variables, its statistics included.
  """

  train_op: tf.Tensor
  step: tf.Tensor
  learning_rate: tf.Tensor
  waited: tf.Tensor
  numbers: tf.Tensor
  summary_op: tf.Tensor | None
  sync_optimizer: tf.train.SyncReplicasOptimizer | None
  model_variables: list


def build(config: model_deploy.DeploymentConfig,
          next_batch: Callable,
          network_fn: Callable,
          num_classes: int,
          schedule: learning_rates.Schedule,
          optimizer_fn: Callable,
          label_smoothing: float = 0.0,
          trainable_scopes: tuple[str, ...] = (),
          moving_average_decay: float | None = None,
          replicas_to_aggregate: int | None = None) -> TrainingGraph:
  """Builds the training graph in the default graph.

  Args:
    config: where clones and variables go.
    next_batch: returns the next `datasets.pipeline.Batch`; called once a clone.
    network_fn: of `nets_factory.get_network_fn`, for training.
    num_classes: how many classes there are.
    schedule: of the learning rate.
    optimizer_fn: makes the optimizer, given the learning rate.
    label_smoothing: share of each target that is spread over all classes.
    trainable_scopes: train only the variables below these; all if empty.
    moving_average_decay: keep moving averages of the network's variables.
    replicas_to_aggregate: gather the gradients of this many replicas before each
      update; None updates with each replica's own.

  Raises:
    UserError: a trainable scope matches no variable.
  """
  with tf.device(config.variables_device()):
    global_step = tf.train.get_or_create_global_step()

  def build_clone():
    batch = next_batch()
    logits, end_points = network_fn(batch.images)
    losses.classification_loss(
        logits, end_points, batch.labels, num_classes, label_smoothing)
    return batch, end_points

  clones = model_deploy.create_clones(config, build_clone)
  model_deploy.keep_first_clone_items(clones, tf.GraphKeys.UPDATE_OPS)
  model_deploy.keep_first_clone_items(clones, tf.GraphKeys.SUMMARIES)
  with tf.device(config.optimizer_device()):
    learning_rate = schedule.at(global_step)
    optimizer = optimizer_fn(learning_rate)
  averages, averaged = None, slim.get_model_variables()
  if moving_average_decay:
    averages = tf.train.ExponentialMovingAverage(moving_average_decay, global_step)
  sync_optimizer = None
  if replicas_to_aggregate is not None:
    optimizer = sync_optimizer = tf.train.SyncReplicasOptimizer(
        optimizer, replicas_to_aggregate, config.num_replicas,
        variable_averages=averages, variables_to_average=averaged)

  optimizer = model_deploy.CloneOptimizer(optimizer, clones)
  with tf.device(config.optimizer_device()):
    train_op = slim.learning.create_train_op(
        optimizer.total_loss, optimizer, global_step=global_step,
        variables_to_train=restore.variables_to_train(trainable_scopes))
  if averages and sync_optimizer is None:
    # After the update, so that a checkpoint's averages include its weights.
    with tf.control_dependencies([train_op]):
      with tf.control_dependencies([averages.apply(averaged)]):
        train_op = tf.identity(train_op)
  with tf.control_dependencies([train_op]):
    step = tf.identity(global_step.read_value())
  batches = [clone.outputs[0] for clone in clones]
  _summarize(clones[0], optimizer.total_loss, learning_rate)
  return TrainingGraph(
      train_op, step, learning_rate,
      waited=tf.add_n([batch.waited for batch in batches]),
      numbers=tf.concat([batch.numbers for batch in batches], 0),
      summary_op=tf.summary.merge_all(), sync_optimizer=sync_optimizer,
      model_variables=averaged)


def _summarize(clone, total_loss, learning_rate) -> None:
  """Adds what TensorBoard shows: losses, learning rate, histograms."""
  _, end_points = clone.outputs
  for name, end_point in end_points.items():
    tf.summary.histogram(f'activations/{name}', end_point)
    tf.summary.scalar(f'sparsity/{name}', tf.nn.zero_fraction(end_point))
  for loss in tf.get_collection(tf.GraphKeys.LOSSES, clone.scope):
    tf.summary.scalar(f'losses/{loss.op.name}', loss)
  for variable in slim.get_model_variables():
    tf.summary.histogram(variable.op.name, variable)
  tf.summary.scalar('learning_rate', learning_rate)
  tf.summary.scalar('total_loss', total_loss)
