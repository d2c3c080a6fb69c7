"""Writes the format safetensors: a header of names and places, then the values.

The header is JSON: for each tensor its type, its shape, and where its bytes begin and
end. Its length is before it, as 8 bytes. The package safetensors describes the format.
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from typing import BinaryIO

import numpy as np

METADATA = '__metadata__'  # A name that no tensor can have.
_ALIGNMENT = 8


def write(file: BinaryIO, kinds: Mapping[str, tuple[str, int]],
          shapes: Mapping[str, Iterable[int]], values: Iterable[np.ndarray],
          metadata: Mapping[str, str]) -> None:
  """Writes tensors, of which one at a time is in memory.

  Args:
    file: to write to.
    kinds: by name of a tensor: (type in the format, such as 'F32', bytes of a number).
    shapes: by the same names, in the order of the values.
    values: the tensors, of these shapes and types.
    metadata: texts by name, such as the source.
  """
  header, place = {METADATA: dict(metadata)}, 0
  for name, shape in shapes.items():
    kind, item_size = kinds[name]
    size = math.prod(shape) * item_size
    header[name] = {'dtype': kind, 'shape': list(shape),
                    'data_offsets': [place, place + size]}
    place += size
  text = json.dumps(header, separators=(',', ':')).encode()
  text += b' ' * (-len(text) % _ALIGNMENT)
  file.write(struct.pack('<Q', len(text)) + text)
  for value in values:
    file.write(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
