"""ResNet v2 with 50 to 200 layers (He et al. 2016, arXiv 1603.05027), see `resnet`."""

from slim_zoo.nets.resnet import bottleneck_v2 as bottleneck
from slim_zoo.nets.resnet import four_blocks, resnet_v2, resnet_v2_block
from slim_zoo.nets.resnet import resnet_arg_scope as resnet_arg_scope

__all__ = ['bottleneck', 'resnet_arg_scope', 'resnet_v2', 'resnet_v2_50',
           'resnet_v2_101', 'resnet_v2_152', 'resnet_v2_200', 'resnet_v2_block']


def resnet_v2_50(inputs, num_classes=None, is_training=True, global_pool=True,
                 output_stride=None, spatial_squeeze=True, reuse=None,
                 scope='resnet_v2_50', final_endpoint=None, store_postnorm=False):
  """ResNet-50 v2; arguments and returns as in `resnet_v2`."""
  return resnet_v2(
      inputs, four_blocks(resnet_v2_block, 50), num_classes, is_training, global_pool,
      output_stride, spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope,
      final_endpoint=final_endpoint, store_postnorm=store_postnorm)


def resnet_v2_101(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='resnet_v2_101', final_endpoint=None, store_postnorm=False):
  """ResNet-101 v2; arguments and returns as in `resnet_v2`."""
  return resnet_v2(
      inputs, four_blocks(resnet_v2_block, 101), num_classes, is_training, global_pool,
      output_stride, spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope,
      final_endpoint=final_endpoint, store_postnorm=store_postnorm)


def resnet_v2_152(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='resnet_v2_152', final_endpoint=None, store_postnorm=False):
  """ResNet-152 v2; arguments and returns as in `resnet_v2`."""
  return resnet_v2(
      inputs, four_blocks(resnet_v2_block, 152), num_classes, is_training, global_pool,
      output_stride, spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope,
      final_endpoint=final_endpoint, store_postnorm=store_postnorm)


def resnet_v2_200(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='resnet_v2_200', final_endpoint=None, store_postnorm=False):
  """ResNet-200 v2; arguments and returns as in `resnet_v2`."""
  return resnet_v2(
      inputs, four_blocks(resnet_v2_block, 200), num_classes, is_training, global_pool,
      output_stride, spatial_squeeze=spatial_squeeze, reuse=reuse, scope=scope,
      final_endpoint=final_endpoint, store_postnorm=store_postnorm)


for _network in (resnet_v2_50, resnet_v2_101, resnet_v2_152, resnet_v2_200):
  _network.default_image_size = resnet_v2.default_image_size
