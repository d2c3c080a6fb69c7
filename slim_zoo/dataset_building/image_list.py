"""Lists the images, classes and splits of a file of paths and labels: CSV, JSON lines.

    path,label,split              {"path": "a/1.jpg", "label": "cat"}
    a/1.jpg,cat,train             {"path": "b/3.jpg", "labels": ["cat", "dog"]}
    b/2.jpg,dog,validation

Labels are names of classes. Needs no TensorFlow.
"""

import collections
import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence

from slim_zoo import diagnostics
from slim_zoo.dataset_building.class_folders import TRAIN, ClassFolders, Source
from slim_zoo.images import folder_names

JSON_SUFFIXES = ('.jsonl', '.ndjson', '.json')
SUFFIXES = ('.csv', '.tsv', *JSON_SUFFIXES)
# Names of columns, the usual ones first.
PATHS = ('path', 'image_path', 'file', 'filename', 'file_name', 'image', 'img')
LABELS = ('label', 'labels', 'class', 'classes', 'class_name', 'category', 'target')
SPLITS = ('split', 'subset', 'set')
_DELIMITERS = ',;\t'


@dataclasses.dataclass(frozen=True)
class Columns:
  """The names of the columns; None: found by their usual names.

  Attributes:
    path: of the paths.
    label: of the labels.
    split: of the splits, which need not be there.
  """

  path: str | None = None
  label: str | None = None
  split: str | None = None


@dataclasses.dataclass(frozen=True)
class _Row:
  """A line of a list: the number of the line, its path, labels and split."""

  line: int
  path: str
  labels: tuple[str, ...]
  split: str | None


@dataclasses.dataclass(frozen=True)
class ImageList:
  """A list of images and how it is read.

  Attributes:
    file: path of a file of `SUFFIXES`.
    multi_label: whether an image may have several labels, or none. Then labels of a
      cell are separated, and lines of the same path are put together.
    separator: of the labels in a cell.
    columns: of CSV, and the keys of JSON objects.
  """

  file: str
  multi_label: bool = False
  separator: str = '|'
  columns: Columns = Columns()


def survey(listed: ImageList, image_dir: str | None = None) -> ClassFolders:
  """Returns the images of a list; opens none of them.

  Args:
    listed: the list.
    image_dir: the folder that paths are relative to; None: that of the list.

  Raises:
    UserError: the list cannot be read, a line is wrong, or there are fewer than two
      classes; the message names the line.
    OSError: the file cannot be read.
  """
  list_file, multi_label = listed.file, listed.multi_label
  rows = _merged(
      list_file, _rows(list_file, listed.columns, multi_label, listed.separator),
      multi_label)
  classes = folder_names.in_label_order(
      name for row in rows for name in row.labels)
  if len(classes) < 2:
    raise diagnostics.UserError(
        f"'{list_file}' has {len(classes)} class{'' if len(classes) == 1 else 'es'}:"
        ' expected two or more')
  splits = dict.fromkeys(row.split for row in rows)
  if None not in splits and TRAIN not in splits:
    raise diagnostics.UserError(
        f"'{list_file}' has the splits {', '.join(splits)}, but no {TRAIN}: call the"
        f' split to train on {TRAIN}')
  numbers = {name: label for label, name in enumerate(classes)}

  def label_of(row):
    numbered = tuple(sorted(numbers[name] for name in row.labels))
    return numbered if multi_label else numbered[0]

  return ClassFolders(
      image_dir or os.path.dirname(os.path.abspath(list_file)), tuple(classes), {},
      tuple(sorted((Source(row.path, label_of(row), row.split) for row in rows),
                   key=lambda source: source.path)), (), (),
      tuple(_notes(list_file, rows, multi_label)), list_file, multi_label)


def _notes(list_file, rows, multi_label):
  splits = list(dict.fromkeys(row.split for row in rows if row.split))
  if splits:
    yield (f"splits are those of '{list_file}': {', '.join(splits)};"
           ' --validation_share is not used')
  if multi_label:
    none = sum(not row.labels for row in rows)
    yield (f'{sum(len(row.labels) for row in rows):,} labels of {len(rows):,} images,'
           f' {none:,} without a label')


def _rows(list_file, columns, multi_label, separator) -> Iterator[_Row]:
  """Yields the lines of a list."""
  with open(list_file, encoding='utf-8-sig', newline='') as file:
    try:
      text = file.read()
    except UnicodeDecodeError as error:
      raise diagnostics.UserError(
          f"'{list_file}' is not UTF-8 text: write it in this encoding") from error
  if os.path.splitext(list_file)[1].lower() in JSON_SUFFIXES:
    objects = _of_json(list_file, text)
  else:
    objects = _of_csv(list_file, text)
  names = None
  for line, cells in objects:
    names = names or _column_names(list_file, cells, columns)
    yield _row(list_file, line, cells, names, multi_label, separator)
  if names is None:
    raise diagnostics.UserError(f"'{list_file}' lists no image")


