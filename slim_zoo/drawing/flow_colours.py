"""Optical flow as colours: the hue shows the direction, the saturation the length.

The wheel is that of Baker et al. 2011, A database and evaluation methodology for
optical flow (International Journal of Computer Vision 92), which most publications use.
White is no motion; red is to the right, yellow down, light blue to the left, violet up.
"""

import numpy as np
from PIL import Image

# From each colour to the next one: (colour, number of hues).
_ARCS = (((255, 0, 0), 15), ((255, 255, 0), 6), ((0, 255, 0), 4), ((0, 255, 255), 11),
         ((0, 0, 255), 13), ((255, 0, 255), 6))
# Flow beyond the largest length is darker.
_BEYOND = 0.75
# The value of unknown flow in files is larger than this.
_UNKNOWN = 1e9


def wheel() -> np.ndarray:
  """Returns the 55 hues, float64 [55, 3] from 0 to 255, beginning with red."""
  hues = []
  for number, (colour, count) in enumerate(_ARCS):
    following = np.array(_ARCS[(number + 1) % len(_ARCS)][0])
    change = following - np.array(colour)
    hues += [colour + np.sign(change) * (255 * step // count) for step in range(count)]
  return np.array(hues, np.float64)


def colours_of(flow: np.ndarray, largest: float | None = None) -> np.ndarray:
  """Returns the colours of a flow.

  Args:
    flow: float [..., 2], the horizontal component (to the right) first, then the
      vertical one (down).
    largest: the length with full saturation, in the units of the flow; longer flow is
      darker. None: the largest length of `flow`.

  Returns:
    uint8 [..., 3]. Flow that is not finite, or above 1e9, is black.

  Raises:
    ValueError: the last dimension is not 2, or `largest` is not above 0.
  """
  flow = np.asarray(flow, np.float64)
  if flow.ndim < 1 or flow.shape[-1] != 2:
    raise ValueError(f'a flow has the shape {list(flow.shape)}: expected [..., 2]')
  with np.errstate(invalid='ignore'):
    known = np.all(np.isfinite(flow) & (np.abs(flow) < _UNKNOWN), -1)
  flow = np.where(known[..., None], flow, 0)
  length = np.hypot(flow[..., 0], flow[..., 1])
  if largest is None:
    largest = length.max(initial=0) or 1.0
  if not largest > 0:
    raise ValueError(f'largest is {largest}: expected a length above 0')
  length = (length / largest)[..., None]
  hues = _hues_of(flow)
  colours = np.where(length <= 1, 1 - length * (1 - hues), _BEYOND * hues)
  return np.where(known[..., None], np.floor(255 * colours), 0).astype(np.uint8)


def _hues_of(flow):
  """Returns the hue of each direction, between two of the wheel, from 0 to 1."""
  hues = wheel() / 255
  turn = np.arctan2(-flow[..., 1], -flow[..., 0]) / np.pi
  position = (turn + 1) / 2 * (len(hues) - 1)
  before = position.astype(int)
  after = (before + 1) % len(hues)
  share = (position - before)[..., None]
  return (1 - share) * hues[before] + share * hues[after]


def draw(flow: np.ndarray, largest: float | None = None) -> Image.Image:
  """Returns the picture of a flow [height, width, 2]; arguments as in `colours_of`."""
  return Image.fromarray(colours_of(flow, largest))


def legend(side: int = 132) -> Image.Image:
  """Returns the wheel as a disc: the colour at a point is that of the flow to it."""
  offsets = (np.arange(side) - (side - 1) / 2) / (side / 2)
  flow = np.stack(np.meshgrid(offsets, offsets), -1)
  colours = colours_of(flow, 1.0)
  colours[np.hypot(flow[..., 0], flow[..., 1]) > 1] = 255
  return Image.fromarray(colours)
