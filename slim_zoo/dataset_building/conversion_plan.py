"""The plan of a converter: the images of each file, their order, and their records.

The order and the split of images depend only on their names, so they are the same on
every system and in every run. Needs no TensorFlow.
"""

import dataclasses
import hashlib
import itertools
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from slim_zoo.catalog import datasets as catalog

# Goes up whenever the same plan gives other bytes: work of before is then not used.
_FORMAT = 1


def fraction(purpose: str, name: str) -> float:
  """Returns a number in [0, 1) for a purpose ('order', 'split') and a name."""
  # Systems differ in how they spell a name with accents.
  spelled = unicodedata.normalize('NFC', name).encode('utf-8', 'surrogateescape')
  digest = hashlib.blake2b(spelled, digest_size=8, person=purpose.encode())
  return int.from_bytes(digest.digest(), 'big') / 2**64


def in_fixed_order(items: Iterable, name_of: Callable) -> list:
  """Returns items in an order that mixes classes and is always the same."""
  return sorted(
      items, key=lambda item: (fraction('order', name_of(item)), name_of(item)))


class Record(NamedTuple):
  """The record that a converter makes of an image.

  Attributes:
    data: a serialized tf.train.Example.
    change: why the image was encoded anew, or None.
  """

  data: bytes
  change: str | None


@dataclasses.dataclass(frozen=True)
class Split:
  """A split to be written.

  Attributes:
    items: its images in their order; whatever `Plan.make_record` takes. An item has
      a `name`, and its repr says all that its record depends on.
    filename: a file's name, such as '{}-{shard:05d}-of-{shards:05d}'.
    shards: in how many files.
  """

  items: Sequence[Any]
  filename: str
  shards: int

  def shard_ranges(self) -> dict[str, tuple[int, int]]:
    """Returns the range of the items in each file; none is empty if need not be."""
    # More files than images would leave empty ones, which no reader expects.
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
  """All that is to be written.

  Attributes:
    spec: describes the published data set.
    splits: by name; those that there are sources for.
    class_names: by label.
    make_record: makes a `Record` of an item in any process, so a function of a
      module; raises image_check.RefusedError or archives.DamagedMemberError for an
      image that cannot be used.
    made_with: the options that the records depend on.
    notes: lines for the user.
    part_items: the most items that one process takes at a time; None: a whole file.
      Files of several parts are put together in the end.
  """

  spec: catalog.DatasetSpec
  splits: Mapping[str, Split]
  class_names: Mapping[int, str]
  make_record: Callable[[Any], Record]
  made_with: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()
  part_items: int | None = None

  def fingerprint(self) -> str:
    """Returns a digest of all that the bytes depend on."""
    digest = hashlib.blake2b(digest_size=16)
    head = (_FORMAT, self.spec.name, sorted(self.made_with.items()), self.part_items)
    digest.update(repr(head).encode())
    for name, split in self.splits.items():
      digest.update(repr((name, split.filename, split.shards)).encode())
      for item in split.items:
        digest.update(repr(item).encode('utf-8', 'surrogateescape'))
    return digest.hexdigest()
