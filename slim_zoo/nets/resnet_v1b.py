"""ResNet v1b with 50 to 152 layers, for weights of PyTorch's ResNets; see `resnet`.

He et al. 2016, arXiv 1512.03385, with the stride of a block in the 3x3 convolution of
its first unit. These are resnet50, resnet101 and resnet152 of torchvision and timm;
`slim-zoo convert-weights` converts their weights exactly.
"""

from slim_zoo.nets.resnet import block_strided_first, four_blocks, resnet_v1
from slim_zoo.nets.resnet import resnet_arg_scope as resnet_arg_scope

__all__ = ['resnet_arg_scope', 'resnet_v1b_50', 'resnet_v1b_101', 'resnet_v1b_152']


def resnet_v1b_50(inputs, num_classes=None, is_training=True, global_pool=True,
                  output_stride=None, spatial_squeeze=True, reuse=None,
                  scope='resnet_v1b_50', final_endpoint=None):
  """ResNet-50 v1b; arguments and returns as in `resnet.resnet_v1`."""
  return resnet_v1(
      inputs, four_blocks(block_strided_first, 50, strides=(1, 2, 2, 2)), num_classes,
      is_training, global_pool, output_stride, spatial_squeeze=spatial_squeeze,
      reuse=reuse, scope=scope, symmetric_pool=True, final_endpoint=final_endpoint)


def resnet_v1b_101(inputs, num_classes=None, is_training=True, global_pool=True,
                   output_stride=None, spatial_squeeze=True, reuse=None,
                   scope='resnet_v1b_101', final_endpoint=None):
  """ResNet-101 v1b; arguments and returns as in `resnet.resnet_v1`."""
  return resnet_v1(
      inputs, four_blocks(block_strided_first, 101, strides=(1, 2, 2, 2)), num_classes,
      is_training, global_pool, output_stride, spatial_squeeze=spatial_squeeze,
      reuse=reuse, scope=scope, symmetric_pool=True, final_endpoint=final_endpoint)


def resnet_v1b_152(inputs, num_classes=None, is_training=True, global_pool=True,
                   output_stride=None, spatial_squeeze=True, reuse=None,
                   scope='resnet_v1b_152', final_endpoint=None):
  """ResNet-152 v1b; arguments and returns as in `resnet.resnet_v1`."""
  return resnet_v1(
      inputs, four_blocks(block_strided_first, 152, strides=(1, 2, 2, 2)), num_classes,
      is_training, global_pool, output_stride, spatial_squeeze=spatial_squeeze,
      reuse=reuse, scope=scope, symmetric_pool=True, final_endpoint=final_endpoint)


for _network in (resnet_v1b_50, resnet_v1b_101, resnet_v1b_152):
  _network.default_image_size = resnet_v1.default_image_size
