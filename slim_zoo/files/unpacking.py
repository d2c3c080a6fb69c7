"""Unpacks tar archives that are not trusted. Writes nothing outside of one folder.

These are errors: a path outside of the folder, a link, a device, a sparse file, and an
archive whose content is much larger than its file. Needs no TensorFlow.
"""

import errno
import gzip
import io
import os
import posixpath
import shutil
import tarfile
import zlib
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.files import file_names

_GZIP = b'\x1f\x8b'
_CHUNK_BYTES = 1 << 20
# Weights are hardly compressible, texts about twenty times.
_LARGEST_RATIO, _ALWAYS_ALLOWED = 20, 64 << 20
_MOST_MEMBERS = 10_000
_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error,
           # Of tarfile, for numbers and names that make no sense.
           ValueError, OverflowError, KeyError, IndexError)


def unpack(path: str, folder: str, is_wanted: Callable[[str], bool]) -> list[str]:
  """Unpacks files of a tar archive, compressed by gzip or not.

  Args:
    path: the archive.
    folder: the folder to write to; created if missing.
    is_wanted: takes the name of a member; returns whether to unpack it.

  Returns:
    The names of the unpacked files, relative to the folder.

  Raises:
    UserError: the archive is damaged; or it contains a link, a device, a path outside
      of the folder or too much data. Some files may then exist already.
    OSError: the archive cannot be read, or the folder cannot be written.
  """
  names, limit = [], _LARGEST_RATIO * os.path.getsize(path) + _ALWAYS_ALLOWED
  with open(path, 'rb') as file:
    is_compressed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    # Not kept open by gzip.open: the file is closed here.
    stream = LimitedStream(
        gzip.GzipFile(fileobj=file) if is_compressed else file, limit)
    try:
      with tarfile.open(fileobj=stream, mode='r|') as archive:
        for number, member in enumerate(archive):
          archive.members.clear()  # The list of all members takes memory.
          _check(path, member, number)
          if member.isdir() or not is_wanted(member.name):
            continue
          name = posixpath.normpath(member.name)
          _write(archive.extractfile(member), member.size, os.path.join(folder, name))
          names.append(name)
        end = archive.offset
      stream.check_end(end)
    except TooLargeError as error:
      raise diagnostics.UserError(
          f"'{path}' contains more than {limit:,} bytes, {_LARGEST_RATIO} times its own"
          ' size: it is not unpacked') from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
      raise _damaged(path, f"two members have the name '{error.filename}'") from error
    except _DAMAGE as error:
      if isinstance(error, diagnostics.UserError):
        raise
      raise _damaged(path, str(error) or type(error).__name__) from error
    except OSError as error:
      if error.errno != errno.ENAMETOOLONG:
        raise
      raise _damaged(path, 'a member has a longer name than files may have') from error
  return names


def problem_of(member: tarfile.TarInfo) -> str | None:
  """Returns what is wrong with a member of an archive that is not trusted, or None."""
  if file_names.is_outside_archive(member.name):
    return 'a path outside of its folder'
  if not (member.isdir() or (member.isreg() and not member.issparse())):
    return 'a link, a device or a sparse file'
  return None


def _check(path, member, number):
  """Raises UserError for a member that a published archive does not have."""
  if problem := problem_of(member):
    raise diagnostics.UserError(
        f"'{path}' contains '{member.name}', {problem}: it is not unpacked")
  if number >= _MOST_MEMBERS:
    raise diagnostics.UserError(
        f"'{path}' contains more than {_MOST_MEMBERS:,} files: it is not unpacked")


def _write(content, size, path):
  """Writes a new file; raises FileExistsError if there is one."""
  os.makedirs(os.path.dirname(path), exist_ok=True)
  with open(path, 'xb') as file:
    shutil.copyfileobj(content, file, _CHUNK_BYTES)
    if file.tell() != size:
      raise EOFError(f"it ends within '{os.path.basename(path)}'")


def _damaged(path, reason):
  return diagnostics.UserError(f"'{path}' cannot be unpacked: {reason}")


class TooLargeError(Exception):
  """A stream has more bytes than expected."""


class LimitedStream(io.RawIOBase):
  """The bytes of a stream, up to a limit; then `read` raises TooLargeError.

  Args:
    stream: the stream, which has a method `read`.
    limit: number of bytes.
  """

  def __init__(self, stream, limit):
    self._stream, self._limit = stream, limit
    # Number of bytes, and the same without the zeros at the end.
    self._size, self._size_of_content = 0, 0

  def readable(self) -> bool:
    """Returns True."""
    return True

  def read(self, size: int = -1) -> bytes:
    """Returns the next bytes; raises TooLargeError beyond the limit."""
    data = self._stream.read(size)
    if content := len(data.rstrip(b'\0')):
      self._size_of_content = self._size + content
    self._size += len(data)
    if self._size > self._limit:
      raise TooLargeError
    return data

  def check_end(self, offset: int) -> None:
    """Reads the rest, and compares it with the end mark of tar: zeros only.

    tarfile stops at a damaged header and at the first end mark.

    Args:
      offset: where the last member ends, `TarFile.offset`.

    Raises:
      EOFError: there is no end mark.
      ValueError: there is more than zeros.
      TooLargeError: the stream has more bytes than the limit.
    """
    while self.read(_CHUNK_BYTES):  # gzip compares its checksum only at the end.
      pass
    if self._size < offset + tarfile.BLOCKSIZE:
      raise EOFError('it has no end mark')
    if self._size_of_content > offset:
      raise ValueError('there is more behind its last file')
