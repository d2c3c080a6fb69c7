"""The optimizer: how gradients become updates."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.config.options import Group, option

# The options that each optimizer reads.
OPTIONS = {
    'adadelta': ('adadelta_rho', 'opt_epsilon'),
    'adagrad': ('adagrad_initial_accumulator_value',),
    'adam': ('adam_beta1', 'adam_beta2', 'opt_epsilon'),
    'adamw': ('adam_beta1', 'adam_beta2', 'opt_epsilon', 'weight_decay'),
    'ftrl': ('ftrl_learning_rate_power', 'ftrl_initial_accumulator_value', 'ftrl_l1',
             'ftrl_l2'),
    'lamb': ('adam_beta1', 'adam_beta2', 'opt_epsilon', 'weight_decay'),
    'lars': ('momentum', 'weight_decay', 'lars_trust_coefficient'),
    'momentum': ('momentum',),
    'nesterov': ('momentum',),
    'sgd': (),
    'rmsprop': ('rmsprop_decay', 'rmsprop_momentum', 'opt_epsilon'),
}
# The epsilon of newer optimizers, which do not have the established one of 1.0.
OWN_EPSILONS = {'adamw': 1e-8, 'lamb': 1e-6}


@dataclasses.dataclass(frozen=True)
class Optimizer(Group):
  """The optimizer with its hyperparameters, and what is done to gradients first."""

  optimizer: str = option(
      'rmsprop', 'How gradients become updates. adamw, lars and lamb do the'
      ' --weight_decay themselves, in place of the loss.', choices=tuple(OPTIONS))
  adadelta_rho: float = option(0.95, 'Decay rate of adadelta.')
  adagrad_initial_accumulator_value: float = option(
      0.1, 'Start of the adagrad accumulators.')
  adam_beta1: float = option(0.9, 'Decay of the first moment of adam, adamw, lamb.')
  adam_beta2: float = option(
      0.999, 'Decay of the second moment of adam, adamw, lamb.')
  opt_epsilon: float = option(
      1.0, 'Epsilon of adadelta, adam and rmsprop; for adam 1e-8 is usual. adamw has'
      ' 1e-8 and lamb 1e-6 unless this is given.')
  ftrl_learning_rate_power: float = option(-0.5, 'Learning rate power of ftrl.')
  ftrl_initial_accumulator_value: float = option(0.1, 'Start of the ftrl accumulators.')
  ftrl_l1: float = option(0.0, 'L1 regularization of ftrl.')
  ftrl_l2: float = option(0.0, 'L2 regularization of ftrl.')
  lars_trust_coefficient: float = option(
      0.001, 'How far lars may change a layer, relative to its norm.', lower=0)
  momentum: float = option(0.9, 'Momentum of momentum, nesterov and lars.')
  rmsprop_momentum: float = option(0.9, 'Momentum of rmsprop.')
  rmsprop_decay: float = option(0.9, 'Decay of the mean square of rmsprop.')
  moving_average_decay: float | None = option(
      None, 'Also keep moving averages of the variables, for evaluation.', float,
      lower=0, upper=1)
  clip_gradient_norm: float = option(
      0.0, 'Largest norm of the gradients, summed over the clones; those beyond are'
      ' scaled down to it. 0 lets them be.', lower=0)
  clip_gradients_by: str = option(
      'global', "Whether --clip_gradient_norm is of all gradients together, or of each"
      " variable's own.", choices=('global', 'variable'))
  accumulate_steps: int = option(
      1, 'Batches of a step: it updates once, with their mean gradient, and the global'
      ' step counts updates.', lower=1)

  def check(self, user_options: frozenset[str]) -> None:
    """Refuses options that make no sense.

    Args:
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    if 'clip_gradients_by' in user_options and not self.clip_gradient_norm:
      raise diagnostics.UserError(
          f'--clip_gradients_by={self.clip_gradients_by} needs a --clip_gradient_norm,'
          ' such as 1.0')

  @property
  def decays_weights(self) -> bool:
    """Whether the optimizer does the weight decay, in place of the loss."""
    return 'weight_decay' in OPTIONS[self.optimizer]

  def epsilon(self, user_options: frozenset[str]) -> float:
    """Returns the epsilon in use: some have their own unless the user sets one."""
    if 'opt_epsilon' in user_options:
      return self.opt_epsilon
    return OWN_EPSILONS.get(self.optimizer, self.opt_epsilon)

  def without_effect(self) -> dict[str, str]:
    """Returns the cause for each option that changes nothing."""
    used = OPTIONS[self.optimizer]
    every = dict.fromkeys(name for names in OPTIONS.values() for name in names)
    return {name: f'--optimizer={self.optimizer}' for name in every
            if name not in used and name != 'weight_decay'}

  def notes(self, weight_decay: float, user_options: frozenset[str]) -> list[str]:
    """Returns a line for every option that is not what a user expects."""
    if self.optimizer == 'adam' and 'opt_epsilon' not in user_options:
      return ['adam with its established epsilon of 1.0 learns slowly:'
              ' --opt_epsilon=1e-8 is usual']
    if self.optimizer in OWN_EPSILONS and 'weight_decay' not in user_options:
      return [f'{self.optimizer} hardly decays with the --weight_decay of'
              f' {weight_decay:g}, which is meant for a penalty in the loss: 0.01 to'
              ' 0.1 is usual']
    return []
