"""Downloads files and unpacks archives. Needs no TensorFlow."""

import http.client
import os
import re
import socket
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable

from slim_zoo import diagnostics
from slim_zoo.files import atomic, staging
from slim_zoo.progress import Progress

_TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 1 << 20
_PAUSE_SECONDS = 1
_VERSION_SUFFIX = '.version'
# What a server may send as the version of a file.
_VERSION = re.compile(r'[\x20-\x7e]{1,200}')
# A server may send a number or a reason of any length.
_LENGTH = re.compile(r'[0-9]{1,18}')
_MOST_LETTERS = 200


def download_url(url: str, dataset_dir: str) -> str:
  """Downloads a file; returns the path of the copy.

  The copy gets its name when it is complete.

  Args:
    url: the address; the last part of its path becomes the file's name.
    dataset_dir: the folder to write to; created if missing.

  Raises:
    UserError: the file cannot be downloaded completely.
    OSError: the folder cannot be written.
  """
  filename = os.path.basename(
      urllib.parse.unquote(urllib.parse.urlsplit(url).path))
  if not filename:
    raise diagnostics.UserError(f"'{url}' does not name a file")
  path = os.path.join(dataset_dir, filename)
  with staging.created(dataset_dir), atomic.replacing(path) as partial:
    _fetch(url, partial, filename)
  return path


def fetch(url: str, folder: str, filename: str, check: Callable[[str], None],
          most_bytes: int | None = None) -> str:
  """Downloads a large file; returns the path of the copy.

  If the connection breaks or the process is killed, FILENAME.part stays, and the next
  try continues it if the server still has the same file. The copy gets its name when it
  is complete.

  Args:
    url: the address.
    folder: the folder to write to; created if missing.
    filename: the name of the copy.
    check: called with the path of the download; raises UserError for a wrong file.
    most_bytes: the largest size of the file; None: any.

  Raises:
    UserError: the file cannot be downloaded completely.
    OSError: the folder cannot be written.
  """
  os.makedirs(folder, exist_ok=True)
  path = os.path.join(folder, filename)
  partial = f'{path}.part'
  while True:
    size = _size(partial)
    try:
      _fetch(url, partial, filename, resume=True, most_bytes=most_bytes)
      break
    except diagnostics.UserError:
      if _size(partial) <= size:  # Else the connection broke: continue from there.
        _remove_if_empty(partial)
        raise
      time.sleep(_PAUSE_SECONDS)
  try:
    check(partial)
    os.replace(partial, path)
  finally:
    _remove(partial)
  return path


def _size(path):
  return os.path.getsize(path) if os.path.exists(path) else 0


def _remove(partial):
  for path in (partial, partial + _VERSION_SUFFIX):
    if os.path.exists(path):
      os.remove(path)


def _remove_if_empty(partial):
  if not _size(partial):
    _remove(partial)


def _request(url, partial, resume):
  """Returns the request for a file, or for its missing part."""
  request = urllib.request.Request(url)
  version = partial + _VERSION_SUFFIX
  if resume and _size(partial) and os.path.exists(version):
    with open(version, encoding='latin-1') as file:
      request.add_header('Range', f'bytes={_size(partial)}-')
      # If the file has changed, the server sends all of it.
      request.add_header('If-Range', file.read())
  return request


def _store_version(response, partial):
  """Stores the version of a new download; removes an earlier part."""
  _remove(partial)
  version = response.headers.get('ETag') or response.headers.get('Last-Modified')
  # A weak tag allows other bytes.
  if version and not version.startswith('W/') and _VERSION.fullmatch(version):
    with open(partial + _VERSION_SUFFIX, 'w', encoding='latin-1') as file:
      file.write(version)


def _fetch(url, path, filename, resume=False, most_bytes=None):
  """Downloads `url` to `path`, or only the missing part."""
  def failed(reason):
    advice = '' if resume else '; try again, or download it by other means'
    return diagnostics.UserError(f"cannot download '{url}': {reason}{advice}")

  try:
    response = urllib.request.urlopen(
        _request(url, path, resume), timeout=_TIMEOUT_SECONDS)
    is_part = resume and response.status == http.HTTPStatus.PARTIAL_CONTENT
    if is_part and not _begins_at(response, _size(path)):
      raise ValueError('the server sent another part of the file than it was asked for')
  except (OSError, ValueError, http.client.HTTPException) as error:
    if resume and _size(path) and _is_about_part(error):
      _remove(path)
      return _fetch(url, path, filename, resume, most_bytes)
    raise failed(_reason(error, url)) from error
  if resume and not is_part:
    _store_version(response, path)
  with response, open(path, 'ab' if resume else 'wb') as file:
    first = done = file.tell()
    total = _total(response, first)
    if most_bytes is not None and (total or 0) > most_bytes:
      raise failed(f'it has {total:,} bytes, expected at most {most_bytes:,}')
    with Progress(f'downloading {filename}', total, 'bytes', first=first) as progress:
      while True:
        try:
          chunk = response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
          raise failed(_reason(error, url)) from error
        if not chunk:
          break
        file.write(chunk)
        file.flush()  # A killed process has written what came.
        done += len(chunk)
        progress.update(done)
        if most_bytes is not None and done > most_bytes:
          _remove(path)  # Else it would be continued.
          raise failed(f'more than {most_bytes:,} bytes came')
  if total is not None and done != total:
    raise failed(f'{done} of {total} bytes came')


