"""Names of files in archives and descriptions that are not trusted."""

import os
import re


def is_file_name(value: object) -> bool:
  """Returns whether a value is a name of a file or folder, without other folders.

  Such a name leads out of no folder: '..' is none.
  """
  return (isinstance(value, str) and os.path.basename(value) == value
          and value not in ('', os.curdir, os.pardir))


def is_outside_archive(path: str) -> bool:
  """Returns whether the path of an archive's member is outside of the archive."""
  plain = path.replace('\\', '/')
  return bool(plain.startswith('/') or re.match('[A-Za-z]:', plain)
              or '..' in plain.split('/') or '\x00' in plain)
