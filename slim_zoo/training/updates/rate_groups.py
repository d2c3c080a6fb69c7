"""Learning rates by scope, for any optimizer."""

from collections.abc import Callable, Mapping

from slim_zoo.checkpoints import variable_scopes
from slim_zoo.tf_compat import tf


def factor_of(variable, multipliers: Mapping[str, float]) -> float:
  """Returns the factor of the longest scope that a variable lies in, 1 if in none."""
  matching = [scope for scope in multipliers
              if variable_scopes.in_scope(variable.op.name, scope)]
  return multipliers[max(matching, key=len)] if matching else 1.0


class RateGroups(tf.train.Optimizer):
  """An optimizer for each factor, as one: each takes its multiple of the rate.

  Multiplied gradients would not do: the step of adam, rmsprop, adagrad, adadelta and
  LARS hardly depends on the scale of the gradients. Here the variables of a scope
  with factor f are trained exactly as a run with f times the learning rate would
  train them, their slots included.

  The slots have their usual names. What an optimizer keeps once for all variables,
  such as adam's beta1_power, is there once a factor: beta1_power_1 and so on.

  Args:
    optimizer_fn: makes an optimizer, given a learning rate.
    learning_rate: float scalar tensor.
    multipliers: factors, above 0, by variable scope; the longest that matches a
      variable holds.
  """

  def __init__(self, optimizer_fn: Callable[[tf.Tensor], tf.train.Optimizer],
               learning_rate: tf.Tensor, multipliers: Mapping[str, float]):
    self._multipliers = multipliers
    # The plain rate comes first, so that it has the plain names.
    factors = dict.fromkeys((1.0, *sorted(multipliers.values())))
    self._optimizers = {
        factor: optimizer_fn(learning_rate if factor == 1 else learning_rate * factor)
        for factor in factors}
    super().__init__(use_locking=False, name=self._optimizers[1.0].get_name())

  def _optimizer_of(self, variable):
    return self._optimizers[factor_of(variable, self._multipliers)]

  def compute_gradients(self, *args, **kwargs) -> list:
    """Returns (gradient, variable) pairs, as every optimizer computes them."""
    return self._optimizers[1.0].compute_gradients(*args, **kwargs)

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the op that applies each gradient by the optimizer of its factor."""
    pairs = [(gradient, variable) for gradient, variable in grads_and_vars
             if gradient is not None]
    updates = []
    for optimizer in self._optimizers.values():
      own = [pair for pair in pairs if self._optimizer_of(pair[1]) is optimizer]
      if own:
        updates.append(optimizer.apply_gradients(own))
    if not updates:
      raise ValueError('no variable has a gradient')
    if global_step is None:
      return tf.group(*updates, name=name)
    with tf.control_dependencies(updates), tf.device(global_step.device):
      return global_step.assign_add(1, read_value=False, name=name)

  def get_slot(self, var, name):
    """Returns the slot `name` of `var`, or None."""
    return self._optimizer_of(var).get_slot(var, name)

  def get_slot_names(self):
    """Returns the names of the slots."""
    return sorted({name for optimizer in self._optimizers.values()
                   for name in optimizer.get_slot_names()})

  def variables(self):
    """Returns the variables of all the optimizers."""
    return [variable for optimizer in self._optimizers.values()
            for variable in optimizer.variables()]
