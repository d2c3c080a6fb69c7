"""The plan of a converter: the images of each file, their order, and their records.

Order and splits depend only on the names of the images, so they are the same on every
system and in every run. Needs no TensorFlow.
"""

import dataclasses
import hashlib
import itertools
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from slim_zoo.catalog import datasets as catalog

# Increased when the same plan produces other bytes: then earlier work is not reused.
_FORMAT = 1


def fraction(purpose: str, name: str) -> float:
  """Returns a number in [0, 1) for a purpose ('order', 'split') and a name."""
  # Systems normalize accents in names differently.
  spelled = unicodedata.normalize('NFC', name).encode('utf-8', 'surrogateescape')
  digest = hashlib.blake2b(spelled, digest_size=8, person=purpose.encode())
  return int.from_bytes(digest.digest(), 'big') / 2**64


def in_fixed_order(items: Iterable, name_of: Callable) -> list:
  """Returns items in a fixed order that mixes classes."""
  return sorted(
      items, key=lambda item: (fraction('order', name_of(item)), name_of(item)))


class Record(NamedTuple):
  """The record of an image.

  Attributes:
    data: a serialized tf.train.Example.
    change: why the image was re-encoded, or None.
  """

  data: bytes
  change: str | None


@dataclasses.dataclass(frozen=True)
class Split:
  """A split to write.

  Attributes:
    items: its images in order: arguments of `Plan.make_record`. An item has a `name`,
      and its repr contains everything that its record depends on.
    filename: pattern of the file names, such as '{}-{shard:05d}-of-{shards:05d}'.
    shards: number of files.
  """

  items: Sequence[Any]
  filename: str
  shards: int

  def shard_ranges(self) -> dict[str, tuple[int, int]]:
    """Returns the range of items in each file, without empty files if possible."""
    # Readers do not expect empty files.
    shards = min(self.shards, len(self.items))
    bounds = [len(self.items) * shard // shards for shard in range(shards + 1)]
    return {self.filename.format(shard=shard, shards=shards): (first, end)
            for shard, (first, end) in enumerate(
                itertools.pairwise(bounds))}

  def pattern(self) -> str:
    """Returns the glob pattern of the files."""
    shards = min(self.shards, len(self.items))
    return self.filename.replace('{shard:05d}', '?????').format(shards=shards)


@dataclasses.dataclass(frozen=True)
class Plan:
  """Everything to write.

  Attributes:
    spec: description of the published data set.
    splits: splits that have sources, by name.
    class_names: class names by label.
    make_record: returns the `Record` of an item. It runs in other processes, so it is a
      function of a module. Raises image_check.RefusedError or
      archives.DamagedMemberError for an unusable image.
    made_with: the options that the records depend on.
    notes: lines for the user.
    part_items: maximum number of items that a process converts at a time; None: a whole
      file. Parts of a file are joined at the end.
  """

  spec: catalog.DatasetSpec
  splits: Mapping[str, Split]
  class_names: Mapping[int, str]
  make_record: Callable[[Any], Record]
  made_with: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()
  part_items: int | None = None

  def fingerprint(self) -> str:
    """Returns a digest of everything that the bytes depend on."""
    digest = hashlib.blake2b(digest_size=16)
    head = (_FORMAT, self.spec.name, sorted(self.made_with.items()), self.part_items)
    digest.update(repr(head).encode())
    for name, split in self.splits.items():
      digest.update(repr((name, split.filename, split.shards)).encode())
      for item in split.items:
        digest.update(repr(item).encode('utf-8', 'surrogateescape'))
    return digest.hexdigest()
