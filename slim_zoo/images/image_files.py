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
  """Reads image files; can be used by several threads.

  Only one image that needs much memory is open at a time.

  Args:
    max_pixels: of an image.
  """

  def __init__(self, max_pixels: int = image_check.MAX_PIXELS):
    self._one_large, self._max_pixels = threading.Lock(), max_pixels
    # Pillow warns about sizes that are checked here.
    warnings.simplefilter('ignore', Image.DecompressionBombWarning)

  @contextlib.contextmanager
  def open(self, path: str) -> Iterator[ImageFile]:
    """Reads a file and yields the image for the block.

    Raises:
      RefusedError: the file is not a readable image. The message is the reason.
    """
    with self.of_bytes(_bytes_of(path)) as file:
      yield file

  @contextlib.contextmanager
  def of_bytes(self, data: bytes) -> Iterator[ImageFile]:
    """Yields the image in the bytes of a file for the block; see `open`."""
    with self._room_for(data):
      data, facts = image_check.prepare(data, '', image_check.Storing())
      change = facts.change
      yield ImageFile(
          data, f'{change or "PNG"}, its first frame' if facts.several else change)

  @contextlib.contextmanager
  def checked(self, data: bytes) -> Iterator[image_check.ImageFacts]:
    """Checks the bytes of a file, which is used as it is, for the block; see `open`.

    Yields its properties. `max_pixels` counts one frame of an animation.
    """
    with self._room_for(data):
      yield image_check.examine(data, '')

  @contextlib.contextmanager
  def _room_for(self, data):
    pixels = pixels_of(data)
    if pixels > self._max_pixels:
      raise image_check.too_large(self._max_pixels)
    with self._one_large if pixels > _LARGE_PIXELS else contextlib.nullcontext():
      yield


def open_image(path: str) -> Image.Image:
  """Returns the image of a file as `Reader` prepares it: upright, mode L or RGB.

  Raises:
    UserError: the file is not a readable image.
  """
  try:
    with Reader().open(path) as file:
      return Image.fromarray(image_check.picture(file.data))
  except RefusedError as error:
    raise diagnostics.UserError(f"'{path}' cannot be used: {error}") from error


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
      raise RefusedError('it is not a regular file')
    if status.st_size > _MAX_BYTES:
      raise RefusedError(f'it has {status.st_size / 2**30:.1f} GiB, and 1 is the most'
                         ' that is read')
    with open(path, 'rb') as file:
      return file.read()
  except OSError as error:
    raise RefusedError(diagnostics.explain_os_error(error).split(': ', 1)[1]
                       ) from error


def pixels_of(data: bytes) -> int:
  """Returns the number of pixels in the header of an image; 0 if unknown.

  Beyond Pillow's limit, which is larger, it is one more than `image_check.MAX_PIXELS`.
  """
  try:
    with Image.open(io.BytesIO(data), formats=image_check.readable_formats()) as image:
      return image.width * image.height
  except Image.DecompressionBombError:
    return image_check.MAX_PIXELS + 1
  except Exception:  # `image_check` reports the reason.
    return 0
