"""One image file: is it whole, and how is it stored?

TensorFlow's decoder takes JPEG and PNG of 8 bits, gray or RGB. Such files are stored
byte for byte; everything else that Pillow reads is encoded anew, and so are images that
are scaled down. Needs no TensorFlow.
"""

import dataclasses
import io
import os
import re
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from slim_zoo.images import plain_pixels

# The most pixels of an image that is decoded. A file of some kB may claim any number,
# and each takes some 30 bytes of memory while its image is preprocessed.
MAX_PIXELS = 100_000_000
# And the longest side: a row of pixels is made as high as the network's input.
MAX_SIDE = 200_000
# What is read. Some formats that Pillow knows run other programs.
_FORMATS = ('BMP', 'GIF', 'JPEG', 'JPEG2000', 'MPO', 'PNG', 'PPM', 'TIFF', 'WEBP')
# An MPO is a JPEG with more pictures behind it.
_STORED_FORMATS = {'JPEG': 'jpeg', 'MPO': 'jpeg', 'PNG': 'png'}
_SUFFIXES = {
    '.bmp': 'BMP', '.gif': 'GIF', '.jfif': 'JPEG', '.jpe': 'JPEG', '.jpeg': 'JPEG',
    '.jpg': 'JPEG', '.jp2': 'JPEG2000', '.mpo': 'JPEG', '.pgm': 'PPM', '.png': 'PNG',
    '.pnm': 'PPM', '.ppm': 'PPM', '.tif': 'TIFF', '.tiff': 'TIFF', '.webp': 'WEBP'}
_FORMATS_OF_SEVERAL = ('GIF', 'PNG', 'TIFF', 'WEBP')
# (offset, bytes there, kind) of what people take for images that are read.
_KINDS_NOT_READ = (
    *((4, b'ftyp' + brand, 'HEIC') for brand in (b'hei', b'hev', b'mif1', b'msf1')),
    (4, b'ftypavi', 'AVIF'), (4, b'ftyp', 'video'), (0, b'%PDF', 'PDF'),
    (0, b'8BPS', 'Photoshop'), (0, b'\0\0\1\0', 'icons'), (0, b'PK\3\4', 'ZIP'),
    (0, b'\xff\x0a', 'JPEG XL'), (0, b'\0\0\0\x0cJXL ', 'JPEG XL'))
_ORIENTATION = 0x0112
# How an image is turned upright, by the number in its EXIF data.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90}
_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'  # A chunk: its length, name and checksum.
# A JPEG is decoded at the smallest part of its size that has so many times the pixels
# of a side of the result: fast, and as sharp.
_DECODED_SIDES = 1.5
# Not zeros and restarts, which are parts of the pixels, and not fill bytes.
_JPEG_MARKER = re.compile(rb'\xff([^\0\xff\xd0-\xd7])', re.DOTALL)
_JPEG_END, _JPEG_PIXELS, _JPEG_WITHOUT_LENGTH = b'\xd9', b'\xda', b'\x01'


class RefusedError(Exception):
  """An image that cannot be used; its text is the reason."""


@dataclasses.dataclass(frozen=True)
class Storing:
  """How images are stored.

  Attributes:
    max_side: the longest side in pixels; larger images are scaled down. None: no limit.
    jpeg_quality: of JPEGs that are encoded anew, 1 to 100.
  """

  max_side: int | None = None
  jpeg_quality: int = 95


@dataclasses.dataclass(frozen=True)
class Facts:
  """The facts of an image that can be used.

  Attributes:
    height: as stored, in pixels.
    width: as stored, in pixels.
    gray: whether it is stored with one channel.
    format: of the stored image, 'jpeg' or 'png'.
    change: why it is encoded anew, such as 'CMYK'; None: stored as it is.
    wrong_suffix: whether its name promises another format than its bytes.
    several: whether it is the first of several frames or pages in its file.
  """

  height: int
  width: int
  gray: bool
  format: str
  change: str | None
  wrong_suffix: bool
  several: bool


def has_image_suffix(name: str) -> bool:
  """Returns whether a file's name promises an image."""
  return os.path.splitext(name)[1].lower() in _SUFFIXES


def readable_formats() -> list[str]:
  """Returns the names of the formats that are read, for Pillow's `Image.open`."""
  Image.init()
  return [name for name in _FORMATS if name in Image.OPEN]


def too_large() -> RefusedError:
  """Returns the error for an image of more than MAX_PIXELS."""
  return RefusedError(f'it has more than {MAX_PIXELS // 10**6} million pixels, the most'
                      ' that are read: scale it down')


def check_size(width: int, height: int) -> None:
  """Raises RefusedError for an image of more pixels than are decoded.

  Args:
    width: of the image, in pixels.
    height: of the image, in pixels.
  """
  if width * height > MAX_PIXELS:
    raise too_large()
  if max(width, height) > MAX_SIDE:
    raise RefusedError(f'it is {width:,} x {height:,} pixels, and {MAX_SIDE:,} is the'
                       ' longest side that is read: scale it down')


