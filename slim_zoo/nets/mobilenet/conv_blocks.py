"""The blocks of MobileNets.

    split_separable_conv2d  depthwise, then 1x1: MobileNet V1
                            (Howard et al. 2017, arXiv 1704.04861)
    expanded_conv           1x1 expansion, depthwise, 1x1 projection, and the input
                            added: MobileNet V2's inverted residual
                            (Sandler et al. 2018, arXiv 1801.04381)
    squeeze_excite          channels scaled by gates computed from the whole feature
                            map: MobileNet V3 (Howard et al. 2019, arXiv 1905.02244)
"""

import contextlib
import functools
import itertools
import math

from slim_zoo.nets.layers import drop_residual, fixed_padding, make_divisible
from slim_zoo.nets.layers import squeeze_excite as squeeze_excite
from slim_zoo.tf_compat import slim, tf

DEPTHWISE_LOCATIONS = (None, 'input', 'expansion', 'output')


def _depth(net):
  return net.get_shape().as_list()[3]


@contextlib.contextmanager
def _separable_prefix(scope):
  """Yields the prefix of the names of the two convolutions.

  With a scope they are SCOPE_depthwise and SCOPE_pointwise, as in the checkpoints of
  MobileNet V1; without one they are in a scope of their own.
  """
  if scope is not None:
    yield f'{scope}_'
  else:
    with tf.variable_scope(None, 'separable'):
      yield ''


@slim.add_arg_scope
def split_separable_conv2d(input_tensor, num_outputs, scope=None, normalizer_fn=None,
                           stride=1, rate=1, endpoints=None,
                           use_explicit_padding=False):
  """Convolves 3x3 depthwise, then 1x1; each is normalized and activated.

  Args:
    input_tensor: float [batch, height, width, channels].
    num_outputs: depth of the output.
    scope: prefix of the names of the two convolutions.
    normalizer_fn: normalizer of both.
    stride: stride of the depthwise convolution.
    rate: dilation of the depthwise convolution.
    endpoints: dict that receives both outputs by name, such as 'Conv2d_1_depthwise' and
      'Conv2d_1_pointwise' for the scope 'Conv2d_1'.
    use_explicit_padding: whether to pad with `layers.fixed_padding`.

  Returns:
    float [batch, height / stride, width / stride, num_outputs].
  """
  endpoints = {} if endpoints is None else endpoints
  padding = 'SAME'
  with _separable_prefix(scope) as prefix:
    if use_explicit_padding:
      input_tensor, padding = fixed_padding(input_tensor, 3, rate), 'VALID'
    net = endpoints[f'{prefix}depthwise'] = slim.separable_conv2d(
        input_tensor, None, [3, 3], depth_multiplier=1, stride=stride, rate=rate,
        normalizer_fn=normalizer_fn, padding=padding, scope=f'{prefix}depthwise')
    net = endpoints[f'{prefix}pointwise'] = slim.conv2d(
        net, num_outputs, [1, 1], stride=1, normalizer_fn=normalizer_fn,
        scope=f'{prefix}pointwise')
  return net


def split_divisible(total, num_ways, divisible_by=8):
  """Returns `num_ways` sizes that add up to `total` and are as equal as possible.

  All sizes but the last are multiples of `divisible_by`.
  """
  ends = [min(total, math.ceil(total * way / num_ways / divisible_by) * divisible_by)
          for way in range(num_ways + 1)]
  return [end - start for start, end in itertools.pairwise(ends)]


def expand_input_by_factor(n, divisible_by=8):
  """Returns a function from num_inputs to num_inputs * n, made divisible."""
  return lambda num_inputs, **_: make_divisible(num_inputs * n, divisible_by)


