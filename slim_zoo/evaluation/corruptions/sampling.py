"""Operations of several corruptions: convolution, bilinear sampling, clouds.

Images are float32 [height, width, channels]. Outside its edges an image is mirrored.
"""

import numpy as np


def side_of(image: np.ndarray) -> float:
  """Returns the side of a square with the area of the image, in pixels."""
  return float(np.sqrt(image.shape[0] * image.shape[1]))


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
  """Returns the image convolved with a kernel.

  Args:
    image: float32 [height, width, channels].
    kernel: float [rows, columns], odd numbers; its sum is normalized to 1.
  """
  height, width, _ = image.shape
  above, left = kernel.shape[0] // 2, kernel.shape[1] // 2
  padded = np.pad(image, ((above, above), (left, left), (0, 0)), mode='symmetric')
  size = padded.shape[:2]
  spectrum = np.fft.rfft2(kernel / kernel.sum(), size)
  whole = np.fft.irfft2(
      np.fft.rfft2(padded, axes=(0, 1)) * spectrum[..., np.newaxis], size, axes=(0, 1))
  # The first rows and columns contain the values of the circular convolution.
  return whole[2 * above:2 * above + height,
               2 * left:2 * left + width].astype(np.float32)


def gaussian_blur(image: np.ndarray, deviation: float) -> np.ndarray:
  """Returns the image blurred by a Gaussian with a standard deviation in pixels."""
  if deviation <= 0:
    return image
  reach = max(1, int(np.ceil(3 * deviation)))
  line = np.exp(-np.arange(-reach, reach + 1) ** 2 / (2 * deviation ** 2))
  return convolve(image, np.outer(line, line))


def disk(radius: float) -> np.ndarray:
  """Returns the kernel of a disk; a radius below 1 gives neighbours small weights.

  Args:
    radius: in pixels.
  """
  # Points of equal areas.
  rings = max(8, 4 * int(np.ceil(radius)))
  radii = radius * np.sqrt((np.arange(rings) + 0.5) / rings)
  angles = 2 * np.pi * np.arange(6 * rings) / (6 * rings)
  return _spread(np.outer(radii, np.sin(angles)).ravel(),
                 np.outer(radii, np.cos(angles)).ravel(), radius)


def line(length: float, angle: float) -> np.ndarray:
  """Returns the kernel of a line through the centre.

  Args:
    length: in pixels.
    angle: in radians.
  """
  places = np.linspace(-length / 2, length / 2, max(9, 4 * int(np.ceil(length)) + 1))
  return _spread(places * np.sin(angle), places * np.cos(angle), length / 2)


def _spread(rows, columns, max_distance):
  """Returns the kernel of points, each spread over the four pixels around it.

  Args:
    rows: float [points], distances from the centre.
    columns: float [points].
    max_distance: the largest distance, in pixels.
  """
  reach = int(np.ceil(max_distance)) + 1
  kernel = np.zeros([2 * reach + 1, 2 * reach + 1])
  top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
  down, right = rows - top, columns - left
  for row, weight in ((0, 1 - down), (1, down)):
    for column, other in ((0, 1 - right), (1, right)):
      np.add.at(kernel, (reach + top + row, reach + left + column), weight * other)
  return kernel


def mirrored(places: np.ndarray, size: int) -> np.ndarray:
  """Mirrors positions outside of an axis at its ends.

  Args:
    places: float positions; 0 is the centre of the first pixel.
    size: number of pixels.
  """
  if size == 1:
    return np.zeros_like(places)
  period = 2 * (size - 1)
  places = np.mod(places, period)
  return np.where(places > size - 1, period - places, places)


def sample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
  """Samples an image at positions between its pixels, by bilinear interpolation.

  Args:
    image: float32 [height, width, channels].
    rows: float [height, width], mirrored beyond the edges.
    columns: float [height, width].
  """
  height, width, _ = image.shape
  rows, columns = mirrored(rows, height), mirrored(columns, width)
  top, left = rows.astype(int), columns.astype(int)
  bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
  down = (rows - top)[..., np.newaxis].astype(np.float32)
  across = (columns - left)[..., np.newaxis].astype(np.float32)
  upper = image[top, left] * (1 - across) + image[top, right] * across
  lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
  return upper * (1 - down) + lower * down


def sample_grid(image: np.ndarray, rows: np.ndarray, columns: np.ndarray
                ) -> np.ndarray:
  """Samples an image at the positions of a grid, by bilinear interpolation.

  Args:
    image: float32 [height, width, channels].
    rows: float [grid rows], mirrored beyond the edges.
    columns: float [grid columns].

  Returns:
    float32 [grid rows, grid columns, channels].
  """
  for axis, places in enumerate((rows, columns)):
    places = mirrored(places, image.shape[axis])
    first = places.astype(int)
    second = np.minimum(first + 1, image.shape[axis] - 1)
    share = (places - first).astype(np.float32).reshape(
        [1, -1, 1] if axis else [-1, 1, 1])
    image = image.take(first, axis) * (1 - share) + image.take(second, axis) * share
  return image


def clouds(generator: np.random.Generator, height: int, width: int,
           decay: float = 0.55) -> np.ndarray:
  """Returns a random cloud: the sum of smooth noise at several scales.

  Args:
    generator: generator of the noise.
    height: in pixels.
    width: in pixels.
    decay: amplitude of the noise at a scale, relative to the next coarser scale.

  Returns:
    float32 [height, width], from 0 to 1.
  """
  total, strength, cells = np.zeros([height, width], np.float32), 1.0, 2
  for _ in range(7):
    noise = generator.random([cells + 1, cells + 1], np.float32)
    total += strength * sample_grid(
        noise[..., np.newaxis], np.linspace(0, cells, height),
        np.linspace(0, cells, width))[..., 0]
    strength, cells = strength * decay, 2 * cells
  low, high = total.min(), total.max()
  return (total - low) / max(high - low, 1e-6)
