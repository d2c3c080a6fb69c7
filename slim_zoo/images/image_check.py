"""Checks an image file, and decides how it is stored in records.

TensorFlow's decoder reads JPEG and PNG of 8 bits, gray or RGB. Such files are stored
byte for byte. Everything else that Pillow reads, and images that are scaled down, are
re-encoded. Needs no TensorFlow.
"""

import dataclasses
import io
import os
import re
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from slim_zoo.images import plain_pixels

# Maximum number of pixels of a decoded image. A file of a few kB may claim any number,
# and preprocessing needs about 30 bytes of memory per pixel.
MAX_PIXELS = 100_000_000
# Maximum side. A single row of pixels is resized to the height of the network's input.
MAX_SIDE = 200_000
# Readable formats. Some other formats of Pillow run other programs.
_FORMATS = ('BMP', 'GIF', 'JPEG', 'JPEG2000', 'MPO', 'PNG', 'PPM', 'TIFF', 'WEBP')
# An MPO is a JPEG followed by more pictures.
_STORED_FORMATS = {'JPEG': 'jpeg', 'MPO': 'jpeg', 'PNG': 'png'}
_SUFFIXES = {
    '.bmp': 'BMP', '.gif': 'GIF', '.jfif': 'JPEG', '.jpe': 'JPEG', '.jpeg': 'JPEG',
    '.jpg': 'JPEG', '.jp2': 'JPEG2000', '.mpo': 'JPEG', '.pgm': 'PPM', '.png': 'PNG',
    '.pnm': 'PPM', '.ppm': 'PPM', '.tif': 'TIFF', '.tiff': 'TIFF', '.webp': 'WEBP'}
_FORMATS_WITH_FRAMES = ('GIF', 'PNG', 'TIFF', 'WEBP')
# (offset, bytes, name) of formats that are not supported.
_UNSUPPORTED_FORMATS = (
    *((4, b'ftyp' + brand, 'HEIC') for brand in (b'hei', b'hev', b'mif1', b'msf1')),
    (4, b'ftypavi', 'AVIF'), (4, b'ftyp', 'video'), (0, b'%PDF', 'PDF'),
    (0, b'8BPS', 'Photoshop'), (0, b'\0\0\1\0', 'icons'), (0, b'PK\3\4', 'ZIP'),
    (0, b'\xff\x0a', 'JPEG XL'), (0, b'\0\0\0\x0cJXL ', 'JPEG XL'))
_ORIENTATION = 0x0112
# The operation that turns an image upright, by EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90}
_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'  # A chunk: length, name and checksum.
# A JPEG is decoded at the smallest of its sizes that is at least this many times as
# wide and high as the result: fast, and equally sharp.
_DECODED_SIDES = 1.5
# Without zeros and restarts, which are parts of the pixels, and fill bytes.
_JPEG_MARKER = re.compile(rb'\xff([^\0\xff\xd0-\xd7])', re.DOTALL)
_JPEG_END, _JPEG_PIXELS, _JPEG_WITHOUT_LENGTH = b'\xd9', b'\xda', b'\x01'


class RefusedError(Exception):
  """An image cannot be used. The message is the reason."""


@dataclasses.dataclass(frozen=True)
class Storing:
  """How to store images.

  Attributes:
    max_side: longest side in pixels; larger images are scaled down. None: no limit.
    jpeg_quality: quality of re-encoded JPEGs, 1 to 100.
    upright: whether images are turned upright by their EXIF orientation.
  """

  max_side: int | None = None
  jpeg_quality: int = 95
  upright: bool = True


@dataclasses.dataclass(frozen=True)
class ImageFacts:
  """Properties of a usable image.

  Attributes:
    height: stored height in pixels.
    width: stored width in pixels.
    gray: whether it is stored with one channel.
    format: stored format, 'jpeg' or 'png'.
    change: why it is re-encoded, such as 'CMYK'; None: stored unchanged.
    wrong_suffix: whether its name has the suffix of another format.
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
  """Returns whether a file has the suffix of an image."""
  return os.path.splitext(name)[1].lower() in _SUFFIXES


def readable_formats() -> list[str]:
  """Returns Pillow's names of the readable formats, for `Image.open`."""
  Image.init()
  return [name for name in _FORMATS if name in Image.OPEN]


def too_large(max_pixels: int = MAX_PIXELS) -> RefusedError:
  """Returns the error for an image of more pixels than the most that are read."""
  return RefusedError(f'it has more than {max_pixels / 1e6:g} million pixels, the most'
                      ' that are read: scale it down')


def check_size(width: int, height: int) -> None:
  """Raises RefusedError for an image that is too large to decode.

  Args:
    width: width in pixels.
    height: height in pixels.
  """
  if width * height > MAX_PIXELS:
    raise too_large()
  if max(width, height) > MAX_SIDE:
    raise RefusedError(f'it is {width:,} x {height:,} pixels, and {MAX_SIDE:,} is the'
                       ' longest side that is read: scale it down')


def check_png(data: bytes) -> None:
  """Raises an exception of any kind for a damaged PNG that Pillow decodes."""
  # Pillow does not compare checksums when it decodes.
  Image.open(io.BytesIO(data), formats=['PNG']).verify()
  if _PNG_END not in data:
    # Pillow accepts a damaged end, TensorFlow's decoder does not.
    raise EOFError('its end is damaged')


