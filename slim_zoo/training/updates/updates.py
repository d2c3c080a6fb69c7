"""From the losses of the clones to one train op."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from slim_zoo.checkpoints import quantization
from slim_zoo.deployment import agreement, collectives, model_deploy, reducing_optimizer
from slim_zoo.deployment.optimizer_wrapper import OptimizerWrapper
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training.updates import loss_scaling, numerics, variable_groups
from slim_zoo.training.updates.minimized_loss import MinimizedLoss


@dataclasses.dataclass(frozen=True)
class UpdateOptions:
  """The options of an update: its variables, and how they change.

  Attributes:
    trainable_scopes: train only the variables below these; all if empty.
    moving_average_decay: keep moving averages of the network's variables.
    replicas_to_aggregate: gather the gradients of this many replicas before each
      update; None updates with each replica's own.
    frozen_scopes: train nothing below these.
    frozen_batch_norm_scopes: where batch norm keeps its statistics. That, in
      `frozen_scopes` too, is the network function's doing, see `nets.normalization`;
      here it is checked.
    learning_rate_multipliers: factors of the learning rate by scope, of which the
      longest that matches a variable holds; 0 trains nothing.
    layer_decay: factor of the learning rate from each layer to the one before it, see
      `variable_groups.layer_factors`.
    head_scopes: of the network, for `layer_decay`.
    clip_gradient_norm: the largest norm that gradients may have; 0: any.
    clip_by_variable: whether that is the norm of each variable's gradient, or else of
      all together.
    accumulate_steps: batches whose mean gradient makes an update.
    scales_loss: whether the loss is scaled for the backward pass, as networks in
      float16 need it; not with `replicas_to_aggregate`.
    gradients_with_layers: whether a gradient is computed where its layer stands, rather
      than on the device of the clone.
  """

  trainable_scopes: tuple[str, ...] = ()
  moving_average_decay: float | None = None
  replicas_to_aggregate: int | None = None
  frozen_scopes: tuple[str, ...] = ()
  frozen_batch_norm_scopes: tuple[str, ...] = ()
  learning_rate_multipliers: Mapping[str, float] = dataclasses.field(
      default_factory=dict)
  layer_decay: float = 1.0
  head_scopes: tuple[str, ...] = ()
  clip_gradient_norm: float = 0.0
  clip_by_variable: bool = False
  accumulate_steps: int = 1
  scales_loss: bool = False
  gradients_with_layers: bool = False


@dataclasses.dataclass(frozen=True)
class Update:
  """The ops of an update.

  Attributes:
    train_op: makes one update and gives the total loss.
    total_loss: float32 scalar, before the update; the mean of its batches, in the
      run of the last one.
    learning_rate: float32 scalar, the rate that the update takes.
    sync_optimizer: of synchronous replicas, else None.
    accumulate_op: takes one batch and gives its loss; to be run once for each batch
      of an update but the last, which `train_op` takes. None if there is no other.
    group_rates: the learning rate of each scope that has a factor.
    trained: the variables that are updated.
    scaling: what scales the loss, or None.
    reduction: of all-reduce workers, else None.
  """

  train_op: tf.Tensor
  total_loss: tf.Tensor
  learning_rate: tf.Tensor
  sync_optimizer: tf.train.SyncReplicasOptimizer | None
  accumulate_op: tf.Tensor | None
  group_rates: dict[str, tf.Tensor]
  trained: list
  scaling: loss_scaling.LossScaling | None = None
  reduction: reducing_optimizer.ReducingOptimizer | None = None


def make_train_op(clones: list[model_deploy.Clone],
                  config: model_deploy.DeploymentConfig, schedule,
                  optimizer_fn: Callable, options: UpdateOptions,
                  workers: agreement.Workers | None = None,
                  batch_norm_replicas: Sequence[collectives.Replica] = ()) -> Update:
  """Returns the update that minimizes the losses of the clones.

  Args:
    clones: of `model_deploy.create_clones`.
    config: where variables and the optimizer go.
    schedule: `learning_rates.Schedule`.
    optimizer_fn: makes the optimizer, given the learning rate.
    options: of the update.
    workers: those with which this one reduces its gradients; None: there are none.
    batch_norm_replicas: of the clones, whose collectives come before the gradients'.

  Raises:
    UserError: a scope matches no variable, nothing is to be trained, or there is no
      gradient.
  """
  if not config.variables_on_clones:
    model_deploy.keep_first_clone_items(clones, tf.GraphKeys.UPDATE_OPS)
  global_step = tf.train.get_or_create_global_step()
  trained = trained_variables(options)
  variable_groups.check_batch_norm(
      options.frozen_batch_norm_scopes, options.frozen_scopes)
  averaged = [variable for variable in slim.get_model_variables()
              if not quantization.is_range(variable.op.name)]
  averages = None
  if options.moving_average_decay:
    averages = tf.train.ExponentialMovingAverage(
        options.moving_average_decay, global_step)
  with tf.device(config.inputs_device()):
    learning_rate = schedule.at(global_step)
    factors = {scope: factor for scope, factor in rate_factors(options).items()
               if factor}
    group_rates = {scope: learning_rate * factor for scope, factor in factors.items()}

  def make_optimizer():
    if factors:
      return variable_groups.RateGroups(optimizer_fn, learning_rate, factors)
    return optimizer_fn(learning_rate)

  minimized = MinimizedLoss(config, clones, options.accumulate_steps,
                            options.scales_loss, workers, batch_norm_replicas)
  with tf.device(config.optimizer_device()):
    reduction = minimized.reduction(make_optimizer)
    optimizer = reduction or make_optimizer()
  sync_optimizer = None
  if options.replicas_to_aggregate is not None:
    if averages:
      optimizer = _Averaging(optimizer, lambda: averages.apply(averaged))
    optimizer = sync_optimizer = tf.train.SyncReplicasOptimizer(
        optimizer, options.replicas_to_aggregate, config.num_replicas)

  if reduction is None:
    optimizer = minimized.shared(optimizer)
  train_op, total_loss = _create_train_op(
      optimizer, minimized, options, global_step, trained, reduction)
  if sync_optimizer is not None:
    # TensorFlow would complain of an op that nobody runs.
    sync_optimizer.ready_for_local_init_op.mark_used()
  if averages and sync_optimizer is None:
    # After the update, so that a checkpoint's averages include its weights.
    with tf.control_dependencies([train_op]):
      with tf.control_dependencies([averages.apply(averaged)]):
        train_op = tf.identity(train_op)
  return Update(train_op, total_loss, learning_rate, sync_optimizer,
                minimized.accumulate_op, group_rates, trained, minimized.scaling,
                reduction)


class _Averaging(OptimizerWrapper):
  """Updates moving averages as a part of each update.

  SyncReplicasOptimizer updates the averages that it gets after it has released the
  workers: a checkpoint could have the averages of the step before.

  Args:
    optimizer: a tf.train.Optimizer.
    apply_averages: returns the op that updates the averages.
  """

  def __init__(self, optimizer: tf.train.Optimizer, apply_averages: Callable):
    super().__init__(optimizer)
    self._apply_averages = apply_averages

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the op that applies the gradients, and then updates the averages."""
    update = super().apply_gradients(grads_and_vars, global_step, name)
    with tf.control_dependencies([update]):
      return self._apply_averages()


