"""The learning rate: where it starts, how it falls, and where it differs."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.config.options import Group, number_of, option, pairs


@dataclasses.dataclass(frozen=True)
class LearningRate(Group):
  """The schedule in epochs, and factors of the rate by scope."""

  learning_rate_decay_type: str = option(
      'exponential', 'How the learning rate falls.',
      choices=('fixed', 'exponential', 'polynomial', 'cosine', 'cosine_restarts',
               'piecewise'))
  learning_rate: float = option(0.01, 'Initial learning rate.', lower=0)
  end_learning_rate: float = option(
      0.0001, 'Final learning rate of a polynomial or cosine decay.', lower=0)
  learning_rate_decay_factor: float = option(
      0.94, 'What an exponential decay multiplies by.', lower=0)
  num_epochs_per_decay: float = option(
      2.0, 'Epochs between decays, or to the end of a polynomial or cosine decay, or to'
      ' the first restart. A cosine decay without it ends at --max_number_of_steps.',
      lower=1e-6)
  restart_period_growth: float = option(
      1.0, 'cosine_restarts: how long each cosine is, relative to the one before; 2'
      ' doubles the epochs between restarts.', lower=1)
  restart_rate_factor: float = option(
      1.0, 'cosine_restarts: where each cosine begins, relative to the one before.',
      lower=0)
  learning_rate_at_epochs: str | None = option(
      None, 'Rates of a piecewise decay, such as 30:0.001,60:0.0001: from the beginning'
      ' of each EPOCH on the RATE.', str)
  warmup_epochs: float = option(
      0.0, 'Epochs over which the learning rate first rises to its start.', lower=0)
  epochs_are: str = option(
      'per_clone', 'Whose batches count the epochs of these flags: those of one clone,'
      ' as in TF-Slim, so that N clones see every image N times in one; or those of all'
      ' clones.', choices=('per_clone', 'global'))
  learning_rate_multipliers: str | None = option(
      None, 'Factors of the learning rate, such as'
      ' InceptionV3/Logits:10,InceptionV3/Conv2d:0, by scope. If several scopes match a'
      ' variable, the longest is used. 0 freezes it.', str)

  layer_decay: float = option(
      1.0, 'Factor of the learning rate from each layer to the one before it: the head'
      ' has the whole rate, the last layer this share of it, and so on. 0.65 to 0.9 are'
      ' usual in fine-tuning. Factors of --learning_rate_multipliers replace those of'
      ' their scopes.', lower=0.01, upper=1)

  def check(self, max_number_of_steps: int | None,
            user_options: frozenset[str]) -> None:
    """Refuses options that make no sense.

    Args:
      max_number_of_steps: of the run.
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    kind, changes = self.learning_rate_decay_type, self.changes()
    if changes and kind != 'piecewise':
      raise diagnostics.UserError(
          f'--learning_rate_at_epochs={self.learning_rate_at_epochs} needs'
          f' --learning_rate_decay_type=piecewise, it is {kind}: set it, or leave out'
          ' the epochs')
    if kind == 'piecewise' and not changes:
      raise diagnostics.UserError(
          '--learning_rate_decay_type=piecewise needs --learning_rate_at_epochs, such'
          ' as 30:0.001,60:0.0001')
    if kind == 'cosine' and not (
        'num_epochs_per_decay' in user_options or max_number_of_steps):
      raise diagnostics.UserError(
          '--learning_rate_decay_type=cosine needs an end: give --max_number_of_steps,'
          ' or --num_epochs_per_decay for the epochs that it takes')
    self.multipliers()

  def without_effect(self, num_clones: int, user_options: frozenset[str]
                     ) -> dict[str, str]:
    """Returns the cause for each option that changes nothing."""
    kind = self.learning_rate_decay_type
    decay = f'--learning_rate_decay_type={kind}'
    causes = {name: decay for name, kinds in (
        ('learning_rate_decay_factor', ('exponential',)),
        ('end_learning_rate', ('polynomial', 'cosine', 'cosine_restarts')),
        ('restart_period_growth', ('cosine_restarts',)),
        ('restart_rate_factor', ('cosine_restarts',)),
        ('num_epochs_per_decay', ('exponential', 'polynomial', 'cosine',
                                  'cosine_restarts')))
              if kind not in kinds}
    if not self.counts_epochs(user_options):
      causes['epochs_are'] = f'{decay} and no warm-up'
    elif num_clones == 1:
      causes['epochs_are'] = 'one clone'
    return causes

  def counts_epochs(self, user_options: frozenset[str]) -> bool:
    """Returns whether the schedule depends on the length of an epoch."""
    kind = self.learning_rate_decay_type
    return bool(self.warmup_epochs or kind in (
        'exponential', 'polynomial', 'cosine_restarts', 'piecewise')
                or (kind == 'cosine' and 'num_epochs_per_decay' in user_options))

  def multipliers(self) -> dict[str, float]:
    """Returns the factors of the rate by scope.

    Raises:
      UserError: the text has another form, or names a scope twice.
    """
    factors = {}
    for scope, factor in pairs('learning_rate_multipliers',
                               self.learning_rate_multipliers, 'SCOPE:FACTOR'):
      if scope in factors:
        raise diagnostics.UserError(
            f"--learning_rate_multipliers names '{scope}' twice: give it one factor")
      factors[scope] = factor
    return factors

  def changes(self) -> list[tuple[float, float]]:
    """Returns the (epoch, rate) of a piecewise decay, in their order.

    Raises:
      UserError: the text has another form, or an epoch is not after the one before.
    """
    changes = []
    for text, rate in pairs('learning_rate_at_epochs', self.learning_rate_at_epochs,
                            'EPOCH:RATE'):
      epoch = number_of(text)
      if epoch is None:
        raise diagnostics.UserError(
            f"--learning_rate_at_epochs={self.learning_rate_at_epochs}: '{text}' is not"
            ' a number; expected EPOCH:RATE such as 30:0.001')
      if changes and epoch <= changes[-1][0]:
        raise diagnostics.UserError(
            f'--learning_rate_at_epochs={self.learning_rate_at_epochs}: the epochs are'
            f" numbers that rise, '{text}' is out of order")
      changes.append((epoch, rate))
    return changes
