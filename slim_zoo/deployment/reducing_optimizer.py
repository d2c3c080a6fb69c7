"""Updates with the mean gradient of all workers, each of which has its own variables.

As the gradients are bit-equal in all workers after the reduction, so are the updates.
"""

from collections.abc import Callable, Sequence

from slim_zoo.deployment.agreement import make_wishes
from slim_zoo.deployment.collectives import Replica
from slim_zoo.deployment.optimizer_wrapper import OptimizerWrapper
from slim_zoo.tf_compat import tf


class ReducingOptimizer(OptimizerWrapper):
  """Any optimizer, made to update with the mean gradient of all workers.

  Batch norm's moving averages, which each worker updates with its own images, become
  their means over the workers. The loss and the wishes travel in the same buffers.

  Attributes:
    mean_loss: float32 scalar, the mean loss of the workers; made by
      `compute_gradients`, as is `agreed`.
    wishes: local variable, float32 [wishes], 1 or 0 each: what this worker asks of all.
    agreed: float32 [wishes], how many workers have each wish.

  Args:
    optimizer: a tf.train.Optimizer.
    replica: the member of the group for which it computes.
    statistics: variables that become their means.
    batch_norm_replicas: whose collectives, also of the backward pass, come before.
    mean_loss: returns the loss of this worker once its gradients are built, where that
      is not the loss which is minimized: with accumulation.
  """

  def __init__(self, optimizer: tf.train.Optimizer, replica: Replica,
               statistics: Sequence = (), batch_norm_replicas: Sequence[Replica] = (),
               mean_loss: Callable[[], tf.Tensor] | None = None):
    super().__init__(optimizer)
    self._mean_loss_of_worker = mean_loss
    self._replica, self._statistics = replica, list(statistics)
    self._batch_norm_replicas = batch_norm_replicas
    self.wishes = make_wishes()
    self.mean_loss = self.agreed = None
    self._means_of_statistics = []

  def compute_gradients(self, loss, *args, **kwargs) -> list:
    """Returns (gradient, variable) pairs, the means over the workers.

    Args:
      loss: float32 scalar; the updates of the moving averages have to come before it.
      *args: for the wrapped optimizer's compute_gradients, after its loss.
      **kwargs: likewise.
    """
    pairs = [(_dense(gradient, variable), variable) for gradient, variable
             in self._optimizer.compute_gradients(loss, *args, **kwargs)
             if gradient is not None]
    self._replica.follow(self._batch_norm_replicas)
    with tf.name_scope('reduce_gradients'), tf.device(self._replica.device):
      with tf.control_dependencies([loss]):
        statistics = [variable.read_value() for variable in self._statistics]
      # The backward pass gives the gradients of the last layers first.
      values = [*statistics, *[gradient for gradient, _ in reversed(pairs)],
                self._mean_loss_of_worker() if self._mean_loss_of_worker else loss,
                self.wishes.read_value()]
      sums = self._replica.sum_packed(values)
      # No update begins before all sums are there: if one fails, nothing has changed.
      with tf.control_dependencies(sums):
        self.agreed = tf.identity(sums.pop(), name='agreed')
        means = [total / self._replica.size for total in sums]
    self.mean_loss = means.pop()
    self._means_of_statistics = means[:len(statistics)]
    gradients = reversed(means[len(statistics):])
    return [(gradient, variable)
            for gradient, (_, variable) in zip(gradients, pairs, strict=True)]

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the op that applies the gradients and sets the moving averages."""
    update = self._optimizer.apply_gradients(grads_and_vars, global_step, name)
    with tf.control_dependencies([update]):
      return tf.group(*[
          variable.assign(mean, read_value=False) for variable, mean
          in zip(self._statistics, self._means_of_statistics, strict=True)])


def _dense(gradient, variable):
  return tf.ensure_shape(tf.convert_to_tensor(gradient), variable.shape)
