"""Paths as users write them: ~ is expanded, a path that is not local is refused."""

import os
import re

# A single letter is a drive of Windows.
_REMOTE = re.compile(r'([a-z][a-z0-9+.-]+):/', re.I)
_VARIABLE = re.compile(r'\$(?:\{(\w+)\}|(\w+))')
_LOCAL = re.compile(r'file://(localhost)?(?=/)', re.I)
_OF_THE_WEB = ('http', 'https', 'ftp')


def expand(path: str) -> str:
  """Returns a path as the user means it: ~ and ~user are expanded, file:// goes.

  Raises:
    ValueError: it is remote, there is no such user, or the shell did not replace a
      variable; the text says what to do.
  """
  path = _LOCAL.sub('', path, count=1) if _LOCAL.match(path) else path
  if (remote := _REMOTE.match(path)) and not os.path.lexists(path):
    scheme = remote[1].lower()
    advice = ('download it and name the file' if scheme in _OF_THE_WEB else
              'mount it, or copy it to a local disk, and name that folder')
    raise ValueError(f"'{path}' is a remote path ({scheme}), only local files are read"
                     f' and written: {advice}')
  expanded = os.path.expanduser(path)
  if expanded.startswith('~') and not os.path.lexists(path):
    user = path[1:].partition('/')[0]
    raise ValueError(f"'{path}': there is no user '{user}' whose folder this could be;"
                     f' write ./{path} for a file of that name')
  variable = _VARIABLE.search(path)
  if variable and (variable[1] or variable[2]) in os.environ and not (
      os.path.lexists(path)):
    raise ValueError(f"'{path}': variables such as {variable[0]} are left to the shell:"
                     ' write the whole path, or ~ for your home folder')
  return expanded


def check_encoding(path: str) -> None:
  """Refuses a path that TensorFlow cannot take.

  Raises:
    ValueError: it is not UTF-8; the text says what to do.
  """
  try:
    path.encode()
  except UnicodeEncodeError:
    raise ValueError(f"'{path}' is not UTF-8, and TensorFlow writes and reads no other"
                     ' paths: rename the file or folder') from None
