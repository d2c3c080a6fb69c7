"""Makes a line, as the network reads it, of a photograph of handwriting.

The writing may be dark on light or light on dark, in any size, unevenly lit and
slightly turned. It is found, cut out, brought to the height and stroke width of the
composed lines, and drawn dark on light.
"""

import dataclasses

import numpy as np
from PIL import Image

from examples.read_text import lines
from slim_zoo import diagnostics
from slim_zoo.images import image_files

# Larger photographs are reduced to this: more pixels do not help.
_LONGEST_SIDE = 1400
# The share by which ink is darker than the paper around it.
_LEAST_CONTRAST = 0.1
# Heights of the writing in the line, and its least stroke width as a share of them.
_TALLEST, _SHORTEST, _LEAST_STROKE = 23, 11, 0.1
_SIDE_MARGIN = 4
# The greatest angle of a line, in degrees.
_STEEPEST = 20


@dataclasses.dataclass(frozen=True)
class Found:
  """The writing of a photograph.

  Attributes:
    line: uint8 [lines.HEIGHT, lines.WIDTH], dark ink on light paper.
    box: (left, top, right, bottom) of the writing, as shares of the photograph.
  """

  line: np.ndarray
  box: tuple[float, float, float, float]


def load(path: str) -> np.ndarray:
  """Returns a picture in gray, upright, float32 [height, width] from 0 to 1.

  The pixels are the same as in `slim-zoo classify`.

  Raises:
    UserError: the file is not an image, or cannot be read.
  """
  gray = image_files.open_image(path).convert('L')
  gray.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
  return np.asarray(gray, np.float32) / 255


def find_line(gray: np.ndarray, name: str) -> Found:
  """Returns the line of writing in a picture.

  Args:
    gray: float32 [height, width], 0 is black and 1 is white.
    name: of the picture in errors.

  Raises:
    UserError: there is no writing, more than one line of it, or a line that is too long
      for the network.
  """
  ink = _ink(gray)
  mask = _mask(ink, name)
  kept = _writing(mask, name)
  ink, kept = _straightened(ink, kept)
  box = _box(kept)
  line = _drawn(ink, kept, box, name)
  height, width = kept.shape
  top, left, bottom, right = box
  return Found(line, (left / width, top / height, right / width, bottom / height))