def examine(data: bytes, name: str, upright: bool = True) -> ImageFacts:
  """Decodes an image completely and returns its properties.

  Args:
    data: the bytes of the file.
    name: the name of the file.
    upright: see `Storing`.

  Raises:
    RefusedError: it is empty, incomplete, damaged, no image, or too large.
  """
  return _facts(name, *_to_store(data, upright))


def prepare(data: bytes, name: str, storing: Storing) -> tuple[bytes, ImageFacts]:
  """Returns the stored bytes of an image, and its properties.

  A re-encoded JPEG stays a JPEG, other formats become PNG.

  Args:
    data: the bytes of the file.
    name: the name of the file.
    storing: how to store it.

  Raises:
    RefusedError: see `examine`.
  """
  image, stored, size, change = _to_store(data, storing.upright, storing.max_side)
  if change:
    data = _encoded(stored, _stored_format(image), storing.jpeg_quality)
  return data, _facts(name, image, stored, size, change)


def _facts(name, image, stored, size, change):
  suffix_format = _SUFFIXES.get(os.path.splitext(name)[1].lower())
  return ImageFacts(
      height=size[1], width=size[0], gray=stored.mode == 'L',
      format=_stored_format(image), change=change,
      wrong_suffix=suffix_format is not None and
      suffix_format != {'MPO': 'JPEG'}.get(image.format, image.format),
      several=_several(image))


def as_published(data: bytes, only_jpeg: bool = False) -> tuple[bytes, ImageFacts]:
  """Returns the stored bytes and properties of an image of a published data set.

  An image is not turned upright: boxes and published results refer to the pixels in
  their order in the file.

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
  return data, ImageFacts(size[1], size[0], stored.mode == 'L', stored_format,
                          change, wrong_suffix=False, several=_several(image))


def picture(data: bytes, side: int | None = None) -> np.ndarray:
  """Returns the pixels of an image in a record, for display.

  Args:
    data: the encoded image.
    side: a JPEG may be decoded at a fraction of its size, with a longer side of at
      least twice as many pixels, which takes a fraction of the time. None: as it is.

  Returns:
    uint8 [height, width] or [height, width, 3].

  Raises:
    RefusedError: see `examine`; damaged ends are accepted if Pillow accepts them.
  """
  try:
    with warnings.catch_warnings():
      # Pillow warns about sizes that are checked here.
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      image = Image.open(io.BytesIO(data))
    with image:
      check_size(image.width, image.height)
      if side:
        image.draft(None, (2 * side, 2 * side))
      if image.mode.startswith('I'):
        # TensorFlow's decoder also keeps only the upper 8 of 16 bits.
        return (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
      return np.asarray(image.convert('L' if image.mode in ('1', 'L') else 'RGB'))
  except Image.DecompressionBombError as error:
    raise too_large() from error
  except RefusedError:
    raise
  except Exception as error:  # For damaged files, Pillow raises many kinds.
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
    max_side: longest side in pixels; None: no limit. A larger JPEG is decoded at a
      fraction of its size; the smaller size is the final one.

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
      # It is stored unchanged. At an eighth of the size all of its data is still read.
      image.draft(None, (1, 1))
    image.load()
    if image.format == 'PNG':
      check_png(data)
    if _stored_format(image) == 'jpeg' and not _has_jpeg_end(data):
      # Some downloads allocate the full size first. Pillow fills missing pixels.
      raise EOFError('its end is missing')
  except UnidentifiedImageError as error:
    raise RefusedError(_unreadable_reason(data)) from error
  except Image.DecompressionBombError as error:  # Pillow's own limit.
    raise too_large() from error
  except RefusedError:
    raise
  except Exception as error:
    # For damaged files, Pillow raises many kinds of exceptions, even struct.error.
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise RefusedError(f'it is damaged: {reason}') from error
  return image, size, smaller


def _has_jpeg_end(data: bytes) -> bool:
  """Returns whether a JPEG's pixels have an end where a decoder looks for it.

  A decoder skips segments by their length. Damaged pixels may look like the start of a
  segment that is longer than the rest.
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


def _unreadable_reason(data: bytes) -> str:
  """Returns the reason to refuse a file that no decoder can read."""
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
  for offset, signature, name in _UNSUPPORTED_FORMATS:
    if data.startswith(signature, offset):
      return f'it is a file of {name}, which is not read: convert it to JPEG or PNG'
  if text.isprintable() or all(c.isprintable() or c.isspace() for c in text):
    return 'it is text, not an image'
  return 'it is not an image of a known format, or its beginning is damaged'


def _orientation(image) -> int:
  try:
    return image.getexif().get(_ORIENTATION, 1)
  except Exception:  # Damaged EXIF data is ignored.
    return 1


def _several(image) -> bool:
  """Returns whether a file has more frames or pages after its first."""
  # The other pictures of an MPO show the same scene, for depth or preview.
  try:
    return image.format in _FORMATS_WITH_FRAMES and getattr(image, 'is_animated', False)
  except Exception:  # A later frame is damaged, but it is not used.
    return True


def _change(image: Image.Image, data: bytes, upright: bool = True) -> str | None:
  """Returns why an image must be re-encoded, or None."""
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
  """Returns (opened image, stored image, its (width, height), reason of a change).

  The stored image has mode L or RGB. Without a reason the file is stored unchanged, and
  the image may be decoded at a fraction of its size.

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
