"""How many records a split holds, whatever its description says.

The records of one's own under the name of a published data set are counted, as epochs
and schedules follow from their number. The millions of ImageNet would take minutes to
count on a slow disk, so of a large split whose files have about the described size the
described number is taken.

Needs no TensorFlow.
"""

import os
import re
from collections.abc import Sequence

from slim_zoo import diagnostics
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
    UserError: there is none; or a file is cut short or is no TFRecord file.
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
