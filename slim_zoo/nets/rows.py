"""Rows of architecture tables: convolutions and pools with a `build` method.

    layers = (Conv('conv1', 11, 64, stride=4, padding='VALID'), MaxPool('pool1', 3, 2))

The tables of AlexNet, OverFeat, VGG and the Inception networks consist of these rows. A
kernel is an int, or a pair (height, width).
"""

from collections.abc import Callable
from typing import NamedTuple

from slim_zoo.tf_compat import slim, tf


def trunc_normal(stddev):
  """Returns a truncated normal initializer: values within two deviations of 0."""
  return tf.truncated_normal_initializer(0.0, stddev)


class Options(NamedTuple):
  """Options that all rows of a network share.

  Attributes:
    width: maps the nominal depth of a convolution to the depth to build.
    channel_axis: the axis on which branches are concatenated: 3 for NHWC, 1 for NCHW.
  """

  width: Callable[[int], int] = int
  channel_axis: int = 3


class Conv(NamedTuple):
  """A convolution.

  Attributes:
    scope: variable scope.
    kernel: an int, or (height, width).
    depth: depth of the output.
    stride: stride in height and width.
    padding: 'SAME' or 'VALID'.
    stddev: standard deviation of the initial weights (truncated normal); None: the
      initializer of the arg scope.
  """

  scope: str
  kernel: int | tuple[int, int]
  depth: int
  stride: int = 1
  padding: str = 'SAME'
  stddev: float | None = None

  def build(self, net, options=Options()):
    """Convolves `net`. The arg scope sets normalization and activation."""
    initializer = {} if self.stddev is None else {
        'weights_initializer': trunc_normal(self.stddev)}
    return slim.conv2d(
        net, options.width(self.depth), self.kernel, stride=self.stride,
        padding=self.padding, scope=self.scope, **initializer)


class MaxPool(NamedTuple):
  """A max pool.

  Attributes:
    scope: name of the op.
    kernel: an int, or (height, width).
    stride: stride in height and width.
    padding: 'SAME' or 'VALID'; None: the padding of the arg scope.
  """

  scope: str
  kernel: int | tuple[int, int]
  stride: int = 1
  padding: str | None = 'SAME'

  def build(self, net, options=Options()):
    """Pools `net`."""
    del options
    return _pool(slim.max_pool2d, net, self)


class AvgPool(NamedTuple):
  """An average pool; attributes as for `MaxPool`."""

  scope: str
  kernel: int | tuple[int, int]
  stride: int = 1
  padding: str | None = 'SAME'

  def build(self, net, options=Options()):
    """Pools `net`."""
    del options
    return _pool(slim.avg_pool2d, net, self)


def _pool(pool, net, row):
  padding = {} if row.padding is None else {'padding': row.padding}
  return pool(net, row.kernel, stride=row.stride, scope=row.scope, **padding)