def _ink(gray):
  """Returns how much darker than the paper around it each pixel is, 0 to 1."""
  from scipy import ndimage
  side = min(gray.shape)
  rest = gray - ndimage.uniform_filter(gray, max(side // 2, 3))
  # Writing covers less than paper, so it is the long tail of the distribution.
  if np.mean(rest ** 3) > 0:
    gray = 1 - gray
  gray = ndimage.gaussian_filter(gray, side / 500)
  window = max(5, int(side * 0.3) | 1)
  paper = ndimage.grey_closing(
      ndimage.gaussian_filter(gray, side / 150), size=(window, window), mode='nearest')
  # Little, so that the edge of a shadow stays where it is.
  paper = ndimage.uniform_filter(paper, max(window // 8, 3))
  return np.clip(1 - gray / np.maximum(paper, 0.02), 0, 1)


def _mask(ink, name):
  """Returns which pixels are ink, by the threshold that separates two groups best.

  Otsu 1979, A threshold selection method from gray-level histograms.
  """
  counts, edges = np.histogram(ink, 128)
  centres = (edges[:-1] + edges[1:]) / 2
  below = np.cumsum(counts)[:-1]
  sums = np.cumsum(counts * centres)
  above = counts.sum() - below
  of_below = sums[:-1] / np.maximum(below, 1)
  of_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
  best = int(np.argmax(below * above * (of_above - of_below) ** 2))
  mask = ink > edges[best + 1]
  if of_above[best] - of_below[best] < _LEAST_CONTRAST or mask.mean() > 0.6:
    raise diagnostics.UserError(
        f"no writing is found in '{name}': expected digits that differ clearly from"
        ' plain paper')
  return mask


def _writing(mask, name):
  """Returns the mask without specks, rules and edges of the paper."""
  from scipy import ndimage
  numbered, count = ndimage.label(mask, np.ones([3, 3]))
  places = ndimage.find_objects(numbered)
  areas = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
  parts = [_Part(number, *_sides(place), area)
           for number, (place, area) in enumerate(zip(places, areas, strict=True), 1)]
  parts = [part for part in parts if not _is_edge(part, mask.shape)]
  tallest = max((part.height for part in parts), default=0)
  large = [part for part in parts if part.height >= 0.45 * tallest]
  if tallest < 5:
    raise diagnostics.UserError(
        f"no writing is found in '{name}': only specks of up to {tallest} pixels;"
        ' expected digits of 12 or more pixels')
  line = _one_line(large, name)
  top, bottom = (min(part.top for part in line), max(part.bottom for part in line))
  left, right = (min(part.left for part in line), max(part.right for part in line))
  reach = 0.4 * tallest
  chosen = [part.number for part in parts
            if part in line or (
                part.height >= 0.15 * tallest and part.middle > top
                and part.middle < bottom and part.right > left - reach
                and part.left < right + reach)]
  return np.isin(numbered, chosen)


@dataclasses.dataclass(frozen=True)
class _Part:
  """A connected part of the ink: its number, sides and number of pixels."""

  number: int
  top: int
  bottom: int
  left: int
  right: int
  area: int

  @property
  def height(self):
    return self.bottom - self.top

  @property
  def width(self):
    return self.right - self.left

  @property
  def middle(self):
    return (self.top + self.bottom) / 2


def _sides(place):
  rows, columns = place
  return rows.start, rows.stop, columns.start, columns.stop


def _is_edge(part, size):
  """Tells whether a part is a rule or the edge of the paper, not writing."""
  height, width = size
  if part.width > 0.9 * width and part.height < 0.3 * part.width:
    return part.area < 0.3 * part.width * part.height or part.height < 0.1 * height
  if part.width > 12 * part.height and part.width > 0.3 * width:
    return True
  touches = (part.top == 0 or part.left == 0 or part.bottom == height
             or part.right == width)
  spans = part.height > 0.9 * height or part.width > 0.9 * width
  return touches and spans and (part.width > 3 * part.height
                                or part.height > 8 * part.width)


def _one_line(parts, name):
  """Returns the parts of the only line; UserError if there are several lines."""
  groups = []
  for part in sorted(parts, key=lambda part: part.left):
    # A line may rise: a part belongs to the line whose last part is beside it.
    beside = [group for group in groups
              if min(group[-1].bottom, part.bottom) - max(group[-1].top, part.top)
              > 0.25 * min(group[-1].height, part.height)]
    if beside:
      max(beside, key=lambda group: group[-1].right).append(part)
    else:
      groups.append([part])
  groups.sort(key=lambda group: -sum(part.height for part in group))
  if len(groups) > 1 and len(groups[1]) >= max(2, 0.4 * len(groups[0])):
    raise diagnostics.UserError(
        f"'{name}' has about {len(groups)} lines of writing: cut out one of them")
  return groups[0]


def _straightened(ink, mask):
  """Turns the picture so that the line is level, if it has parts enough to tell."""
  from scipy import ndimage
  numbered, count = ndimage.label(mask, np.ones([3, 3]))
  if count < 3:
    return ink, mask
  centres = np.array(ndimage.center_of_mass(mask, numbered, range(1, count + 1)))
  columns = centres[:, 1] - centres[:, 1].mean()
  spread = np.sum(columns ** 2)
  slope = np.sum(columns * centres[:, 0]) / max(spread, 1.0)
  angle = np.rad2deg(np.arctan(slope))
  if not 1.5 < abs(angle) <= _STEEPEST:
    return ink, mask
  ink = ndimage.rotate(ink, angle, order=1, mode='constant')
  mask = ndimage.rotate(mask.astype(np.float32), angle, order=1) > 0.5
  return ink, mask


def _box(mask):
  """Returns (top, left, bottom, right) of a mask that has pixels."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _drawn(ink, mask, box, name):
  """Returns the line: the writing in its box, dark on light."""
  from scipy import ndimage
  top, left, bottom, right = box
  height, width = bottom - top, right - left
  tall = min(_TALLEST, (lines.WIDTH - 2 * _SIDE_MARGIN) * height / width)
  if tall < _SHORTEST:
    raise diagnostics.UserError(
        f"the line in '{name}' is {width / height:.1f} times as wide as high: this"
        f' network reads lines of up to {lines.WIDTH / _SHORTEST:.0f} times, with up to'
        f' {lines.MOST_DIGITS} digits; cut the picture into parts')
  near = ndimage.binary_dilation(mask, iterations=max(1, height // 40))
  strength = np.quantile(ink[mask], 0.75)
  ink = np.where(near, np.clip(ink / strength, 0, 1), 0)[top:bottom, left:right]
  ink = _thickened(np.pad(ink, height // 8), mask[top:bottom, left:right], height)
  scale = tall / height
  size = [max(1, round(side * scale)) for side in ink.shape[::-1]]
  small = np.asarray(Image.fromarray(ink.astype(np.float32)).resize(
      size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
  small = small[:lines.HEIGHT, :lines.WIDTH]
  line = np.zeros([lines.HEIGHT, lines.WIDTH], np.float32)
  row, column = ((side - own) // 2 for side, own in zip(
      line.shape, small.shape, strict=True))
  line[row:row + small.shape[0], column:column + small.shape[1]] = small
  return np.uint8(np.round(255 * 0.92 * (1 - 0.8 * np.clip(line, 0, 1))))


def _thickened(ink, mask, height):
  """Widens thin strokes to the stroke width of the training lines."""
  from scipy import ndimage
  inner = ndimage.binary_erosion(mask)
  # An area of long strokes is half their edge times their width.
  stroke = 2 * mask.sum() / max((mask & ~inner).sum(), 1)
  missing = _LEAST_STROKE * height - stroke
  if missing < 1:
    return ink
  radius = round(missing / 2) or 1
  y, x = np.mgrid[-radius:radius + 1, -radius:radius + 1]
  return ndimage.grey_dilation(ink, footprint=y ** 2 + x ** 2 <= radius ** 2 + 0.5)
