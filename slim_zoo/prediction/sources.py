"""Which files a command line names: images, folders of them, patterns, a list on stdin.

Needs no TensorFlow.
"""

import dataclasses
import glob
import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from slim_zoo import diagnostics
from slim_zoo.images import folder_names, image_check

STANDARD_INPUT = '-'
# How files begin that may have been sent in place of their names.
_IMAGES_BEGIN = (b'\xff\xd8\xff', b'\x89PNG', b'GIF87a', b'GIF89a', b'II*\0', b'MM\0*')


@dataclasses.dataclass(frozen=True)
class NamedFiles:
  """The files that a user names.

  Attributes:
    files: paths, each once, in the order named; those of a folder are sorted.
    left_out: files in folders whose names promise no image.
  """

  files: tuple[str, ...]
  left_out: tuple[str, ...]


def find(arguments: Sequence[str], standard_input: BinaryIO | None = None
         ) -> NamedFiles:
  """Returns the files that arguments name; opens none of them.

  Args:
    arguments: each a file, a folder (with all below it), a glob pattern, in which **
      stands for any folders, or '-'.
    standard_input: read where '-' is named: paths of files, a line each, or each
      ended by a zero byte as `find -print0` does. They may be missing. None: '-' is
      refused.

  Raises:
    UserError: there is no such file, nothing fits a pattern, a folder has no images.
  """
  files, left_out = [], []
  for argument in arguments:
    if argument == STANDARD_INPUT:
      if standard_input is None:
        raise diagnostics.UserError(
            "'-' stands for a list of file names on standard input of the command:"
            ' name the files themselves')
      files += _listed(standard_input.read())
    elif os.path.isdir(argument):
      images, others = _in_folder(argument)
      files += images
      left_out += others
    elif os.path.exists(argument):
      files.append(argument)
    elif glob.has_magic(argument):
      files += _fitting(argument)
    else:
      raise diagnostics.UserError(_no_such_file(argument))
  # A link to a folder above leads ** to the same file again and again.
  once = {}
  for path in files:
    once.setdefault(os.path.realpath(path), path)
  return NamedFiles(tuple(once.values()), tuple(left_out))


def _listed(data):
  """Returns the paths of a list of files."""
  if data.startswith(_IMAGES_BEGIN):
    raise diagnostics.UserError(
        "'-' stands for a list of file names on standard input, but an image came:"
        ' write it to a file and name that')
  separator = b'\0' if b'\0' in data else b'\n'
  names = [os.fsdecode(name.rstrip(b'\r') if separator == b'\n' else name)
           for name in data.split(separator)]
  names = [name for name in names if name.strip()]
  if not names:
    raise diagnostics.UserError(
        "'-' stands for a list of file names on standard input, but it is empty")
  return names


def _in_folder(folder):
  """Returns (images, other files) below a folder, without hidden ones.

  System files, such as @eaDir with its thumbnails, are skipped.
  """
  images, others = [], []
  for place, folders, names in os.walk(folder, onerror=_raise):
    folders[:] = sorted(filter(folder_names.is_user_name, folders))
    for name in sorted(filter(folder_names.is_user_name, names)):
      group = images if image_check.has_image_suffix(name) else others
      group.append(os.path.join(place, name))
  if not images:
    content = f'no images among its {len(others)} files' if others else 'no images'
    raise diagnostics.UserError(
        f"the folder '{folder}' holds {content}: name one with files such as photo.jpg"
        ' in it or below it')
  return images, others


def _raise(error):
  raise error


def _fitting(pattern):
  files = [path for path in sorted(glob.glob(pattern, recursive=True))
           if os.path.isfile(path) and not any(
               folder_names.is_system_name(part) and part not in pattern
               for part in path.split(os.sep))]
  if not files:
    raise diagnostics.UserError(
        f"no file fits the pattern '{pattern}': name a file, a folder or another"
        ' pattern')
  return files


def _no_such_file(path):
  folder = os.path.dirname(path)
  if folder and not os.path.isdir(folder):
    return f"no file '{path}': there is no folder '{folder}'"
  near = diagnostics.suggestion(os.path.basename(path), os.listdir(folder or '.'))
  return f"no file '{path}'{near}"


def relative_names(files: Iterable[str]) -> dict[str, str]:
  """Returns, for each path, a short one that tells it from the others.

  It begins below the folder that all of them lie in.
  """
  whole = {path: os.path.abspath(path) for path in files}
  folders = {os.path.dirname(path) for path in whole.values()}
  top = os.path.commonpath(folders) if folders else ''
  return {path: os.path.relpath(absolute, top) for path, absolute in whole.items()}
