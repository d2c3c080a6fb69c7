"""What both ResNet versions are built from: blocks of units, strides, arg scope.

A network is a list of `Block`s. The stride of a block is taken by its last unit,
so that a network can stop at any `output_stride`: from there on convolutions are
dilated ("atrous") instead of strided, and the features keep their resolution.
"""

import collections
import functools

import diagnostics
from nets import normalization
from nets.grouped_convolution import grouped_conv2d
from tf_compat import slim, tf


class Block(collections.namedtuple('Block', ('scope', 'unit_fn', 'args'))):
  """A named run of residual units.

  Attributes:
    scope: variable scope of the block.
    unit_fn: builds one unit; called as unit_fn(net, rate=rate, **unit).
    args: one dict of keyword arguments per unit; 'stride' is 1 if absent.
  """


class NoOpScope:
  """A context manager that changes nothing, where an arg scope is optional."""

  def __enter__(self):
    return None

  def __exit__(self, *unused):
    return False


def batch_norm_mode(is_training):
  """Returns the scope that sets batch norm's mode; None leaves it to the caller."""
  if is_training is None:
    return NoOpScope()
  return slim.arg_scope([slim.batch_norm], is_training=is_training)


def subsample(inputs, factor, scope=None):
  """Returns every `factor`-th pixel of [batch, height, width, depth]."""
  if factor == 1:
    return inputs
  return slim.max_pool2d(inputs, [1, 1], stride=factor, scope=scope)


def conv2d_same(inputs, num_outputs, kernel_size, stride, rate=1, scope=None,
                groups=1):
  """Convolves with 'SAME' padding that does not depend on the image size.

  TensorFlow's own 'SAME' pads a strided convolution by how the stride divides
  the size, so that a crop of an image sees other pixels than the image did. Here
  the padding is of the kernel alone: conv2d_same at stride s equals the same
  convolution at stride 1 followed by `subsample` by s.

  Args:
    inputs: float [batch, height, width, channels].
    num_outputs: depth of the output.
    kernel_size: height and width of the kernel.
    stride: output stride.
    rate: dilation.
    scope: variable scope.
    groups: the number of groups of channels; more than 1 is a `grouped_conv2d`.

  Returns:
    float [batch, ceil(height / stride), ceil(width / stride), num_outputs].
  """
  convolve = slim.conv2d if groups == 1 else functools.partial(
      grouped_conv2d, groups=groups)
  if stride == 1:
    return convolve(inputs, num_outputs, kernel_size, stride=1, rate=rate,
                    padding='SAME', scope=scope)
  total = (kernel_size - 1) * rate
  before, after = total // 2, total - total // 2
  inputs = tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])
  return convolve(inputs, num_outputs, kernel_size, stride=stride, rate=rate,
                  padding='VALID', scope=scope)


