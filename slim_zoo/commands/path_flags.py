"""Flags that name files and folders: ~ is expanded, what is not local is refused."""

from collections.abc import Sequence

from absl import flags

from slim_zoo import paths

# A flag belongs to the module that defines it by the functions here.
flags.disclaim_key_flags()


class PathParser(flags.ArgumentParser):
  """Parses a path.

  Args:
    takes_bytes: whether the path may be other than UTF-8.
  """

  syntactic_help = 'a path'

  def __init__(self, takes_bytes: bool = False):
    super().__init__()
    self._takes_bytes = takes_bytes

  def parse(self, argument):
    """Returns the path, expanded; raises ValueError for one that cannot be used."""
    if not self._takes_bytes:
      paths.check_encoding(argument)
    return paths.expand(argument)

  def flag_type(self):
    """Returns the name of the type."""
    return 'path'


class PathListParser(flags.ListParser):
  """Parses paths that are separated by commas."""

  def parse(self, argument):
    """Returns the paths, expanded; raises ValueError for one that is not local."""
    return [paths.expand(path) for path in super().parse(argument)]


def DEFINE_path(  # noqa: N802
    name: str, default: str | None, help_text: str,
    flag_values: flags.FlagValues = flags.FLAGS, module_name: str | None = None,
    takes_bytes: bool = False) -> None:
  """Defines a flag that names a file or a folder.

  Args:
    name: of the flag.
    default: path, or None.
    help_text: for --help.
    flag_values: that the flag is added to.
    module_name: module whose title --help shows above the flag; by default that
      of the caller.
    takes_bytes: whether the path may be other than UTF-8.
  """
  flags.DEFINE(
      PathParser(takes_bytes), name, default, help_text, flag_values=flag_values,
      serializer=flags.ArgumentSerializer(), module_name=module_name)


def DEFINE_path_list(  # noqa: N802
    name: str, default: Sequence[str], help_text: str,
    flag_values: flags.FlagValues = flags.FLAGS, module_name: str | None = None
) -> None:
  """Defines a flag that names files, folders or patterns, separated by commas."""
  flags.DEFINE(PathListParser(), name, default, help_text, flag_values=flag_values,
               serializer=flags.CsvListSerializer(','), module_name=module_name)
