"""Images of webdataset shards: tar files of KEY.jpg with KEY.cls, KEY.json or KEY.txt.

The layout is that of the library webdataset (Aizman 2019, arXiv 2001.01858): files with
the same path up to the first dot of the file name are one sample. Members are read in
place or copied to one temporary file; their names never become paths. Links, devices
and paths outside of the archive are errors. Needs no TensorFlow.
"""

import gzip
import json
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.dataset_building import archives, image_list
from slim_zoo.dataset_building.packed_images import (
  MAX_BYTES,
  ImageCopies,
  PackedImages,
  Sample,
)
from slim_zoo.files import unpacking
from slim_zoo.images import folder_names, image_check

SUFFIXES = ('.tar', '.tar.gz', '.tgz')
_CLASS, _JSON, _TEXT = 'cls', 'json', 'txt'
_MAX_LABEL_BYTES = 1 << 20
# The largest ratio of unpacked to packed size. Images hardly compress, but tar pads
# small files to 1 kB.
_LARGEST_RATIO, _ALWAYS_ALLOWED = 100, 64 << 20
_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error,
           # tarfile raises these for wrong numbers and names.
           ValueError, OverflowError, KeyError, IndexError)


class _Member(NamedTuple):
  """A file of a sample: an image with its position, or the bytes of a label."""

  place: archives.Slice | None
  data: bytes | None
  fault: str | None = None


def samples(path: str, name: str, split: str | None, packed: PackedImages,
            copies: ImageCopies) -> Iterator[Sample]:
  """Yields the images of a shard.

  Args:
    path: path of the tar file, compressed by gzip or not.
    name: first part of the names of the images.
    split: split of the images, or None.
    packed: options for reading images and labels.
    copies: file for the images of a compressed tar file.

  Hidden files and system files, such as ._0.jpg of macOS, are left out. Other files
  without an image of the same key are samples without place and fault.

  Raises:
    UserError: the file is damaged or cut short, or has a link, a device or a path
      outside of it; or a sample has two images or two files of the same suffix.
    OSError: the file cannot be read.
  """
  by_key, wanted = {}, _suffix_of(packed.image_column)
  for member, content in _members(path, copies, wanted):
    folder, file = posixpath.split(member)
    stem, _, suffix = file.partition('.')
    key = posixpath.join(folder, stem)
    if by_key.setdefault(key, {}).setdefault(suffix.lower(), content) is not content:
      raise diagnostics.UserError(
          f"'{path}' has two files '{diagnostics.printable(member)}': each file needs a"
          ' different name')
  for key, files in by_key.items():
    suffix = _image_suffix(path, key, files, wanted)
    if suffix is None:
      # Other files, such as README.txt, may describe the data set.
      is_label = _CLASS in files or _suffix_of(packed.label_column) in files
      yield Sample(f'{name}/{key}', None, None, split,
                   'it has a label, but no image' if is_label else None)
      continue
    image = files.pop(suffix)
    value, fault = (None, image.fault) if image.fault else _label(files, packed)
    yield Sample(f'{name}/{key}.{suffix}', image.place, value, split, fault)


def _image_suffix(path, key, files, wanted) -> str | None:
  """Returns the suffix of the image of a sample, or None without one."""
  if wanted:
    return wanted if wanted in files else None
  images = [suffix for suffix in files if image_check.has_image_suffix(f'x.{suffix}')]
  if len(images) > 1:
    raise diagnostics.UserError(
        f"the sample '{diagnostics.printable(key)}' of '{path}' has the images"
        f' {", ".join(images)}: name the one to use, --image_column={images[0]}')
  return images[0] if images else None


def _suffix_of(column) -> str | None:
  """Returns the suffix in --image_column or --label_column in lower case, or None."""
  return column and column.lower().lstrip('.')


def _label(files, packed) -> tuple[object, str | None]:
  """Returns (label of a sample, fault)."""
  wanted = packed.label_column
  # Files without data are images.
  files = {suffix: file for suffix, file in files.items() if file.data is not None}
  if _suffix_of(wanted) in files:
    return _text(files[_suffix_of(wanted)])
  if wanted is None and _CLASS in files:
    return _text(files[_CLASS])
  if _JSON in files:
    return _field(files[_JSON], wanted)
  if wanted is not None:
    return None, f'it has no label {wanted!r}'
  return _text(files[_TEXT]) if _TEXT in files else (None, None)


