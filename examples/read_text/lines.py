"""Composes lines of text from images of single handwritten digits.

A line is dark ink on light paper. Position, scale, slant, stroke width, light, clutter
and noise are drawn at random; the seed and the number of a line decide all of them.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageFilter

from slim_zoo import diagnostics

HEIGHT, WIDTH, MOST_DIGITS = 32, 160, 6
# The height of a digit, in pixels of the line.
SMALLEST, LARGEST = 16.0, 28.0
_MARGIN = 2
# Digits are drawn from an enlarged copy of this height.
_SOURCE_HEIGHT = 40
# A pixel belongs to a digit if it has this share of the full ink.
_INK = 0.3


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of text.

  Attributes:
    image: uint8 [HEIGHT, WIDTH], dark ink on light paper.
    labels: int64 [digits], from the left.
    boxes: float32 [digits, 4], (top, left, bottom, right) of the ink, in pixels.
    sources: int64 [digits], the numbers of the images that it is composed of.
  """

  image: np.ndarray
  labels: np.ndarray
  boxes: np.ndarray
  sources: np.ndarray

  @property
  def text(self) -> str:
    """The digits as text."""
    return ''.join(map(str, self.labels))


@dataclasses.dataclass(frozen=True)
class Digits:
  """Images of single digits to compose lines from.

  Attributes:
    images: enlarged copies, each float32 [height, width]: 1 is ink, 0 is paper.
    labels: int64 [count], 0 to 9.
    numbers: int64 [count], of the images in their data set.
  """

  images: tuple[np.ndarray, ...]
  labels: np.ndarray
  numbers: np.ndarray


def prepare(images: np.ndarray, labels: np.ndarray,
            numbers: np.ndarray | None = None) -> Digits:
  """Crops digits to their ink and enlarges them.

  Args:
    images: uint8 [count, height, width], bright ink on black, of any size.
    labels: [count], whole numbers from 0 to 9 of any dtype.
    numbers: int [count], of the images in their data set; None: 0 to count - 1.

  Raises:
    UserError: there are no images, one has no ink, or a label is not a digit.
  """
  images, labels = np.asarray(images), _whole(np.asarray(labels))
  if images.ndim != 3 or len(images) != len(labels) or not len(images):
    raise diagnostics.UserError(
        f'digits have the shape {list(images.shape)}, and there are {len(labels)}'
        ' labels: expected [count, height, width], a label for each, and at least one')
  if labels.min() < 0 or labels.max() > 9:
    raise diagnostics.UserError(
        f'labels are {labels.min()} to {labels.max()}: expected digits, 0 to 9')
  return Digits(tuple(_enlarged(image, number) for number, image in enumerate(images)),
                labels, np.arange(len(labels)) if numbers is None
                else np.asarray(numbers, np.int64))


def _whole(labels):
  """Returns labels as int64; raises UserError if one is not a whole number."""
  if labels.dtype.kind not in 'iufb':
    raise diagnostics.UserError(
        f'labels are {labels.dtype}: expected whole numbers from 0 to 9')
  odd = labels[~(np.isfinite(labels) & (labels == np.round(labels)))]
  if odd.size:
    raise diagnostics.UserError(
        f'a label is {odd[0]}: expected whole numbers from 0 to 9')
  return labels.astype(np.int64)


def _enlarged(image, number):
  image = image.astype(np.float32)
  strong = image > 0.2 * max(float(image.max()), 1.0)
  if not strong.any():
    raise diagnostics.UserError(f'digit {number} has no ink: leave it out')
  rows, columns = np.flatnonzero(strong.any(1)), np.flatnonzero(strong.any(0))
  cropped = image[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1] / image.max()
  cropped = np.pad(cropped, 1)
  scale = _SOURCE_HEIGHT / (cropped.shape[0] - 2)
  size = [max(4, round(side * scale)) for side in cropped.shape[::-1]]
  return np.asarray(Image.fromarray(cropped).resize(size, Image.Resampling.BICUBIC))


