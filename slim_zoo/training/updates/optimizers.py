"""Optimizers by name, with the established hyperparameters; AdamW, LARS and LAMB.

An adaptive optimizer scales the gradient of an L2 penalty like any other gradient, so
weights with large gradients hardly decay. These three decay the weights themselves,
not through the loss: only variables of two or more dimensions, so neither biases nor
the gamma and beta of batch norm.
"""

import functools

from slim_zoo.tf_compat import tf


def decays(variable) -> bool:
  """Returns whether weight decay acts on a variable."""
  return variable.shape.rank > 1


class AdamW(tf.train.AdamOptimizer):
  """Adam with decoupled weight decay.

  Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2. The paper scales the decay
  by the schedule alone; here, as is common now, by the learning rate: a step takes
  learning_rate * weight_decay of each weight.

  Args:
    learning_rate: float scalar tensor.
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    epsilon: added to the root of the second moment.
    weight_decay: share of the weights that a learning rate of 1 would take.
  """

  def __init__(self, learning_rate, beta1: float, beta2: float, epsilon: float,
               weight_decay: float):
    super().__init__(learning_rate, beta1, beta2, epsilon, name='AdamW')
    self._share = learning_rate * weight_decay

  def _apply_dense(self, grad, var):
    with tf.control_dependencies([self._decay(grad, var)]):
      return super()._apply_dense(grad, var)

  def _resource_apply_dense(self, grad, var):
    with tf.control_dependencies([self._decay(grad, var)]):
      return super()._resource_apply_dense(grad, var)

  def _apply_sparse(self, grad, var):
    with tf.control_dependencies([self._decay(grad.values, var)]):
      return super()._apply_sparse(grad, var)

  def _resource_apply_sparse(self, grad, var, indices):
    with tf.control_dependencies([self._decay(grad, var)]):
      return super()._resource_apply_sparse(grad, var, indices)

  def _decay(self, gradient, variable):
    if not decays(variable):
      return tf.no_op()
    # Adam's step does not depend on the weights, so the decay may go before it; but
    # not before the gradient, which does.
    with tf.control_dependencies([gradient]):
      return variable.assign_sub(
          tf.cast(self._share, variable.dtype.base_dtype) * variable.read_value(),
          read_value=False)


class _OneStep:
  """An optimizer whose update needs the whole gradient: `_step(gradient, variable)`."""

  def _apply_dense(self, grad, var):
    return self._step(grad, var)

  def _resource_apply_dense(self, grad, var):
    return self._step(grad, var)

  def _apply_sparse(self, grad, var):
    return self._step(tf.convert_to_tensor(grad), var)

  def _resource_apply_sparse(self, grad, var, indices):
    return self._step(
        tf.scatter_nd(indices[:, tf.newaxis], grad, tf.shape(
            var, out_type=indices.dtype)), var)


class Lars(_OneStep, tf.train.Optimizer):
  """Momentum whose rate is adapted to each layer: LARS.

  You, Gitman and Ginsburg 2017, arXiv 1708.03888, algorithm 1. The rate of a layer is
  learning_rate * trust_coefficient * |w| / (|gradient| + weight_decay * |w|), with the
  norms taken over each weight variable. What does not decay (see `decays`) takes the
  plain learning rate, and so do weights that are all 0 or have no gradient.

  Args:
    learning_rate: float scalar tensor.
    momentum: decay of the velocity.
    weight_decay: pulls the weights to 0, within the adapted rate.
    trust_coefficient: how far a layer may change in a step, relative to its norm.
  """

  def __init__(self, learning_rate, momentum: float, weight_decay: float,
               trust_coefficient: float):
    super().__init__(use_locking=False, name='LARS')
    self._rate, self._momentum = learning_rate, momentum
    self._weight_decay, self._trust = weight_decay, trust_coefficient

  def _create_slots(self, var_list):
    for variable in var_list:
      self._zeros_slot(variable, 'velocity', self._name)

  def _step(self, gradient, variable):
    rate = tf.cast(self._rate, gradient.dtype)
    # A gradient may be of several reads of the weights: read after all of them.
    with tf.control_dependencies([gradient]):
      weights = variable.read_value()
    if decays(variable):
      rate *= self._trust_ratio(weights, gradient)
      gradient += self._weight_decay * weights
    velocity = self.get_slot(variable, 'velocity')
    speed = self._momentum * velocity.read_value() + rate * gradient
    return tf.group(velocity.assign(speed, read_value=False),
                    variable.assign_sub(speed, read_value=False))

  def _trust_ratio(self, weights, gradient):
    size, slope = tf.norm(weights), tf.norm(gradient)
    both = (size > 0) & (slope > 0)
    ratio = tf.math.divide_no_nan(
        self._trust * size, slope + self._weight_decay * size)
    return tf.where(both, ratio, tf.ones_like(ratio))


