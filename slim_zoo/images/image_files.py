"""Reads image files: checks them and returns bytes that TensorFlow decodes.

Images are prepared as `slim-zoo convert-images` stores them, so a network gets the same
pixels as in training: photos are turned upright by their EXIF data, and the first frame
of animations is used. Needs no TensorFlow.
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
    change: why it differs from the file, such as 'CMYK JPEG'; None: unchanged.
  """

  data: bytes
  change: str | None


class Reader:
  """Reads image files; can be used by several threads."""

  def __init__(self):
    self._one_large = threading.Lock()
    # Pillow warns about sizes that are checked here.
    warnings.simplefilter('ignore', Image.DecompressionBombWarning)

  @contextlib.contextmanager
  def open(self, path: str) -> Iterator[ImageFile]:
    """Reads a file and yields the image for the block.

    Only one image that needs much memory is open at a time.

    Raises:
      RefusedError: the file is not a readable image. The message is the reason.
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
  """Returns (height, width) of images in pixels, without unreadable files."""
  sizes = []
  for path in paths:
    with contextlib.suppress(Exception):  # `Reader.open` reports the reason.
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
  """Returns the number of pixels in the header; 0 if unknown."""
  try:
    with Image.open(io.BytesIO(data), formats=image_check.readable_formats()) as image:
      return image.width * image.height
  except Image.DecompressionBombError as error:
    raise image_check.too_large() from error
  except Exception:  # `image_check` reports the reason.
    return 0
