"""Notes about images in records that the decoder does not show as they are.

`slim-zoo convert-images` writes no such images, but other programs may.
"""

import collections
from collections.abc import Sequence

from google.protobuf import message

from slim_zoo import diagnostics
from slim_zoo.images import plain_pixels
from slim_zoo.input import records

# The records at the start of a few files are checked.
_FILES, _OF_A_FILE = 8, 16


def notes(files: Sequence[str]) -> list[str]:
  """Returns a line for each kind of loss among the first images of record files.

  Records that cannot be read are skipped: the pipeline reports them.
  """
  count, dropped = 0, collections.Counter()
  for path in files[::max(1, -(-len(files) // _FILES))]:
    for image in _first_images(path):
      count += 1
      dropped[plain_pixels.dropped_by_decoder(image)] += 1
  return [f'the decoder drops {what} of PNG images, {number} of the first {count}:'
          ' convert the image files with slim-zoo convert-images, which keeps their'
          ' content visible'
          for what, number in sorted(dropped.items(), key=str) if what]


def _first_images(path):
  """Yields the encoded images of the first records of a file."""
  try:
    for data in records.read_records(path, range(_OF_A_FILE)):
      for value in records.features_of(data).get('image/encoded', [])[:1]:
        if isinstance(value, bytes):
          yield value
  except (diagnostics.UserError, message.DecodeError, OSError):
    return
