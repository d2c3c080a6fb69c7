"""Residual networks: v1 (He et al. 2016, arXiv 1512.03385), v1b, and v2 (1603.05027).

                    block1  block2  block3  block4
    units of  50       3       4       6       3     (catalog.architectures)
             101       3       4      23       3
             152       3       8      36       3
             200       3      24      36       3
    depth            256     512    1024    2048
    resolution        28      14       7       7    at the end points, at 224
      of v1b          56      28      14       7

    v1   The last unit of a block has the block's stride. In the paper the first unit of
         the next block has it; the weights are the same. From `output_stride` on,
         convolutions are dilated ("atrous").
    v1b  The 3x3 convolution of a block's first unit has the stride, and pool1 pads all
         sides equally. PyTorch's ResNets do the same, so converted weights give the
         same logits.
    v2   Strides as in v1. Batch norm and ReLU come before the convolutions of a unit.
         The shortcuts are identities. One more batch norm and ReLU, 'postnorm', follow
         block4.
"""

import collections

from slim_zoo import diagnostics
from slim_zoo.catalog import architectures
from slim_zoo.nets import normalization
from slim_zoo.nets.layers import (
  conv2d_same,
  drop_rates,
  drop_residual,
  grouped_conv2d,
  max_pool2d_symmetric,
  subsample,
)
from slim_zoo.tf_compat import slim, tf

UNITS = architectures.RESNET_UNITS


class Block(collections.namedtuple('Block', ('scope', 'unit_fn', 'args'))):
  """A named sequence of residual units.

  Attributes:
    scope: variable scope of the block.
    unit_fn: builds one unit; called as unit_fn(net, rate=rate, **unit).
    args: one dict of keyword arguments per unit; 'stride' is 1 if absent.
  """


