"""Residual networks, version 1 (He et al. 2016, arXiv 1512.03385).

                    block1  block2  block3  block4
    resnet_v1_50       3       4       6       3
    resnet_v1_101      3       4      23       3
    resnet_v1_152      3       8      36       3
    resnet_v1_200      3      24      36       3
    depth            256     512    1024    2048
    resolution        56      28      14       7    at 224, after the stride

The stride of a block stands in its last unit, not in the first as in the paper:
the weights are the same, and features can be had at any output stride.
"""

from nets import resnet_utils
from nets.grouped_convolution import grouped_conv2d
from nets.resnet_utils import NoOpScope as NoOpScope
from nets.resnet_utils import resnet_arg_scope as resnet_arg_scope
from tf_compat import slim, tf

UNITS = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


@slim.add_arg_scope
def bottleneck(inputs, depth, depth_bottleneck, stride, rate=1,
               outputs_collections=None, scope=None, use_bounded_activations=False,
               groups=1, attention_fn=None):
  """Builds a unit: relu(shortcut + 1x1, 3x3, 1x1 convolutions).

  Args:
    inputs: float [batch, height, width, channels].
    depth: depth of the output.
    depth_bottleneck: depth of the two inner convolutions.
    stride: stride of the 3x3 convolution and of the shortcut.
    rate: dilation of the 3x3 convolution.
    outputs_collections: collection that receives the output.
    scope: variable scope.
    use_bounded_activations: whether activations stay within [-6, 6], which
      suits quantized inference.
    groups: the number of groups of channels of the 3x3 convolution.
    attention_fn: what the residual goes through before the addition, such as
      `squeeze_excitation`, from features to features of the same shape.

  Returns:
    float [batch, height / stride, width / stride, depth].
  """
  relu = tf.nn.relu6 if use_bounded_activations else tf.nn.relu
  with tf.variable_scope(scope, 'bottleneck_v1', [inputs]) as sc:
    if depth == slim.utils.last_dimension(inputs.get_shape(), min_rank=4):
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(
          inputs, depth, [1, 1], stride=stride, scope='shortcut',
          activation_fn=tf.nn.relu6 if use_bounded_activations else None)
    residual = slim.conv2d(inputs, depth_bottleneck, [1, 1], scope='conv1')
    residual = resnet_utils.conv2d_same(
        residual, depth_bottleneck, 3, stride, rate=rate, scope='conv2',
        groups=groups)
    residual = slim.conv2d(
        residual, depth, [1, 1], activation_fn=None, scope='conv3')
    if attention_fn is not None:
      residual = attention_fn(residual)
    if use_bounded_activations:
      residual = tf.clip_by_value(residual, -6.0, 6.0)
    output = relu(shortcut + residual)
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, output)