def _reason(error, url):
  """Returns why a download failed, in one line; a server may have sent the text."""
  # urllib puts the cause of some errors into another.
  is_packed = isinstance(error, urllib.error.URLError) and not isinstance(
      error, urllib.error.HTTPError)
  error = error.reason if is_packed else error
  if isinstance(error, urllib.error.HTTPError):
    endless = urllib.request.HTTPRedirectHandler.inf_msg
    text = 'endless redirects' if error.msg.startswith(endless) else str(error)
  elif isinstance(error, socket.gaierror):
    host = urllib.parse.urlsplit(url).hostname
    text = f"no host '{host}' is known: check the address and the connection"
  elif isinstance(error, http.client.IncompleteRead):
    text = 'the connection broke off'
  elif isinstance(error, http.client.RemoteDisconnected):
    text = 'the server closed the connection without an answer'
  elif isinstance(error, (http.client.BadStatusLine, http.client.UnknownProtocol)):
    text = 'the answer is not HTTP'
  else:
    text = str(getattr(error, 'strerror', None) or error)
  text = diagnostics.printable(text)
  return text if len(text) <= _MOST_LETTERS else f'{text[:_MOST_LETTERS]}...'


def _is_about_part(error):
  """Returns whether the server did not send the missing part of a file."""
  if isinstance(error, urllib.error.HTTPError):
    return error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
  return type(error) is ValueError


def _begins_at(response, first):
  """Returns whether a part of a file begins at a byte, as far as the server says."""
  place = response.headers.get('Content-Range')
  return place is None or place.startswith(f'bytes {first}-')


def _total(response, first):
  """Returns the size of the whole file; None if the server does not say it."""
  length = response.headers.get('Content-Length') or ''
  return first + int(length) if _LENGTH.fullmatch(length) else None


def download_and_uncompress_tarball(tarball_url: str, dataset_dir: str) -> None:
  """Downloads a tar file, compressed or not, and unpacks it in its folder.

  Raises:
    UserError: it cannot be downloaded or is damaged; or a member is a link, or would be
      outside of the folder (then nothing is unpacked).
  """
  path = download_url(tarball_url, dataset_dir)
  try:
    with tarfile.open(path, 'r:*') as archive:
      members = archive.getmembers()
      _check_members(path, (member.name for member in members), dataset_dir)
      for member in members:
        if not (member.isfile() or member.isdir()):
          raise diagnostics.UserError(
              f"'{path}' contains '{member.name}', a link or device: it is not"
              ' unpacked')
      # The data filter also drops owners and unusual permissions. The oldest releases
      # of Python 3.10 and 3.11 lack it.
      safely = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}
      archive.extractall(dataset_dir, members, **safely)
  except (tarfile.TarError, EOFError, zlib.error) as error:
    raise _damaged(path, error) from error


def download_and_uncompress_zipfile(zip_url: str, dataset_dir: str) -> None:
  """Downloads a zip file and unpacks it in its folder.

  Raises:
    UserError: it cannot be downloaded or is damaged; or a member would be outside of
      the folder (then nothing is unpacked).
  """
  path = download_url(zip_url, dataset_dir)
  try:
    with zipfile.ZipFile(path) as archive:
      _check_members(path, archive.namelist(), dataset_dir)
      archive.extractall(dataset_dir)
  except (zipfile.BadZipFile, EOFError, zlib.error) as error:
    raise _damaged(path, error) from error


def _check_members(path: str, names: Iterable[str], folder: str) -> None:
  """Raises UserError if a member would be outside of `folder`."""
  root = os.path.realpath(folder)
  for name in names:
    target = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, target]) != root:
      raise diagnostics.UserError(
          f"'{path}' contains '{name}', which would be outside of '{folder}': it is not"
          ' unpacked')


def _damaged(path, error):
  return diagnostics.UserError(
      f"'{path}' cannot be unpacked ({error}): remove it and download it again")
