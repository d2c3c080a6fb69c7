"""Images in other files: tar shards, Parquet files, data sets of Hugging Face.

A reader yields a `Sample` for each image. Images that cannot be read in random order,
such as those of compressed files, are copied to one temporary file. Names in an archive
never become paths on the disk. Needs no TensorFlow.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from slim_zoo import diagnostics
from slim_zoo.dataset_building import archives
from slim_zoo.dataset_building.class_folders import TRAIN, ClassFolders, Source
from slim_zoo.images import folder_names

# The largest size of an encoded image, in bytes.
MAX_BYTES = 1 << 30
_MAX_CHARACTERS = 80


@dataclasses.dataclass(frozen=True)
class PackedImages:
  """Files that contain images, and options for reading them.

  Attributes:
    source: a folder, a path or a pattern of `file_patterns`; or 'hf:NAME' or
      'hf:NAME:CONFIGURATION' for a data set of Hugging Face.
    multi_label: whether an image may have several labels, or none.
    separator: separator of labels in a text, with multi_label.
    image_column: column of the images; for tar shards the suffix; None: it is found by
      the usual names.
    label_column: column of the labels; for tar shards a suffix or a field of the JSON
      file; None: it is found by the usual names.
    class_names: names of the classes by label, for labels that are numbers; None: the
      names in the files, else the numbers.
    split_names: whether files are named after splits; see `file_patterns.splits_of`.
  """

  source: str
  multi_label: bool = False
  separator: str = '|'
  image_column: str | None = None
  label_column: str | None = None
  class_names: Sequence[str] | None = None
  split_names: str = 'auto'


class Sample(NamedTuple):
  """An image in a file.

  Attributes:
    name: name of the image: the file, '/', and the name or number in the file.
    place: position of its bytes; None if it cannot be used (see `fault`), or, without a
      fault, if the sample is not an image.
    value: label as in the file: a text, a number or a list; None: no label.
    split: name of the split, or None.
    fault: reason why the image cannot be used, or None.
  """

  name: str
  place: archives.Slice | None
  value: Any
  split: str | None
  fault: str | None = None


class Contents(NamedTuple):
  """The result of a reader.

  Attributes:
    samples: the images.
    class_names: names of the classes by label in the files, or None.
    notes: lines for the user.
  """

  samples: Iterable[Sample]
  class_names: Sequence[str] | None = None
  notes: Sequence[str] = ()


class ImageCopies:
  """A temporary file to which images are copied, one after the other.

  Args:
    path: path of the file.
    file: the empty file, open for writing.
  """

  def __init__(self, path: str, file: BinaryIO):
    self._path, self._file = path, file

  def add(self, data: bytes) -> archives.Slice:
    """Copies an image; returns its position."""
    place = archives.Slice(self._path, self._file.tell(), len(data), None)
    self._file.write(data)
    return place


def survey(packed: PackedImages, contents: Contents) -> ClassFolders:
  """Returns the images of `contents`; decodes none of them.

  An image without a usable label is refused. A split without any labels is left out,
  because test splits often have no labels. A note names the files that are not images.

  Raises:
    UserError: there are no images or fewer than two classes, two images have the same
      name, or there are splits but no training split.
  """
  names = packed.class_names or contents.class_names
  numbers = names and {name: label for label, name in enumerate(names)}
  samples, refused, others, unlabelled, seen = [], [], [], {}, set()
  for sample in contents.samples:
    if sample.name in seen:
      raise diagnostics.UserError(
          f"'{packed.source}' has two images with the name"
          f" '{diagnostics.printable(sample.name)}': rename one of them")
    seen.add(sample.name)
    if sample.place is None and not sample.fault:
      others.append(sample.name)
      continue
    found = sample.fault or _labels(packed, numbers, len(names or ()), sample)
    if isinstance(found, str):
      refused.append((sample.name, found))
    elif found or packed.multi_label:
      samples.append((sample, found))
    else:
      unlabelled.setdefault(sample.split, []).append(sample.name)
  notes, labelled = list(contents.notes), {sample.split for sample, _ in samples}
  if others:
    notes.append('files without an image are skipped:'
                 f' {diagnostics.some(list(map(diagnostics.printable, others)))}')
  for split, of_split in unlabelled.items():
    if samples and split not in labelled:
      notes.append(f'the {len(of_split):,} images of {split} have no labels and are'
                   ' skipped')
    else:
      refused += [(name, 'it has no label') for name in of_split]
  return _folders(packed, names, samples, sorted(refused), notes)


def _folders(packed, names, samples, refused, notes) -> ClassFolders:
  """Returns the result of `survey` for samples with their labels."""
  if not samples:
    first = f' (the first: {": ".join(refused[0])})' if refused else ''
    raise diagnostics.UserError(
        f"'{packed.source}' has no image with a label{first}")
  is_fixed = names is not None
  if not is_fixed:
    names = folder_names.in_label_order(
        label for _, found in samples for label in found)
    numbers = {name: label for label, name in enumerate(names)}
    samples = [(sample, [numbers[label] for label in found])
               for sample, found in samples]
  if len(names) < 2:
    raise diagnostics.UserError(
        f"'{packed.source}' has {len(names)} class: expected two or more")
  splits = list(dict.fromkeys(sample.split for sample, _ in samples))
  if any(splits) and TRAIN not in splits and (len(splits) > 1 or not is_fixed):
    raise diagnostics.UserError(
        f"'{packed.source}' has the splits {', '.join(splits)}, but no {TRAIN}: name"
        f' the split to train on {TRAIN}')
  if any(splits):
    notes.append(f"splits are those of '{packed.source}': {', '.join(splits)};"
                 ' --validation_share is not used')
  if packed.multi_label:
    none = sum(not found for _, found in samples)
    notes.append(f'{sum(len(found) for _, found in samples):,} labels of'
                 f' {len(samples):,} images, {none:,} without a label')
  sources = sorted(
      (Source(sample.name, tuple(sorted(found)) if packed.multi_label else found[0],
              sample.split) for sample, found in samples),
      key=lambda source: source.path)
  return ClassFolders(
      packed.source, tuple(names), {}, tuple(sources), (), (), tuple(notes),
      packed.source, packed.multi_label,
      places={sample.name: sample.place for sample, _ in samples},
      refused=tuple(refused), are_classes_fixed=is_fixed)


def _labels(packed: PackedImages, numbers: Mapping[str, int] | None, count: int,
            sample: Sample) -> list[int] | list[str] | str:
  """Returns the labels of a sample, or the reason to refuse it.

  Args:
    packed: the options.
    numbers: label by class name; None: labels are returned as names.
    count: number of classes.
    sample: the image.

  Raises:
    UserError: it has a list of labels without --multi_label.
  """
  labels = []
  for part in _parts(packed, sample):
    if not isinstance(part, (int, str)) or isinstance(part, bool):
      return (f'its label {_shortened(part)} is neither the name nor the number of a'
              ' class')
    if numbers is None:
      labels.append(str(part))
      continue
    label = numbers.get(part)
    if label is None:
      label = diagnostics.whole_number(str(part))
    if label is None or label >= count:
      return f'its label {_shortened(part)} is none of the {count} classes'
    labels.append(label)
  return list(dict.fromkeys(labels))


def _shortened(label) -> str:
  """Returns a label as text for a message."""
  text = repr(label)
  return text if len(text) <= _MAX_CHARACTERS else f'{text[:_MAX_CHARACTERS]}...'


def _parts(packed, sample) -> list:
  """Returns the list of labels in the value of a sample."""
  value = sample.value
  if isinstance(value, list):
    if not packed.multi_label:
      raise diagnostics.UserError(
          f"'{sample.name}' has a list of labels: expected one label, or add"
          ' --multi_label')
    parts = value
  elif isinstance(value, str) and packed.multi_label:
    parts = value.split(packed.separator)
  else:
    parts = [value]
  parts = [part.strip() if isinstance(part, str) else part for part in parts]
  # -1 means that the label is not published.
  return [part for part in parts if part not in (None, '', -1)]
