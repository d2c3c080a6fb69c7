"""Patterns of file names, and the splits in file names.

    pets-{000..009}.tar      pets-000.tar to pets-009.tar; each must exist
    {train,val}/*.parquet    the files of two folders

Needs no TensorFlow.
"""

import glob
import itertools
import os
import re

from slim_zoo import diagnostics
from slim_zoo.images import folder_names
from slim_zoo.images.folder_names import TRAIN, UNLABELLED

_BRACES = re.compile(r'\{([^{}]*)\}')
_RANGE = re.compile(r'(\d{1,18})\.\.(\d{1,18})')
_MAX_FILES = 100_000


def expand(pattern: str) -> list[str]:
  """Returns the files of a pattern. Files of one alternative in braces are sorted.

  Args:
    pattern: a path with braces, as a shell expands them, and glob patterns.

  Raises:
    UserError: a file does not exist, or the braces name too many files.
  """
  if os.path.exists(pattern):
    return [pattern]  # A file name may contain braces and brackets.
  parts = [_alternatives(part) if place % 2 else [part]
           for place, part in enumerate(_BRACES.split(pattern))]
  total = 1
  for part in parts:
    total *= len(part)
  if total > _MAX_FILES:
    raise diagnostics.UserError(
        f"'{pattern}' names {total:,} files: expected {_MAX_FILES:,} or fewer")
  files = []
  for alternative in map(''.join, itertools.product(*parts)):
    found = [alternative] if os.path.exists(alternative) else sorted(
        glob.glob(alternative, recursive=True))
    if not found:
      raise _missing(pattern, alternative)
    files += found
  return list(dict.fromkeys(files))


def _alternatives(text: str) -> list[str]:
  """Returns the alternatives in a pair of braces."""
  numbers = _RANGE.fullmatch(text)
  if not numbers:
    return text.split(',')
  first, last = numbers.groups()
  if int(last) - int(first) >= _MAX_FILES:
    raise diagnostics.UserError(
        f"'{{{text}}}' names {int(last) - int(first) + 1:,} files: expected"
        f' {_MAX_FILES:,} or fewer')
  if int(last) < int(first):
    raise diagnostics.UserError(
        f"'{{{text}}}' names no file: expected the smaller number first")
  return [str(number).zfill(len(first))
          for number in range(int(first), int(last) + 1)]


def _missing(pattern, alternative) -> diagnostics.UserError:
  """Returns the error for a name without a file."""
  folder, name = os.path.split(alternative)
  if not os.path.isdir(folder or '.'):
    return diagnostics.UserError(f"there is no folder '{folder}' of '{pattern}'")
  near = diagnostics.suggestion(name, os.listdir(folder or '.'))
  of = '' if alternative == pattern else f", which '{pattern}' names"
  return diagnostics.UserError(f"there is no file '{alternative}'{of}{near}")


def names_of(files: list[str]) -> list[str]:
  """Returns the paths of files, relative to their common folder."""
  if len(files) == 1:
    return [os.path.basename(files[0])]
  whole = [os.path.abspath(path) for path in files]
  base = os.path.commonpath([os.path.dirname(path) for path in whole])
  return [os.path.relpath(path, base).replace(os.sep, '/') for path in whole]


def splits_of(names: list[str], choice: str = 'auto'
              ) -> tuple[list[str | None], list[str]]:
  """Returns the split of each file, and lines for the user.

  The split is in the name of the file or of a folder: 'train-0.tar' or 'val/0.tar'. If
  all files have the same split, it is ignored, so that a part of the images becomes the
  validation split.

  Args:
    names: paths, see `names_of`.
    choice: 'auto'; 'yes': each name must have a split; 'no': names are not splits.

  Raises:
    UserError: some files are named after splits and some are not, or no file is for
      training.
  """
  if choice == 'no':
    return [None] * len(names), []
  kinds = [_kind(name) for name in names]
  found = list(dict.fromkeys(kind for kind in kinds if kind))
  if choice == 'auto' and len(found) < 2 and None not in kinds:
    return [None] * len(names), [
        f'all files are named after the split {found[0]}, so the name is ignored;'
        ' --split_folders=yes keeps the split']
  if None in kinds and (found or choice == 'yes'):
    unnamed = names[kinds.index(None)]
    split = f", as '{names[kinds.index(found[0])]}' is" if found else ''
    raise diagnostics.UserError(
        f"'{unnamed}' is not named after a split{split}: rename it, or use"
        ' --split_folders=no if the names are not splits')
  if found and TRAIN not in found and choice == 'auto':
    raise diagnostics.UserError(
        f"the files are named after the splits {', '.join(found)}, but none after"
        f' {TRAIN}: add the files to train on, or use --split_folders=no if the names'
        ' are not splits')
  return kinds, []


def _kind(name: str) -> str | None:
  """Returns the split in the name of a file or of one of its folders."""
  path, _ = os.path.splitext(name)
  for part in reversed(path.removesuffix('.tar').split('/')):
    split = folder_names.split_of(part)
    if split and split[0] != UNLABELLED:
      return split[0]
  return None