def compose(digits: Digits, seed: int, number: int) -> Line:
  """Returns a line of 1 to MOST_DIGITS digits.

  Args:
    digits: what it is composed of.
    seed: of all lines of a file.
    number: of the line.
  """
  random = np.random.default_rng([seed, number])
  count = int(random.integers(1, MOST_DIGITS + 1))
  sources = random.integers(len(digits.labels), size=count)
  glyphs = _glyphs(random, [digits.images[source] for source in sources])
  ink = np.zeros([HEIGHT, WIDTH], np.float32)
  boxes = [_place(ink, glyph, top, left)
           for glyph, (top, left) in zip(glyphs, _positions(random, glyphs),
                                         strict=True)]
  image = _photographed(random, ink)
  return Line(image, digits.labels[sources], np.array(boxes, np.float32),
              digits.numbers[sources])


def _glyphs(random, images):
  """Returns digits as they are written in one line, each float32 [height, width]."""
  height = random.uniform(SMALLEST, LARGEST)
  stretch, slant = random.uniform(0.7, 1.2), random.uniform(-0.35, 0.35)
  stroke, softness = random.uniform(0.4, 0.6), random.uniform(0.6, 1.1)
  # The line has to fit, also with its gaps and its slant.
  advance = sum(image.shape[1] for image in images) / _SOURCE_HEIGHT * stretch
  height = min(height, (WIDTH - 2 * _MARGIN) / (1.06 * advance + 0.12 * len(images)))
  glyphs = []
  for image in images:
    own_height = height * random.uniform(0.88, 1.0)
    width = image.shape[1] / _SOURCE_HEIGHT * stretch * random.uniform(0.9, 1.1)
    inked = np.clip((image - stroke) / softness + 0.5, 0, 1)
    glyphs.append(_warped(
        random, inked, own_height, own_height * width,
        slant + random.normal(0, 0.06), np.deg2rad(random.normal(0, 4))))
  return glyphs


def _warped(random, image, height, width, slant, angle):
  """Returns a glyph, slanted, turned and slightly distorted, cropped to its ink."""
  # Twice the size, and then the mean of 2 x 2 pixels: no steps at the edges.
  rows, columns = 2 * int(np.ceil(height) + 8), 2 * int(
      np.ceil(width + abs(slant) * height) + 8)
  y, x = np.mgrid[:rows, :columns].astype(np.float32)
  y, x = (y + 0.5 - rows / 2) / (2 * height), (x + 0.5 - columns / 2) / 2
  x, y = (x * np.cos(angle) + y * height * np.sin(angle),
          y * np.cos(angle) - x / height * np.sin(angle))
  x = (x + slant * y * height) / width
  bend = random.normal(0, 0.025, [2, 4, 4]).astype(np.float32)
  down, right = (np.asarray(Image.fromarray(grid).resize(
      (columns, rows), Image.Resampling.BICUBIC)) for grid in bend)
  glyph = _sampled(image, (y + 0.5 + down) * image.shape[0] - 0.5,
                   (x + 0.5 + right) * image.shape[1] - 0.5)
  glyph = glyph.reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))
  inside = glyph > _INK / 2
  if not inside.any():
    return glyph
  kept_rows, kept_columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
  return glyph[kept_rows[0]:kept_rows[-1] + 1, kept_columns[0]:kept_columns[-1] + 1]


def _sampled(image, y, x):
  """Returns bilinear samples of an image; 0 outside."""
  image = np.pad(image, 1)
  y = np.clip(y + 1, 0, image.shape[0] - 1.001)
  x = np.clip(x + 1, 0, image.shape[1] - 1.001)
  top, left = y.astype(np.int32), x.astype(np.int32)
  down, right = y - top, x - left
  above = image[top, left] * (1 - right) + image[top, left + 1] * right
  below = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
  return above * (1 - down) + below * down


