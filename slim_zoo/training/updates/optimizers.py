"""Optimizers by name, with the established hyperparameters."""

import functools

from slim_zoo.tf_compat import tf
from slim_zoo.training.updates import weight_decay

# For each name: the optimizer, and what it calls each established option.
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
    'adamw': (weight_decay.AdamW, {
        'beta1': 'adam_beta1', 'beta2': 'adam_beta2', 'epsilon': 'opt_epsilon',
        'weight_decay': 'weight_decay'}),
    'lars': (weight_decay.Lars, {
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
  """Tells whether the optimizer `name` does the weight decay, in the loss's place."""
  return 'weight_decay' in options_of(name)


def get_optimizer(name: str, learning_rate, **options) -> tf.train.Optimizer:
  """Returns an optimizer.

  Args:
    name: one of `NAMES`.
    learning_rate: a float scalar tensor.
    **options: a value for each of `options_of(name)`; others are not looked at.
  """
  optimizer, parameters = _OPTIMIZERS[name]
  return optimizer(learning_rate, **{
      parameter: options[option] for parameter, option in parameters.items()})
