"""The rows of architecture tables: convolutions and pools, which build themselves.

    layers = (Conv('conv1', 11, 64, stride=4, padding='VALID'), MaxPool('pool1', 3, 2))

AlexNet, OverFeat, VGG and the Inception networks are tables of these rows. A kernel is
an int, or a pair (height, width).
"""

from collections.abc import Callable
from typing import NamedTuple

from slim_zoo.tf_compat import slim, tf


def trunc_normal(stddev):
  """Returns an initializer that draws from a normal cut off at two deviations."""
  return tf.truncated_normal_initializer(0.0, stddev)


class Options(NamedTuple):
  """Settings of a whole network.

  Attributes:
    width: turns the nominal depth of a convolution into the depth to build.
    channel_axis: the axis on which branches are joined: 3 for NHWC, 1 for NCHW.
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
    stddev: of the initial weights, drawn from a truncated normal; None leaves
      the initializer to the arg scope.
  """

  scope: str
  kernel: int | tuple[int, int]
  depth: int
  stride: int = 1
  padding: str = 'SAME'
  stddev: float | None = None

  def build(self, net, options=Options()):
    """Convolves `net`; normalization and activation are the arg scope's."""
    initializer = {} if self.stddev is None else {
        'weights_initializer': trunc_normal(self.stddev)}
    return slim.conv2d(
        net, options.width(self.depth), self.kernel, stride=self.stride,
        padding=self.padding, scope=self.scope, **initializer)


class MaxPool(NamedTuple):
  """A pool that keeps the maximum.

  Attributes:
    scope: name of the operation.
    kernel: an int, or (height, width).
    stride: stride in height and width.
    padding: 'SAME' or 'VALID'; None leaves it to the arg scope.
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
  """A pool that averages; attributes as for `MaxPool`."""

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
