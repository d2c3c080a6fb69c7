"""Bilinear sampling of images at points between their pixels.

    inverse_warp     samples at the pixel's own position plus a flow
    sample_bilinear  samples at given positions

Both are differentiable in the images and in the flow or positions (Jaderberg et al.
2015, Spatial transformer networks, arXiv 1506.02025).
"""

from slim_zoo import diagnostics
from slim_zoo.tf_compat import tf

# The values outside the image.
PADDINGS = ('border', 'zero', 'reflection')


def inverse_warp(images: tf.Tensor, flow: tf.Tensor,
                 padding: str = 'border') -> tf.Tensor:
  """Returns images warped backwards: output(x, y) = image(x + u, y + v).

  x is the column and y the row of an output pixel, (u, v) is the flow at this pixel.
  Positions and flow are in pixels of the image. Pixel centres have integer positions,
  and (0, 0) is the top left pixel. Images and flow may have different sizes; the output
  has the size of the flow, and its pixel (x, y) starts at pixel (x, y) of the image: a
  flow of zeros crops the image at the bottom and right, or extends it there by the
  padding. A flow of another resolution must be resized to the image, and its values
  multiplied by the same factor.

  Args:
    images: float [batch, height, width, channels]. All dimensions may be unknown.
    flow: float [batch, out_height, out_width, 2], horizontal component first.
    padding: the values outside the image. 'border': the nearest pixel of the border.
      'zero': 0; within one pixel of the border the value changes linearly from the
      border's to 0. 'reflection': the image is mirrored at the centres of its border
      pixels, as often as needed.

  Returns:
    [batch, out_height, out_width, channels] of the dtype of the images. Positions and
    values are computed in float32, or float64 if an argument is float64. Where the flow
    is NaN, so is the output. Where it is infinite, so that no pixel is mirrored there,
    the output with 'reflection' is NaN, too.

  Raises:
    UserError: a shape, dtype or the padding does not fit.
    InvalidArgumentError: in the session, if dimensions that were unknown do not fit.
  """
  images, flow = _checked(images, flow, 'flow')
  flow = tf.cast(flow, _compute_dtype(images, flow))
  x = tf.cast(tf.range(tf.shape(flow)[2]), flow.dtype)
  y = tf.cast(tf.range(tf.shape(flow)[1]), flow.dtype)
  return _sample(images, x + flow[..., 0], y[:, None] + flow[..., 1], padding)


def sample_bilinear(images: tf.Tensor, positions: tf.Tensor,
                    padding: str = 'border') -> tf.Tensor:
  """Returns bilinear samples of images at absolute positions.

  Args:
    images: as in `inverse_warp`.
    positions: float [batch, out_height, out_width, 2], the column x and the row y of
      each sample, in pixels of the image.
    padding: as in `inverse_warp`.

  Returns:
    [batch, out_height, out_width, channels], as from `inverse_warp`.

  Raises:
    UserError, InvalidArgumentError: as by `inverse_warp`.
  """
  images, positions = _checked(images, positions, 'positions')
  positions = tf.cast(positions, _compute_dtype(images, positions))
  return _sample(images, positions[..., 0], positions[..., 1], padding)


def _checked(images, vectors, name):
  """Returns both as tensors; raises UserError if they do not fit.

  What is not known before the session is checked in it.
  """
  images, vectors = tf.convert_to_tensor(images), tf.convert_to_tensor(vectors)
  for tensor, what, last in ((images, 'images', 'channels'), (vectors, name, 2)):
    if not tensor.dtype.is_floating:
      raise diagnostics.UserError(
          f'the dtype of {what} is {tensor.dtype.name}: convert to a floating-point'
          ' type, such as float32')
    # Unknown dimensions fit.
    expected = [None, None, None, None if last == 'channels' else last]
    if not tensor.shape.is_compatible_with(expected):
      raise diagnostics.UserError(
          f'the shape of {what} is {tensor.shape}: expected [batch, height, width,'
          f' {last}]')
    tensor.set_shape(expected)
  if not images.shape[:1].is_compatible_with(vectors.shape[:1]):
    raise diagnostics.UserError(
        f'the batch of images has the size {images.shape[0]} and that of {name}'
        f' {vectors.shape[0]}: expected the same size')
  if 0 in images.shape.as_list()[1:3]:
    raise diagnostics.UserError(
        f'the shape of images is {images.shape}: expected a height and a width of 1 or'
        ' more')
  return _checked_in_session(images, vectors, name), vectors


