"""Reading of image files: checked, and as bytes that TensorFlow decodes.

What is read is what `slim-zoo convert-images` would have stored in records, so that a
network sees an image as it does in training: photographs that a camera held upright
by a note in the file are turned upright, of moving pictures the first is taken.
Needs no TensorFlow.
"""

import contextlib
import dataclasses
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence

from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.images import image_check

_LARGE_PIXELS = 16_000_000
_MAX_BYTES = 1 << 30
RefusedError = image_check.RefusedError


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """An image that can be classified.

  Attributes:
    data: JPEG or PNG, 8 bits, gray or RGB.
    change: why it is not as in the file, such as 'CMYK JPEG'; None: it is.
  """

  data: bytes
  change: str | None


class Reader:
  """Reads image files; for use by several threads."""

  def __init__(self):
    self._one_large = threading.Lock()
    # Pillow warns of sizes that are taken here, or refused with a reason.
    warnings.simplefilter('ignore', Image.DecompressionBombWarning)

  @contextlib.contextmanager
  def open(self, path: str) -> Iterator[ImageFile]:
    """Reads a file; the block gets its image.

    Of images that take much memory one at a time is lent.

    Raises:
      RefusedError: it is no image that can be read; tells the reason.
    """
    data = _bytes_of(path)
    pixels = _pixels_of(data)
    if pixels > image_check.MAX_PIXELS:
      raise image_check.too_large()
    with self._one_large if pixels > _LARGE_PIXELS else contextlib.nullcontext():
      data, facts = image_check.prepare(data, path, image_check.Storing())
      change = facts.change
      yield ImageFile(
          data, f'{change or "PNG"}, its first frame' if facts.several else change)


def sizes_of(paths: Sequence[str]) -> list[tuple[int, int]]:
  """Returns (height, width) of images in pixels, without those that are not read."""
  sizes = []
  for path in paths:
    with contextlib.suppress(Exception):  # Why one is not read is told when it is.
      with Image.open(io.BytesIO(_bytes_of(path)),
                      formats=image_check.readable_formats()) as image:
        sizes.append((image.height, image.width))
  return sizes


def _bytes_of(path):
  try:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
      raise RefusedError('it is a folder')
    if not stat.S_ISREG(status.st_mode):
      # Reading a pipe or a terminal might never end.
      raise RefusedError('it is no regular file')
    if status.st_size > _MAX_BYTES:
      raise RefusedError(f'it has {status.st_size / 2**30:.1f} GiB, and 1 is the most'
                         ' that is read')
    with open(path, 'rb') as file:
      return file.read()
  except OSError as error:
    raise RefusedError(diagnostics.explain_os_error(error).split(': ', 1)[1]
                       ) from error


def _pixels_of(data):
  """Returns how many pixels the header promises; 0 if it is unknown."""
  try:
    with Image.open(io.BytesIO(data), formats=image_check.readable_formats()) as image:
      return image.width * image.height
  except Image.DecompressionBombError as error:
    raise image_check.too_large() from error
  except Exception:  # Whatever is wrong with it, `image_check` finds the words.
    return 0