def trained_variables(options: UpdateOptions) -> list:
  """Returns the variables of the default graph that an update changes.

  Raises:
    UserError: a scope matches no variable, or nothing is left to train.
  """
  return variable_groups.variables_to_train(
      options.trainable_scopes, options.frozen_scopes,
      options.learning_rate_multipliers)


def rate_factors(options: UpdateOptions) -> dict[str, float]:
  """Returns the factors of the learning rate by scope, for the default graph."""
  return {**variable_groups.layer_factors(options.layer_decay, options.head_scopes),
          **options.learning_rate_multipliers}


def _create_train_op(optimizer, minimized, options, global_step, trained, reduction):
  """Returns (train_op, total_loss), see `Update`."""
  clip = _clipping(options) or (lambda pairs: pairs)
  total_loss = minimized.total_loss
  with tf.device(minimized.config.optimizer_device()):
    guard = minimized.guard()

    def transform(pairs):
      if reduction is None:
        return clip(numerics.guarded(guard, pairs))
      # Whichever worker's loss is not finite: all of them end in the same step.
      guard.watch(reduction.mean_loss)
      return [pair for own in reduction.by_member(numerics.guarded(guard, pairs))
              for pair in clip(own)]

    train_op = slim.training.create_train_op(
        total_loss, optimizer, global_step=global_step, variables_to_train=trained,
        transform_grads_fn=transform, check_numerics=False,
        colocate_gradients_with_ops=options.gradients_with_layers)
    if minimized.accumulating or reduction:
      total_loss = (reduction or minimized.accumulating[0]).mean_loss
      with tf.control_dependencies([train_op]):
        train_op = tf.identity(total_loss)
  return train_op, total_loss


def _clipping(options):
  """Returns a function that changes (gradient, variable) pairs; None for no change."""
  largest = options.clip_gradient_norm

  def clip_together(pairs):
    gradients, variables = zip(*pairs, strict=True)
    clipped, norm = tf.clip_by_global_norm(gradients, largest)
    tf.summary.scalar('gradient_norm', norm)
    return list(zip(clipped, variables, strict=True))

  def clip_each(pairs):
    return slim.training.clip_gradient_norms(pairs, largest)

  if not largest:
    return None
  return clip_each if options.clip_by_variable else clip_together

