"""The loss of the clones, and the optimizers that minimize it."""

import contextlib
from collections.abc import Callable, Sequence

from slim_zoo.checkpoints import quantization
from slim_zoo.deployment import agreement, collectives, model_deploy, reducing_optimizer
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training.updates import accumulation, loss_scaling, numerics


class MinimizedLoss:
  """The loss of the clones, and the optimizers that minimize it.

  Args:
    config: where variables and the optimizer go.
    clones: of `model_deploy.create_clones`.
    accumulate_steps: batches whose mean gradient makes an update.
    scales_loss: whether the loss is scaled for the backward pass.
    workers: those with which this one reduces its gradients; None: there are none.
    batch_norm_replicas: of the clones, whose collectives come before the gradients'.

  Attributes:
    config: as above.
    total_loss: float32 scalar.
    scaling: what scales the loss of the first copy of the variables, or None.
    accumulating: of each copy of the variables, what takes several batches.
  """

  def __init__(self, config: model_deploy.DeploymentConfig,
               clones: list[model_deploy.Clone], accumulate_steps: int,
               scales_loss: bool, workers: agreement.Workers | None,
               batch_norm_replicas: Sequence[collectives.Replica]):
    self.config, self._clones = config, clones
    self._accumulate_steps, self._scales_loss = accumulate_steps, scales_loss
    self._workers, self._batch_norm_replicas = workers, batch_norm_replicas
    self.total_loss, self.scaling, self.accumulating = None, None, []

  def shared(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
    """Returns the optimizer of variables that all clones share."""
    optimizer = model_deploy.CloneOptimizer(optimizer, self._clones)
    self.total_loss = optimizer.total_loss
    return self._wrapped(optimizer)

  def reduction(self, make_optimizer: Callable[[], tf.train.Optimizer]
                ) -> reducing_optimizer.ReducingOptimizer | None:
    """Returns the optimizer of all replicas; None if there is only this one."""
    workers, device = self._workers, self.config.optimizer_device()
    count = workers.count if workers else 1
    if not self.config.variables_on_clones or len(self._clones) == 1:
      if workers is None:
        return None
      members = [self._member(
          self.shared(make_optimizer()), self._replica(count, device),
          earlier=self._batch_norm_replicas)]
    else:
      members = self._members_of_clones(make_optimizer, count)
    return reducing_optimizer.ReducingOptimizer(members, count, _statistics())

  def _members_of_clones(self, make_optimizer, num_workers):
    """Returns a member for each clone, which has its own variables."""
    shares = model_deploy.clone_losses(self._clones)
    self.total_loss = model_deploy.total_clone_loss(shares)
    members = []
    for index, (clone, share) in enumerate(shares):
      replacing = clone.copies.replacing() if clone.copies else contextlib.nullcontext()
      with tf.device(clone.device), replacing:
        optimizer = self._wrapped(make_optimizer())
      members.append(self._member(
          optimizer, self._replica(num_workers * len(shares), clone.device),
          scope=clone.scope, loss=share, copies=clone.copies,
          earlier=self._batch_norm_replicas[index:index + 1]))
    return members

  def _member(self, optimizer, replica, **options):
    accumulating = self.accumulating[-1] if self.accumulating else None
    return reducing_optimizer.Member(
        optimizer, replica, mean_loss=accumulating and (lambda: accumulating.mean_loss),
        **options)

  def _replica(self, count, device):
    return collectives.Replica(
        collectives.GRADIENTS, count, device,
        self._workers.timeout_seconds if self._workers else 0)

  def _wrapped(self, optimizer):
    """Returns an optimizer with loss scaling and accumulation, as far as asked for."""
    if self._scales_loss:
      with tf.device(self.config.step_device()):
        optimizer = loss_scaling.LossScaling(optimizer)
      self.scaling = self.scaling or optimizer
    if self._accumulate_steps > 1:
      optimizer = accumulation.AccumulatingOptimizer(
          optimizer, self._accumulate_steps, self.guard())
      self.accumulating.append(optimizer)
    return optimizer

  def guard(self) -> numerics.Guard:
    """Returns a new guard of the loss."""
    return numerics.Guard(self._clones, self.total_loss)

  @property
  def accumulate_op(self) -> tf.Tensor | None:
    """Takes one batch for each copy of the variables; None without accumulation."""
    ops = [optimizer.accumulate_op for optimizer in self.accumulating]
    return tf.add_n(ops) if ops else None


def _statistics():
  """Returns the moving averages of batch norm and of ranges."""
  trainable = {variable.ref() for variable in tf.trainable_variables()}
  of_model = [variable for variable in slim.get_model_variables()
              if variable.ref() not in trainable]
  return of_model + [variable for variable in tf.global_variables()
                     if quantization.is_sum(variable.op.name)]
