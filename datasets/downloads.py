"""Files from the web, and what is packed in them. Needs no TensorFlow."""

import http.client
import os
import tarfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable

import diagnostics
from progress import Progress

_TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 1 << 20


def download_url(url: str, dataset_dir: str) -> str:
  """Downloads a file; returns the path of the copy.

  The copy appears under its name only when it is whole.

  Args:
    url: the address; the last part of its path becomes the file's name.
    dataset_dir: the folder to write to; made where it does not exist.

  Raises:
    UserError: the file cannot be fetched, or came incomplete.
    OSError: the folder cannot be written.
  """
  filename = os.path.basename(
      urllib.parse.unquote(urllib.parse.urlsplit(url).path))
  if not filename:
    raise diagnostics.UserError(f"'{url}' does not name a file")
  os.makedirs(dataset_dir, exist_ok=True)
  path = os.path.join(dataset_dir, filename)
  partial = f'{path}.{os.getpid()}.part'
  try:
    _fetch(url, partial, filename)
    os.replace(partial, path)
  finally:
    if os.path.exists(partial):
      os.remove(partial)
  return path


def _fetch(url, path, filename):
  """Copies what `url` names to `path`."""
  def failed(what):
    return diagnostics.UserError(
        f"cannot download '{url}': {what}; try again, or fetch it by other means")

  try:
    response = urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)
  except (OSError, ValueError, http.client.HTTPException) as error:
    raise failed(error) from error
  with response, open(path, 'wb') as file:
    length = response.headers.get('Content-Length')
    total, done = int(length) if length else None, 0
    with Progress(f'downloading {filename}', total, 'bytes') as progress:
      while True:
        try:
          chunk = response.read(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
          raise failed(error) from error
        if not chunk:
          break
        file.write(chunk)
        done += len(chunk)
        progress.update(done)
  if total is not None and done != total:
    raise failed(f'{done} of {total} bytes came')


def download_and_uncompress_tarball(tarball_url: str, dataset_dir: str) -> None:
  """Downloads a tar file, compressed or not, and unpacks it beside itself.

  Raises:
    UserError: it cannot be fetched or is damaged; or a member is a link, or would
      land outside the folder (then nothing is unpacked).
  """
  path = download_url(tarball_url, dataset_dir)
  try:
    with tarfile.open(path, 'r:*') as archive:
      members = archive.getmembers()
      _check_members(path, (member.name for member in members), dataset_dir)
      for member in members:
        if not (member.isfile() or member.isdir()):
          raise diagnostics.UserError(
              f"'{path}' holds '{member.name}', which is a link or a device: it is"
              ' not unpacked')
      # The data filter also drops owners and odd permissions; the oldest
      # releases of Python 3.10 and 3.11 lack it.
      safely = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}
      archive.extractall(dataset_dir, members, **safely)
  except (tarfile.TarError, EOFError, zlib.error) as error:
    raise _damaged(path, error) from error


def download_and_uncompress_zipfile(zip_url: str, dataset_dir: str) -> None:
  """Downloads a zip file and unpacks it beside itself.

  Raises:
    UserError: it cannot be fetched or is damaged; or a member would land outside
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
  """Raises UserError if a member would land outside `folder`."""
  root = os.path.realpath(folder)
  for name in names:
    place = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, place]) != root:
      raise diagnostics.UserError(
          f"'{path}' holds '{name}', which would land outside '{folder}': it is not"
          ' unpacked')


def _damaged(path, error):
  return diagnostics.UserError(
      f"'{path}' cannot be unpacked ({error}): remove it and download it again")
