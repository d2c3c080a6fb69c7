"""Numbers of units and layers of the networks, defined once.

`nets/` builds networks from these counts, `catalog/feature_maps.py` names feature maps
with them, and `weight_conversion/` assigns the layers of other frameworks with them.
"""

# Units of block1 to block4 of a ResNet, by its number of layers with weights.
RESNET_UNITS = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}

# Convolutions of conv1 to conv5 of a VGG.
VGG_CONVOLUTIONS = {
    'vgg_a': (1, 1, 2, 2, 2),
    'vgg_16': (2, 2, 3, 3, 3),
    'vgg_19': (2, 2, 4, 4, 4),
}

# Normal cells of a searched network, in three runs of equal length.
NASNET_CELLS = {'nasnet_cifar': 18, 'nasnet_mobile': 12, 'nasnet_large': 18}
PNASNET_CELLS = {'pnasnet_mobile': 9, 'pnasnet_large': 12}
