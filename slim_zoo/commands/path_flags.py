"""Flags that name files and folders: ~ is expanded, what is not local is refused."""

import os
import re
from collections.abc import Sequence

from absl import flags

from slim_zoo import diagnostics

# A flag belongs to the module that defines it by the functions here.
flags.disclaim_key_flags()

_REMOTE = re.compile(r'([a-z][a-z0-9+.-]+)://|(gs|s3|hdfs|viewfs|https?|ftp):/', re.I)
_LOCAL = re.compile(r'file://(localhost)?(?=/)', re.I)
_OF_THE_WEB = ('http', 'https', 'ftp')


def expand(path: str) -> str:
  """Returns a path as the user means it: ~ and ~user are expanded, file:// goes.

  Raises:
    ValueError: it is remote, or there is no such user; the text says what to do.
  """
  path = _LOCAL.sub('', path, count=1) if _LOCAL.match(path) else path
  if remote := _REMOTE.match(path):
    scheme = (remote[1] or remote[2]).lower()
    advice = ('download it and name the file' if scheme in _OF_THE_WEB else
              'mount it, or copy it to a local disk, and name that folder')
    raise ValueError(f"'{path}' is a remote path ({scheme}), only local files are read"
                     f' and written: {advice}')
  expanded = os.path.expanduser(path)
  if expanded.startswith('~') and not os.path.lexists(path):
    user = path[1:].partition('/')[0]
    raise ValueError(f"'{path}': there is no user '{user}' whose folder this could be;"
                     f' write ./{path} for a file of that name')
  return expanded


def expand_arguments(arguments: Sequence[str]) -> list[str]:
  """Returns the paths among a script's arguments as `expand` does.

  Raises:
    UserError: one is remote, or there is no such user.
  """
  try:
    return [expand(argument) for argument in arguments]
  except ValueError as error:
    raise diagnostics.UserError(str(error)) from error


class PathParser(flags.ArgumentParser):
  """Parses a path."""

  syntactic_help = 'a path'

  def parse(self, argument):
    """Returns the path, expanded; raises ValueError for one that is not local."""
    return expand(argument)

  def flag_type(self):
    """Returns the name of the type."""
    return 'path'


class PathListParser(flags.ListParser):
  """Parses paths that are separated by commas."""

  def parse(self, argument):
    """Returns the paths, expanded; raises ValueError for one that is not local."""
    return [expand(path) for path in super().parse(argument)]


def DEFINE_path(  # noqa: N802
    name: str, default: str | None, help_text: str,
    flag_values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines a flag that names a file or a folder."""
  flags.DEFINE(PathParser(), name, default, help_text, flag_values=flag_values,
               serializer=flags.ArgumentSerializer())


def DEFINE_path_list(  # noqa: N802
    name: str, default: Sequence[str], help_text: str,
    flag_values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines a flag that names files, folders or patterns, separated by commas."""
  flags.DEFINE(PathListParser(), name, default, help_text, flag_values=flag_values,
               serializer=flags.CsvListSerializer(','))
