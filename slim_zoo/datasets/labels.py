"""labels.txt: the class names, one line `LABEL:NAME` each.

Needs no TensorFlow.
"""

import os
from collections.abc import Mapping

from slim_zoo import diagnostics

LABELS_FILENAME = 'labels.txt'


def label_lines(labels_to_class_names: Mapping[int, str]) -> str:
  """Returns the text of a labels file, ordered by label.

  Raises:
    UserError: a name contains a line break.
  """
  for label, name in labels_to_class_names.items():
    if '\n' in name or '\r' in name:
      raise diagnostics.UserError(
          f'the name {name!r} of class {label} has a line break in it: rename it')
  return ''.join(f'{label}:{labels_to_class_names[label]}\n'
                 for label in sorted(labels_to_class_names))


def write_label_file(labels_to_class_names: Mapping[int, str],
                     dataset_dir: str | os.PathLike,
                     filename: str = LABELS_FILENAME) -> None:
  """Writes class names by label.

  Args:
    labels_to_class_names: class names by label.
    dataset_dir: the folder to write to.
    filename: the name of the file.
  """
  text = label_lines(labels_to_class_names)
  # Names from a file system may not be UTF-8: they are written unchanged.
  with open(os.path.join(dataset_dir, filename), 'w', encoding='utf-8',
            errors='surrogateescape', newline='\n') as file:
    file.write(text)


def has_labels(dataset_dir: str | os.PathLike,
               filename: str = LABELS_FILENAME) -> bool:
  """Returns whether the folder has a file of class names."""
  return os.path.isfile(os.path.join(dataset_dir, filename))


def read_label_file(dataset_dir: str | os.PathLike,
                    filename: str = LABELS_FILENAME) -> dict[int, str]:
  """Returns class names by label.

  Names may contain colons; empty lines are skipped.

  Raises:
    UserError: a line is not LABEL:NAME, or a label is repeated.
    OSError: the file cannot be read.
  """
  path = os.path.join(dataset_dir, filename)
  names = {}
  with open(path, encoding='utf-8', errors='surrogateescape') as file:
    for number, line in enumerate(file, start=1):
      line = line.rstrip('\r\n').removeprefix('\ufeff')
      if not line.strip():
        continue
      text, colon, name = line.partition(':')
      label = diagnostics.whole_number(text.strip())
      if not colon or label is None:
        raise diagnostics.UserError(
            f"line {number} of '{path}' is '{line}', expected LABEL:NAME such as"
            " '0:daisy'")
      if label in names:
        raise diagnostics.UserError(
            f"line {number} of '{path}' names class {label} again: each class"
            ' has one line')
      names[label] = name
  return names


def check_not_others(dataset_dir: str | os.PathLike,
                     labels_to_class_names: Mapping[int, str]) -> None:
  """Raises UserError if the folder's labels file names other classes."""
  if not has_labels(dataset_dir):
    return
  names = read_label_file(dataset_dir)
  if names != dict(labels_to_class_names):
    raise diagnostics.UserError(
        f"'{dataset_dir}' holds another data set, whose {LABELS_FILENAME} names"
        f' {len(names)} classes: name an empty or new folder')