def _checked_in_session(images, vectors, name):
  """Returns the images; the session refuses dimensions that are unknown here."""
  sizes, of_vectors, checks = tf.shape(images), tf.shape(vectors)[0], []
  if None in (images.shape.as_list()[0], vectors.shape.as_list()[0]):
    checks.append(tf.debugging.Assert(tf.equal(sizes[0], of_vectors), [
        f'expected the same size for the batches of images and {name}, and they are',
        sizes[0], of_vectors]))
  if None in images.shape.as_list()[1:3]:
    checks.append(tf.debugging.Assert(tf.reduce_all(sizes[1:3] > 0), [
        'expected images with a height and a width of 1 or more, and their shape is',
        sizes]))
  with tf.control_dependencies(checks):
    return tf.identity(images) if checks else images


def _compute_dtype(*tensors):
  """Returns the dtype of positions: 16 bits cannot tell apart distant positions."""
  is_double = any(tensor.dtype == tf.float64 for tensor in tensors)
  return tf.float64 if is_double else tf.float32


def _sample(images, x, y, padding):
  """Returns samples at columns x and rows y, [batch, out_height, out_width]."""
  if padding not in PADDINGS:
    raise diagnostics.unknown_name('padding', padding, PADDINGS)
  dtype, channels = images.dtype, images.shape[3]
  # The gradient of a pixel is a sum over many samples, which 16 bits round.
  images = tf.cast(images, x.dtype)
  if padding == 'zero':
    images, x, y = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]]), x + 1, y + 1
  size = tf.shape(images)
  left, from_left = _cells(x, size[2], padding == 'reflection')
  top, from_top = _cells(y, size[1], padding == 'reflection')
  pixels = tf.reshape(images, [-1, size[3]])
  first = (tf.range(size[0])[:, None, None] * size[1] + top) * size[2] + left
  # A single row or column is its own neighbour.
  right, below = tf.minimum(size[2] - 1, 1), tf.minimum(size[1] - 1, 1) * size[2]
  before = _between(pixels, first, below, from_top[..., None])
  after = _between(pixels, first + right, below, from_top[..., None])
  samples = tf.cast(before + from_left[..., None] * (after - before), dtype)
  samples.set_shape([*x.shape, channels])
  return samples


def _between(pixels, first, step, share):
  """Returns values between two pixels: (1 - share) * first + share * the one after it.

  A gather from a list of pixels takes less time than gather_nd from images.
  """
  start = tf.gather(pixels, first)
  return start + share * (tf.gather(pixels, first + step) - start)


def _cells(positions, size, is_mirrored):
  """Returns the pixel before each position along an axis, and the distance to it."""
  end = tf.cast(size - 1, positions.dtype)
  if is_mirrored:
    # A period goes to the last pixel and back; an axis of one pixel has none.
    period = tf.maximum(2 * end, 1)
    positions = end - tf.abs(tf.math.floormod(positions, period) - end)
  positions = tf.clip_by_value(positions, 0, end)
  # The last pixel belongs to the cell before it, so that it has a gradient.
  cells = tf.minimum(tf.floor(positions), tf.maximum(end - 1, 0))
  # NaN has no pixel; any valid one serves, as the distance is NaN.
  indices = tf.clip_by_value(tf.cast(cells, tf.int32), 0, size - 1)
  return indices, positions - cells

