"""Inverse warping: values of scipy's map_coordinates, gradients by differences."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from slim_zoo import diagnostics, image_ops
from slim_zoo.tf_compat import tf

# The same padding in scipy.
MODES = {'border': 'nearest', 'zero': 'grid-constant', 'reflection': 'mirror'}
# (size of the images, size of the flow): equal, smaller, larger, one row, one pixel.
SIZES = [((7, 9), (7, 9)), ((7, 9), (4, 5)), ((5, 6), (11, 8)), ((1, 6), (3, 4)),
         ((1, 1), (2, 3))]


def example(size, flow_size, seed=0, batch=2, channels=3, far=6.0):
  """Returns float64 images and a flow; some of it ends far outside the images."""
  random = np.random.default_rng(seed)
  flow = random.normal(size=[batch, *flow_size, 2]) * far
  flow[:, 0, 0] = 0  # Exactly on a pixel.
  return random.uniform(-1, 1, [batch, *size, channels]), flow


def expected(images, flow, padding):
  """Returns the warped images by scipy, one plane at a time."""
  height, width = flow.shape[1:3]
  rows, columns = np.mgrid[:height, :width]
  result = np.empty([*flow.shape[:3], images.shape[3]])
  for number, (image, vectors) in enumerate(zip(images, flow, strict=True)):
    for channel in range(images.shape[3]):
      result[number, ..., channel] = ndimage.map_coordinates(
          image[..., channel], [rows + vectors[..., 1], columns + vectors[..., 0]],
          order=1, mode=MODES[padding])
  return result


@pytest.mark.parametrize('padding', image_ops.PADDINGS)
@pytest.mark.parametrize(('size', 'flow_size'), SIZES)
def test_values_are_those_of_scipy(padding, size, flow_size):
  images, flow = example(size, flow_size)
  warped = image_ops.inverse_warp(images, flow, padding)
  assert warped.shape.as_list() == [2, *flow_size, 3]
  with tf.Session() as session:
    np.testing.assert_allclose(
        session.run(warped), expected(images, flow, padding), atol=1e-12)


@pytest.mark.parametrize(('dtype', 'flow_dtype', 'tolerance'), [
    ('float32', 'float32', 3e-4), ('float16', 'float32', 1e-3),
    ('float16', 'float16', 1e-3), ('float64', 'float32', 1e-12)])
def test_result_has_the_dtype_of_the_images(dtype, flow_dtype, tolerance):
  """At column 1500 float16 has no fractions, and float32 those of 1 / 8192."""
  images, flow = example((3, 1600), (3, 1600), channels=2)
  images, flow = images.astype(dtype), flow.astype(flow_dtype)
  warped = image_ops.inverse_warp(images, flow)
  with tf.Session() as session:
    found = session.run(warped)
  assert found.dtype == dtype
  np.testing.assert_allclose(
      found, expected(images.astype('float64'), flow.astype('float64'), 'border'),
      atol=tolerance)


@pytest.mark.parametrize('padding', image_ops.PADDINGS)
def test_unknown_sizes_are_followed(padding):
  """One graph warps batches of several sizes, also an empty one."""
  images = tf.placeholder(tf.float32)
  flow = tf.placeholder(tf.float32, [None, None, None, None])
  warped = image_ops.inverse_warp(images, flow, padding)
  gradients = tf.gradients(warped, [images, flow])
  assert warped.shape.as_list() == [None] * 4
  with tf.Session() as session:
    for batch, channels, (size, flow_size) in (
        (1, 3, SIZES[0]), (3, 1, SIZES[2]), (0, 2, SIZES[1])):
      values = example(size, flow_size, batch=batch, channels=channels)
      found, of_images, of_flow = session.run(
          [warped, *gradients], dict(zip((images, flow), values, strict=True)))
      np.testing.assert_allclose(found, expected(*values, padding), atol=1e-5)
      assert of_images.shape == values[0].shape
      assert of_flow.shape == values[1].shape


@pytest.mark.parametrize('padding', image_ops.PADDINGS)
def test_gradients_are_the_differences(padding):
  """Of a weighted sum of the output, in 64 bits, for each value of both inputs."""
  values = example((4, 5), (3, 4), seed=3, batch=1, channels=2, far=3.0)
  # Away from pixel centres, where the slope changes.
  flow = np.floor(values[1]) + 0.1 + 0.8 * (values[1] % 1)
  images, flow = tf.constant(values[0]), tf.constant(flow)
  weights = np.random.default_rng(4).normal(size=[1, 3, 4, 2])
  total = tf.reduce_sum(weights * image_ops.inverse_warp(images, flow, padding))
  gradients = tf.gradients(total, [images, flow])
  step = 1e-4
  with tf.Session() as session:
    for tensor, gradient in zip((images, flow), session.run(gradients), strict=True):
      value, differences = session.run(tensor), np.zeros(tensor.shape)
      for place in np.ndindex(*value.shape):
        shift = np.zeros_like(value)
        shift[place] = step
        above, below = (session.run(total, {tensor: value + sign * shift})
                        for sign in (1, -1))
        differences[place] = (above - below) / (2 * step)
      assert np.abs(gradient).max() > 0.1
      np.testing.assert_allclose(gradient, differences, atol=1e-8)


def test_flow_of_zeros_copies_and_has_a_gradient_at_every_pixel():
  """A network that starts at zero flow learns from the last row and column too."""
  ramp = np.add.outer(np.arange(4.0), 10 * np.arange(5.0))[None, :, :, None]
  flow = tf.zeros([1, 4, 5, 2], tf.float64)
  warped = image_ops.inverse_warp(ramp, flow)
  with tf.Session() as session:
    copied, slopes = session.run([warped, tf.gradients(warped, flow)[0]])
  np.testing.assert_array_equal(copied, ramp)
  np.testing.assert_allclose(slopes, np.broadcast_to([10.0, 1.0], [1, 4, 5, 2]))


def test_gradients_of_16_bit_images_are_summed_in_32():
  """4,000 samples of one pixel: a sum in float16 stops at 2,048."""
  images = tf.zeros([1, 2, 2, 1], tf.float16)
  warped = image_ops.inverse_warp(images, tf.fill([1, 40, 100, 2], -200.0))
  gradient, = tf.gradients(warped, images)
  with tf.Session() as session:
    np.testing.assert_array_equal(session.run(gradient)[0, ..., 0], [[4000, 0], [0, 0]])


@pytest.mark.parametrize(('padding', 'outside'), [
    ('border', 4.0), ('zero', 0.0), ('reflection', np.nan)])
def test_flow_that_is_no_number_or_without_end(padding, outside):
  """NaN shows in the output; infinity is outside; no index leaves the image."""
  images = np.arange(5.0, dtype='float32').reshape(1, 1, 5, 1)
  flow = np.zeros([1, 1, 5, 2], 'float32')
  flow[0, 0, 1:4, 0] = np.nan, np.inf, 1e30
  warped = image_ops.inverse_warp(images, flow, padding)
  with tf.Session() as session:
    found = session.run(warped)[0, 0, :, 0]
  np.testing.assert_array_equal(found[[0, 1, 2, 4]], [0, np.nan, outside, 4])
  assert 0 <= found[3] <= 4


def test_samples_at_absolute_positions():
  images, flow = example((6, 7), (3, 8))
  rows, columns = np.mgrid[:3, :8]
  positions = flow + np.stack([columns, rows], -1)
  with tf.Session() as session:
    np.testing.assert_allclose(
        session.run(image_ops.sample_bilinear(images, positions, 'zero')),
        expected(images, flow, 'zero'), atol=1e-12)


@pytest.mark.parametrize(('images', 'flow', 'padding', 'words'), [
    (np.zeros([1, 4, 4, 3]), np.zeros([1, 4, 4, 2]), 'reflect', "'reflection'"),
    (np.zeros([1, 4, 4, 3], 'uint8'), np.zeros([1, 4, 4, 2]), 'zero', 'is uint8'),
    (np.zeros([1, 4, 4, 3]), np.zeros([1, 4, 4, 2], 'int32'), 'zero',
     'dtype of flow is int32'),
    (np.zeros([4, 4, 3]), np.zeros([1, 4, 4, 2]), 'zero', r'\(4, 4, 3\): expected'),
    (np.zeros([1, 4, 4, 3]), np.zeros([1, 4, 4, 3]), 'zero', r'width, 2\]'),
    (np.zeros([2, 4, 4, 3]), np.zeros([3, 4, 4, 2]), 'zero', '2 and that of flow 3'),
    (np.zeros([1, 0, 4, 3]), np.zeros([1, 4, 4, 2]), 'border', 'a width of 1 or'),
])
def test_mistakes_are_named(images, flow, padding, words):
  with pytest.raises(diagnostics.UserError, match=words):
    image_ops.inverse_warp(images, flow, padding)


@pytest.mark.parametrize(('images', 'flow', 'words'), [
    ([1, 4, 4, 3], [3, 4, 4, 2], 'the batches of images and flow'),
    ([1, 0, 4, 3], [1, 4, 4, 2], 'a height and a width of 1 or more'),
    ([1, 4, 0, 3], [1, 4, 4, 2], 'a height and a width of 1 or more'),
])
def test_mistakes_in_unknown_sizes_are_named_by_the_session(images, flow, words):
  tensors = [tf.placeholder(tf.float32, [None] * 4) for _ in range(2)]
  warped = image_ops.inverse_warp(*tensors)
  with tf.Session() as session, pytest.raises(
      tf.errors.InvalidArgumentError, match=words):
    session.run(warped, dict(zip(
        tensors, (np.zeros(images), np.zeros(flow)), strict=True)))


def test_eager_mode():
  """A program that turns eager mode on again gets values and gradients."""
  program = '''
import json
from slim_zoo import image_ops
from slim_zoo.tf_compat import tf
tf.enable_eager_execution()
images = tf.reshape(tf.range(12.0), [1, 3, 4, 1])
flow = tf.fill([1, 2, 3, 2], 0.25)
with tf.GradientTape() as tape:
  tape.watch(flow)
  warped = image_ops.inverse_warp(images, flow, 'reflection')
print(json.dumps([warped.numpy().ravel().tolist(),
                  tape.gradient(warped, flow).numpy().ravel().tolist()]))
'''
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                        check=False)
  assert done.returncode == 0, done.stderr
  values, slopes = json.loads(done.stdout)
  assert values == [1.25, 2.25, 3.25, 5.25, 6.25, 7.25]
  assert slopes == [1.0, 4.0] * 6