def split_conv(input_tensor, num_outputs, num_ways, scope, divisible_by=8, **kwargs):
  """Convolves 1x1 in `num_ways` separate groups of channels.

  Args:
    input_tensor: float [batch, height, width, channels].
    num_outputs: depth of the output.
    num_ways: number of groups; 1 is used if a group would have fewer than
      `divisible_by` inputs or outputs.
    scope: name of the convolution; group i is NAME_part_i.
    divisible_by: the depths of groups are multiples of this.
    **kwargs: go to slim.conv2d.

  Returns:
    float [batch, height, width, num_outputs].
  """
  depth = _depth(input_tensor)
  if num_ways == 1 or min(depth, num_outputs) // num_ways < divisible_by:
    return slim.conv2d(input_tensor, num_outputs, [1, 1], scope=scope, **kwargs)
  groups = tf.split(input_tensor, split_divisible(depth, num_ways, divisible_by),
                    axis=3, name=f'split_{scope}')
  depths = split_divisible(num_outputs, num_ways, divisible_by)
  parts = []
  for number, (group, size) in enumerate(zip(groups, depths, strict=True)):
    part = slim.conv2d(group, size, [1, 1], scope=f'{scope}_part_{number}', **kwargs)
    parts.append(tf.identity(part, name=f'{scope}_part_{number}_output'))
  return tf.concat(parts, 3, name=f'{scope}_concat')


def _check_expanded_conv(depthwise_location, use_explicit_padding, padding, fused):
  if depthwise_location not in DEPTHWISE_LOCATIONS:
    raise TypeError(
        f'depthwise_location is {depthwise_location!r}, expected one of'
        f' {DEPTHWISE_LOCATIONS}')
  if use_explicit_padding and padding != 'SAME':
    raise TypeError(
        f"use_explicit_padding needs padding 'SAME', not {padding!r}")
  if fused and depthwise_location is not None:
    raise TypeError(
        'expansion_fn=slim.conv2d replaces the depthwise convolution:'
        f' depthwise_location must be None, not {depthwise_location!r}')


def _spatial_conv(kernel_size, stride, rate, padding, use_explicit_padding,
                  normalizer_fn):
  """Returns the function that builds the one convolution larger than 1x1."""
  def build(convolution, net, depth, **kwargs):
    if use_explicit_padding:
      net = fixed_padding(net, kernel_size, rate)
    return convolution(
        net, depth, kernel_size, stride=stride, rate=rate,
        padding='VALID' if use_explicit_padding else padding,
        normalizer_fn=normalizer_fn, **kwargs)
  return build


def _pointwise_conv(function, num_ways, divisible_by, normalizer_fn):
  """Returns the function that builds the expansion or the projection, both 1x1."""
  groups = {'num_ways': num_ways, 'divisible_by': divisible_by, 'stride': 1}
  return functools.partial(function, normalizer_fn=normalizer_fn,
                           **groups if function is split_conv else {})


def _activation(function):
  """Returns the argument that sets an activation; None keeps the arg scope's."""
  return {} if function is None else {'activation_fn': function}


