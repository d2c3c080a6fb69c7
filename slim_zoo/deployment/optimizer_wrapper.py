"""The base class of optimizers that wrap another optimizer."""

from slim_zoo.tf_compat import tf


class OptimizerWrapper(tf.train.Optimizer):
  """An optimizer that delegates to another one what a subclass does not change.

  Args:
    optimizer: a tf.train.Optimizer.
  """

  def __init__(self, optimizer: tf.train.Optimizer):
    super().__init__(use_locking=False, name=optimizer.get_name())
    self._optimizer = optimizer

  def compute_gradients(self, loss, *args, **kwargs):
    """Returns the wrapped optimizer's (gradient, variable) pairs."""
    return self._optimizer.compute_gradients(loss, *args, **kwargs)

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the wrapped optimizer's op that applies the gradients."""
    return self._optimizer.apply_gradients(grads_and_vars, global_step, name)

  def get_slot(self, var, name):
    """Returns the wrapped optimizer's slot `name` of `var`, or None."""
    return self._optimizer.get_slot(var, name)

  def get_slot_names(self):
    """Returns the names of the wrapped optimizer's slots."""
    return self._optimizer.get_slot_names()

  def variables(self):
    """Returns the wrapped optimizer's variables."""
    return self._optimizer.variables()
