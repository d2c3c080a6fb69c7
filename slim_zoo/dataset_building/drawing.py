"""Draws that depend on nothing but names: the same on every system, at every run."""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable


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
