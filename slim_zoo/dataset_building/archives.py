"""Files inside archives, read where they lie. Needs no TensorFlow.

Nothing is unpacked: a member of an archive is a place in a file, so its name never
becomes a path on the disk, and 138 GB of tar files need no second 138 GB. A compressed
tar file, in which there are no places, is decompressed first, into one file.

An archive with a name that leads out of its folder, a link or a device in it is
refused all the same: no published one has any, so it is another file.
"""

import functools
import gzip
import io
import os
import posixpath
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.files import atomic

_GZIP = b'\x1f\x8b'
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError,
           zlib.error, NotImplementedError)
_CHUNK_BYTES = 1 << 20
_OPEN_FILES = 8


class DamagedMemberError(Exception):
  """A single member that cannot be read; its text is the reason."""


class Slice(NamedTuple):
  """A part of a file. `version` is the file's time of change, in ns."""

  path: str
  offset: int
  size: int
  version: int


class ZipMember(NamedTuple):
  """A member of a zip file. `version` is the zip file's time of change, in ns."""

  path: str
  name: str
  version: int


def whole_file(path: str) -> Slice:
  """Returns the place of a whole file."""
  status = os.stat(path)
  return Slice(path, 0, status.st_size, status.st_mtime_ns)


def read(place: Slice | ZipMember) -> bytes:
  """Returns the bytes at a place; files stay open for the next ones.

  Raises:
    DamagedMemberError: they are not there, or their checksum is wrong.
    OSError: the file cannot be read.
  """
  if isinstance(place, ZipMember):
    try:
      return _opened_zip(place.path, place.version).read(place.name)
    except (*_DAMAGE, KeyError, RuntimeError) as error:
      raise DamagedMemberError(
          f"it cannot be read from '{os.path.basename(place.path)}': {error}"
      ) from error
  if place.offset == 0:  # Mostly a file for itself, not to be kept open.
    with open(place.path, 'rb') as file:
      data = file.read(place.size)
  else:
    file = _opened_file(place.path, place.version)
    file.seek(place.offset)
    data = file.read(place.size)
  if len(data) != place.size:
    raise DamagedMemberError(f"'{place.path}' ends within it")
  return data


@functools.lru_cache(_OPEN_FILES)
def _opened_file(path, version):
  return open(path, 'rb', buffering=0)


@functools.lru_cache(_OPEN_FILES)
def _opened_zip(path, version):
  return zipfile.ZipFile(path)


def _damaged(path, error):
  reason = str(error) or type(error).__name__
  return diagnostics.UserError(
      f"'{path}' is damaged or cut short ({reason}): get it again")


def _check_name(path: str, name: str) -> None:
  """Raises UserError if a member's name leads out of the archive."""
  plain = name.replace('\\', '/')
  if (plain.startswith('/') or re.match('[A-Za-z]:', plain)
      or '..' in plain.split('/')):
    raise diagnostics.UserError(
        f"'{path}' holds '{name}', a name that leads outside of it: this is not the"
        ' published archive, and nothing of it is used')


def _files_of(archive: tarfile.TarFile, path: str) -> Iterator[tarfile.TarInfo]:
  """Yields the members that are files."""
  while (member := archive.next()) is not None:
    archive.members.clear()  # Kept for all, they would need gigabytes.
    _check_name(path, member.name)
    if member.isdir():
      continue
    if not member.isreg() or member.issparse():
      raise diagnostics.UserError(
          f"'{path}' holds '{member.name}', which is a link or a device: this is not"
          ' the published archive, and nothing of it is used')
    yield member


def tar_places(path: str, copy: str | None = None) -> Iterator[tuple[str, Slice]]:
  """Yields (name, place) of each file in a tar file that is not compressed.

  Args:
    path: of the tar file.
    copy: its copy by `plain_tar`, which is read in its stead.

  Raises:
    UserError: it is damaged, or holds a link or a name that leads outside.
    OSError: it cannot be read.
  """
  yield from inner_tar_places(path, whole_file(copy or path))


