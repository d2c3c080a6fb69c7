"""Images that are published as raw pixels, stored as PNG."""

import hashlib
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from slim_zoo.dataset_building.conversion_plan import Record
from slim_zoo.input import plain_records

CHANGE = 'bare pixels as PNG'
# The images are small: a process needs about half a second for this many.
PART_ITEMS = 4096


class Content(bytes):
  """Bytes with a digest as repr."""

  def __repr__(self):
    return hashlib.blake2b(self, digest_size=8).hexdigest()


class Item(NamedTuple):
  """An image: uint8 pixels of `shape`, row by row."""

  name: str
  label: int
  shape: tuple[int, ...]
  content: Content


def make_record(item: Item) -> Record:
  """Returns the record of an image."""
  encoded = io.BytesIO()
  Image.fromarray(np.frombuffer(item.content, np.uint8).reshape(item.shape)).save(
      encoded, 'PNG')
  return Record(plain_records.example(plain_records.image_features(
      encoded.getvalue(), b'png', *item.shape[:2], item.label, item.name)), CHANGE)
