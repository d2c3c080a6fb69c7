"""Reads files inside archives without unpacking them. Needs no TensorFlow.

A member is read as a part of the archive's file: its name never becomes a path on the
disk, and 138 GB of tar files need no second 138 GB. A compressed tar file is first
decompressed into one file.

Names that lead out of the archive's folder, links and devices are errors: published
archives contain none, so it is another file.
"""

import functools
import gzip
import io
import os
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.files import atomic, file_names, unpacking

_GZIP = b'\x1f\x8b'
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError,
           zlib.error, NotImplementedError)
_CHUNK_BYTES = 1 << 20
_OPEN_FILES = 8


class DamagedMemberError(Exception):
  """A single member cannot be read. The message is the reason."""


class Slice(NamedTuple):
  """A part of a file.

  `version` is the file's modification time, in ns; None: not compared.
  """

  path: str
  offset: int
  size: int
  version: int | None


class ZipMember(NamedTuple):
  """A member of a zip file. `version` is the zip file's modification time, in ns."""

  path: str
  name: str
  version: int


def whole_file(path: str) -> Slice:
  """Returns a whole file as a `Slice`."""
  status = os.stat(path)
  return Slice(path, 0, status.st_size, status.st_mtime_ns)


def read(place: Slice | ZipMember) -> bytes:
  """Returns the bytes of a slice or member; keeps a few files open.

  Raises:
    DamagedMemberError: the bytes are missing, or their checksum is wrong.
    OSError: the file cannot be read.
  """
  if isinstance(place, ZipMember):
    try:
      return _opened_zip(place.path, place.version).read(place.name)
    except (*_DAMAGE, KeyError, RuntimeError) as error:
      raise DamagedMemberError(
          f"it cannot be read from '{os.path.basename(place.path)}': {error}"
      ) from error
  if place.offset == 0:  # Mostly a file of its own: not kept open.
    return read_slice(place)
  return _part(_opened_file(place.path, place.version), place)


def read_slice(place: Slice) -> bytes:
  """Returns the bytes of a slice; may be called in several threads.

  The file is open only meanwhile: a file that is removed then takes no more space.

  Raises:
    DamagedMemberError: the bytes are missing, or the file was written again.
    OSError: the file cannot be read.
  """
  with open(place.path, 'rb') as file:
    version = os.fstat(file.fileno()).st_mtime_ns
    if place.version not in (None, version):
      raise DamagedMemberError(f"'{place.path}' was written again meanwhile")
    return _part(file, place)


def _part(file, place):
  """Returns the bytes of a slice of an open file."""
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
      f"'{path}' is damaged or cut short ({reason}): download it again")


def _refused(path, name, problem):
  return diagnostics.UserError(
      f"'{path}' contains '{name}', {problem}: it is not the published archive and is"
      ' not used')


def _files_of(archive: tarfile.TarFile, path: str) -> Iterator[tarfile.TarInfo]:
  """Yields the members that are files."""
  while (member := archive.next()) is not None:
    archive.members.clear()  # The list of all members would need gigabytes.
    if problem := unpacking.problem_of(member):
      raise _refused(path, member.name, problem)
    if not member.isdir():
      yield member


def tar_places(path: str, copy: str | None = None) -> Iterator[tuple[str, Slice]]:
  """Yields (name, place) of each file in a tar file that is not compressed.

  Args:
    path: the tar file.
    copy: its copy from `plain_tar`, which is read instead.

  Raises:
    UserError: the file is damaged, or contains a link or a path outside of its folder.
    OSError: the file cannot be read.
  """
  yield from inner_tar_places(path, whole_file(copy or path))


def inner_tar_places(path: str, place: Slice) -> Iterator[tuple[str, Slice]]:
  """Yields (name, place) of each file in a tar file inside another.

  Args:
    path: name of the tar file for messages.
    place: its position.

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
        # tarfile stops at a damaged header; a block of zeros marks the real end.
        window.seek(archive.offset)
        if window.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
          raise _damaged(path, 'it has no end mark')
    except _DAMAGE as error:
      raise _damaged(path, error) from error


class _Window(io.RawIOBase):
  """A part of a file, as a file object."""

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
    size = max(0, min(len(buffer), self._size - self._position))
    self._file.seek(self._start + self._position)
    data = self._file.read(size)
    buffer[:len(data)] = data
    self._position += len(data)
    return len(data)


def tar_members(path: str, scratch: str) -> Iterator[tuple[str, bytes]]:
  """Yields (name, content) of each file in a tar file, compressed or not.

  Args:
    path: the tar file.
    scratch: folder for a decompressed copy.

  Raises:
    UserError, OSError: see `tar_places`.
  """
  for name, place in tar_places(path, plain_tar(path, scratch)):
    yield name, read(place)


def zip_places(path: str) -> Iterator[tuple[str, ZipMember]]:
  """Yields (name, place) of each file in a zip file.

  Raises:
    UserError: the file is damaged, or contains a path outside of its folder.
    OSError: the file cannot be read.
  """
  version = os.stat(path).st_mtime_ns
  try:
    members = _opened_zip(path, version).infolist()
  except _DAMAGE as error:
    raise _damaged(path, error) from error
  for member in members:
    if file_names.is_outside_archive(member.filename):
      raise _refused(path, member.filename, 'a path outside of its folder')
    if not member.is_dir():
      yield posixpath.normpath(member.filename), ZipMember(
          path, member.filename, version)


def _is_gzip(path):
  with open(path, 'rb') as file:
    return file.read(len(_GZIP)) == _GZIP


def decompressed_bytes(path: str) -> bytes:
  """Returns the content of a file, decompressed if it is a .gz.

  Raises:
    UserError: the file is damaged.
    OSError: the file cannot be read.
  """
  try:
    with gzip.open(path) if _is_gzip(path) else open(path, 'rb') as file:
      return file.read()
  except _DAMAGE as error:
    raise _damaged(path, error) from error


def plain_tar(path: str, folder: str) -> str:
  """Returns the path of a tar file's decompressed copy, or the file's if it is plain.

  Args:
    path: the tar file.
    folder: folder of the copy. A copy from an earlier run is used again.

  Raises:
    UserError: the file is damaged.
    OSError: a file cannot be read or written.
  """
  if not _is_gzip(path):
    return path
  status = os.stat(path)
  # The name identifies the file, in case another file replaces it.
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
    # So another copy of the same file has the same `version`.
    os.utime(partial, ns=(status.st_atime_ns, status.st_mtime_ns))
  return copy
