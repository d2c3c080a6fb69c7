"""ResNeXt and the squeeze-and-excitation ResNets, from one table.

ResNeXt: Xie et al. 2017, arXiv 1611.05431, table 1; 32x4d is 32 groups of 4
channels in block1. SE: Hu et al. 2018, arXiv 1709.01507, table 1.

                  block1  block2  block3  block4
    50               3       4       6       3     units
    101              3       4      23       3
    152              3       8      36       3
    depth          256     512    1024    2048
    bottleneck      64     128     256     512     without groups
                   128     256     512    1024     32x4d
    resolution      56      28      14       7     at 224

The unit is that of `resnet_v1`. Two things are where PyTorch's networks have them,
so that their published weights fit and give the same logits, and not where
slim's ResNets do:

  * the stride of a block stands in the 3x3 convolution of its first unit;
  * pool1 pads all sides alike, where 'SAME' pads even sizes on one side only.
"""

from collections.abc import Callable
from typing import NamedTuple

from nets import resnet_utils, resnet_v1
from nets.resnet_utils import resnet_arg_scope as resnet_arg_scope
from nets.squeeze_excitation import squeeze_excitation
from tf_compat import slim


class Variant(NamedTuple):
  """What tells the networks apart.

  Attributes:
    layers: a key of `resnet_v1.UNITS`.
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
                  group_width: int = 4) -> resnet_utils.Block:
  """Returns a `Block` of units of depth 4 * base_depth, the first one strided.

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
  return resnet_utils.Block(
      scope, resnet_v1.bottleneck,
      [dict(unit, stride=stride)] + [dict(unit, stride=1)] * (num_units - 1))


def _build(name, inputs, **arguments):
  variant = VARIANTS[name]
  blocks = resnet_utils.four_blocks(
      lambda *block: resnext_block(*block, variant.groups, variant.group_width),
      resnet_v1.UNITS[variant.layers], strides=(1, 2, 2, 2))
  with (slim.arg_scope([resnet_v1.bottleneck], attention_fn=variant.attention_fn)
        if variant.attention_fn else resnet_utils.NoOpScope()):
    return resnet_v1.resnet_v1(inputs, blocks, symmetric_pool=True, **arguments)


def se_resnet_v1_50(inputs, num_classes=None, is_training=True, global_pool=True,
                    output_stride=None, spatial_squeeze=True, reuse=None,
                    scope='se_resnet_v1_50', final_endpoint=None):
  """SE-ResNet-50; arguments and returns as in `resnet_v1.resnet_v1`."""
  return _build('se_resnet_v1_50', **locals())


def se_resnet_v1_101(inputs, num_classes=None, is_training=True, global_pool=True,
                     output_stride=None, spatial_squeeze=True, reuse=None,
                     scope='se_resnet_v1_101', final_endpoint=None):
  """SE-ResNet-101; arguments and returns as in `resnet_v1.resnet_v1`."""
  return _build('se_resnet_v1_101', **locals())


def se_resnet_v1_152(inputs, num_classes=None, is_training=True, global_pool=True,
                     output_stride=None, spatial_squeeze=True, reuse=None,
                     scope='se_resnet_v1_152', final_endpoint=None):
  """SE-ResNet-152; arguments and returns as in `resnet_v1.resnet_v1`."""
  return _build('se_resnet_v1_152', **locals())


def resnext_50(inputs, num_classes=None, is_training=True, global_pool=True,
               output_stride=None, spatial_squeeze=True, reuse=None,
               scope='resnext_50', final_endpoint=None):
  """ResNeXt-50 (32x4d); arguments and returns as in `resnet_v1.resnet_v1`."""
  return _build('resnext_50', **locals())


def resnext_101(inputs, num_classes=None, is_training=True, global_pool=True,
                output_stride=None, spatial_squeeze=True, reuse=None,
                scope='resnext_101', final_endpoint=None):
  """ResNeXt-101 (32x4d); arguments and returns as in `resnet_v1.resnet_v1`."""
  return _build('resnext_101', **locals())


def se_resnext_50(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='se_resnext_50', final_endpoint=None):
  """SE-ResNeXt-50 (32x4d); arguments and returns as in `resnet_v1.resnet_v1`."""
  return _build('se_resnext_50', **locals())


def se_resnext_101(inputs, num_classes=None, is_training=True, global_pool=True,
                   output_stride=None, spatial_squeeze=True, reuse=None,
                   scope='se_resnext_101', final_endpoint=None):
  """SE-ResNeXt-101 (32x4d); arguments and returns as in `resnet_v1.resnet_v1`."""
  return _build('se_resnext_101', **locals())


for _network in (se_resnet_v1_50, se_resnet_v1_101, se_resnet_v1_152, resnext_50,
                 resnext_101, se_resnext_50, se_resnext_101):
  _network.default_image_size = resnet_v1.resnet_v1.default_image_size