@slim.add_arg_scope
def expanded_conv(input_tensor, num_outputs,
                  expansion_size=expand_input_by_factor(6), stride=1, rate=1,
                  kernel_size=(3, 3), residual=True, normalizer_fn=None,
                  split_projection=1, split_expansion=1, split_divisible_by=8,
                  expansion_transform=None, depthwise_location='expansion',
                  depthwise_channel_multiplier=1, endpoints=None,
                  use_explicit_padding=False, padding='SAME',
                  inner_activation_fn=None, depthwise_activation_fn=None,
                  project_activation_fn=tf.identity,
                  depthwise_fn=slim.separable_conv2d, expansion_fn=split_conv,
                  projection_fn=split_conv, scope=None, drop_rate=0.0):
  """Builds an inverted residual: expand, convolve depthwise, project, add.

  Args:
    input_tensor: float [batch, height, width, channels].
    num_outputs: depth of the output.
    expansion_size: inner depth, an int or a function of num_inputs. If it is not above
      the depth of the input, there is no expansion.
    stride: stride of the depthwise convolution.
    rate: dilation of the depthwise convolution.
    kernel_size: kernel of the depthwise convolution.
    residual: whether to add the input if stride and depth allow it; or a function of
      input_tensor and output_tensor that returns the output.
    normalizer_fn: normalizer of all convolutions.
    split_projection: number of groups of the projection, see `split_conv`.
    split_expansion: number of groups of the expansion.
    split_divisible_by: the depths of groups are multiples of this.
    expansion_transform: function of expansion_tensor (the input of the projection) and
      input_tensor, such as a `squeeze_excite`; None for none.
    depthwise_location: place of the depthwise convolution: at the 'input', after the
      'expansion', or at the 'output'; None leaves it out. It has an activation only
      after the expansion: narrow layers stay linear.
    depthwise_channel_multiplier: outputs per channel of the depthwise convolution.
    endpoints: dict that receives 'expansion_output', 'depthwise_output',
      'expansion_transform' and 'projection_output', if built.
    use_explicit_padding: whether to pad with `layers.fixed_padding`.
    padding: padding of the depthwise convolution.
    inner_activation_fn: activation of expansion and depthwise convolution; None means
      the arg scope's.
    depthwise_activation_fn: activation of the depthwise convolution; None means
      `inner_activation_fn`.
    project_activation_fn: activation of the projection.
    depthwise_fn: builds the depthwise convolution, called like
      slim.separable_conv2d.
    expansion_fn: builds the expansion from (net, depth, scope, normalizer_fn).
      slim.conv2d builds a full convolution of `kernel_size` and `stride` in place of
      the depthwise one.
    projection_fn: builds the projection in the same way.
    scope: variable scope; None means expanded_conv, made unique.
    drop_rate: the share of images for which only the input is added, see
      `layers.drop_residual`; not with a function as `residual`.

  Returns:
    float [batch, height / stride, width / stride, num_outputs].

  Raises:
    TypeError: `depthwise_location` does not exist or is not None with a full
      convolution; or `use_explicit_padding` with a padding other than 'SAME'.
  """
  fused = expansion_fn is slim.conv2d
  _check_expanded_conv(depthwise_location, use_explicit_padding, padding, fused)
  endpoints = {} if endpoints is None else endpoints
  spatial = _spatial_conv(
      kernel_size, stride, rate, padding, use_explicit_padding, normalizer_fn)
  expansion = functools.partial(spatial, slim.conv2d) if fused else _pointwise_conv(
      expansion_fn, split_expansion, split_divisible_by, normalizer_fn)
  projection = _pointwise_conv(
      projection_fn, split_projection, split_divisible_by, normalizer_fn)

  def end_point(name, net):
    endpoints[name] = tf.identity(net, name=name)
    return endpoints[name]

  def depthwise(net, **activation):
    return end_point('depthwise_output', spatial(
        depthwise_fn, net, None, scope='depthwise',
        depth_multiplier=depthwise_channel_multiplier, **activation))

  with tf.variable_scope(scope, 'expanded_conv', [input_tensor]):
    net = input_tensor = tf.identity(input_tensor, name='input')
    if depthwise_location == 'input':
      net = depthwise(net, activation_fn=None)
    depth = _depth(net)
    inner_depth = (expansion_size(num_inputs=depth) if callable(expansion_size)
                   else expansion_size)
    if inner_depth > depth or (fused and stride > 1):
      net = end_point('expansion_output', expansion(
          net, inner_depth, scope='expand', **_activation(inner_activation_fn)))
    if depthwise_location == 'expansion':
      net = depthwise(
          net, **_activation(depthwise_activation_fn or inner_activation_fn))
    if expansion_transform:
      net = endpoints['expansion_transform'] = expansion_transform(
          expansion_tensor=net, input_tensor=input_tensor)
    net = endpoints['projection_output'] = projection(
        net, num_outputs, scope='project', activation_fn=project_activation_fn)
    if depthwise_location == 'output':
      net = depthwise(net, activation_fn=None)
    if callable(residual):
      net = residual(input_tensor=input_tensor, output_tensor=net)
    elif residual and stride == 1 and _depth(net) == _depth(input_tensor):
      net = drop_residual(net, drop_rate) + input_tensor
    return tf.identity(net, name='output')
