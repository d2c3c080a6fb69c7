"""Reads the images of records by number."""

from collections.abc import Mapping, Sequence

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.input import records


class RecordImages:
  """Reads single images of records. Several threads may use it.

  Args:
    files: record files.
    keys: record key (index of the file, position in it) of each image by number.

  Attributes:
    files: the record files.
    keys: the record keys.
  """

  def __init__(self, files: Sequence[str], keys: Mapping[int, tuple[int, int]]):
    self.files, self.keys = files, keys
    self._reader = records.RecordReader(files)

  def encoded(self, number: int) -> bytes:
    """Returns the encoded image."""
    return self._features(number).get('image/encoded', [b''])[0]

  def name(self, number: int) -> str:
    """Returns the file name of the image in its record, or ''."""
    names = self._features(number).get('image/filename', [b''])
    return names[0].decode('utf-8', 'surrogateescape') if names and isinstance(
        names[0], bytes) else ''

  def pixels(self, number: int, side: int | None = None) -> np.ndarray:
    """Returns the image, uint8 [height, width] or [height, width, 3].

    Args:
      number: number of the image.
      side: the needed size of the longer side, in pixels. A large JPEG may be decoded
        at a fraction of its size, but at least twice this size.

    Raises:
      UserError: the record has no image that can be decoded.
    """
    from slim_zoo.images import image_check  # Pillow is slow to import.

    try:
      return image_check.picture(self.encoded(number), side)
    except image_check.RefusedError as error:
      raise diagnostics.UserError(
          f'the image of {records.describe(self.files, *self.keys[number])} cannot be'
          f' decoded: {error}') from error

  def _features(self, number):
    return records.features_of(self._reader.read(*self.keys[number]))
