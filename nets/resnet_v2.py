"""Residual networks, version 2: full preactivation (He et al. 2016, arXiv 1603.05027).

Batch norm and ReLU come before the convolutions of a unit and not after them, so
the shortcut path is an identity from end to end; one more batch norm follows the
last block. Depths and resolutions are those of `resnet_v1`.
"""

from nets import normalization, resnet_utils
from nets.grouped_convolution import grouped_conv2d
from nets.resnet_utils import resnet_arg_scope as resnet_arg_scope
from nets.resnet_v1 import UNITS
from tf_compat import slim, tf


@slim.add_arg_scope
def bottleneck(inputs, depth, depth_bottleneck, stride, rate=1,
               outputs_collections=None, scope=None, groups=1, attention_fn=None):
  """Builds a unit: shortcut + 1x1, 3x3, 1x1 convolutions of the preactivation.

  Args:
    inputs: float [batch, height, width, channels].
    depth: depth of the output.
    depth_bottleneck: depth of the two inner convolutions.
    stride: stride of the 3x3 convolution and of the shortcut.
    rate: dilation of the 3x3 convolution.
    outputs_collections: collection that receives the output.
    scope: variable scope.
    groups: the number of groups of channels of the 3x3 convolution.
    attention_fn: what the residual goes through before the addition, such as
      `squeeze_excitation`, from features to features of the same shape.

  Returns:
    float [batch, height / stride, width / stride, depth].
  """
  with tf.variable_scope(scope, 'bottleneck_v2', [inputs]) as sc:
    preact = normalization.batch_norm(inputs, activation_fn=tf.nn.relu, scope='preact')
    if depth == slim.utils.last_dimension(inputs.get_shape(), min_rank=4):
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(
          preact, depth, [1, 1], stride=stride, normalizer_fn=None,
          activation_fn=None, scope='shortcut')
    residual = slim.conv2d(preact, depth_bottleneck, [1, 1], scope='conv1')
    residual = resnet_utils.conv2d_same(
        residual, depth_bottleneck, 3, stride, rate=rate, scope='conv2',
        groups=groups)
    residual = slim.conv2d(residual, depth, [1, 1], normalizer_fn=None,
                           activation_fn=None, scope='conv3')
    if attention_fn is not None:
      residual = attention_fn(residual)
    output = shortcut + residual
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, output)


def resnet_v2(inputs, blocks, num_classes=None, is_training=True, global_pool=True,
              output_stride=None, include_root_block=True, spatial_squeeze=True,
              reuse=None, scope=None, final_endpoint=None, store_postnorm=False):
  """Builds a ResNet v2 from its blocks.

  Arguments, returns and errors are those of `resnet_v1.resnet_v1`, with two
  differences. 'postnorm' is one more `final_endpoint`: the last feature map, after
  the batch norm and the ReLU that follow block4. It is an end point of networks
  without classes, and by `store_postnorm` of those with classes, where the established
  network has no such end point.
  """
  with tf.variable_scope(scope, 'resnet_v2', [inputs], reuse=reuse) as sc:
    outputs = sc.original_name_scope + '_end_points'
    with slim.arg_scope(
        [slim.conv2d, grouped_conv2d, bottleneck, resnet_utils.stack_blocks_dense],
        outputs_collections=outputs):
      with resnet_utils.batch_norm_mode(is_training):
        net = inputs
        if include_root_block:
          output_stride = resnet_utils.stride_after_root(output_stride)
          # The first unit begins with its own batch norm and ReLU.
          with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
            net = resnet_utils.conv2d_same(net, 64, 7, stride=2, scope='conv1')  # 112
          if final_endpoint == 'conv1':
            return net, slim.utils.convert_collection_to_dict(outputs)
          net = slim.max_pool2d(net, [3, 3], stride=2, scope='pool1')  # 56
        if final_endpoint not in (None, 'postnorm'):
          blocks = resnet_utils.blocks_up_to(blocks, final_endpoint)
        net = resnet_utils.stack_blocks_dense(net, blocks, output_stride)  # 7
        end_points = slim.utils.convert_collection_to_dict(outputs)
        if final_endpoint not in (None, 'postnorm'):
          return net, end_points
        net = normalization.batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
        if final_endpoint or store_postnorm or not num_classes:
          end_points[f'{sc.name}/postnorm'] = net
        if final_endpoint:
          return net, end_points
        net = resnet_utils.classify(
            net, end_points, num_classes, global_pool, spatial_squeeze, sc)
        return net, end_points


resnet_v2.default_image_size = 224


def resnet_v2_block(scope, base_depth, num_units, stride):
  """Returns a `Block` of v2 units of depth 4 * base_depth, the last one strided."""
  return resnet_utils.bottleneck_block(
      scope, bottleneck, base_depth, num_units, stride)


def _resnet_v2_of(layers, inputs, **arguments):
  blocks = resnet_utils.four_blocks(resnet_v2_block, UNITS[layers])
  return resnet_v2(inputs, blocks, include_root_block=True, **arguments)


def resnet_v2_50(inputs, num_classes=None, is_training=True, global_pool=True,
                 output_stride=None, spatial_squeeze=True, reuse=None,
                 scope='resnet_v2_50', final_endpoint=None, store_postnorm=False):
  """ResNet-50 v2; arguments and returns as in `resnet_v2`."""
  return _resnet_v2_of(50, **locals())


def resnet_v2_101(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='resnet_v2_101', final_endpoint=None, store_postnorm=False):
  """ResNet-101 v2; arguments and returns as in `resnet_v2`."""
  return _resnet_v2_of(101, **locals())


def resnet_v2_152(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='resnet_v2_152', final_endpoint=None, store_postnorm=False):
  """ResNet-152 v2; arguments and returns as in `resnet_v2`."""
  return _resnet_v2_of(152, **locals())


def resnet_v2_200(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='resnet_v2_200', final_endpoint=None, store_postnorm=False):
  """ResNet-200 v2; arguments and returns as in `resnet_v2`."""
  return _resnet_v2_of(200, **locals())


for _network in (resnet_v2_50, resnet_v2_101, resnet_v2_152, resnet_v2_200):
  _network.default_image_size = resnet_v2.default_image_size
