"""How many records a split has, as counted; a slim Dataset with that number.

A description or a published data set may promise another number. Small splits are
counted. Large splits whose files have about the expected size have the described
number.
"""

import os
import re
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.datasets import dataset_factory
from slim_zoo.input import fingerprint, records
from slim_zoo.progress import Progress

# Records whose mean size stands for that of all: the first of some files.
_SAMPLED_FILES, _SAMPLED_OF_A_FILE = 8, 64
# The mean of so few differs from that of all by less than this share.
_TOLERANCE = 0.25


def count(files: Sequence[str], described: int) -> int:
  """Returns how many records some files hold.

  Args:
    files: the record files of a split.
    described: how many they hold by the description of the data set.

  Raises:
    UserError: there is none; or a file is cut short or is not a TFRecord file.
  """
  estimate = _estimate(files)
  if not estimate and not records.count_records(files):
    raise no_record(files)
  if estimate <= fingerprint.COUNTED_RECORDS:
    return records.count_records(files)
  if _has_all_shards(files) and abs(estimate - described) <= _TOLERANCE * described:
    return described
  total = 0
  with Progress('counting records', len(files), 'files') as progress:
    for done, path in enumerate(files, 1):
      total += records.count_records([path])
      progress.update(done)
  return total


def no_record(files: Sequence[str]) -> diagnostics.UserError:
  """Returns the error for files without a record."""
  return diagnostics.UserError(
      f'there is no record in {diagnostics.some([repr(path) for path in files])}: write'
      ' the records again')


def _estimate(files):
  """Returns about how many records there are, by the sizes of the files."""
  sampled = [length for path in files[::-(-len(files) // _SAMPLED_FILES)]
             for length in records.first_lengths(path, _SAMPLED_OF_A_FILE)]
  if not sampled:
    return 0
  return sum(map(os.path.getsize, files)) * len(sampled) / sum(sampled)


def _has_all_shards(files):
  """Returns whether no file is missing of those that the names count."""
  promised = re.search(r'-of-(\d+)', os.path.basename(files[0]))
  return promised is None or int(promised[1]) == len(files)


def note(dataset_name: str, split_name: str, described: int, counted: int
         ) -> str | None:
  """Returns the line about records of another number; None if it is the same."""
  if counted == described:
    return None
  return (f'{split_name} of {dataset_name} holds {counted:,} records here, not'
          f' {described:,}: an epoch is {counted:,} images')


def get_dataset(name: str, split_name: str, dataset_dir: str):
  """Returns the slim Dataset of a split, with its records counted.

  `num_samples` is their number, `described_samples` the described one. A line is
  printed where the two differ, or where labels.txt has another number of classes.

  Args:
    name: of the data set.
    split_name: of the split.
    dataset_dir: folder of the record files.

  Raises:
    UserError: there is no such data set or split; or a file is not a record file.
  """
  dataset = dataset_factory.get_dataset(name, split_name, dataset_dir)
  spec = dataset_catalog.find_dataset(name, dataset_dir)
  dataset.described_samples = dataset.num_samples
  dataset.num_samples = count(
      dataset_catalog.split_files(spec, split_name, dataset_dir),
      dataset.described_samples)
  _print_differences(dataset, name, split_name)
  return dataset


def _print_differences(dataset, name, split_name):
  line = note(
      name, split_name, dataset.described_samples, dataset.num_samples)
  if line:
    print(line, flush=True)
  labels = dataset.labels_to_names
  if labels and max(labels) + 1 != dataset.num_classes:
    print(f'labels.txt has {max(labels) + 1} classes, {name} has {dataset.num_classes}:'
          f' the network gets {dataset.num_classes} outputs; correct the wrong one of'
          ' both', flush=True)
