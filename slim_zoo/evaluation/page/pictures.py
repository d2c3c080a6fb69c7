"""The pictures in a page: small JPEG and PNG files, with a limit on their bytes."""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.drawing import data_urls, sheets

SIDE = 128
# Of all data URLs together.
MAX_BYTES = 10_000_000
_JPEG_QUALITY = 80
# Images with fewer pixels on their longer side are stored without loss.
_SMALL_SIDE = 64
_THREADS = 4
_AT_ONCE = 32


@dataclasses.dataclass(frozen=True)
class Picture:
  """One image in the page.

  Attributes:
    source: data URL of the image.
    name: name of the image file, or ''.
  """

  source: str
  name: str


class ByteLimit:
  """Counts the bytes of pictures up to a limit.

  Args:
    num_bytes: the limit.

  Attributes:
    left: number of bytes below the limit.
    left_out: number of pictures that are left out because of the limit.
  """

  def __init__(self, num_bytes: int = MAX_BYTES):
    self.left, self.left_out = num_bytes, 0


class Pictures:
  """Pictures of images by number, up to a limit of bytes.

  Args:
    read_image: returns an image by number, uint8 [height, width], [height, width, 1]
      or [height, width, 3]. Several threads call it. After a UserError the image is
      left out.
    name_of: returns the name of the image file, or ''.
    limit: the limit; several `Pictures` may share one. None: MAX_BYTES for these
      pictures.

  Attributes:
    by_number: the pictures by number of the image.
    limit: the limit.
  """

  def __init__(self, read_image: Callable[[int], np.ndarray],
               name_of: Callable[[int], str] = lambda number: '',
               limit: ByteLimit | None = None):
    self._read_image, self._name_of = read_image, name_of
    self.limit = limit or ByteLimit()
    self._tried, self.by_number = set(), {}

  def add(self, numbers: Iterable[int]) -> None:
    """Adds pictures of images that have no picture yet, in this order."""
    new = [number for number in dict.fromkeys(map(int, numbers))
           if number not in self._tried]
    self._tried.update(new)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
      for start in range(0, len(new), _AT_ONCE):
        if self.limit.left <= 0:
          self.limit.left_out += len(new) - start
          return
        for number, picture in pool.map(self._make, new[start:start + _AT_ONCE]):
          if picture is not None:
            self._keep(number, picture)

  def add_drawn(self, image: Image.Image) -> str:
    """Returns the data URL of an additional picture; '' if it exceeds the limit."""
    source = data_url(image)
    if len(source) > self.limit.left:
      self.limit.left_out += 1
      return ''
    self.limit.left -= len(source)
    return source

  def _make(self, number):
    try:
      image = sheets.image_of(self._read_image(number))
    except diagnostics.UserError:  # Another decoder accepted it.
      return number, None
    return number, Picture(data_url(image), self._name_of(number))

  def _keep(self, number, picture):
    if len(picture.source) > self.limit.left:
      self.limit.left_out += 1
      # Smaller pictures after it are left out too, so that the order decides.
      self.limit.left = 0
      return
    self.limit.left -= len(picture.source)
    self.by_number[number] = picture


def data_url(image: Image.Image) -> str:
  """Returns the data URL of a picture; a large picture is reduced.

  Args:
    image: RGB.
  """
  if max(image.size) > SIDE:
    image = sheets.thumbnail(image, SIDE)
  if max(image.size) > _SMALL_SIDE:
    return data_urls.of(image, 'JPEG', quality=_JPEG_QUALITY, optimize=True)
  # Most small images are gray, which takes a third of the bytes.
  pixels = np.asarray(image)
  if (pixels == pixels[:, :, :1]).all():
    image = image.convert('L')
  return data_urls.of(image, 'PNG', optimize=True)