class NoOpScope:
  """A context manager that does nothing, for an optional arg scope."""

  def __enter__(self):
    return None

  def __exit__(self, *unused):
    return False


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
    batch_norm_updates_collections: collection of the updates of the moving averages.
  """
  batch_norm = {
      'decay': batch_norm_decay,
      'epsilon': batch_norm_epsilon,
      'scale': batch_norm_scale,
      'updates_collections': batch_norm_updates_collections,
      'fused': None,  # slim selects the fused kernel if it supports the inputs.
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


@slim.add_arg_scope
def bottleneck_v1(inputs, depth, depth_bottleneck, stride, rate=1,
                  outputs_collections=None, scope=None, use_bounded_activations=False,
                  groups=1, attention_fn=None, drop_rate=0.0):
  """Builds a unit: relu(shortcut + 1x1, 3x3, 1x1 convolutions).

  Args:
    inputs: float [batch, height, width, channels].
    depth: depth of the output.
    depth_bottleneck: depth of the two inner convolutions.
    stride: stride of the 3x3 convolution and of the shortcut.
    rate: dilation of the 3x3 convolution.
    outputs_collections: collection that receives the output.
    scope: variable scope.
    use_bounded_activations: whether activations are limited to [-6, 6], for quantized
      inference.
    groups: the number of groups of channels of the 3x3 convolution.
    attention_fn: applied to the residual before the addition, for example
      `layers.squeeze_excitation`; keeps the shape.
    drop_rate: the share of images whose residual is left out, see
      `layers.drop_residual`.

  Returns:
    float [batch, height / stride, width / stride, depth].
  """
  relu = tf.nn.relu6 if use_bounded_activations else tf.nn.relu
  with tf.variable_scope(scope, 'bottleneck_v1', [inputs]) as sc:
    if depth == slim.utils.last_dimension(inputs.get_shape(), min_rank=4):
      shortcut = subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(
          inputs, depth, [1, 1], stride=stride, scope='shortcut',
          activation_fn=tf.nn.relu6 if use_bounded_activations else None)
    residual = slim.conv2d(inputs, depth_bottleneck, [1, 1], scope='conv1')
    residual = conv2d_same(residual, depth_bottleneck, 3, stride, rate=rate,
                           scope='conv2', groups=groups)
    residual = slim.conv2d(
        residual, depth, [1, 1], activation_fn=None, scope='conv3')
    if attention_fn is not None:
      residual = attention_fn(residual)
    if use_bounded_activations:
      residual = tf.clip_by_value(residual, -6.0, 6.0)
    output = relu(shortcut + drop_residual(residual, drop_rate))
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, output)


@slim.add_arg_scope
def bottleneck_v2(inputs, depth, depth_bottleneck, stride, rate=1,
                  outputs_collections=None, scope=None, groups=1, attention_fn=None,
                  drop_rate=0.0):
  """Builds a unit: shortcut + 1x1, 3x3, 1x1 convolutions of the preactivation.

  Arguments and return value as in `bottleneck_v1`.
  """
  with tf.variable_scope(scope, 'bottleneck_v2', [inputs]) as sc:
    preact = normalization.batch_norm(inputs, activation_fn=tf.nn.relu, scope='preact')
    if depth == slim.utils.last_dimension(inputs.get_shape(), min_rank=4):
      shortcut = subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(
          preact, depth, [1, 1], stride=stride, normalizer_fn=None,
          activation_fn=None, scope='shortcut')
    residual = slim.conv2d(preact, depth_bottleneck, [1, 1], scope='conv1')
    residual = conv2d_same(residual, depth_bottleneck, 3, stride, rate=rate,
                           scope='conv2', groups=groups)
    residual = slim.conv2d(residual, depth, [1, 1], normalizer_fn=None,
                           activation_fn=None, scope='conv3')
    if attention_fn is not None:
      residual = attention_fn(residual)
    output = shortcut + drop_residual(residual, drop_rate)
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, output)


def block_strided_last(scope, unit_fn, base_depth, num_units, stride):
  """Returns a `Block` of v1 or v2: units of depth 4 * base_depth, the last strided."""
  unit = {'depth': base_depth * 4, 'depth_bottleneck': base_depth}
  return Block(
      scope, unit_fn,
      [dict(unit, stride=1)] * (num_units - 1) + [dict(unit, stride=stride)])


def block_strided_first(scope, base_depth, num_units, stride, groups=1, group_width=64):
  """Returns a `Block` of v1b: units of depth 4 * base_depth, the first strided.

  Args:
    scope: variable scope of the block.
    base_depth: 64, 128, 256 and 512 in an ImageNet network.
    num_units: the number of units.
    stride: stride of the first unit.
    groups: the number of groups of the 3x3 convolutions.
    group_width: channels of a group where `base_depth` is 64.
  """
  unit = {'depth': base_depth * 4,
          'depth_bottleneck': groups * (group_width * base_depth // 64),
          'groups': groups}
  return Block(
      scope, bottleneck_v1,
      [dict(unit, stride=stride)] + [dict(unit, stride=1)] * (num_units - 1))


def resnet_v1_block(scope, base_depth, num_units, stride):
  """Returns a `Block` of v1 units of depth 4 * base_depth, the last one strided."""
  return block_strided_last(scope, bottleneck_v1, base_depth, num_units, stride)


def resnet_v2_block(scope, base_depth, num_units, stride):
  """Returns a `Block` of v2 units of depth 4 * base_depth, the last one strided."""
  return block_strided_last(scope, bottleneck_v2, base_depth, num_units, stride)


def four_blocks(block_fn, layers, width=lambda base_depth: base_depth,
                strides=(2, 2, 2, 1)):
  """Returns the blocks of an ImageNet ResNet.

  Args:
    block_fn: a function of (scope, base_depth, num_units, stride), such as
      `resnet_v1_block`.
    layers: a key of `UNITS`.
    width: maps the nominal base depth of a block to the depth to build.
    strides: the stride of each block.
  """
  return [
      block_fn(f'block{number}', width(base_depth), num_units, stride)
      for number, (base_depth, num_units, stride) in enumerate(
          zip((64, 128, 256, 512), UNITS[layers], strides, strict=True), 1)]


class _Strides:
  """Computes the stride and dilation of each unit for an optional output stride.

  Units are strided until `target` is reached. Later units have stride 1 and are dilated
  by the product of the strides that they lose.
  """

  def __init__(self, target):
    self._target, self._current, self.rate = target, 1, 1

  def next(self, stride):
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
                       outputs_collections=None, stochastic_depth=0.0):
  """Builds `blocks` one after the other.

  Args:
    net: float [batch, height, width, channels].
    blocks: a list of `Block`.
    output_stride: ratio of input to output resolution, counted from `net`; None uses
      the strides of the blocks.
    store_non_strided_activations: whether the last unit of a block is built with stride
      1 and its output subsampled afterwards, so that the end point of the block keeps
      the higher resolution.
    outputs_collections: collection that receives the output of each block.
    stochastic_depth: the drop rate of the last unit; that of the others rises to it,
      see `layers.drop_rates`. For training only, as `get_network_fn` sets it.

  Returns:
    float [batch, height / stride, width / stride, depth of the last unit].

  Raises:
    ValueError: `output_stride` cannot be reached by the blocks.
  """
  strides = _Strides(output_stride)
  rates = iter(drop_rates(stochastic_depth, sum(len(block.args) for block in blocks)))
  for block in blocks:
    with tf.variable_scope(block.scope, 'block', [net]) as sc:
      postponed_stride = 1
      for number, unit in enumerate(block.args, 1):
        unit_stride = unit.get('stride', 1)
        if store_non_strided_activations and number == len(block.args):
          postponed_stride, unit_stride = unit_stride, 1
        stride, rate = strides.next(unit_stride)
        with tf.variable_scope(f'unit_{number}', values=[net]):
          drop_rate = next(rates)
          dropped = {'drop_rate': drop_rate} if drop_rate else {}
          net = block.unit_fn(net, rate=rate, **dict(unit, stride=stride), **dropped)
      net = slim.utils.collect_named_outputs(outputs_collections, sc.name, net)
      net = subsample(net, strides.next(postponed_stride)[0])
  strides.check_reached()
  return net


def _blocks_up_to(blocks, final_endpoint):
  """Returns the blocks up to `final_endpoint`, a block or unit."""
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


def _blocks_output_stride(output_stride, include_root_block):
  """Returns the output stride of the blocks; the root block has stride 4."""
  if output_stride is None or not include_root_block:
    return output_stride
  if output_stride % 4 != 0:
    raise ValueError(
        f'output_stride {output_stride} is not a multiple of 4, the stride of'
        ' the root block')
  return output_stride // 4


def _build(unit_fn, inputs, blocks, num_classes, is_training, global_pool,
           output_stride, include_root_block, spatial_squeeze,
           store_non_strided_activations, scope, reuse, symmetric_pool=False,
           final_endpoint=None, store_postnorm=False):
  """Builds a ResNet of either version; arguments as in `resnet_v1` and `resnet_v2`."""
  is_v2 = unit_fn is bottleneck_v2
  pool = max_pool2d_symmetric if symmetric_pool else slim.max_pool2d
  blocks_stride = _blocks_output_stride(output_stride, include_root_block)
  with tf.variable_scope(
      scope, 'resnet_v2' if is_v2 else 'resnet_v1', [inputs], reuse=reuse) as sc:
    outputs = sc.original_name_scope + '_end_points'
    with slim.arg_scope([slim.conv2d, grouped_conv2d, unit_fn, stack_blocks_dense],
                        outputs_collections=outputs), _batch_norm_mode(is_training):
      net = inputs
      if include_root_block:
        # The first unit of v2 has its own batch norm and ReLU before its convolutions.
        linear = {'activation_fn': None, 'normalizer_fn': None} if is_v2 else {}
        with slim.arg_scope([slim.conv2d], **linear):
          net = conv2d_same(net, 64, 7, stride=2, scope='conv1')  # 112
        if final_endpoint == 'conv1':
          return net, slim.utils.convert_collection_to_dict(outputs)
        net = pool(net, 3, stride=2, scope='pool1')  # 56
      if final_endpoint not in (None, 'postnorm' if is_v2 else None):
        net = stack_blocks_dense(
            net, _blocks_up_to(blocks, final_endpoint), blocks_stride,
            store_non_strided_activations)
        return net, slim.utils.convert_collection_to_dict(outputs)
      net = stack_blocks_dense(
          net, blocks, blocks_stride, store_non_strided_activations)  # 7
      end_points = slim.utils.convert_collection_to_dict(outputs)
      if is_v2:
        net = normalization.batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
        if store_postnorm or final_endpoint or not num_classes:
          end_points[f'{sc.name}/postnorm'] = net
        if final_endpoint:
          return net, end_points
      net = _classify(net, end_points, num_classes, global_pool, spatial_squeeze, sc)
      return net, end_points


def _batch_norm_mode(is_training):
  """Returns the scope that sets batch norm's mode; None keeps the caller's mode."""
  if is_training is None:
    return NoOpScope()
  return slim.arg_scope([slim.batch_norm], is_training=is_training)


def _classify(net, end_points, num_classes, global_pool, spatial_squeeze, sc):
  """Builds pool, logits and predictions; returns logits, or features without classes.

  `sc` is the network's variable scope; its name is the prefix of the end points.
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


