"""Published weights: which are listed, or downloaded."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.catalog import published
from slim_zoo.config.options import Config, Group, option


@dataclasses.dataclass(frozen=True)
class PublishedWeights(Group):
  """Which published weights, and where they come from."""

  list: bool = option(False, 'List the published checkpoints.')
  filter: str = option(
      '', 'List only those whose name or network contains this, or fits it where it has'
      ' one of *?[ (a glob pattern).')
  format: str = option(
      'text', 'How to print the list. JSON has the addresses, too.',
      choices=('text', 'json', 'markdown'))
  get: str | None = option(
      None, 'Name of the checkpoint to download to the cache, as --list shows it.', str)
  mirrors: tuple[str, ...] = option(
      (), 'Addresses of folders, or local folders, that have the archives. They are'
      ' tried before the published addresses, in this order.')
  framework: str | None = option(
      None, 'Convert the weights of Keras or timm for the same network, which are not'
      ' the published ones. --from is the same.', str, choices=('keras', 'timm'))
  python: str = option(
      '', 'Interpreter that has the other framework, if it is not this one.',
      is_path=True)

  def check(self, user_options: frozenset[str]) -> None:
    """Refuses options that do not fit together, and an unknown checkpoint.

    Args:
      user_options: names of the options that the user set.

    Raises:
      UserError: the first fault.
    """
    if self.list == bool(self.get):
      raise diagnostics.UserError(
          '--list and --get=NAME: expected one of them, got'
          f' {"both" if self.get else "none"}')
    needed = {'filter': 'list', 'format': 'list', 'mirrors': 'get', 'framework': 'get',
              'python': 'framework'}
    for name, other in needed.items():
      if name in user_options and not getattr(self, other):
        raise diagnostics.UserError(f'--{name} has no effect without --{other}')
    if self.framework and self.mirrors:
      raise diagnostics.UserError(
          f'--mirrors has no effect with --from={self.framework}: leave out one')
    if self.get:
      row = published.get(self.get)
      if self.framework and row.is_quantized:
        raise diagnostics.UserError(
            f'{row.name} is quantized, the weights of {self.framework} are not: leave'
            ' out --from, or name a checkpoint without quant or uint8')


@dataclasses.dataclass(frozen=True)
class WeightsConfig(Config):
  """Everything that decides which published weights are listed or downloaded.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  weights: PublishedWeights
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses options that make no sense.

    Raises:
      UserError: the first fault.
    """
    self.weights.check(self.user_options)
