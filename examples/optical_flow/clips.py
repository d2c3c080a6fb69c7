"""Clips of three frames: parts of photographs that move, and their exact flow.

A scene has layers. The first is a background, and the others are shapes cut from other
photographs. Each layer has a motion of its own: a shift, a rotation, a zoom and smooth
waves. A point of a layer moves on a line at a constant speed. So the middle frame is at
time 0.5, and the flow from the first frame is exact at each pixel, also at pixels that
are covered in the second frame.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

# Around the frame, in pixels: what moves into it.
_MARGIN = 24
# Limits of random motions: pixels of shift, radians, share of zoom, pixels of waves.
_SHIFT, _ROTATION, _ZOOM, _WAVE = 7.0, 0.05, 0.05, 1.2
# The largest reduction of a photograph.
_REDUCTION = 2.5


@dataclasses.dataclass(frozen=True)
class Clip:
  """A clip.

  Attributes:
    first: uint8 [height, width, 3], at time 0.
    middle: at time 0.5.
    second: at time 1.
    flow: float32 [height, width, 2]: the content of pixel (x, y) of the first frame is
      at (x + u, y + v) in the second one.
  """

  first: np.ndarray
  middle: np.ndarray
  second: np.ndarray
  flow: np.ndarray


@dataclasses.dataclass(frozen=True)
class Motion:
  """A smooth motion: point p moves by shift + matrix (p - centre) + waves in one time.

  Attributes:
    shift: float [2], (x, y) in pixels.
    matrix: float [2, 2], the rotation and zoom less the identity.
    centre: float [2], of the rotation and zoom.
    waves: rows of 5: amplitude in x and y, in pixels; the frequency in x and y, in
      radians of a pixel; the phase in radians.
  """

  shift: np.ndarray
  matrix: np.ndarray
  centre: np.ndarray
  waves: np.ndarray

  def displacement(self, points: np.ndarray) -> np.ndarray:
    """Returns how far points of the time 0 move until the time 1, [..., 2]."""
    moved = self.shift + (points - self.centre) @ self.matrix.T
    for wave in self.waves:
      moved = moved + wave[:2] * np.sin(points @ wave[2:4] + wave[4])[..., None]
    return moved

  def start_of(self, points: np.ndarray, time: float) -> np.ndarray:
    """Returns where points of a time are at the time 0, by fixed-point iteration."""
    start = points
    # Slopes are below 0.3, so that the error falls below 0.001 pixels.
    for _ in range(8 if time else 0):
      start = points - time * self.displacement(start)
    return start


@dataclasses.dataclass(frozen=True)
class Layer:
  """A part of a photograph, and where it is.

  Attributes:
    texture: float32 [height, width, 3]; pixel (0, 0) is at `origin` at the time 0.
    origin: (x, y).
    coverage: coverage(points) -> float [...]: from 0 outside to 1 inside; None: 1.
    motion: its motion.
  """

  texture: np.ndarray
  origin: tuple[float, float]
  coverage: Callable | None
  motion: Motion


def bilinear(texture: np.ndarray, points: np.ndarray) -> np.ndarray:
  """Returns samples of [height, width, channels] at points (x, y), [..., channels].

  Outside, the nearest pixel of the border is the value.
  """
  height, width = texture.shape[:2]
  x = np.clip(points[..., 0], 0, width - 1)
  y = np.clip(points[..., 1], 0, height - 1)
  left, top = x.astype(np.int32), y.astype(np.int32)
  right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
  to_right, to_bottom = (x - left)[..., None], (y - top)[..., None]
  # One index of all pixels takes less time than two.
  pixels = texture.reshape(height * width, -1)
  above, below = (pixels[row * width + left] * (1 - to_right)
                  + pixels[row * width + right] * to_right for row in (top, bottom))
  return above * (1 - to_bottom) + below * to_bottom


def render(layers: Sequence[Layer], height: int, width: int) -> Clip:
  """Returns the clip of a scene, whose first layer is at the back."""
  columns, rows = np.meshgrid(np.arange(width), np.arange(height))
  points = np.stack([columns, rows], -1).astype(np.float32)
  first, middle, second = (
      np.rint(np.clip(_frame(layers, points, time), 0, 255)).astype(np.uint8)
      for time in (0.0, 0.5, 1.0))
  flow = np.zeros_like(points)
  for layer in layers:
    moved = layer.motion.displacement(points)
    if layer.coverage is not None:
      moved = np.where(layer.coverage(points)[..., None] >= 0.5, moved, flow)
    flow = moved
  return Clip(first, middle, second, flow.astype(np.float32))


def _frame(layers, points, time):
  """Returns the colours at points of a time, float [..., 3]."""
  colours = None
  for layer in layers:
    start = layer.motion.start_of(points, time)
    samples = bilinear(layer.texture, start - np.float32(layer.origin))
    if layer.coverage is not None:
      share = layer.coverage(start)[..., None]
      samples = share * samples + (1 - share) * colours
    colours = samples
  return colours


def draw(random: np.random.Generator, photographs: Sequence[Image.Image], size: int,
         objects: int | None = None) -> Clip:
  """Returns a random clip.

  Args:
    random: makes all choices.
    photographs: RGB images, at least one.
    size: height and width of the frames.
    objects: the number of moving shapes; None: 0 to 2.
  """
  if objects is None:
    objects = int(random.integers(0, 3))
  layers = [_layer(random, photographs, size, is_background=True)]
  for _ in range(objects):
    layers.append(_layer(random, photographs, size, is_background=False))
  return render(layers, size, size)


def _layer(random, photographs, size, is_background):
  photograph = photographs[random.integers(len(photographs))]
  side = size + 2 * _MARGIN
  motion, coverage = _motion(random, size), None
  if not is_background:
    coverage = _shape(random, size)
  return Layer(_texture(random, photograph, side), (-_MARGIN, -_MARGIN), coverage,
               motion)


def _texture(random, photograph, side):
  """Returns a random square of a photograph, reduced and mirrored at random."""
  largest = min(photograph.size)
  length = random.uniform(min(side, largest), min(_REDUCTION * side, largest))
  left, top = (random.uniform(0, whole - length) for whole in photograph.size)
  square = photograph.resize((side, side), Image.Resampling.LANCZOS,
                             box=(left, top, left + length, top + length))
  pixels = np.asarray(square, np.float32)
  if random.random() < 0.5:
    pixels = pixels[:, ::-1]
  return np.ascontiguousarray(pixels)


def _motion(random, size):
  """Returns a random motion whose shift has the same density at all lengths."""
  direction = random.uniform(0, 2 * np.pi)
  shift = random.uniform(0, _SHIFT) * np.float32([np.cos(direction), np.sin(direction)])
  angle = random.uniform(-_ROTATION, _ROTATION)
  zoom = 1 + random.uniform(-_ZOOM, _ZOOM)
  matrix = zoom * np.float32([[np.cos(angle), -np.sin(angle)],
                              [np.sin(angle), np.cos(angle)]]) - np.eye(2)
  waves = [[*random.uniform(-_WAVE, _WAVE, 2), *random.uniform(-0.1, 0.1, 2),
            random.uniform(0, 2 * np.pi)] for _ in range(2)]
  centre = random.uniform(0, size, 2)
  return Motion(shift, matrix.astype(np.float32), centre.astype(np.float32),
                np.float32(waves))


def _shape(random, size):
  """Returns the coverage of a random shape with a wavy outline.

  Its distance from a centre changes with the angle; the edge is one pixel wide.
  """
  centre = random.uniform(0.15 * size, 0.85 * size, 2).astype(np.float32)
  radius = random.uniform(0.12, 0.3) * size
  heights = random.uniform(-0.2, 0.2, 3)
  phases = random.uniform(0, 2 * np.pi, 3)

  def coverage(points):
    x, y = np.moveaxis(points - centre, -1, 0)
    angle = np.arctan2(y, x)
    outline = 1 + sum(height * np.sin(number * angle + phase) for number, height, phase
                      in zip((1, 2, 3), heights, phases, strict=True))
    return np.clip(radius * outline - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)

  return coverage
