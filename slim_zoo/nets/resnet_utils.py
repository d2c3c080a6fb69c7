"""slim's module name for the building blocks of ResNets; see `resnet`."""

from slim_zoo.nets.layers import conv2d_same, max_pool2d_symmetric, subsample
from slim_zoo.nets.resnet import Block, NoOpScope, resnet_arg_scope, stack_blocks_dense

__all__ = ['Block', 'NoOpScope', 'conv2d_same', 'max_pool2d_symmetric',
           'resnet_arg_scope', 'stack_blocks_dense', 'subsample']
