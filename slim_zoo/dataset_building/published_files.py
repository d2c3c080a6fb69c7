"""The published files of a data set: downloads, or files in a user's folder.

Needs no TensorFlow.
"""

import dataclasses
import hashlib
import os

from slim_zoo import diagnostics
from slim_zoo.files import downloads


@dataclasses.dataclass(frozen=True)
class PublishedFile:
  """A file on the web.

  Attributes:
    filename: the file's name.
    urls: its addresses, tried in turn.
    md5: its published checksum in hex, or None.
  """

  filename: str
  urls: tuple[str, ...]
  md5: str | None = None


def fetch(file: PublishedFile, folder: str) -> str:
  """Returns the path of a file in `folder`; downloads it if missing.

  Raises:
    UserError: no address provides the file.
    OSError: the folder cannot be written.
  """
  path = os.path.join(folder, file.filename)
  if os.path.exists(path):
    return path
  failures = []
  for url in file.urls:
    try:
      downloads.fetch(url, folder, file.filename, check=lambda path: _check(file, path))
      return path
    except diagnostics.UserError as error:
      failures.append(error)
  others = len(failures) - 1
  more = f" (nor from {others} other address{'es' * (others > 1)})" if others else ''
  raise diagnostics.UserError(
      f'{failures[0]}{more}; try again, or name the folder of a copy that you have with'
      ' --source=FOLDER')


def _check(file, path):
  """Raises UserError if a download is not the published file."""
  if file.md5 is None:
    return
  digest = hashlib.md5(usedforsecurity=False)
  with open(path, 'rb') as content:
    while chunk := content.read(1 << 20):
      digest.update(chunk)
  if digest.hexdigest() != file.md5:
    raise diagnostics.UserError(
        f"the download of '{file.filename}' is not the published file: its MD5 is"
        f' {digest.hexdigest()}, not {file.md5}')


class Source:
  """The folder or file with the files of a data set.

  Raises:
    UserError: it does not exist.
  """

  def __init__(self, path: str):
    if not os.path.exists(path):
      parent, last = os.path.split(os.path.normpath(path))
      siblings = os.listdir(parent or '.') if os.path.isdir(parent or '.') else []
      raise diagnostics.UserError(
          f"there is no '{path}' (--source){diagnostics.suggestion(last, siblings)}")
    self.path = path
    self.is_file = os.path.isfile(path)

  def find(self, *names: str) -> str | None:
    """Returns the path of the first of `names` that exists, or None.

    Searches the folder and its direct subfolders. A source that is a file contains only
    this file.
    """
    if self.is_file:
      return self.path if os.path.basename(self.path) in names else None
    with os.scandir(self.path) as entries:
      inner = sorted(entry.path for entry in entries if entry.is_dir())
    for name in names:
      for folder in (self.path, *inner):
        path = os.path.join(folder, name)
        if os.path.exists(path):
          return path
    return None

  def need(self, *names: str) -> str:
    """Returns the path of the first of `names`; raises UserError if none exists."""
    if self.is_file and os.path.basename(self.path) not in names:
      raise diagnostics.UserError(
          f"--source '{self.path}' is a file: name the folder that holds it and"
          f" {' or '.join(names)}")
    path = self.find(*names)
    if path is None:
      raise diagnostics.UserError(
          f"there is no {' or '.join(names)} in '{self.path}' (--source), nor in the"
          ' folders in it')
    return path
