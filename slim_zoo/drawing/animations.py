"""Animations as GIF or PNG (APNG) files."""

import os
from collections.abc import Sequence

from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.files import atomic

SUFFIXES = {'.gif': 'GIF', '.png': 'PNG', '.apng': 'PNG'}


def write(path: str | os.PathLike, frames: Sequence[Image.Image],
          milliseconds: int = 80) -> None:
  """Writes an animation that repeats forever.

  If the write fails, an earlier file stays unchanged.

  GIF has 256 colours in a frame; APNG has all of them and is larger.

  Args:
    path: ends in .gif, .png or .apng.
    frames: at least one, all of the same size.
    milliseconds: of a frame; GIF counts in units of 10.

  Raises:
    UserError: another suffix.
    ValueError: there is no frame, or the sizes differ.
    OSError: the file cannot be written.
  """
  suffix = os.path.splitext(os.fspath(path))[1].lower()
  if suffix not in SUFFIXES:
    raise diagnostics.UserError(
        f"the animation '{os.fspath(path)}' has the suffix '{suffix}': expected one of"
        f" {', '.join(SUFFIXES)}")
  if len({frame.size for frame in frames}) != 1:
    raise ValueError(
        f'{len(frames)} frames of the sizes {sorted({frame.size for frame in frames})}:'
        ' expected one size')
  first, *others = [frame.convert('RGB') for frame in frames]
  with atomic.replacing(path) as unfinished:
    first.save(unfinished, SUFFIXES[suffix], save_all=True, append_images=others,
               duration=milliseconds, loop=0)