def examine(data: bytes, name: str) -> Facts:
  """Decodes an image completely and returns its facts.

  Args:
    data: the bytes of the file.
    name: the name of the file.

  Raises:
    RefusedError: it is empty, cut short or damaged, is no image, or has more than
      MAX_PIXELS.
  """
  return _facts(name, *_to_store(data))


def prepare(data: bytes, name: str, storing: Storing) -> tuple[bytes, Facts]:
  """Returns the stored form of an image, and its facts.

  A JPEG stays a JPEG, everything else that is encoded anew becomes a PNG.

  Args:
    data: the bytes of the file.
    name: the name of the file.
    storing: how it is stored.

  Raises:
    RefusedError: see `examine`.
  """
  image, stored, size, change = _to_store(data, max_side=storing.max_side)
  if change:
    data = _encoded(stored, _stored_format(image), storing.jpeg_quality)
  return data, _facts(name, image, stored, size, change)


def _facts(name, image, stored, size, change):
  promised = _SUFFIXES.get(os.path.splitext(name)[1].lower())
  return Facts(
      height=size[1], width=size[0], gray=stored.mode == 'L',
      format=_stored_format(image), change=change,
      wrong_suffix=promised is not None and
      promised != {'MPO': 'JPEG'}.get(image.format, image.format),
      several=_several(image))


def as_published(data: bytes, only_jpeg: bool = False) -> tuple[bytes, Facts]:
  """Decodes an image of a published data set; returns its stored form and facts.

  Boxes and results of others count the pixels as they lie in the file, so an image
  is not turned upright.

  Args:
    data: the bytes of the file.
    only_jpeg: whether images of other formats are stored as JPEG too.

  Raises:
    RefusedError: see `examine`.
  """
  image, stored, size, change = _to_store(data, upright=False)
  stored_format = 'jpeg' if only_jpeg else _stored_format(image)
  if stored_format != _stored_format(image):
    change = f'{image.format} stored as JPEG'
  if change:
    data = _encoded(stored, stored_format)
  return data, Facts(size[1], size[0], stored.mode == 'L', stored_format,
                     change, wrong_suffix=False, several=_several(image))


