"""Checks of the first records of a run, before it starts: form, sizes, lost content."""

import collections
import contextlib
from collections.abc import Iterator, Sequence

from google.protobuf import message

from slim_zoo import diagnostics
from slim_zoo.images import plain_pixels
from slim_zoo.input import (
  batch_labels,
  record_counts,
  record_faults,
  record_form,
  records,
)
from slim_zoo.input.record_form import Expected

# The checked records: those at the start of a few files.
_CHECKED_FILES, _CHECKED_OF_A_FILE, _NOTED_OF_A_FILE = 8, 8, 16
# From so many on, lists of two labels are taken for N-hot vectors, if all are.
_FEWEST_PAIRS = 8


def check(files: Sequence[str], expected: Expected, labels_offset: int = 0) -> None:
  """Checks the first records of some files.

  A run skips single images that cannot be decoded, so images are an error only if
  none of the first can be decoded. A label of the wrong form is always an error.

  Args:
    files: record files.
    expected: the form of their records.
    labels_offset: subtracted from every label.

  Raises:
    UserError: there is no record, or labels or images have the wrong form; the
      message names the record.
  """
  bad_images, labels = [], []
  for index, position, data in _first(files):
    fault = record_faults.find(data, expected)
    if fault is None:
      values = record_form.parse(data).values(expected.label_feature)
      labels.append((index, position, values))
      continue
    if not records.is_whole(files[index], position):
      return  # A damaged file; the run ends with the place.
    line = (f'{records.describe(files, index, position)}: {fault.reason}'
            f'{fault.advice and "; "}{fault.advice}')
    if fault.is_of_label:
      raise diagnostics.UserError(line)
    bad_images.append(line)
  if bad_images and not labels:
    raise diagnostics.UserError(bad_images[0])
  if not labels:
    raise record_counts.no_record(files)
  _check_names(files, expected)
  _check_pairs(files, labels, expected)
  for index, position, values in [] if expected.n_hot else labels:
    for label in values:
      if not labels_offset <= label < expected.num_classes:
        raise diagnostics.UserError(batch_labels.wrong_label(
            label, expected.num_classes - labels_offset, labels_offset, files,
            (index, position)))


def sizes(files: Sequence[str], expected: Expected) -> list[tuple[int, int]]:
  """Returns (height, width) of the first images of some files, in pixels.

  Args:
    files: record files.
    expected: what their records hold; images that cannot be read are left out.
  """
  result = []
  for *_, data in _first(files):
    if record_faults.find(data, expected) is None:
      with contextlib.suppress(Exception), record_faults.opened(
          record_form.parse(data).values(expected.image_feature)[0]) as image:
        result.append((image.height, image.width))
  return result


def _first(files) -> Iterator[tuple[int, int, bytes]]:
  """Yields (file index, position, data) of the first records of some files."""
  for index in range(0, len(files), -(-len(files) // _CHECKED_FILES)):
    for position, data in enumerate(records.read_records(
        files[index], range(_CHECKED_OF_A_FILE))):
      yield index, position, data


def _check_names(files, expected):
  """Refuses lists of labels where none of the first records has the feature.

  Where some records have it, those without it are images of no class.
  """
  if not expected.multi_label or expected.default_label is not None:
    return
  name = expected.label_feature
  first = [(index, position, record_form.parse(data))
           for index, position, data in _first(files)]
  if any(features is not None and features.has(name) for *_, features in first):
    return
  index, position, features = first[0]
  raise diagnostics.UserError(diagnostics.sentences(
      f'{records.describe(files, index, position)}: {features.missing(name)}; expected'
      f' {name}, {expected.label_in_words}',
      f'None of the first {len(first)} records has it: write the labels under this'
      ' name, and an empty list for an image of no class'))


def _check_pairs(files, labels, expected):
  """Refuses two labels for every image, of two classes: they look N-hot."""
  pairs = [values for *_, values in labels]
  if not expected.multi_label or expected.n_hot or expected.num_classes != 2 or any(
      sorted(values) != [0, 1] for values in pairs):
    return
  if [1, 0] in pairs or len(pairs) >= _FEWEST_PAIRS:
    index, position, values = labels[0]
    raise diagnostics.UserError(
        f'{records.describe(files, index, position)}: its {expected.label_feature} is'
        f' {record_form.shown(values)}, and each of the first {len(pairs)} records'
        ' has two such values, so they are N-hot or every image is of both classes;'
        f' if they are N-hot, {record_faults.ADVICE_N_HOT}')


def decoding_notes(files: Sequence[str]) -> list[str]:
  """Returns a line for each kind of content that the decoder drops from first images.

  `slim-zoo convert-images` writes no such images, but other programs may. Records that
  cannot be read are skipped: the pipeline reports them.

  Args:
    files: record files.
  """
  count, dropped = 0, collections.Counter()
  for path in files[::max(1, -(-len(files) // _CHECKED_FILES))]:
    for image in _images(path):
      count += 1
      dropped[plain_pixels.dropped_by_decoder(image)] += 1
  return [f'the decoder drops {content} of PNG images, {number} of the first {count}:'
          ' convert the image files with slim-zoo convert-images, which keeps their'
          ' content visible'
          for content, number in sorted(dropped.items(), key=str) if content]


def _images(path):
  """Yields the encoded images of the first records of a file."""
  try:
    for data in records.read_records(path, range(_NOTED_OF_A_FILE)):
      for value in records.features_of(data).get('image/encoded', [])[:1]:
        if isinstance(value, bytes):
          yield value
  except (diagnostics.UserError, message.DecodeError, OSError):
    return
