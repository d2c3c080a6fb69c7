"""The colours of all pictures.

SERIES is the palette by Okabe and Ito (Color Universal Design, 2008), which
colour-blind readers can tell apart. Blue is right and vermilion is wrong everywhere.
"""

import numpy as np
from PIL import Image

SERIES = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
BLUE, VERMILION = SERIES[:2]
# Text, less important text, lines and empty bars, backgrounds of tiles, the page.
INK, MUTED, FAINT, PALE, PAPER = '#222222', '#666666', '#E4E4E4', '#F6F6F6', '#FFFFFF'
# Bars that are neither right nor wrong.
GRAY = '#9A9A9A'
# The opacity of the heat where it is greatest: the image stays visible.
_MAX_OPACITY = 0.7


def shade(colour: str, strength: np.ndarray) -> np.ndarray:
  """Returns RGB [..., 3] in [0, 1] between white (0) and `colour` (1).

  Args:
    colour: '#RRGGBB'.
    strength: numbers [...] in [0, 1].
  """
  full = np.array([int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)])
  return 1 + np.asarray(strength)[..., np.newaxis] * (full - 1)


def heat_overlay(image: Image.Image, heat: np.ndarray) -> Image.Image:
  """Returns an image in gray with heat over it, from nothing at 0 to yellow at most.

  Args:
    image: of any mode.
    heat: float32 [rows, columns], 0 or more, over the whole image.
  """
  import matplotlib  # Slow to import, and few pictures need it.
  most = float(heat.max())
  share = heat / most if most > 0 else heat
  share = np.asarray(Image.fromarray(share.astype(np.float32)).resize(
      image.size, Image.Resampling.BICUBIC)).clip(0, 1)[..., np.newaxis]
  # In gray, so that no colour of the image looks like heat.
  gray = np.asarray(image.convert('L').convert('RGB'), np.float32)
  colours = matplotlib.colormaps['inferno'](share[..., 0])[..., :3] * 255
  opacity = _MAX_OPACITY * np.sqrt(share)
  return Image.fromarray(np.uint8(np.round(gray * (1 - opacity) + colours * opacity)))
