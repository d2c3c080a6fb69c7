"""Paths as users write them: ~ is expanded, a path that is not local is refused."""

import errno
import os
import re
import tempfile

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


def check_writable(folder: str) -> None:
  """Tries to write where a folder is or would be made; leaves nothing there.

  Raises:
    OSError: no file can be written there; it names the folder.
  """
  there = os.path.abspath(folder)
  while not os.path.lexists(there):
    there = os.path.dirname(there)
  try:
    # It has no name in the folder: a kill leaves nothing.
    with tempfile.TemporaryFile(dir=there) as file:
      file.write(b'x')
  except OSError as error:
    code = error.errno
    if code == errno.ENOENT and os.path.isdir(there):
      code = errno.EPERM  # The system makes the files of the folder, such as /proc.
    raise OSError(code, os.strerror(code), folder) from error
