"""Reads the tree of folders of an image folder. Needs no TensorFlow."""

import dataclasses
import os
from collections.abc import Iterator

from slim_zoo.images import folder_names, image_check


@dataclasses.dataclass
class Folder:
  """A folder with its contents, without hidden files and system files.

  Attributes:
    path: path below the image folder, with '/' as separator; '' is the image folder.
    place: its real path, without links.
    folders: the folders in it, ordered by name.
    files: paths of the other files in it, relative like `path`, ordered.
  """

  path: str
  place: str
  folders: list['Folder'] = dataclasses.field(default_factory=list)
  files: list[str] = dataclasses.field(default_factory=list)

  @property
  def name(self) -> str:
    """The last part of its path."""
    return self.path.rsplit('/', 1)[-1]

  @property
  def images(self) -> list[str]:
    """The files in it with the suffix of an image."""
    return [path for path in self.files if image_check.has_image_suffix(path)]

  def below(self) -> Iterator['Folder']:
    """Yields the folder and all folders below it, each real folder once."""
    pending, seen = [self], set()
    while pending:
      folder = pending.pop()
      if folder.place not in seen:
        seen.add(folder.place)
        yield folder
        pending += reversed(folder.folders)

  @property
  def may_hold_images(self) -> bool:
    """Whether a file in it, or below, has the suffix of an image or none."""
    return any(image_check.has_image_suffix(path) or not os.path.splitext(path)[1]
               for folder in self.below() for path in folder.files)


def read(root: str) -> tuple[Folder, list[str], list[Folder]]:
  """Returns the tree of a folder, the paths of system files, and thumbnail folders.

  Links to folders are followed, except to parents of the link. A thumbnail folder is
  left out of the tree only if there are images beside it (cat/thumbs and cat/1.jpg);
  otherwise it may be a class.

  Raises:
    OSError: a folder cannot be read.
  """
  top = Folder('', os.path.realpath(root))
  system_files, thumbnails = [], []
  pending = [(top, frozenset({top.place}))]
  while pending:
    folder, parents = pending.pop()
    with os.scandir(os.path.join(root, folder.path)) as entries:
      entries = sorted(entries, key=lambda entry: entry.name)
    for entry in entries:
      path = f'{folder.path}/{entry.name}' if folder.path else entry.name
      if folder_names.is_hidden(entry.name):
        continue
      if folder_names.is_system_name(entry.name):
        system_files.append(path)
      elif not _is_folder(entry):
        folder.files.append(path)
      else:
        place = (os.path.realpath(os.path.join(root, path)) if entry.is_symlink() else
                 os.path.join(folder.place, entry.name))
        if place not in parents:
          inner = Folder(path, place)
          folder.folders.append(inner)
          pending.append((inner, parents | {place}))
    if folder.path and folder.images:
      thumbnails += [inner for inner in folder.folders
                     if folder_names.is_thumbnail_folder(inner.name)]
      folder.folders = [inner for inner in folder.folders
                        if not folder_names.is_thumbnail_folder(inner.name)]
  return top, sorted(system_files), sorted(thumbnails, key=lambda inner: inner.path)


def _is_folder(entry):
  try:
    return entry.is_dir()
  except OSError:  # A link to itself.
    return False
