"""The folders below an image folder, read once. Needs no TensorFlow."""

import dataclasses
import os
from collections.abc import Iterator

from slim_zoo.images import folder_names, image_check


@dataclasses.dataclass
class Folder:
  """A folder with its contents, but without hidden files and system files.

  Attributes:
    path: below the image folder, with '/' between its parts; '' is the image folder.
    place: its real path, with links followed.
    folders: the folders in it, ordered by name.
    files: paths of the other files in it, as `path`, ordered.
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
    """The files in it whose names promise an image."""
    return [path for path in self.files if image_check.has_image_suffix(path)]

  def below(self) -> Iterator['Folder']:
    """Yields the folder and all below it, each real folder once."""
    waiting, seen = [self], set()
    while waiting:
      folder = waiting.pop()
      if folder.place not in seen:
        seen.add(folder.place)
        yield folder
        waiting += reversed(folder.folders)

  @property
  def may_hold_images(self) -> bool:
    """Whether a file in it, or below, promises an image or has no suffix."""
    return any(image_check.has_image_suffix(path) or not os.path.splitext(path)[1]
               for folder in self.below() for path in folder.files)


def read(root: str) -> tuple[Folder, list[str], list[Folder]]:
  """Returns the tree below a folder, the paths of system files, and thumbnails.

  A link to a folder is followed, unless it leads to a folder around the link. A folder
  of thumbnails is not in the tree if images lie beside it, as cat/thumbs and cat/1.jpg:
  without them, its name may be that of a class.

  Raises:
    OSError: a folder cannot be read.
  """
  top = Folder('', os.path.realpath(root))
  of_systems, thumbnails = [], []
  waiting = [(top, frozenset({top.place}))]
  while waiting:
    folder, above = waiting.pop()
    with os.scandir(os.path.join(root, folder.path)) as entries:
      entries = sorted(entries, key=lambda entry: entry.name)
    for entry in entries:
      path = f'{folder.path}/{entry.name}' if folder.path else entry.name
      if folder_names.is_hidden(entry.name):
        continue
      if folder_names.is_of_a_system(entry.name):
        of_systems.append(path)
      elif not _is_folder(entry):
        folder.files.append(path)
      else:
        place = (os.path.realpath(os.path.join(root, path)) if entry.is_symlink() else
                 os.path.join(folder.place, entry.name))
        if place not in above:
          inner = Folder(path, place)
          folder.folders.append(inner)
          waiting.append((inner, above | {place}))
    if folder.path and folder.images:
      thumbnails += [inner for inner in folder.folders
                     if folder_names.is_of_thumbnails(inner.name)]
      folder.folders = [inner for inner in folder.folders
                        if not folder_names.is_of_thumbnails(inner.name)]
  return top, sorted(of_systems), sorted(thumbnails, key=lambda inner: inner.path)


def _is_folder(entry):
  try:
    return entry.is_dir()
  except OSError:  # A link that leads to itself.
    return False