def resnet_v1(inputs, blocks, num_classes=None, is_training=True, global_pool=True,
              output_stride=None, include_root_block=True, spatial_squeeze=True,
              store_non_strided_activations=False, reuse=None, scope=None,
              symmetric_pool=False, final_endpoint=None):
  """Builds a ResNet v1 from its blocks.

  Args:
    inputs: float [batch, height, width, 3]; for dense prediction sizes of the
      form 32 n + 1 align best with the features.
    blocks: a list of `resnet_utils.Block`.
    num_classes: number of logits; 0 or None returns the features.
    is_training: batch norm's mode; None leaves it to the caller's arg scope.
    global_pool: whether to average over space before the logits.
    output_stride: ratio of input to output resolution to keep, a multiple of 4;
      None means 32.
    include_root_block: whether to begin with the 7x7 convolution and pool.
    spatial_squeeze: whether 1 x 1 logits lose their spatial dimensions.
    store_non_strided_activations: see `resnet_utils.stack_blocks_dense`.
    reuse: whether the variables exist already.
    scope: variable scope.
    symmetric_pool: whether pool1 pads all sides alike and not as 'SAME' does.
    final_endpoint: 'conv1', or the block or unit to stop after, as its scope below
      the network's, such as 'block2/unit_3/bottleneck_v1'; None builds everything.

  Returns:
    (net, end_points): logits [batch, num_classes] (or a map of them), or features
    [batch, 1, 1, depth] (a map without global_pool, or with a `final_endpoint`);
    end_points by scope name.

  Raises:
    ValueError: `output_stride` cannot be reached, or there is no such
      `final_endpoint`.
  """
  with tf.variable_scope(scope, 'resnet_v1', [inputs], reuse=reuse) as sc:
    outputs = sc.original_name_scope + '_end_points'
    with slim.arg_scope(
        [slim.conv2d, grouped_conv2d, bottleneck, resnet_utils.stack_blocks_dense],
        outputs_collections=outputs):
      with resnet_utils.batch_norm_mode(is_training):
        net = inputs
        if include_root_block:
          output_stride = resnet_utils.stride_after_root(output_stride)
          net = resnet_utils.conv2d_same(net, 64, 7, stride=2, scope='conv1')  # 112
          if final_endpoint == 'conv1':
            return net, slim.utils.convert_collection_to_dict(outputs)
          pool = (resnet_utils.max_pool2d_symmetric if symmetric_pool
                  else slim.max_pool2d)
          net = pool(net, 3, stride=2, scope='pool1')  # 56
        if final_endpoint is not None:
          blocks = resnet_utils.blocks_up_to(blocks, final_endpoint)
        net = resnet_utils.stack_blocks_dense(
            net, blocks, output_stride, store_non_strided_activations)  # 7
        end_points = slim.utils.convert_collection_to_dict(outputs)
        if final_endpoint is not None:
          return net, end_points
        net = resnet_utils.classify(
            net, end_points, num_classes, global_pool, spatial_squeeze, sc)
        return net, end_points


resnet_v1.default_image_size = 224


def resnet_v1_block(scope, base_depth, num_units, stride):
  """Returns a `Block` of v1 units of depth 4 * base_depth, the last one strided."""
  return resnet_utils.bottleneck_block(
      scope, bottleneck, base_depth, num_units, stride)


def _resnet_v1_of(layers, inputs, min_base_depth, depth_multiplier, **arguments):
  blocks = resnet_utils.four_blocks(
      resnet_v1_block, UNITS[layers],
      lambda base_depth: max(int(base_depth * depth_multiplier), min_base_depth))
  return resnet_v1(inputs, blocks, include_root_block=True, **arguments)


def resnet_v1_50(inputs, num_classes=None, is_training=True, global_pool=True,
                 output_stride=None, spatial_squeeze=True,
                 store_non_strided_activations=False, min_base_depth=8,
                 depth_multiplier=1, reuse=None, scope='resnet_v1_50',
                 final_endpoint=None):
  """ResNet-50 v1, narrower by `depth_multiplier`; else as `resnet_v1`."""
  return _resnet_v1_of(50, **locals())


def resnet_v1_101(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True,
                  store_non_strided_activations=False, min_base_depth=8,
                  depth_multiplier=1, reuse=None, scope='resnet_v1_101',
                  final_endpoint=None):
  """ResNet-101 v1, narrower by `depth_multiplier`; else as `resnet_v1`."""
  return _resnet_v1_of(101, **locals())


def resnet_v1_152(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, store_non_strided_activations=False,
                  spatial_squeeze=True, min_base_depth=8, depth_multiplier=1,
                  reuse=None, scope='resnet_v1_152',
                  final_endpoint=None):
  """ResNet-152 v1, narrower by `depth_multiplier`; else as `resnet_v1`."""
  return _resnet_v1_of(152, **locals())


def resnet_v1_200(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, store_non_strided_activations=False,
                  spatial_squeeze=True, min_base_depth=8, depth_multiplier=1,
                  reuse=None, scope='resnet_v1_200',
                  final_endpoint=None):
  """ResNet-200 v1, narrower by `depth_multiplier`; else as `resnet_v1`."""
  return _resnet_v1_of(200, **locals())


for _network in (resnet_v1_50, resnet_v1_101, resnet_v1_152, resnet_v1_200):
  _network.default_image_size = resnet_v1.default_image_size