class Lamb(_OneStep, tf.train.AdamOptimizer):
  """Adam whose rate is adapted to each layer: LAMB, for large batches.

  You et al. 2019, Large batch optimization for deep learning, arXiv 1904.00962,
  algorithm 2. The step of a layer is learning_rate * |w| / |u| * u, with u the step of
  Adam plus weight_decay * w. What does not decay (see `decays`) takes the step of Adam,
  and the ratio is 1 where w or u is all 0.

  Args:
    learning_rate: float scalar tensor.
    beta1: decay of the first moment.
    beta2: decay of the second moment.
    epsilon: added to the root of the second moment.
    weight_decay: pulls the weights to 0, within the adapted rate.
  """

  def __init__(self, learning_rate, beta1: float, beta2: float, epsilon: float,
               weight_decay: float):
    super().__init__(learning_rate, beta1, beta2, epsilon, name='LAMB')
    self._rate, self._betas = learning_rate, (beta1, beta2)
    self._small, self._weight_decay = epsilon, weight_decay

  def _step(self, gradient, variable):
    # A gradient may be of several reads of the weights: read after all of them.
    with tf.control_dependencies([gradient]):
      weights = variable.read_value()
    moments, corrected = [], []
    for name, beta, power, value in zip(
        ('m', 'v'), self._betas, self._get_beta_accumulators(),
        (gradient, tf.square(gradient)), strict=True):
      slot = self.get_slot(variable, name)
      moment = beta * slot.read_value() + (1 - beta) * value
      moments.append(slot.assign(moment, read_value=False))
      corrected.append(moment / (1 - tf.cast(power, moment.dtype)))
    step = corrected[0] / (tf.sqrt(corrected[1]) + self._small)
    if decays(variable):
      step += self._weight_decay * weights
      step *= _size_ratio(weights, step)
    return tf.group(*moments, variable.assign_sub(
        tf.cast(self._rate, step.dtype) * step, read_value=False))


def _size_ratio(weights, step):
  """Returns |weights| / |step|; 1 where one of them is 0."""
  size, length = tf.norm(weights), tf.norm(step)
  both = (size > 0) & (length > 0)
  ratio = tf.math.divide_no_nan(size, length)
  return tf.where(both, ratio, tf.ones_like(ratio))


# For each name: the optimizer, and its argument for each established option.
_OPTIMIZERS = {
    'adadelta': (tf.train.AdadeltaOptimizer, {
        'rho': 'adadelta_rho', 'epsilon': 'opt_epsilon'}),
    'adagrad': (tf.train.AdagradOptimizer, {
        'initial_accumulator_value': 'adagrad_initial_accumulator_value'}),
    'adam': (tf.train.AdamOptimizer, {
        'beta1': 'adam_beta1', 'beta2': 'adam_beta2', 'epsilon': 'opt_epsilon'}),
    'ftrl': (tf.train.FtrlOptimizer, {
        'learning_rate_power': 'ftrl_learning_rate_power',
        'initial_accumulator_value': 'ftrl_initial_accumulator_value',
        'l1_regularization_strength': 'ftrl_l1',
        'l2_regularization_strength': 'ftrl_l2'}),
    'adamw': (AdamW, {
        'beta1': 'adam_beta1', 'beta2': 'adam_beta2', 'epsilon': 'opt_epsilon',
        'weight_decay': 'weight_decay'}),
    'lamb': (Lamb, {
        'beta1': 'adam_beta1', 'beta2': 'adam_beta2', 'epsilon': 'opt_epsilon',
        'weight_decay': 'weight_decay'}),
    'lars': (Lars, {
        'momentum': 'momentum', 'weight_decay': 'weight_decay',
        'trust_coefficient': 'lars_trust_coefficient'}),
    'momentum': (tf.train.MomentumOptimizer, {'momentum': 'momentum'}),
    'nesterov': (
        functools.partial(tf.train.MomentumOptimizer, use_nesterov=True), {
            'momentum': 'momentum'}),
    'sgd': (tf.train.GradientDescentOptimizer, {}),
    'rmsprop': (tf.train.RMSPropOptimizer, {
        'decay': 'rmsprop_decay', 'momentum': 'rmsprop_momentum',
        'epsilon': 'opt_epsilon'}),
}

NAMES = tuple(_OPTIMIZERS)


def options_of(name: str) -> tuple[str, ...]:
  """Returns the names of the options that the optimizer `name` reads."""
  return tuple(_OPTIMIZERS[name][1].values())


def decays_weights(name: str) -> bool:
  """Returns whether the optimizer `name` decays the weights, in place of the loss."""
  return 'weight_decay' in options_of(name)


def get_optimizer(name: str, learning_rate, **options) -> tf.train.Optimizer:
  """Returns an optimizer.

  Args:
    name: one of `NAMES`.
    learning_rate: a float scalar tensor.
    **options: a value for each of `options_of(name)`; others are ignored.
  """
  optimizer, parameters = _OPTIMIZERS[name]
  return optimizer(learning_rate, **{
      parameter: options[option] for parameter, option in parameters.items()})
