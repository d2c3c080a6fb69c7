"""ResNeXt and the squeeze-and-excitation ResNets, from one table.

ResNeXt: Xie et al. 2017, arXiv 1611.05431, table 1; 32x4d is 32 groups of 4
channels in block1. SE: Hu et al. 2018, arXiv 1709.01507, table 1.

                  block1  block2  block3  block4
    bottleneck      64     128     256     512     without groups
                   128     256     512    1024     32x4d
    resolution      56      28      14       7     at the end points, at 224

Units, depths, strides and pool are those of ResNet v1b (see `resnet`), where PyTorch's
networks have them, so that their published weights give the same logits.
"""

from collections.abc import Callable
from typing import NamedTuple

from slim_zoo.nets.layers import squeeze_excitation
from slim_zoo.nets.resnet import (
    NoOpScope,
    block_strided_first,
    bottleneck_v1,
    four_blocks,
    resnet_v1,
)
from slim_zoo.nets.resnet import resnet_arg_scope as resnet_arg_scope
from slim_zoo.tf_compat import slim


class Variant(NamedTuple):
  """The differences between the networks.

  Attributes:
    layers: a key of `resnet.UNITS`.
    groups: the cardinality of the 3x3 convolutions.
    group_width: channels of a group in block1; later blocks double it.
    attention_fn: on each residual; None leaves it to the caller's arg scope.
  """

  layers: int
  groups: int
  group_width: int
  attention_fn: Callable | None


VARIANTS = {
    #                          layers  groups x width
    'se_resnet_v1_50': Variant(    50,     1,  64, squeeze_excitation),
    'se_resnet_v1_101': Variant(  101,     1,  64, squeeze_excitation),
    'se_resnet_v1_152': Variant(  152,     1,  64, squeeze_excitation),
    'resnext_50': Variant(         50,    32,   4, None),
    'resnext_101': Variant(       101,    32,   4, None),
    'se_resnext_50': Variant(      50,    32,   4, squeeze_excitation),
    'se_resnext_101': Variant(    101,    32,   4, squeeze_excitation),
}


def resnext_block(scope, base_depth: int, num_units: int, stride: int, groups: int = 32,
                  group_width: int = 4):
  """Returns a `resnet.Block`, see `resnet.block_strided_first`."""
  return block_strided_first(scope, base_depth, num_units, stride, groups, group_width)


def _build(name, inputs, num_classes, is_training, global_pool, output_stride,
           spatial_squeeze, reuse, scope, final_endpoint):
  """Builds the row `name` of the table; arguments as in `resnet.resnet_v1`."""
  variant = VARIANTS[name]
  blocks = four_blocks(
      lambda *block: resnext_block(*block, variant.groups, variant.group_width),
      variant.layers, strides=(1, 2, 2, 2))
  with (slim.arg_scope([bottleneck_v1], attention_fn=variant.attention_fn)
        if variant.attention_fn else NoOpScope()):
    return resnet_v1(
        inputs, blocks, num_classes, is_training, global_pool, output_stride,
        spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope, symmetric_pool=True,
        final_endpoint=final_endpoint)


def se_resnet_v1_50(inputs, num_classes=None, is_training=True, global_pool=True,
                    output_stride=None, spatial_squeeze=True, reuse=None,
                    scope='se_resnet_v1_50', final_endpoint=None):
  """SE-ResNet-50; arguments and returns as in `resnet.resnet_v1`."""
  return _build('se_resnet_v1_50', inputs, num_classes, is_training, global_pool,
                output_stride, spatial_squeeze, reuse, scope, final_endpoint)


def se_resnet_v1_101(inputs, num_classes=None, is_training=True, global_pool=True,
                     output_stride=None, spatial_squeeze=True, reuse=None,
                     scope='se_resnet_v1_101', final_endpoint=None):
  """SE-ResNet-101; arguments and returns as in `resnet.resnet_v1`."""
  return _build('se_resnet_v1_101', inputs, num_classes, is_training, global_pool,
                output_stride, spatial_squeeze, reuse, scope, final_endpoint)


def se_resnet_v1_152(inputs, num_classes=None, is_training=True, global_pool=True,
                     output_stride=None, spatial_squeeze=True, reuse=None,
                     scope='se_resnet_v1_152', final_endpoint=None):
  """SE-ResNet-152; arguments and returns as in `resnet.resnet_v1`."""
  return _build('se_resnet_v1_152', inputs, num_classes, is_training, global_pool,
                output_stride, spatial_squeeze, reuse, scope, final_endpoint)


def resnext_50(inputs, num_classes=None, is_training=True, global_pool=True,
               output_stride=None, spatial_squeeze=True, reuse=None,
               scope='resnext_50', final_endpoint=None):
  """ResNeXt-50 (32x4d); arguments and returns as in `resnet.resnet_v1`."""
  return _build('resnext_50', inputs, num_classes, is_training, global_pool,
                output_stride, spatial_squeeze, reuse, scope, final_endpoint)


def resnext_101(inputs, num_classes=None, is_training=True, global_pool=True,
                output_stride=None, spatial_squeeze=True, reuse=None,
                scope='resnext_101', final_endpoint=None):
  """ResNeXt-101 (32x4d); arguments and returns as in `resnet.resnet_v1`."""
  return _build('resnext_101', inputs, num_classes, is_training, global_pool,
                output_stride, spatial_squeeze, reuse, scope, final_endpoint)


def se_resnext_50(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='se_resnext_50', final_endpoint=None):
  """SE-ResNeXt-50 (32x4d); arguments and returns as in `resnet.resnet_v1`."""
  return _build('se_resnext_50', inputs, num_classes, is_training, global_pool,
                output_stride, spatial_squeeze, reuse, scope, final_endpoint)


def se_resnext_101(inputs, num_classes=None, is_training=True, global_pool=True,
                   output_stride=None, spatial_squeeze=True, reuse=None,
                   scope='se_resnext_101', final_endpoint=None):
  """SE-ResNeXt-101 (32x4d); arguments and returns as in `resnet.resnet_v1`."""
  return _build('se_resnext_101', inputs, num_classes, is_training, global_pool,
                output_stride, spatial_squeeze, reuse, scope, final_endpoint)


for _network in (se_resnet_v1_50, se_resnet_v1_101, se_resnet_v1_152, resnext_50,
                 resnext_101, se_resnext_50, se_resnext_101):
  _network.default_image_size = resnet_v1.default_image_size
