"""Fingerprints of the records of a split, without reading them.

Each TFRecord file gives its size and the checksums of its first and last record; the
names of the classes are taken in whole. So a file that was converted again, cut short,
reordered or replaced is noticed, in a few reads per file. A change inside a file that
keeps its size and both ends is not.

Needs no TensorFlow.
"""

import hashlib
import os
import struct
from collections.abc import Sequence

from slim_zoo.datasets import labels
from slim_zoo.input import records

# Counting reads a few bytes of every record: a second or so for this many.
COUNTED_RECORDS = 100_000
# A list of more files than this helps nobody.
LISTED_FILES = 64
_HEADER = struct.Struct('<QI')
_CHECKSUM_BYTES = 4


def end_checksums(path: str) -> tuple[str, str]:
  """Returns the stored checksums of the first and the last record of a file.

  Eight hexadecimal digits each; '' for a file that ends before them.
  """
  with open(path, 'rb') as file:
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
      return '', ''
    file.seek(_HEADER.size + _HEADER.unpack(header)[0])
    first = file.read(_CHECKSUM_BYTES)
    file.seek(-_CHECKSUM_BYTES, os.SEEK_END)
    return first.hex(), file.read(_CHECKSUM_BYTES).hex()


def fingerprint(files: Sequence[str], num_samples: int,
                dataset_dir: str | None = None) -> dict:
  """Returns the fingerprint of a split, ready for JSON.

  Args:
    files: its record files.
    num_samples: how many records the data set says that there are.
    dataset_dir: where its labels file is, if it has one.

  Returns:
    A dict: 'digest' is equal for equal data, wherever its folder is; 'files' says
    how many there are and 'bytes' how large they are; 'records' counts them, and is
    None where counting would take long (see `COUNTED_RECORDS`); 'expected_records'
    is num_samples; 'listing' has the name, size and records of each file, and is
    left out where there are more than `LISTED_FILES`.

  Raises:
    UserError: a file is not a TFRecord file, or is cut short.
    OSError: a file cannot be read.
  """
  count = num_samples <= COUNTED_RECORDS
  listing, hasher = [], hashlib.sha256()
  for path in sorted(files, key=os.path.basename):
    name, size = os.path.basename(path), os.path.getsize(path)
    hasher.update(f'{name}\0{size}\0{"-".join(end_checksums(path))}\n'.encode(
        errors='surrogateescape'))
    listing.append({'name': name, 'bytes': size,
                    'records': records.count_records([path]) if count else None})
  if dataset_dir and labels.has_labels(dataset_dir):
    hasher.update(labels.label_lines(labels.read_label_file(dataset_dir)).encode(
        errors='surrogateescape'))
  facts = {
      'digest': hasher.hexdigest()[:32],
      'files': len(listing),
      'bytes': sum(entry['bytes'] for entry in listing),
      'records': sum(entry['records'] for entry in listing) if count else None,
      'expected_records': num_samples,
  }
  if len(listing) <= LISTED_FILES:
    facts['listing'] = listing
  return facts