def _text(member):
  """Returns (a number or a text, fault) of a file."""
  try:
    text = member.data.decode('utf-8-sig').strip()
  except UnicodeDecodeError:
    return None, 'its label is not UTF-8 text'
  number = diagnostics.whole_number(text)
  return (text if number is None else number), member.fault


def _field(member, wanted):
  """Returns (the label in a JSON file, fault)."""
  try:
    values = json.loads(member.data)
  except (ValueError, RecursionError):
    values = None
  if not isinstance(values, dict):
    return None, member.fault or 'its JSON file is not an object'
  if wanted is not None and wanted not in values:
    near = diagnostics.suggestion(wanted, values)
    return None, f'its JSON file has no {wanted!r}{near}'
  lower = {name.lower(): name for name in values}
  name = wanted or next(
      (lower[name] for name in image_list.LABELS if name in lower), None)
  return (None if name is None else values[name]), member.fault


def _members(path, copies, wanted) -> Iterator[tuple[str, _Member]]:
  """Yields (name, content) of the files of a tar file.

  Files with the suffix `wanted` or with the suffix of an image format are images.
  """
  count = 0
  with open(path, 'rb') as file:
    is_packed = file.read(2) == b'\x1f\x8b'
    file.seek(0)
    stream = unpacking.LimitedStream(
        gzip.GzipFile(fileobj=file),
        _LARGEST_RATIO * os.path.getsize(path) + _ALWAYS_ALLOWED) if is_packed else file
    try:
      with tarfile.open(fileobj=stream, mode='r|' if is_packed else 'r:') as archive:
        while (member := archive.next()) is not None:
          archive.members.clear()  # The list of all members would need memory.
          _check(path, member)
          name = posixpath.normpath(member.name)
          if not member.isdir() and _is_user_file(name):
            yield name, _content(
                archive, member, path, copies if is_packed else None, wanted)
            count += 1
        end = archive.offset
      _check_end(file, stream if is_packed else None, end)
    except unpacking.TooLargeError as error:
      raise diagnostics.UserError(
          f"'{path}' unpacks to more than {_LARGEST_RATIO} times its own size: it is"
          ' not read; leave it out') from error
    except _DAMAGE as error:
      if isinstance(error, diagnostics.UserError):
        raise
      raise diagnostics.UserError(
          f"'{path}' is damaged or cut short after {count:,} files"
          f' ({str(error) or type(error).__name__}): get or write it again, or leave it'
          ' out') from error


def _check_end(file, stream, offset):
  """Raises EOFError or ValueError if a tar file has no correct end."""
  if stream is not None:
    stream.check_end(offset)
    return
  # tarfile stops at a damaged header; a block of zeros marks the real end.
  file.seek(offset)
  if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
    raise EOFError('it has no end mark')
  while block := file.read(1 << 20):
    if block.strip(b'\0'):
      raise ValueError('there are more bytes after its end mark')


def _check(path, member):
  """Raises UserError for a link, a device or a path outside of the archive."""
  problem = unpacking.problem_of(member)
  if problem:
    raise diagnostics.UserError(
        f"'{path}' contains '{diagnostics.printable(member.name)}', {problem}: it is"
        ' not read')


def _is_user_file(name) -> bool:
  """Returns whether a member is neither a hidden file nor a system file."""
  folder, file = posixpath.split(name)
  return folder_names.is_user_name(file) and not any(
      map(folder_names.is_system_name, folder.split('/')))


def _content(archive, member, path, copies, wanted) -> _Member:
  """Returns the position of an image, or the bytes of a label."""
  suffix = posixpath.basename(member.name).partition('.')[2].lower()
  if suffix == wanted or image_check.has_image_suffix(f'x.{suffix}'):
    if member.size > MAX_BYTES:
      return _Member(None, None, 'it has more than 1 GB')
    if copies is None:
      return _Member(archives.Slice(path, member.offset_data, member.size,
                                    os.stat(path).st_mtime_ns), None)
    data = archive.extractfile(member).read()
    if len(data) != member.size:
      raise EOFError('it ends within a file')
    return _Member(copies.add(data), None)
  if member.size > _MAX_LABEL_BYTES:
    # Such a file is not a label, but features, sound or text.
    return _Member(None, b'', 'its label has more than 1 MB')
  return _Member(None, archive.extractfile(member).read())
