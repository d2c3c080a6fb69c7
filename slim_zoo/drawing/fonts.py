"""The fonts of all pictures: loading them, and text that they can show.

Pictures use the font of matplotlib, DejaVu Sans, so that they are the same on every
machine. For letters that it lacks, an installed font is searched.
"""

import functools
import os
from collections.abc import Iterable

from PIL import ImageFont

from slim_zoo import diagnostics


@functools.cache
def _own_font(bold: bool) -> str:
  import matplotlib  # Slow to import; it contains the font.
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
  """Returns the code points of a text that DejaVu Sans does not have."""
  return frozenset(map(ord, text)) - _letters_of(_own_font(False)) - {ord('\n')}


def families(texts: Iterable[str]) -> list[str]:
  """Returns font families for matplotlib that have the letters of all texts.

  DejaVu Sans is first. Letters that no font has are not covered: see `legible`.
  """
  names = ['DejaVu Sans']
  for text in texts:
    missing = _missing(text)
    other = _font_with(missing) if missing else None
    if other and other[0] not in names:
      names.append(other[0])
  return names


def legible(name: str, instead: str | None = None) -> str:
  """Returns a name as a picture can show it.

  Bytes that are not UTF-8 become escapes.

  Args:
    name: of a class, a file or a run.
    instead: the result if no font has all letters; None: the name, with a sign in
      the place of each letter that DejaVu Sans does not have.
  """
  name = diagnostics.printable(name)
  missing = _missing(name)
  if not missing or _font_with(missing | frozenset(map(ord, name))):
    return name
  if instead is not None:
    return instead
  return ''.join('\ufffd' if ord(letter) in missing else letter for letter in name)


def legible_classes(names: Iterable[str]) -> list[str]:
  """Returns class names that pictures can show; without a font, 'class NUMBER'."""
  return [legible(name, f'class {label}') for label, name in enumerate(names)]


@functools.cache
def _font_at(path: str, size: int) -> ImageFont.FreeTypeFont:
  return ImageFont.truetype(path, size)


def font(size: int, bold: bool = False, text: str = '') -> ImageFont.FreeTypeFont:
  """Returns a font of that size in pixels that has the letters of a text."""
  missing = _missing(text)
  other = _font_with(missing | frozenset(map(ord, text))) if missing else None
  return _font_at(other[1] if other else _own_font(bold), size)


def shorten(text: str, size: int, width: float, middle: bool = False,
            bold: bool = False) -> str:
  """Returns a text, shortened to `width` pixels in the font of that size.

  Args:
    text: line breaks become spaces.
    size: of the font.
    width: in pixels.
    middle: whether the middle is left out, not the end: for file names.
    bold: whether the font is bold.
  """
  text = ' '.join(text.split())
  length, cut = font(size, bold, text).getlength, len(text)
  shorter = text
  while cut and length(shorter) > width:
    cut -= 1
    shorter = (f'{text[:cut - cut // 2]}…{text[len(text) - cut // 2:]}' if middle else
               f'{text[:cut].rstrip()}…')
  return shorter
