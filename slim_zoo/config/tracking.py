"""Trackers of experiments: MLflow and Weights & Biases."""

import dataclasses
import importlib.util

from slim_zoo import diagnostics
from slim_zoo.config.options import Group, option, options_of

# What to install for each of them.
REQUIREMENTS = {'mlflow': 'mlflow>=3.17,<4', 'wandb': 'wandb>=0.31,<1'}


@dataclasses.dataclass(frozen=True)
class Tracking(Group):
  """Trackers of experiments that get parameters, numbers and files."""

  log_to: tuple[str, ...] = option(
      (), 'Trackers that get the parameters, the metrics, and the run card or the'
      ' report: mlflow, wandb, or both, separated by commas. MLflow writes to the'
      ' server in the variable MLFLOW_TRACKING_URI, or to an SQLite file in'
      ' --log_to_dir. Without a key in WANDB_API_KEY or a netrc file, wandb writes to'
      ' --log_to_dir.', choices=tuple(REQUIREMENTS))
  log_to_project: str | None = option(
      None, 'Experiment in MLflow, project in wandb; by default slim-zoo.', str)
  log_to_name: str | None = option(
      None, 'Name of the run in the trackers; by default the name of its folder.', str)
  log_to_dir: str | None = option(
      None, 'Folder for the local files of trackers without a server. To see several'
      ' runs together, give them the same folder. By default the folder of the run.',
      str, is_path=True)

  def check(self, is_chief: bool = True) -> None:
    """Refuses a tracker that is not installed.

    Args:
      is_chief: whether this process logs; others do not need the libraries.

    Raises:
      UserError: the first one, with the command that installs it.
    """
    for name in self.log_to if is_chief else ():
      if not _is_installed(name):
        raise diagnostics.UserError(
            f'--log_to={name} needs {name}, which is not installed: python -m pip'
            f' install "{REQUIREMENTS[name]}"')

  @property
  def folders(self) -> list[str]:
    """The folder of local files, if one is named."""
    return [self.log_to_dir] if self.log_to and self.log_to_dir else []

  def without_effect(self) -> dict[str, str]:
    """Returns the cause for each option that changes nothing."""
    return {} if self.log_to else dict.fromkeys(
        ('log_to_project', 'log_to_name', 'log_to_dir'), 'no --log_to')


# All options of this group.
NAMES = frozenset(options_of(Tracking))


def _is_installed(name):
  """Tells whether a package is installed.

  A folder of this name, such as that of wandb's files, is not a package.
  """
  spec = importlib.util.find_spec(name)
  return spec is not None and spec.origin is not None