def resnet_v1(inputs, blocks, num_classes=None, is_training=True, global_pool=True,
              output_stride=None, include_root_block=True, spatial_squeeze=True,
              store_non_strided_activations=False, reuse=None, scope=None,
              symmetric_pool=False, final_endpoint=None):
  """Builds a ResNet v1 from its blocks.

  Args:
    inputs: float [batch, height, width, 3]; for dense prediction, sizes of the form
      32 n + 1 align best with the features.
    blocks: a list of `Block`.
    num_classes: number of logits; 0 or None returns the features.
    is_training: batch norm's mode; None keeps the mode of the caller's arg scope.
    global_pool: whether to average over space before the logits.
    output_stride: ratio of input to output resolution, a multiple of 4; None means 32.
    include_root_block: whether to build the 7x7 convolution and the pool first.
    spatial_squeeze: whether to remove the spatial dimensions of 1 x 1 logits.
    store_non_strided_activations: see `stack_blocks_dense`.
    reuse: whether the variables exist already.
    scope: variable scope.
    symmetric_pool: whether pool1 pads all sides equally, unlike 'SAME'.
    final_endpoint: the last layer to build: 'conv1', or a block or unit by its scope
      below the network's, such as 'block2/unit_3/bottleneck_v1'; None builds all.

  Returns:
    (net, end_points): logits [batch, num_classes], or features [batch, 1, 1, depth].
    Without `global_pool` or with a `final_endpoint`, they have a height and width.
    end_points are by scope name.

  Raises:
    ValueError: `output_stride` cannot be reached, or `final_endpoint` does not exist.
  """
  return _build(
      bottleneck_v1, inputs, blocks, num_classes, is_training, global_pool,
      output_stride, include_root_block, spatial_squeeze,
      store_non_strided_activations, scope, reuse, symmetric_pool, final_endpoint)


def resnet_v2(inputs, blocks, num_classes=None, is_training=True, global_pool=True,
              output_stride=None, include_root_block=True, spatial_squeeze=True,
              reuse=None, scope=None, final_endpoint=None, store_postnorm=False):
  """Builds a ResNet v2 from its blocks.

  Arguments, return value and errors as in `resnet_v1`, with two differences. A further
  `final_endpoint`, 'postnorm', is the last feature map after batch norm and ReLU. It is
  an end point of networks without classes; with classes only if `store_postnorm`,
  because slim's network does not have it.
  """
  return _build(
      bottleneck_v2, inputs, blocks, num_classes, is_training, global_pool,
      output_stride, include_root_block, spatial_squeeze, False, scope, reuse,
      final_endpoint=final_endpoint, store_postnorm=store_postnorm)


resnet_v1.default_image_size = 224
resnet_v2.default_image_size = 224
