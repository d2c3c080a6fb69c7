"""What the sheets of pictures are drawn with: colours, a font, small images.

The colours are of the palette by Okabe and Ito (Color Universal Design, 2008), which
colour-blind readers can tell apart.
"""

import functools
import os
from collections.abc import Iterable

from PIL import Image, ImageFont

from slim_zoo import diagnostics

BLUE, VERMILION = '#0072B2', '#D55E00'
INK, MUTED, FAINT, PAPER = '#222222', '#666666', '#E4E4E4', '#FFFFFF'
THUMBNAIL_SIDE = 132
# Below this the pixels of an image are kept as squares: they are what was seen.
_LARGER_THAN_THIS = 3


def check_png(path: str, flag: str) -> None:
  """Refuses the name of a picture that would not be what its suffix says.

  Args:
    path: of the file to write.
    flag: that names it, without dashes.

  Raises:
    UserError: the suffix is another one than .png.
  """
  suffix = os.path.splitext(path)[1]
  if suffix.lower() not in ('', '.png'):
    raise diagnostics.UserError(
        f"--{flag}={path}: pictures are written as PNG, not as '{suffix}': name a file"
        ' that ends in .png')


def thumbnail(image: Image.Image, side: int = THUMBNAIL_SIDE) -> Image.Image:
  """Returns an RGB copy of an image, its longer side as long as `side`."""
  scale = side / max(image.size)
  size = [max(1, round(length * scale)) for length in image.size]
  # JPEG is decoded at a smaller scale in a fraction of the time.
  image.draft('RGB', (2 * side, 2 * side))
  return image.convert('RGB').resize(
      size, Image.Resampling.NEAREST if scale >= _LARGER_THAN_THIS else
      Image.Resampling.LANCZOS)


@functools.cache
def _own_font(bold: bool) -> str:
  import matplotlib  # Brings the font along, so that it is the same everywhere.
  name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
  return os.path.join(matplotlib.get_data_path(), 'fonts', 'ttf', name)


@functools.cache
def _letters_of(path: str) -> frozenset[int]:
  """Returns the code points that a font file has; none if it cannot be used."""
  from matplotlib import ft2font
  try:
    font = ft2font.FT2Font(path)
    # Fonts of bitmaps, such as those of emoji, have one size only.
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
  except (OSError, RuntimeError):
    return frozenset()


@functools.cache
def _installed_fonts() -> tuple[tuple[str, str], ...]:
  """Returns (family, path) of the installed fonts: of a family its regular one."""
  from matplotlib import font_manager
  # The last resort has a box for every letter.
  entries = [entry for entry in font_manager.fontManager.ttflist
             if not entry.name.startswith('Last Resort')]
  entries.sort(key=lambda entry: (
      entry.style != 'normal', entry.weight not in (400, 'normal', 'regular'),
      entry.name))
  paths = {}
  for entry in entries:
    paths.setdefault(entry.name, entry.fname)
  return tuple(paths.items())


@functools.cache
def _font_with(letters: frozenset[int]) -> tuple[str, str] | None:
  """Returns (family, path) of a font that has all these code points, or None."""
  return next(((family, path) for family, path in _installed_fonts()
               if letters <= _letters_of(path)), None)


def _missing(text):
  """Returns the code points of a text that our own font does not have."""
  return frozenset(map(ord, text)) - _letters_of(_own_font(False)) - {ord('\n')}


def families(texts: Iterable[str]) -> list[str]:
  """Returns families of fonts, for matplotlib, that have the letters of all texts.

  Our own comes first. For letters that no font has there is none: see `legible`.
  """
  found = ['DejaVu Sans']
  for text in texts:
    missing = _missing(text)
    other = _font_with(missing) if missing else None
    if other and other[0] not in found:
      found.append(other[0])
  return found


def legible(name: str, instead: str | None = None) -> str:
  """Returns a name as a picture can show it.

  Bytes that are not UTF-8 become escapes.

  Args:
    name: of a class, a file or a run.
    instead: what is shown if no font has all letters; None: the name with a sign in
      the place of each letter that our own font does not have.
  """
  name = diagnostics.printable(name)
  missing = _missing(name)
  if not missing or _font_with(missing | frozenset(map(ord, name))):
    return name
  if instead is not None:
    return instead
  return ''.join('\ufffd' if ord(letter) in missing else letter for letter in name)


def legible_classes(names: Iterable[str]) -> list[str]:
  """Returns class names as pictures show them: one without a font is its number."""
  return [legible(name, f'class {label}') for label, name in enumerate(names)]


@functools.cache
def _font_at(path: str, size: int) -> ImageFont.FreeTypeFont:
  return ImageFont.truetype(path, size)


def font(size: int, bold: bool = False, text: str = '') -> ImageFont.FreeTypeFont:
  """Returns the font of that size in pixels, for a text: one that has its letters."""
  missing = _missing(text)
  other = _font_with(missing | frozenset(map(ord, text))) if missing else None
  return _font_at(other[1] if other else _own_font(bold), size)


def shorten(text: str, size: int, room: float, middle: bool = False) -> str:
  """Returns text that fits into `room` pixels in the font of that size.

  Args:
    text: on one line.
    size: of the font.
    room: in pixels.
    middle: whether the middle is left out, not the end: for names of files.
  """
  text = ' '.join(text.split())
  length, cut = font(size, text=text).getlength, len(text)
  shorter = text
  while cut and length(shorter) > room:
    cut -= 1
    shorter = (f'{text[:cut - cut // 2]}…{text[len(text) - cut // 2:]}' if middle else
               f'{text[:cut].rstrip()}…')
  return shorter
