"""ResNet v1 with 50 to 200 layers (He et al. 2016, arXiv 1512.03385), see `resnet`."""

from slim_zoo.nets.resnet import UNITS as UNITS
from slim_zoo.nets.resnet import NoOpScope as NoOpScope
from slim_zoo.nets.resnet import bottleneck_v1 as bottleneck
from slim_zoo.nets.resnet import four_blocks, resnet_v1, resnet_v1_block
from slim_zoo.nets.resnet import resnet_arg_scope as resnet_arg_scope

__all__ = [
  'UNITS',
  'NoOpScope',
  'bottleneck',
  'resnet_arg_scope',
  'resnet_v1',
  'resnet_v1_50',
  'resnet_v1_101',
  'resnet_v1_152',
  'resnet_v1_200',
  'resnet_v1_block',
]


def _blocks(layers, min_base_depth, depth_multiplier):
  return four_blocks(
      resnet_v1_block, layers,
      lambda base_depth: max(int(base_depth * depth_multiplier), min_base_depth))


def resnet_v1_50(inputs, num_classes=None, is_training=True, global_pool=True,
                 output_stride=None, spatial_squeeze=True,
                 store_non_strided_activations=False, min_base_depth=8,
                 depth_multiplier=1, reuse=None, scope='resnet_v1_50',
                 final_endpoint=None):
  """ResNet-50 v1; `depth_multiplier` scales its depths. See `resnet.resnet_v1`."""
  return resnet_v1(
      inputs, _blocks(50, min_base_depth, depth_multiplier), num_classes, is_training,
      global_pool, output_stride, spatial_squeeze=spatial_squeeze,
      store_non_strided_activations=store_non_strided_activations, reuse=reuse,
      scope=scope, final_endpoint=final_endpoint)


def resnet_v1_101(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True,
                  store_non_strided_activations=False, min_base_depth=8,
                  depth_multiplier=1, reuse=None, scope='resnet_v1_101',
                  final_endpoint=None):
  """ResNet-101 v1; `depth_multiplier` scales its depths. See `resnet.resnet_v1`."""
  return resnet_v1(
      inputs, _blocks(101, min_base_depth, depth_multiplier), num_classes, is_training,
      global_pool, output_stride, spatial_squeeze=spatial_squeeze,
      store_non_strided_activations=store_non_strided_activations, reuse=reuse,
      scope=scope, final_endpoint=final_endpoint)


def resnet_v1_152(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, store_non_strided_activations=False,
                  spatial_squeeze=True, min_base_depth=8, depth_multiplier=1,
                  reuse=None, scope='resnet_v1_152', final_endpoint=None):
  """ResNet-152 v1; `depth_multiplier` scales its depths. See `resnet.resnet_v1`."""
  return resnet_v1(
      inputs, _blocks(152, min_base_depth, depth_multiplier), num_classes, is_training,
      global_pool, output_stride, spatial_squeeze=spatial_squeeze,
      store_non_strided_activations=store_non_strided_activations, reuse=reuse,
      scope=scope, final_endpoint=final_endpoint)


def resnet_v1_200(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, store_non_strided_activations=False,
                  spatial_squeeze=True, min_base_depth=8, depth_multiplier=1,
                  reuse=None, scope='resnet_v1_200', final_endpoint=None):
  """ResNet-200 v1; `depth_multiplier` scales its depths. See `resnet.resnet_v1`."""
  return resnet_v1(
      inputs, _blocks(200, min_base_depth, depth_multiplier), num_classes, is_training,
      global_pool, output_stride, spatial_squeeze=spatial_squeeze,
      store_non_strided_activations=store_non_strided_activations, reuse=reuse,
      scope=scope, final_endpoint=final_endpoint)


for _network in (resnet_v1_50, resnet_v1_101, resnet_v1_152, resnet_v1_200):
  _network.default_image_size = resnet_v1.default_image_size
