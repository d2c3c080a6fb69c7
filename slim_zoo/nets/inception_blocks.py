"""Inception modules as tables: each branch is a sequence of rows.

    Mixed('Mixed_5b', (                                                # scope
        (Conv('Conv2d_0a_1x1', 1, 64),),                               # Branch_0
        (Conv('Conv2d_0a_1x1', 1, 48), Conv('Conv2d_0b_5x5', 5, 64)),  # Branch_1
        (AvgPool('AvgPool_0a_3x3', 3), Conv('Conv2d_0b_1x1', 1, 32)),  # Branch_2
    ))

A row is a tuple with its name as first field and a method `build(net, options)`; a
network may define further kinds of rows besides those of `rows`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from slim_zoo import diagnostics
from slim_zoo.nets.rows import Options
from slim_zoo.tf_compat import slim, tf


class Fork(NamedTuple):
  """The end of a branch: parallel layers with the same input."""

  layers: tuple

  def build(self, net, options):
    """Builds all layers on `net` and concatenates their outputs by depth."""
    return tf.concat([layer.build(net, options) for layer in self.layers],
                     options.channel_axis)


class Mixed(NamedTuple):
  """An Inception module: branches under 'scope/Branch_N', concatenated by depth."""

  scope: str
  branches: tuple

  def build(self, net, options):
    """Builds the module on `net`."""
    return mixed(net, self.branches, self.scope, options=options)


@slim.add_arg_scope
def mixed(net, branches, scope, default_scope=None, reuse=None,
          options=Options(), attention_fn=None):
  """Builds `branches`, sequences of rows, and concatenates their outputs by depth.

  Args:
    net: float [batch, height, width, depth].
    branches: a tuple of branches.
    scope: variable scope; None makes `default_scope` unique.
    default_scope: the name if `scope` is None.
    reuse: whether the variables exist already.
    options: an `Options`.
    attention_fn: applied to the concatenated branches, such as
      `layers.squeeze_excitation`, from NHWC features to features of the same shape.

  Returns:
    float [batch, height / stride, width / stride, sum of the branches' depths].

  Raises:
    UserError: there is an `attention_fn` and the features are NCHW; it is a
      ValueError.
  """
  if attention_fn is not None and options.channel_axis != 3:
    raise diagnostics.UserError(
        "attention_fn needs NHWC features, not NCHW: give data_format='NHWC'")
  with tf.variable_scope(scope, default_scope, [net], reuse=reuse):
    net = join(net, branches, options)
    return net if attention_fn is None else attention_fn(net)


def join(net, branches, options=Options()):
  """Builds `branches` in the current scope; see `mixed`."""
  outputs = []
  for number, branch in enumerate(branches):
    with tf.variable_scope(f'Branch_{number}'):
      output = net
      for layer in branch:
        output = layer.build(output, options)
      outputs.append(output)
  return tf.concat(outputs, options.channel_axis)


def build(net, layers, final_endpoint: str,
          options=Options()) -> tuple[Any, dict[str, Any]]:
  """Builds `layers` in sequence, up to the one with the name `final_endpoint`.

  Args:
    net: float images [batch, height, width, channels], or features.
    layers: rows; the first field of a row is the name of its end point or None.
    final_endpoint: the name of the last row to build.
    options: an `Options`.

  Returns:
    (net, end_points): the output of that row, and all outputs by name.

  Raises:
    UserError: no row has that name; it is a ValueError.
  """
  names = [name for name, *_ in layers if name is not None]
  if final_endpoint not in names:
    raise diagnostics.unknown_name('final_endpoint', final_endpoint, names)
  end_points = {}
  for layer in layers:
    net = layer.build(net, options)
    if layer[0] is not None:
      end_points[layer[0]] = net
    if layer[0] == final_endpoint:
      break
  return net, end_points


def scaled_width(depth_multiplier: float, min_depth: int) -> Callable[[int], int]:
  """Returns an `Options.width` that scales depths to at least `min_depth`.

  Raises:
    UserError: `depth_multiplier` is not positive; it is a ValueError.
  """
  if depth_multiplier <= 0:
    raise diagnostics.UserError(
        f'depth_multiplier is {depth_multiplier}: it must be greater than 0')
  return lambda depth: max(int(depth * depth_multiplier), min_depth)
