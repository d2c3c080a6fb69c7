"""Writes single files completely or not at all, even if the process is killed.

For several files that belong together see `staging`.
"""

import contextlib
import errno
import json
import os
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike, partial: str | None = None) -> Iterator[str]:
  """Yields the path of a temporary file; at the end of the block it becomes `path`.

  The content is on the disk before the name changes. If the block fails, or writes no
  file, `path` is unchanged. The temporary file is removed, except after a kill.

  Args:
    path: the file to write, in an existing folder.
    partial: path of the temporary file, in the same folder; default .NAME.part.

  Raises:
    OSError: the file cannot be written.
  """
  folder, name = os.path.split(os.fspath(path))
  partial = partial or os.path.join(folder, f'.{name}.part')
  with naming(path, partial), _moved(partial, path):
    yield partial


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
