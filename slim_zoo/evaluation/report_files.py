"""How a report becomes files: JSON, CSV, and all of them at once."""

import contextlib
import csv
import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from slim_zoo.files import staging

# The files that a report may have.
NAMES = ('report.json', 'report.html', 'report.png', 'per_class.csv', 'predictions.csv',
         'confusion_matrix.png', 'per_class.png', 'reliability.png',
         'worst_mistakes.png', 'images.png')


@contextlib.contextmanager
def replacing(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a hidden folder; at the end its files become the report in `folder`.

  The old report.json goes first and the new one comes last, so one that is there
  belongs to the files beside it. Files of another kind of report do not stay. What a
  killed evaluation left in the folder is removed.

  Args:
    folder: made where it does not exist; other files in it are left alone.

  Raises:
    OSError: the folder cannot be written.
  """
  with staging.replacing(os.fspath(folder), NAMES[0], NAMES) as unfinished:
    yield pathlib.Path(unfinished)


@contextlib.contextmanager
def catching_picture_errors(folder: pathlib.Path, problems: list[str]
                            ) -> Iterator[None]:
  """Catches errors of the pictures, so that the numbers are written anyway.

  Args:
    folder: of the unfinished report.
    problems: takes a line that says why there are no pictures.
  """
  try:
    yield
  except Exception as error:  # Libraries that draw raise nearly anything.
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    problems.append(f'the pictures of the report are left out: {reason}')
    for path in folder.glob('*.png'):
      path.unlink()


def plain(value):
  """Returns `value` in JSON's types: NaN as None, NumPy's numbers as Python's."""
  if isinstance(value, Mapping):
    return {str(key): plain(part) for key, part in value.items()}
  if isinstance(value, np.ndarray | np.generic):
    # A float32 keeps its short decimal form: 0.1, not 0.10000000149.
    if value.dtype == np.float32:
      value = value.astype(str).astype(np.float64)
    return plain(value.tolist())
  if isinstance(value, list | tuple):
    return [plain(part) for part in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  if value is None or isinstance(value, bool | int | float | str):
    return value
  return str(value)


def json_text(values: dict) -> str:
  """Returns JSON with one line per value, and one per row of a table."""
  parts = []
  for key, value in values.items():
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
      rows = ',\n'.join(f'    {json.dumps(row)}' for row in value)
      parts.append(f'  {json.dumps(key)}: [\n{rows}\n  ]')
    else:
      parts.append(f'  {json.dumps(key)}: {json.dumps(value)}')
  return '{\n' + ',\n'.join(parts) + '\n}\n'


def write_csv(path: pathlib.Path, rows: Iterable[dict]) -> None:
  """Writes rows of the same keys; undefined numbers are empty cells."""
  writer = None
  # A name that is not UTF-8 comes from a file system and goes back as it was.
  with path.open('w', encoding='utf-8', errors='surrogateescape', newline='') as file:
    for row in map(plain, rows):
      if writer is None:
        writer = csv.DictWriter(file, fieldnames=row, lineterminator='\n')
        writer.writeheader()
      writer.writerow(row)