def max_pool2d_symmetric(inputs, kernel_size, stride, scope=None):
  """Pools like 'SAME', but pads all sides alike whatever the size.

  Args:
    inputs: float [batch, height, width, channels].
    kernel_size: height and width of the kernel, an odd number.
    stride: output stride.
    scope: name of the operation.

  Returns:
    float [batch, ceil(height / stride), ceil(width / stride), channels].
  """
  sides = [kernel_size // 2] * 2
  # No pixel is smaller than this one, so that the padding never wins.
  inputs = tf.pad(inputs, [[0, 0], sides, sides, [0, 0]],
                  constant_values=inputs.dtype.min)
  return slim.max_pool2d(inputs, kernel_size, stride, padding='VALID', scope=scope)


class _Strides:
  """Follows stride and dilation through a network that may have a target.

  Until the target is reached units are strided; after it they are dilated by
  the product of the strides they gave up.
  """

  def __init__(self, target):
    self._target, self._current, self.rate = target, 1, 1

  def take(self, stride):
    """Returns the (stride, rate) at which to build a step of nominal `stride`."""
    if self._target is not None and self._current == self._target:
      rate = self.rate
      self.rate *= stride
      return 1, rate
    self._current *= stride
    if self._target is not None and self._current > self._target:
      raise ValueError(
          f'output_stride {self._target} cannot be reached: the network goes'
          f' from {self._current // stride} to {self._current}')
    return stride, 1

  def check_reached(self):
    if self._target is not None and self._current != self._target:
      raise ValueError(
          f'output_stride {self._target} cannot be reached: the whole network'
          f' has {self._current}')


@slim.add_arg_scope
def stack_blocks_dense(net, blocks, output_stride=None,
                       store_non_strided_activations=False,
                       outputs_collections=None):
  """Builds `blocks` one after the other.

  Args:
    net: float [batch, height, width, channels].
    blocks: a list of `Block`.
    output_stride: ratio of input to output resolution to keep, counted from
      `net`; None takes the blocks' own strides.
    store_non_strided_activations: whether a block's last unit is built without
      its stride and its output subsampled afterwards, so that the end point of
      the block keeps the higher resolution.
    outputs_collections: collection that receives the output of each block.

  Returns:
    float [batch, height / stride, width / stride, depth of the last unit].

  Raises:
    ValueError: `output_stride` cannot be reached by the blocks.
  """
  strides = _Strides(output_stride)
  for block in blocks:
    with tf.variable_scope(block.scope, 'block', [net]) as sc:
      postponed_stride = 1
      for number, unit in enumerate(block.args, 1):
        unit_stride = unit.get('stride', 1)
        if store_non_strided_activations and number == len(block.args):
          postponed_stride, unit_stride = unit_stride, 1
        stride, rate = strides.take(unit_stride)
        with tf.variable_scope(f'unit_{number}', values=[net]):
          net = block.unit_fn(net, rate=rate, **dict(unit, stride=stride))
      net = slim.utils.collect_named_outputs(outputs_collections, sc.name, net)
      net = subsample(net, strides.take(postponed_stride)[0])
  strides.check_reached()
  return net


def bottleneck_block(scope, unit_fn, base_depth, num_units, stride):
  """Returns a `Block` of units of depth 4 * base_depth, the last one strided."""
  unit = {'depth': base_depth * 4, 'depth_bottleneck': base_depth}
  return Block(
      scope, unit_fn,
      [dict(unit, stride=1)] * (num_units - 1) + [dict(unit, stride=stride)])


def four_blocks(block_fn, units, width=lambda base_depth: base_depth,
                strides=(2, 2, 2, 1)):
  """Returns the blocks of an ImageNet ResNet.

  Args:
    block_fn: a version's block function, such as `resnet_v1.resnet_v1_block`.
    units: the number of units of each block, such as (3, 4, 6, 3).
    width: turns the nominal base depth of a block into the wanted one.
    strides: the stride of each block.
  """
  return [
      block_fn(f'block{number}', width(base_depth), num_units, stride)
      for number, (base_depth, num_units, stride) in enumerate(
          zip((64, 128, 256, 512), units, strides, strict=True), 1)]


def blocks_up_to(blocks, final_endpoint):
  """Returns the blocks of a network that stops early.

  Args:
    blocks: a list of `Block`.
    final_endpoint: the last block or unit, as its scope below the network's, such as
      'block4' or 'block2/unit_3/bottleneck_v1'.

  Raises:
    UserError: there is none; it is a ValueError.
  """
  kept = []
  for block in blocks:
    if final_endpoint == block.scope:
      return [*kept, block]
    for number in range(1, len(block.args) + 1):
      if final_endpoint.startswith(f'{block.scope}/unit_{number}/'):
        return [*kept, block._replace(args=block.args[:number])]
    kept.append(block)
  raise diagnostics.unknown_name(
      'final_endpoint', final_endpoint, [block.scope for block in blocks])


def stride_after_root(output_stride):
  """Returns the stride left to the blocks when the root block has taken 4.

  Raises:
    ValueError: `output_stride` is not a multiple of 4.
  """
  if output_stride is None:
    return None
  if output_stride % 4 != 0:
    raise ValueError(
        f'output_stride {output_stride} is not a multiple of 4, the stride of'
        ' the root block')
  return output_stride // 4


def classify(net, end_points, num_classes, global_pool, spatial_squeeze, sc):
  """Puts the common head on features: pool, logits, squeeze, predictions.

  Args:
    net: features, float [batch, height, width, depth].
    end_points: dict that receives the new end points.
    num_classes: number of logits; 0 or None leaves them out.
    global_pool: whether to average over space first.
    spatial_squeeze: whether 1 x 1 logits lose their spatial dimensions.
    sc: the network's variable scope, which names the end points.

  Returns:
    Logits, or the features where there are no classes.
  """
  if global_pool:
    net = tf.reduce_mean(net, [1, 2], name='pool5', keepdims=True)
    end_points['global_pool'] = net
  if not num_classes:
    return net
  net = slim.conv2d(net, num_classes, [1, 1], activation_fn=None,
                    normalizer_fn=None, scope='logits')
  end_points[f'{sc.name}/logits'] = net
  if spatial_squeeze:
    net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')
    end_points[f'{sc.name}/spatial_squeeze'] = net
  end_points['predictions'] = slim.softmax(net, scope='predictions')
  return net


def resnet_arg_scope(weight_decay=0.0001, batch_norm_decay=0.997,
                     batch_norm_epsilon=1e-5, batch_norm_scale=True,
                     activation_fn=tf.nn.relu, use_batch_norm=True,
                     batch_norm_updates_collections=tf.GraphKeys.UPDATE_OPS):
  """Returns the arg scope of all ResNets.

  Args:
    weight_decay: L2 penalty on convolution weights.
    batch_norm_decay: decay of the moving mean and variance.
    batch_norm_epsilon: added to the variance.
    batch_norm_scale: whether batch norm has a gamma.
    activation_fn: after each normalized convolution.
    use_batch_norm: whether convolutions are normalized.
    batch_norm_updates_collections: where the moving averages' updates go.
  """
  batch_norm = {
      'decay': batch_norm_decay,
      'epsilon': batch_norm_epsilon,
      'scale': batch_norm_scale,
      'updates_collections': batch_norm_updates_collections,
      'fused': None,  # slim picks the fused kernel wherever it fits.
  }
  with slim.arg_scope([slim.conv2d, grouped_conv2d],
                      weights_regularizer=slim.l2_regularizer(weight_decay),
                      weights_initializer=slim.variance_scaling_initializer(),
                      activation_fn=activation_fn,
                      normalizer_fn=(
                          normalization.batch_norm if use_batch_norm else None),
                      normalizer_params=batch_norm):
    with slim.arg_scope([slim.batch_norm], **batch_norm):
      # The paper pads pool1; slim's default is 'VALID'.
      with slim.arg_scope([slim.max_pool2d], padding='SAME') as scope:
        return scope
