"""Reads the images of Parquet and Arrow files with pyarrow.

The layout is that of Hugging Face. The column of images has structs of 'bytes' and
'path', or bytes. The column of labels has texts, or numbers with class names in the
metadata 'huggingface' of the file. Needs no TensorFlow.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from slim_zoo import diagnostics
from slim_zoo.dataset_building import image_list
from slim_zoo.dataset_building.packed_images import (
  MAX_BYTES,
  Contents,
  ImageCopies,
  PackedImages,
  Sample,
)
from slim_zoo.progress import Progress

PARQUET, ARROW = '.parquet', '.arrow'
INSTALL = 'python -m pip install "pyarrow>=17,<27"'
# Rows in memory at the same time; a photograph has some MB.
_ROWS = 32


class Part(NamedTuple):
  """A file with rows: path, name in the data set, split or None."""

  path: str
  name: str
  split: str | None


class _Columns(NamedTuple):
  """The columns that are read, and the names of the classes or None."""

  image: str
  label: str
  class_names: tuple[str, ...] | None


def contents(parts: Sequence[Part], packed: PackedImages, copies: ImageCopies
             ) -> Contents:
  """Returns the rows of files; the images are copied to `copies`.

  Args:
    parts: the files, all of the same format.
    packed: options for the columns.
    copies: file for the images.

  Raises:
    UserError: pyarrow is not installed, a file is damaged or truncated, a column is not
      found, or the columns differ from those of the first file.
    OSError: a file cannot be read.
  """
  tables = [_Table(part) for part in parts]
  columns = _columns(tables[0], packed)
  for table in tables[1:]:
    if _columns(table, packed) != columns:
      raise diagnostics.UserError(
          f"'{table.part.path}' has other columns or classes than"
          f" '{parts[0].path}': convert each into its own --dataset_dir")
  return Contents(_samples(tables, columns, copies), columns.class_names)


def _samples(tables, columns, copies) -> Iterator[Sample]:
  total = sum(table.num_rows for table in tables)
  done = 0
  with Progress('reading', total or None, 'images') as progress:
    for table in tables:
      for row, (image, label) in enumerate(table.rows(columns.image, columns.label)):
        place, fault = None, None
        data = image.get('bytes') if isinstance(image, dict) else image
        if not isinstance(data, bytes):
          fault = _missing_image(image)
        elif len(data) > MAX_BYTES:
          fault = 'it has more than 1 GB'
        else:
          place = copies.add(data)
        yield Sample(f'{table.part.name}/{row}', place, label, table.part.split, fault)
        done += 1
        progress.update(done)


def _missing_image(image) -> str:
  path = image.get('path') if isinstance(image, dict) else None
  return (f"its image is not in the file, but in '{path}'" if path else
          'it has no image')


class _Table:
  """The rows of a file. The file is open only while they are read.

  Attributes:
    part: the file.
    schema: its columns.
    num_rows: number of rows; 0 if it is not known before they are read.
  """

  def __init__(self, part: Part):
    self.part, self._arrow, self.num_rows = part, _import_pyarrow(), 0
    with self._errors(0), contextlib.closing(self._opened()) as file:
      self.schema, self.num_rows = file.schema, file.num_rows

  def rows(self, *names: str) -> Iterator[tuple]:
    """Yields the values of the columns `names` in each row."""
    with self._errors(0):
      file = self._opened()
    with contextlib.closing(file):
      yield from self._rows(file, names)

  def _rows(self, file, names):
    count = 0
    with self._errors(0):
      batches = file.batches(names)
    while True:
      with self._errors(count):
        whole = next(batches, None)
      if whole is None:
        return
      for first in range(0, whole.num_rows, _ROWS):
        with self._errors(count):
          batch = whole.slice(first, _ROWS)
          values = [batch.column(batch.schema.get_field_index(name)).to_pylist()
                    for name in names]
        count += batch.num_rows
        yield from zip(*values, strict=True)

  def _opened(self):
    path = self.part.path
    return _Parquet(path) if path.lower().endswith(PARQUET) else _Arrow(path)

  def _errors(self, count):
    return _ArrowErrors(self.part.path, self._arrow, count, self.num_rows)


class _Parquet:
  """An open Parquet file; the attributes are those of `_Table`."""

  def __init__(self, path):
    from pyarrow import parquet
    self._file = parquet.ParquetFile(path)
    self.schema, self.num_rows = self._file.schema_arrow, self._file.metadata.num_rows

  def batches(self, names):
    """Returns an iterator over batches of rows, which have the columns `names`."""
    return self._file.iter_batches(_ROWS, columns=list(names))

  def close(self):
    self._file.close()


class _Arrow:
  """An open Arrow file or stream; the attributes are those of `_Table`."""

  num_rows = 0

  def __init__(self, path):
    import pyarrow
    from pyarrow import ipc
    self._source = pyarrow.memory_map(path)
    try:
      try:
        self._reader = ipc.open_stream(self._source)  # The format of Hugging Face.
      except pyarrow.ArrowInvalid:
        self._source.seek(0)
        self._reader = ipc.open_file(self._source)
    except BaseException:
      self._source.close()
      raise
    self.schema = self._reader.schema

  def batches(self, unused_names):
    """Returns an iterator over batches of rows, which have all columns."""
    if hasattr(self._reader, 'get_batch'):  # It is not a stream.
      return map(self._reader.get_batch, range(self._reader.num_record_batches))
    return iter(self._reader)

  def close(self):
    self._source.close()


class _ArrowErrors:
  """A context manager that converts errors of pyarrow to UserError."""

  def __init__(self, path, arrow, count, total):
    self._path, self._arrow, self._count, self._total = path, arrow, count, total

  def __enter__(self):
    return self

  def __exit__(self, kind, error, unused_traceback):
    # For damaged data, pyarrow raises an OSError without a number.
    has_number = isinstance(error, OSError) and error.errno
    if has_number or not isinstance(
        error, self._arrow.ArrowException | OSError | ValueError | OverflowError):
      return
    of = f' of {self._total:,}' if self._total else ''
    reason = (str(error).strip() or kind.__name__).splitlines()[0].rstrip('. ')
    raise diagnostics.UserError(
        f"'{self._path}' is damaged or cut short after {self._count:,}{of} rows"
        f' ({reason}): get or write it again, or leave it out') from error


def _import_pyarrow():
  try:
    import pyarrow
  except ImportError as error:
    raise diagnostics.UserError(
        f'Parquet and Arrow files need pyarrow, which is not installed: {INSTALL}'
    ) from error
  return pyarrow


def _columns(table, packed) -> _Columns:
  """Returns the columns of images and labels in a file.

  Raises:
    UserError: a column is not found.
  """
  features = _features(table.schema)
  images = [name for name in table.schema.names
            if _type_of(features.get(name)) == 'Image']
  image = _find(table, packed.image_column, images, image_list.PATHS, 'images',
                'image_column')
  with_names = [name for name in table.schema.names if _names(features.get(name))]
  label = _find(table, packed.label_column, with_names, image_list.LABELS, 'labels',
                'label_column')
  return _Columns(image, label, _names(features.get(label)))


def _find(table, given, by_features, usual, content, flag) -> str:
  """Returns the name of a column: given by the user, by its type, or a usual name."""
  names = table.schema.names
  where = f" in '{table.part.path}'"
  if given is not None:
    if given not in names:
      raise diagnostics.unknown_name('column', given, names, f'{where} (--{flag})')
    return given
  if len(by_features) == 1:
    return by_features[0]
  lower = {name.lower(): name for name in (by_features or names)}
  found = next((lower[name] for name in usual if name in lower), None)
  if found is None:
    raise diagnostics.UserError(
        f"'{table.part.path}' has the columns {', '.join(names)}: name the column of"
        f' the {content} with --{flag}')
  return found


def _features(schema) -> dict:
  """Returns the metadata of Hugging Face for the columns; {} for other files."""
  text = (schema.metadata or {}).get(b'huggingface', b'{}')
  try:
    features = json.loads(text)['info']['features']
  except (ValueError, KeyError, TypeError, RecursionError):
    return {}
  return features if isinstance(features, dict) else {}


def _type_of(feature) -> str | None:
  return feature.get('_type') if isinstance(feature, dict) else None


def _names(feature) -> tuple[str, ...] | None:
  """Returns the names of the classes of a column, or None."""
  while isinstance(feature, list) and len(feature) == 1:
    feature = feature[0]
  for _ in range(3):  # The feature may be a list of class labels.
    if isinstance(feature, dict) and 'feature' in feature:
      feature = feature['feature']
  names = feature.get('names') if isinstance(feature, dict) else None
  if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
    return None
  return tuple(names) or None
