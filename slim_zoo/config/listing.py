"""Tables and pictures of what is there: networks, and the curves of runs."""

import dataclasses
import os
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.config.options import Config, Group, check_png, option


@dataclasses.dataclass(frozen=True)
class NetworkTable(Group):
  """Which networks are listed, and how."""

  filter: str = option(
      '', 'List only networks whose name contains this, or fits it where it has one of'
      ' *?[ (a glob pattern).')
  sort: str = option(
      'name', 'The column to sort by, from small to large.',
      choices=('name', 'parameters', 'multiply_adds', 'size'))
  format: str = option(
      'text', 'How to print the table. JSON has plain numbers, null where a network was'
      ' not measured.', choices=('text', 'json', 'markdown'))
  measure: bool = option(
      False, 'Build the networks first, count parameters and multiply-adds, and store'
      ' the counts and the variables. All of them take minutes.')


@dataclasses.dataclass(frozen=True)
class NetworksConfig(Config):
  """Everything that decides what the table of networks shows."""

  table: NetworkTable
  user_options: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class CurvesPicture(Group):
  """The picture of learning curves."""

  output: str = option('learning_curves.png', 'PNG file to write.', is_path=True)


@dataclasses.dataclass(frozen=True)
class CurvesConfig(Config):
  """Everything that decides what the picture of learning curves shows."""

  picture: CurvesPicture
  user_options: frozenset[str] = frozenset()

  def check(self, folders: Sequence[str]) -> None:
    """Refuses folders that are not there, and a file that is not a picture.

    Args:
      folders: of the runs.

    Raises:
      UserError: the first fault.
    """
    if not folders:
      raise diagnostics.UserError(
          'no folders: name those that --train_dir and --eval_dir named')
    for folder in folders:
      if not os.path.isdir(folder):
        raise diagnostics.UserError(
            f"no folder '{folder}': name a --train_dir or an --eval_dir of a run")
    output = self.picture.output
    if not output or os.path.isdir(output):
      raise diagnostics.UserError(
          f"--output='{output}' is not a file: name a PNG file to write")
    check_png(output, 'output')

  @property
  def folders(self) -> list[str]:
    """The folder of the picture."""
    return [os.path.dirname(self.picture.output) or '.']
