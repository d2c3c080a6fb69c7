"""Writes single files completely or not at all, even if the process is killed.

For several files that belong together see `staging`.
"""

import contextlib
import errno
import functools
import glob
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator

from slim_zoo.files import owners

# Unfinished files of another machine are left alone for so long.
_ABANDONED_SECONDS = 24 * 3600


@contextlib.contextmanager
def replacing(path: str | os.PathLike, partial: str | None = None) -> Iterator[str]:
  """Yields the path of a temporary file; at the end of the block it becomes `path`.

  The content is on the disk before the name changes. If the block fails, or writes no
  file, `path` is unchanged. The temporary file is removed; after a kill, the next
  process that writes the same file removes it. Of two processes that write the same
  file at the same time, the last one wins.

  Args:
    path: the file to write, in an existing folder.
    partial: path of the temporary file, in the same folder; by default a name that
      this process alone has.

  Raises:
    OSError: the file cannot be written.
  """
  if partial is None:
    partial = _partial(path)
    _remove_abandoned(path)
  with naming(path, partial), _moved(partial, path):
    yield partial


def _partial(path):
  """Returns the path of this process's temporary file: .NAME.MACHINE-PROCESS.part."""
  folder, name = os.path.split(os.fspath(path))
  return os.path.join(folder, f'.{name}.{_machine()}-{os.getpid()}.part')


@functools.cache
def _machine():
  return hashlib.sha256(owners.machine().encode()).hexdigest()[:6]


def _remove_abandoned(path):
  """Removes what killed processes left of a file."""
  folder, name = os.path.split(os.fspath(path))
  for partial in glob.glob(os.path.join(
      glob.escape(folder), f'.{glob.escape(name)}.*-*.part')):
    end = re.search(r'\.([0-9a-f]{6})-(\d{1,18})\.part$', partial)
    if end is None:
      continue
    with contextlib.suppress(OSError):  # Another process removes it, too.
      if (not owners.has_process(int(end[2])) if end[1] == _machine() else
          time.time() - os.path.getmtime(partial) > _ABANDONED_SECONDS):
        os.remove(partial)


@contextlib.contextmanager
def naming(path: str | os.PathLike, partial: str) -> Iterator[None]:
  """Lets the errors of a temporary file name the file that a user asked for.

  Args:
    path: the file that the user asked for.
    partial: path of the temporary file, in the same folder.

  Raises:
    OSError: the block failed on `partial`.
  """
  try:
    yield
  except OSError as error:
    if error.filename != partial:
      raise
    code = error.errno
    if code == errno.ENOENT and os.path.isdir(os.path.dirname(partial) or '.'):
      code = errno.EPERM  # The system makes the files of the folder, such as /proc.
    raise OSError(code, os.strerror(code), os.fspath(path)) from error


@contextlib.contextmanager
def _moved(partial, path):
  """Moves the temporary file at the end of the block, or removes it."""
  try:
    yield
    if os.path.exists(partial):
      descriptor = os.open(partial, os.O_RDWR)
      try:
        os.fsync(descriptor)
      finally:
        os.close(descriptor)
      os.replace(partial, path)
  finally:
    with contextlib.suppress(FileNotFoundError):
      os.remove(partial)


def write_text(path: str | os.PathLike, text: str, encoding: str = 'utf-8',
               partial: str | None = None) -> None:
  """Writes a text file, see `replacing`; keeps bytes that are not UTF-8."""
  with replacing(path, partial) as unfinished, open(
      unfinished, 'w', encoding=encoding, errors='surrogateescape') as file:
    file.write(text)


def read_json(path: str) -> dict | None:
  """Returns the JSON object in a file; None if there is no file or no object."""
  try:
    with open(path, encoding='utf-8') as file:
      value = json.load(file)
  except (FileNotFoundError, ValueError):
    return None
  return value if isinstance(value, dict) else None