def _of_json(list_file, text) -> Iterator[tuple[int, dict]]:
  """Yields (number of the line, object)."""
  for number, line in enumerate(text.splitlines(), 1):
    if not line.strip():
      continue
    try:
      value = json.loads(line)
    except ValueError:
      value = None
    if not isinstance(value, dict):
      raise diagnostics.UserError(
          f"line {number} of '{list_file}' is not a JSON object: expected"
          ' {"path": "a.jpg", "label": "cat"} on each line')
    yield number, value


def _of_csv(list_file, text) -> Iterator[tuple[int, dict]]:
  """Yields (number of the line, cells by the name of the column)."""
  first = text.split('\n', 1)[0]
  delimiter = max(_DELIMITERS, key=first.count)
  reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, strict=True)
  try:
    header = next(reader, [])
    for cells in reader:
      if not any(map(str.strip, cells)):
        continue
      if len(cells) != len(header):
        raise diagnostics.UserError(
            f"line {reader.line_num} of '{list_file}' has {len(cells)} cells, the"
            f' header has {len(header)}: quote cells that contain the separator')
      yield reader.line_num, dict(zip(map(str.strip, header), cells, strict=True))
  except csv.Error as error:
    raise diagnostics.UserError(
        f"line {reader.line_num} of '{list_file}' is not CSV: {error}") from error


def _column_names(list_file, cells, columns) -> Columns:
  """Returns the names of the columns in a list."""
  def find(given, usual, needed, flag):
    if given is not None:
      if given not in cells:
        raise diagnostics.unknown_name(
            'column', given, cells, f" in '{list_file}' (--{flag})")
      return given
    lower = {name.lower(): name for name in cells}
    found = next((lower[name] for name in usual if name in lower), None)
    if found is None and needed:
      raise diagnostics.UserError(
          f"'{list_file}' has the columns {', '.join(cells)}: name the one of the"
          f' {needed} by --{flag}, or call it {usual[0]}')
    return found

  return Columns(find(columns.path, PATHS, 'paths', 'path_column'),
                 find(columns.label, LABELS, 'labels', 'label_column'),
                 find(columns.split, SPLITS, None, 'split_column'))


def _row(list_file, line, cells, names, multi_label, separator) -> _Row:
  """Returns a checked line."""
  where = f"line {line} of '{list_file}'"
  path, label = cells.get(names.path), cells.get(names.label)
  if not isinstance(path, str) or not path.strip():
    raise diagnostics.UserError(f'{where} has no path in {names.path!r}')
  labels = _labels(where, label, multi_label, separator)
  split = cells.get(names.split) if names.split else None
  if split is not None:
    split = split_name(where, split)
  return _Row(line, os.path.normpath(path.strip()), labels, split)


def _labels(where, value, multi_label, separator) -> tuple[str, ...]:
  """Returns the names of the classes in a cell."""
  if isinstance(value, list):
    parts = value
    if not multi_label:
      raise diagnostics.UserError(
          f'{where} has a list of labels: add --multi_label')
  elif value is None:
    parts = []
  elif multi_label and isinstance(value, str):
    parts = value.split(separator)
  else:
    parts = [value]
  if not all(isinstance(part, (str, int)) and not isinstance(part, bool)
             for part in parts):
    raise diagnostics.UserError(
        f'{where} has the label {value!r}: expected the name or the number of a class')
  labels = tuple(dict.fromkeys(
      text for text in (str(part).strip() for part in parts) if text))
  if not labels and not multi_label:
    raise diagnostics.UserError(
        f'{where} has no label: give it one, or add --multi_label, where images may'
        ' have none')
  return labels


def split_name(where: str, value: object) -> str:
  """Returns the name of a split as records have it.

  Args:
    where: the place of the name, for the message.
    value: the name in the source, such as 'Training'.

  Raises:
    UserError: it cannot be a part of file names.
  """
  text = str(value).strip()
  known = folder_names.split_of(text)
  name = text
  if known and not known[1]:
    name = folder_names.name_of_split(text, known[0])
  if not name or not all(
      character.isalnum() or character in '_.-' for character in name) or (
          not name.isascii()):
    raise diagnostics.UserError(
        f'{where} has the split {value!r}, which becomes part of file names: use'
        " letters, digits, '_', '-' and '.'")
  return name


def _merged(list_file, rows: Iterable[_Row], multi_label) -> Sequence[_Row]:
  """Returns one row for each path.

  Raises:
    UserError: two lines of the same path have different labels or splits.
  """
  by_path = collections.OrderedDict()
  for row in rows:
    before = by_path.get(row.path)
    if before is None:
      by_path[row.path] = row
    elif before.split != row.split:
      raise diagnostics.UserError(
          f"line {row.line} of '{list_file}' puts '{row.path}' into the split"
          f' {row.split}, line {before.line} into {before.split}: leave out one of'
          ' them')
    elif multi_label:
      by_path[row.path] = dataclasses.replace(before, labels=tuple(
          dict.fromkeys([*before.labels, *row.labels])))
    elif before.labels != row.labels:
      raise diagnostics.UserError(
          f"line {row.line} of '{list_file}' gives '{row.path}' the label"
          f" {row.labels[0]!r}, line {before.line} {before.labels[0]!r}: leave out one"
          ' of them, or add --multi_label')
  return list(by_path.values())
