"""Inspection: which checkpoint, how thoroughly, and how the facts are printed."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.config.options import Config, Group, option

# The formats of `checkpoints.dumping`.
DUMP_SUFFIXES = ('.npz', '.safetensors')


@dataclasses.dataclass(frozen=True)
class InspectedCheckpoint(Group):
  """What is inspected."""

  checkpoint_path: str | None = option(
      None, 'Checkpoint, any of its files, or a folder, for the latest in it; or'
      ' published:NAME, as slim-zoo weights --list shows it.', str, is_path=True)
  json: bool = option(
      False, 'Print one JSON object, with null for what is not there.')
  check_values: bool = option(
      True, 'Read every value: shows damage, and what is not finite.')
  dump: str | None = option(
      None, 'Write all values, with their names, to this file: .npz or .safetensors.',
      str, is_path=True)


@dataclasses.dataclass(frozen=True)
class InspectConfig(Config):
  """Everything that decides what an inspection does.

  Attributes:
    user_options: names of the options that the user set; others have their defaults.
  """

  checkpoint: InspectedCheckpoint
  user_options: frozenset[str] = frozenset()

  def check(self) -> None:
    """Refuses a checkpoint that is not there.

    Raises:
      UserError: there is none, or the file of --dump cannot be written.
    """
    path = self.checkpoint.checkpoint_path
    if not path:
      raise diagnostics.UserError(
          'no --checkpoint_path: name a checkpoint such as model.ckpt-1000, or a'
          ' folder')
    checkpoint_names.check_there(path)
    if self.checkpoint.dump is not None:
      _check_dump(self.checkpoint.dump)


def _check_dump(path):
  """Raises UserError for a path to which no values can be written."""
  if not path.endswith(DUMP_SUFFIXES):
    raise diagnostics.UserError(
        f"--dump='{path}': expected a name that ends in {' or '.join(DUMP_SUFFIXES)}")
  if os.path.isdir(path):
    raise diagnostics.UserError(f"--dump='{path}' is a folder: name a file")
