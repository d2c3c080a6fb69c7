"""Images of records, spread evenly over all of them."""

from collections.abc import Sequence

import numpy as np

import diagnostics
from datasets import records
from tf_compat import tf


def from_records(files: Sequence[str], count: int, skipped: int = 0) -> list[bytes]:
  """Returns the encoded images of some records.

  Args:
    files: record files.
    count: how many images; all, if there are fewer.
    skipped: how far into each stretch of the records the image is taken: with
      another number come other images, where there are enough.

  Raises:
    UserError: a file is damaged, or its records hold no images.
  """
  sizes = [records.count_records([path]) for path in files]
  total = sum(sizes)
  if not total:
    raise diagnostics.UserError(f"there are no records in '{files[0]}'")
  stretch = max(1, total // count)
  wanted = np.minimum(
      np.arange(min(count, total)) * stretch + min(skipped, stretch - 1), total - 1)
  found, begin = [], 0
  for path, size in zip(files, sizes, strict=True):
    positions = [int(at) - begin for at in wanted if begin <= at < begin + size]
    found += [_image(data, path) for data in records.read_records(path, positions)]
    begin += size
  return found


def _image(data, path):
  features = tf.train.Example.FromString(data).features.feature
  for name in ('image/encoded', 'image'):
    if features[name].bytes_list.value:
      return features[name].bytes_list.value[0]
  raise diagnostics.UserError(f"the records of '{path}' hold no images")
