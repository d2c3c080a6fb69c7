"""How many images of each class the records of a split hold.

Reads every record, but decodes no image. Nothing is kept: records change.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.catalog.datasets import IGNORED, MASK_FEATURE, DatasetSpec
from slim_zoo.images import image_check, mask_files
from slim_zoo.input import batch_labels, held_out, record_faults, record_form, records
from slim_zoo.progress import Progress


def count(files: Sequence[str], spec: DatasetSpec,
          labels_offset: int = 0, part: held_out.Part | None = None) -> np.ndarray:
  """Counts images by class, and shows how far it is.

  An image of several classes counts once for each of them. With masks, pixels are
  counted.

  Args:
    files: the record files of the split.
    spec: describes the records.
    labels_offset: taken off every label.
    part: of the split; None: all of it.

  Returns:
    int64 [classes].

  Raises:
    UserError: a file is damaged, or a record has no label, or one of the wrong form,
      or one that is none of the classes; the message names it.
  """
  counts = np.zeros(spec.num_classes - labels_offset, np.int64)
  for key, data, expected in _checked(files, spec, part):
    if spec.masks:
      counts += _pixels(data, len(counts), files, key)
    else:
      counts[_labels(data, expected, len(counts), labels_offset, files, key)] += 1
  return counts


def labels_by_key(files: Sequence[str], spec: DatasetSpec, labels_offset: int = 0,
                  part: held_out.Part | None = None
                  ) -> Iterator[tuple[tuple[int, int], list[int]]]:
  """Yields the key of each record and its classes; shows how far it is.

  Arguments and errors are those of `count`; records with masks have no classes.
  """
  for key, data, expected in _checked(files, spec, part):
    yield key, _labels(data, expected, spec.num_classes - labels_offset, labels_offset,
                       files, key)


def _checked(files, spec, part):
  """Yields (key, record, what is expected of it); raises UserError for a bad label."""
  keys = held_out.all_keys(files) if part is None else part.keys(files)
  expected = record_form.Expected(
      spec.num_classes, spec.image_feature, spec.label_feature, spec.multi_label,
      spec.n_hot, spec.default_label, spec.masks)
  done = 0
  with Progress('counting labels', len(keys), 'images') as progress:
    for index, path in enumerate(files):
      positions = keys[keys[:, 0] == index, 1].tolist()
      for position, data in zip(
          positions, records.read_records(path, positions), strict=True):
        fault = record_faults.find_label_fault(data, expected)
        if fault:
          raise diagnostics.UserError(
              f'{records.describe(files, index, position)}: {fault.reason}')
        yield (index, position), data, expected
        done += 1
        progress.update(done)


def _labels(data, expected, num_classes, labels_offset, files, key):
  """Returns the classes of a record, each once."""
  labels = sorted(set(record_form.labels_of(data, expected)))
  for label in labels:
    if not 0 <= label - labels_offset < num_classes:
      raise diagnostics.UserError(batch_labels.wrong_label(
          label, num_classes, labels_offset, files, key))
  return [label - labels_offset for label in labels]


def _pixels(data, num_classes, files, key):
  """Returns the pixels of each class in the mask of a record."""
  try:
    mask = mask_files.decode(record_form.parse(data).values(MASK_FEATURE)[0])
  except image_check.RefusedError as error:
    raise diagnostics.UserError(
        f'{records.describe(files, *key)}: its mask cannot be used: {error}') from error
  counts = np.bincount(mask.ravel(), minlength=256)
  wrong = np.flatnonzero(counts[num_classes:IGNORED])
  if len(wrong):
    raise diagnostics.UserError(batch_labels.wrong_mask(
        wrong[0] + num_classes, num_classes, files, key))
  return counts[:num_classes]