def picture(data: bytes) -> np.ndarray:
  """Returns the pixels of an image in a record, to be shown.

  Args:
    data: the encoded image.

  Returns:
    uint8 [height, width] or [height, width, 3].

  Raises:
    RefusedError: see `examine`; but a damaged end is let pass where Pillow does so.
  """
  try:
    with warnings.catch_warnings():
      # Pillow warns of sizes that are checked here.
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      image = Image.open(io.BytesIO(data))
    with image:
      check_size(image.width, image.height)
      if image.mode.startswith('I'):
        # As TensorFlow decodes 16 bits: the upper 8.
        return (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
      return np.asarray(image.convert('L' if image.mode in ('1', 'L') else 'RGB'))
  except Image.DecompressionBombError as error:
    raise too_large() from error
  except RefusedError:
    raise
  except Exception as error:  # Damaged files make Pillow raise nearly anything.
    raise RefusedError('it is damaged, or no image of a known format') from error


def _encoded(plain: Image.Image, stored_format: str,
             jpeg_quality: int = Storing.jpeg_quality) -> bytes:
  encoded = io.BytesIO()
  if stored_format == 'jpeg':
    plain.save(encoded, 'JPEG', quality=jpeg_quality, subsampling=0)
  else:
    plain.save(encoded, 'PNG')
  return encoded.getvalue()


def _stored_format(image):
  return _STORED_FORMATS.get(image.format, 'png')


def _decode(data: bytes, upright: bool, max_side: int | None
            ) -> tuple[Image.Image, tuple[int, int], tuple[int, int] | None]:
  """Returns the decoded image, its width and height, and a smaller size or None.

  Args:
    data: the bytes of the file.
    upright: whether it is turned upright.
    max_side: the longest side in pixels; None: no limit. A larger JPEG is decoded at a
      part of its size, and the smaller size is that to scale it down to.

  Raises:
    RefusedError: see `examine`.
  """
  smaller = None
  if not data:
    raise RefusedError('the file is empty')
  try:
    image = Image.open(io.BytesIO(data), formats=readable_formats())
    check_size(image.width, image.height)
    size, longest = image.size, max(image.size)
    if max_side and longest > max_side:
      smaller = tuple(max(1, round(side * max_side / longest)) for side in image.size)
      image.draft(None, tuple(int(side * _DECODED_SIDES) for side in smaller))
    elif _stored_format(image) == 'jpeg' and not _change(image, data, upright):
      # It is stored as it is. All of its data is read at an eighth of its size too.
      image.draft(None, (1, 1))
    image.load()
    if image.format == 'PNG':
      # Pillow does not compare the checksums of pixels when it decodes.
      Image.open(io.BytesIO(data), formats=['PNG']).verify()
      if _PNG_END not in data:
        # Pillow takes a damaged end, TensorFlow's decoder does not.
        raise EOFError('its end is damaged')
    if _stored_format(image) == 'jpeg' and not _has_jpeg_end(data):
      # As left by a download into a file of the full size; Pillow fills it in.
      raise EOFError('its end is missing')
  except UnidentifiedImageError as error:
    raise RefusedError(_what_it_is(data)) from error
  except Image.DecompressionBombError as error:  # Pillow has a limit of its own.
    raise too_large() from error
  except RefusedError:
    raise
  except Exception as error:
    # Damaged files make Pillow raise nearly anything, struct.error included.
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise RefusedError(f'it is damaged: {reason}') from error
  return image, size, smaller


def _has_jpeg_end(data: bytes) -> bool:
  """Returns whether a JPEG's pixels have an end, where a decoder looks for it.

  A decoder jumps over the length of each segment. In damaged pixels a segment may seem
  to begin that reaches past the end marker.
  """
  position, has_pixels = 2, False
  while marker := _JPEG_MARKER.search(data, position):
    kind, position = marker[1], marker.end()
    if kind == _JPEG_END:
      return has_pixels
    has_pixels = has_pixels or kind == _JPEG_PIXELS
    if kind != _JPEG_WITHOUT_LENGTH:
      position += int.from_bytes(data[position:position + 2], 'big')
  return False


def _what_it_is(data: bytes) -> str:
  """Returns the reason to refuse what no decoder knows."""
  start = data[:1024].lstrip().lower()
  if start.startswith((b'<!doctype html', b'<html')):
    return 'it is a web page, not an image'
  if start.startswith((b'<svg', b'<?xml')):
    return 'it is XML or SVG, not an image of pixels'
  try:
    text = data[:1024].decode('utf-8', errors='strict' if len(data) <= 1024 else
                              'ignore')
  except UnicodeDecodeError:
    text = '\0'
  for place, signature, kind in _KINDS_NOT_READ:
    if data.startswith(signature, place):
      return f'it is a file of {kind}, which is not read: convert it to JPEG or PNG'
  if text.isprintable() or all(c.isprintable() or c.isspace() for c in text):
    return 'it is text, not an image'
  return 'it is no image of a known format, or its beginning is damaged'


def _orientation(image) -> int:
  try:
    return image.getexif().get(_ORIENTATION, 1)
  except Exception:  # Damaged EXIF data is as good as none.
    return 1


def _several(image) -> bool:
  """Returns whether a file holds frames or pages behind its first."""
  # Behind the picture of an MPO are others of the same scene, for depth or preview.
  try:
    return image.format in _FORMATS_OF_SEVERAL and getattr(image, 'is_animated', False)
  except Exception:  # What is behind the first is damaged, and not used.
    return True


def _change(image: Image.Image, data: bytes, upright: bool = True) -> str | None:
  """Returns why an image cannot be stored as it is, or None."""
  kind = {'MPO': 'JPEG'}.get(image.format, image.format)
  if image.format not in _STORED_FORMATS:
    return kind
  if upright and _orientation(image) in range(2, 9):
    return f'{kind} turned upright'
  if plain_pixels.bits_per_sample(image, data) == 16:
    return '16-bit PNG'
  if image.mode in ('P', 'PA'):
    return f'{kind} with a palette'
  if plain_pixels.has_transparency(image):
    return f'{kind} with transparency'
  if image.mode not in ('L', 'RGB'):
    return f"{'1-bit' if image.mode == '1' else image.mode} {kind}"
  return None


def _to_store(data: bytes, upright: bool = True, max_side: int | None = None):
  """Returns (image as opened, stored image, (its width, height), change or None).

  The stored image is of mode L or RGB; without a change, it has no use: the file is
  stored as it is, and the image may have been decoded at a part of its size.

  Raises:
    RefusedError: see `examine`.
  """
  image, size, smaller = _decode(data, upright, max_side)
  change = _change(image, data, upright)
  if not change and not smaller:
    return image, image, size, None
  try:
    stored, remarks = plain_pixels.plain(image, data)
  except ValueError as error:
    raise RefusedError(str(error)) from error
  if smaller:
    stored = stored.resize(smaller, Image.Resampling.LANCZOS, reducing_gap=3.0)
    change = change or {'MPO': 'JPEG'}.get(image.format, image.format)
    remarks.append('scaled down')
  orientation = _orientation(image) if upright else 1
  if orientation in _TURNS:
    stored = stored.transpose(_TURNS[orientation])
  return image, stored, stored.size, ', '.join([change, *remarks])
