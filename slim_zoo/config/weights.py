"""Options of slim-zoo weights: which published weights are listed or downloaded."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.catalog import published
from slim_zoo.config.options import Config, Group, option


@dataclasses.dataclass(frozen=True)
class PublishedWeights(Group):
  """Which published weights, and where they come from."""

  list: bool = option(False, 'List the published checkpoints.')
  filter: str = option(
      '', 'List only checkpoints whose name or network contains this text, or matches'
      ' it if the text is a pattern with *, ? or [.')
  format: str = option(
      'text', 'Format of the list. json contains the addresses too.',
      choices=('text', 'json', 'markdown'))
  get: str | None = option(
      None, 'Name of the checkpoint to download to the cache; --list shows the names.',
      str)
  mirrors: tuple[str, ...] = option(
      (), 'Other places of the archives, comma-separated: addresses of folders, or'
      ' local folders. They are tried before the published addresses, in this order.')
  framework: str | None = option(
      None, 'Convert weights of Keras or timm for the same network. They are not the'
      ' published weights. --from is the same flag.', str, choices=('keras', 'timm'))
  python: str = option(
      '', 'Path of a Python interpreter with the other framework; by default this one.',
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
            f'{row.name} is quantized, but the weights of {self.framework} are not:'
            ' leave out --from, or choose a checkpoint that is not quantized')


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