def _positions(random, glyphs):
  """Returns (top, left) of each glyph, so that all are inside the image."""
  height = max(glyph.shape[0] for glyph in glyphs)
  widths = [glyph.shape[1] for glyph in glyphs]
  free = WIDTH - 2 * _MARGIN - sum(widths)
  gaps = random.uniform(0.0, 0.3) * height + random.uniform(
      -0.08, 0.1, len(glyphs)) * height
  gaps = np.maximum(gaps, -0.03 * height)
  gaps[-1] = 0
  gaps *= min(1.0, free / max(gaps.sum(), 1e-6)) if gaps.sum() > free else 1.0
  left = _MARGIN + random.uniform(0, max(free - gaps.sum(), 0))
  slope = random.uniform(-0.04, 0.04)
  middle = HEIGHT / 2 + random.uniform(-1, 1) * max(0, HEIGHT / 2 - 1 - height / 2)
  positions = []
  for glyph, gap in zip(glyphs, gaps, strict=True):
    centre = middle + slope * (left - WIDTH / 2) + random.normal(0, 0.04) * height
    top = np.clip(round(centre - glyph.shape[0] / 2), 0, max(
        HEIGHT - glyph.shape[0], 0))
    positions.append((int(top), int(np.clip(round(left), 0, WIDTH - glyph.shape[1]))))
    left += glyph.shape[1] + gap
  return positions


def _place(ink, glyph, top, left):
  """Draws a glyph; returns the box of its ink."""
  glyph = glyph[:HEIGHT - top, :WIDTH - left]
  height, width = glyph.shape
  area = ink[top:top + height, left:left + width]
  np.maximum(area, glyph, out=area)
  return top, left, top + height, left + width


def _photographed(random, ink):
  """Returns uint8 [HEIGHT, WIDTH]: ink and clutter on paper, unevenly lit, noisy."""
  ink = np.maximum(ink, _clutter(random))
  blur = random.uniform(0, 0.8)
  if blur > 0.25:
    ink = np.asarray(Image.fromarray(np.uint8(255 * ink)).filter(
        ImageFilter.GaussianBlur(blur)), np.float32) / 255
  paper = random.uniform(0.6, 1.0) * _light(random)
  strength = random.uniform(0.45, 0.95)
  image = paper * (1 - strength * ink)
  image += random.uniform(0, 0.03) * random.standard_normal(image.shape)
  return np.uint8(np.clip(np.round(255 * image), 0, 255))


def _light(random):
  """Returns the light on the paper, float32 [HEIGHT, WIDTH], at most 1."""
  grid = random.uniform(1 - random.uniform(0, 0.35), 1, [2, 5]).astype(np.float32)
  return np.asarray(Image.fromarray(grid).resize(
      (WIDTH, HEIGHT), Image.Resampling.BICUBIC)).clip(0.4, 1)


def _clutter(random):
  """Returns the ink of dots, rules, scratches and smudges, float32 [HEIGHT, WIDTH].

  None of them is as strong and as large as a digit.
  """
  y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
  ink = np.zeros([HEIGHT, WIDTH], np.float32)
  for _ in range(random.poisson(1.2)):
    kind = random.integers(4)
    row, column = random.uniform(0, HEIGHT), random.uniform(0, WIDTH)
    if kind == 0:  # A dot.
      shape = np.clip(random.uniform(0.6, 1.4) + 0.5 - np.hypot(y - row, x - column),
                      0, 1) * random.uniform(0.4, 1)
    elif kind == 1:  # A rule of the paper.
      distance = abs(y - row - random.uniform(-0.03, 0.03) * (x - column))
      shape = np.clip(1.2 - distance, 0, 1) * random.uniform(0.1, 0.4)
    elif kind == 2:  # A scratch.
      angle, length = random.uniform(0, np.pi), random.uniform(1, 4)
      along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
      across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
      shape = np.clip(1.2 - abs(across), 0, 1) * np.clip(length - abs(along), 0, 1)
      shape = shape * random.uniform(0.3, 0.8)
    else:  # A smudge.
      size = random.uniform(3, 9)
      shape = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * size ** 2))
      shape = shape * random.uniform(0.05, 0.25)
    ink = np.maximum(ink, shape.astype(np.float32))
  return ink
