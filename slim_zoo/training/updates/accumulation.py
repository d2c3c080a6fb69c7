"""Updates with the gradients of several batches, taken one after the other."""

from slim_zoo.deployment.optimizer_wrapper import OptimizerWrapper
from slim_zoo.tf_compat import tf
from slim_zoo.training.updates import numerics


class AccumulatingOptimizer(OptimizerWrapper):
  """Any optimizer, made to update with the mean gradient of `count` batches.

  An update takes `count` runs of the graph: `count` - 1 of `accumulate_op`, then one
  of the op of `apply_gradients`, which adds its own batch's gradients and forgets the
  sums. It equals the update with one batch of `count` times the size, but for batch
  norm, which sees the small ones.

  The sums are local variables: they are in no checkpoint. A run that ends between
  two updates takes the batches since the last one again.

  Attributes:
    accumulate_op: adds one batch's gradients, and gives its loss; made by
      `compute_gradients`.
    mean_loss: float32 scalar, the mean loss of the batches of an update, for the run
      that updates; made by `compute_gradients` too.

  Args:
    optimizer: a tf.train.Optimizer.
    count: batches of an update, 2 or more.
    guard: whose op fails for a batch that must not count.
  """

  def __init__(self, optimizer: tf.train.Optimizer, count: int,
               guard: numerics.Guard):
    super().__init__(optimizer)
    self._count, self._guard = count, guard
    self.accumulate_op = self.mean_loss = None
    self._sums = []

  def compute_gradients(self, loss, *args, **kwargs) -> list:
    """Returns (gradient, variable) pairs, the means over the batches of an update.

    Args:
      loss: scalar.
      *args: for the wrapped optimizer's compute_gradients, after its loss.
      **kwargs: likewise.
    """
    pairs = [(_dense(gradient, variable), variable) for gradient, variable
             in self._optimizer.compute_gradients(loss, *args, **kwargs)
             if gradient is not None]
    with tf.name_scope('accumulate_gradients'):
      values = [gradient for gradient, _ in pairs] + [loss]
      self._sums = [_local_zeros(value) for value in values]
      with tf.control_dependencies([self._guard.op]):
        additions = [total.assign_add(value, read_value=False)
                     for total, value in zip(self._sums, values, strict=True)]
      with tf.control_dependencies(additions):
        self.accumulate_op = tf.identity(loss)
      *means, self.mean_loss = [
          (total.read_value() + value) / self._count
          for total, value in zip(self._sums, values, strict=True)]
    return [(mean, variable)
            for mean, (_, variable) in zip(means, pairs, strict=True)]

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the op that applies the mean gradients and forgets the sums."""
    update = self._optimizer.apply_gradients(grads_and_vars, global_step, name)
    with tf.control_dependencies([update, self.mean_loss]):
      return tf.group(*[total.assign(tf.zeros_like(total), read_value=False)
                        for total in self._sums])


def _dense(gradient, variable):
  return tf.ensure_shape(tf.convert_to_tensor(gradient), variable.shape)


def _local_zeros(value):
  # A function: the zeros are made when they are assigned, and not kept in the graph.
  return tf.Variable(
      lambda: tf.zeros(value.shape, value.dtype), trainable=False,
      collections=[tf.GraphKeys.LOCAL_VARIABLES], name='sum')
