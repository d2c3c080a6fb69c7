"""Names of several files in one text, and the splits that files are named after.

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
_MOST_FILES = 100_000


def expand(pattern: str) -> list[str]:
  """Returns the files of a pattern, sorted within each of its alternatives.

  Args:
    pattern: a path with braces, as a shell expands them, and glob patterns.

  Raises:
    UserError: a file does not exist, or the braces name too many files.
  """
  if os.path.exists(pattern):
    return [pattern]  # A name may have braces and brackets in it.
  parts = [_alternatives(part) if place % 2 else [part]
           for place, part in enumerate(_BRACES.split(pattern))]
  total = 1
  for part in parts:
    total *= len(part)
  if total > _MOST_FILES:
    raise diagnostics.UserError(
        f"'{pattern}' names {total:,} files: expected {_MOST_FILES:,} or fewer")
  files = []
  for alternative in map(''.join, itertools.product(*parts)):
    found = [alternative] if os.path.exists(alternative) else sorted(
        glob.glob(alternative, recursive=True))
    if not found:
      raise _missing(pattern, alternative)
    files += found
  return list(dict.fromkeys(files))


def _alternatives(text: str) -> list[str]:
  """Returns what a pair of braces stands for."""
  numbers = _RANGE.fullmatch(text)
  if not numbers:
    return text.split(',')
  first, last = numbers.groups()
  if int(last) - int(first) >= _MOST_FILES:
    raise diagnostics.UserError(
        f"'{{{text}}}' names {int(last) - int(first) + 1:,} files: expected"
        f' {_MOST_FILES:,} or fewer')
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
  """Returns the paths below the folder that all files have in common."""
  if len(files) == 1:
    return [os.path.basename(files[0])]
  whole = [os.path.abspath(path) for path in files]
  base = os.path.commonpath([os.path.dirname(path) for path in whole])
  return [os.path.relpath(path, base).replace(os.sep, '/') for path in whole]


def splits_of(names: list[str], choice: str = 'auto'
              ) -> tuple[list[str | None], list[str]]:
  """Returns the split of each file, and lines for the user.

  A file has the split that its name or a folder is named after: 'train-0.tar' or
  'val/0.tar'. If all files have the same split, it is none, so that a part of the
  images becomes the validation split.

  Args:
    names: of `names_of`.
    choice: whether names are splits: 'auto'; 'yes', then each must have one; 'no'.

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
        ' --split_folders=no if the files are no splits')
  if found and TRAIN not in found and choice == 'auto':
    raise diagnostics.UserError(
        f"the files are named after the splits {', '.join(found)}, but none after"
        f' {TRAIN}: add the files to train on, or use --split_folders=no if the names'
        ' are no splits')
  return kinds, []


def _kind(name: str) -> str | None:
  """Returns the split that a file or one of its folders is named after."""
  path, _ = os.path.splitext(name)
  for part in reversed(path.removesuffix('.tar').split('/')):
    split = folder_names.split_of(part)
    if split and split[0] != UNLABELLED:
      return split[0]
  return None