def inner_tar_places(path: str, place: Slice) -> Iterator[tuple[str, Slice]]:
  """Yields (name, place) of each file in a tar file that lies in another.

  Args:
    path: what messages call it.
    place: where it lies.

  Raises:
    UserError, OSError: see `tar_places`.
  """
  with open(place.path, 'rb', buffering=0) as file:
    window = _Window(file, place)
    try:
      with tarfile.open(path, 'r:', window) as archive:
        for member in _files_of(archive, path):
          yield posixpath.normpath(member.name), Slice(
              place.path, place.offset + member.offset_data, member.size,
              place.version)
        # A damaged header is taken for the end, which a block of zeros really marks.
        window.seek(archive.offset)
        if window.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
          raise _damaged(path, 'there is no end mark')
    except _DAMAGE as error:
      raise _damaged(path, error) from error


class _Window(io.RawIOBase):
  """A part of a file as a file."""

  def __init__(self, file, place):
    self._file, self._start, self._size = file, place.offset, place.size
    self._position = 0

  def seekable(self):
    return True

  def readable(self):
    return True

  def seek(self, offset, whence=os.SEEK_SET):
    base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
    self._position = base[whence] + offset
    return self._position

  def tell(self):
    return self._position

  def readinto(self, buffer):
    room = max(0, min(len(buffer), self._size - self._position))
    self._file.seek(self._start + self._position)
    data = self._file.read(room)
    buffer[:len(data)] = data
    self._position += len(data)
    return len(data)


def tar_members(path: str, scratch: str) -> Iterator[tuple[str, bytes]]:
  """Yields (name, content) of each file in a tar file, compressed or not.

  Args:
    path: of the tar file.
    scratch: a folder for a decompressed copy.

  Raises:
    UserError, OSError: see `tar_places`.
  """
  for name, place in tar_places(path, plain_tar(path, scratch)):
    yield name, read(place)


def zip_places(path: str) -> Iterator[tuple[str, ZipMember]]:
  """Yields (name, place) of each file in a zip file.

  Raises:
    UserError: it is damaged, or holds a name that leads outside.
    OSError: it cannot be read.
  """
  version = os.stat(path).st_mtime_ns
  try:
    members = _opened_zip(path, version).infolist()
  except _DAMAGE as error:
    raise _damaged(path, error) from error
  for member in members:
    _check_name(path, member.filename)
    if not member.is_dir():
      yield posixpath.normpath(member.filename), ZipMember(
          path, member.filename, version)


def _is_gzip(path):
  with open(path, 'rb') as file:
    return file.read(len(_GZIP)) == _GZIP


def decompressed_bytes(path: str) -> bytes:
  """Returns the content of a file, decompressed if it is a .gz.

  Raises:
    UserError: it is damaged.
    OSError: it cannot be read.
  """
  try:
    with gzip.open(path) if _is_gzip(path) else open(path, 'rb') as file:
      return file.read()
  except _DAMAGE as error:
    raise _damaged(path, error) from error


def plain_tar(path: str, folder: str) -> str:
  """Returns the path of a tar file's decompressed copy; of itself if it is plain.

  Args:
    path: of the tar file.
    folder: where the copy goes. A copy of an earlier run is used again.

  Raises:
    UserError: it is damaged.
    OSError: a file cannot be read or written.
  """
  if not _is_gzip(path):
    return path
  status = os.stat(path)
  # The name tells from which file the copy is, should another take its place.
  copy = os.path.join(folder, f'{os.path.basename(path)}.{status.st_size}'
                              f'.{status.st_mtime_ns}.tar')
  if os.path.exists(copy):
    return copy
  os.makedirs(folder, exist_ok=True)
  with atomic.replacing(copy) as partial:
    try:
      with gzip.open(path) as packed, open(partial, 'wb') as unpacked:
        shutil.copyfileobj(packed, unpacked, _CHUNK_BYTES)
    except _DAMAGE as error:
      raise _damaged(path, error) from error
    # Another copy of the same file is the same version of it.
    os.utime(partial, ns=(status.st_atime_ns, status.st_mtime_ns))
  return copy
