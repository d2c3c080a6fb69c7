"""Paths as users write them: ~ is expanded, a path that is not local is refused."""

import os
import re

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
