"""The table of feature maps: end points that other networks can be built on.

A feature map is the deepest output of a complete layer, unit or cell at its resolution.
Layers inside the unit that halves the resolution do not count. The last feature map is
the last layer before the head.
"""

import dataclasses
import fnmatch
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.catalog import architectures, networks


@dataclasses.dataclass(frozen=True)
class FeatureMaps:
  """The feature maps of networks whose names match a pattern.

  Attributes:
    pattern: glob pattern of the networks' names.
    by_stride: (stride, end point name) pairs, the shallowest first. '{name}' in an end
      point is replaced by the network's name.
    lost: the largest difference between ceil(size / stride) and the size of the feature
      map, caused by convolutions and pools without padding.
  """

  pattern: str
  by_stride: tuple[tuple[int, str], ...]
  lost: int = 0


def _row(pattern, end_points, first_stride=2, lost=0):
  """Returns a row for space-separated end points; the stride doubles with each."""
  names = end_points.split()
  strides = [first_stride * 2 ** number for number in range(len(names))]
  return FeatureMaps(pattern, tuple(zip(strides, names, strict=True)), lost)


def _vgg(name):
  """Returns VGG's row: the last convolution before each pool, then the last pool."""
  counts = architectures.VGG_CONVOLUTIONS[name]
  convolutions = [f'{{name}}/conv{block}/conv{block}_{count}'
                  for block, count in enumerate(counts[1:], 2)]
  return _row(name, ' '.join([*convolutions, '{name}/pool5']), lost=1)


def _resnet(name, unit):
  """Returns a ResNet's row: the last unit before each strided one, then the last map.

  A block's last unit is the strided one, so the end point of a block has the next
  resolution. The last feature map of v2 is after the batch norm and ReLU behind block4.
  """
  last = '{name}/postnorm' if unit == 'bottleneck_v2' else '{name}/block4'
  counts = architectures.RESNET_UNITS[int(name.rpartition('_')[2])]
  units = [f'{{name}}/block{block}/unit_{count - 1}/{unit}'
           for block, count in enumerate(counts[:-1], 1)]
  return _row(name, ' '.join(['{name}/conv1', *units, last]))


def _searched(name, cells):
  """Returns the row of a network of searched cells: the last cell of each run."""
  last = [f'Cell_{run * cells // 3 - 1}' for run in (1, 2, 3)]
  if name == 'nasnet_cifar':  # Its first run is at stride 1.
    return _row(name, ' '.join(last[1:]))
  return _row(name, ' '.join(last), first_stride=8)


# The first row whose pattern matches a name is used.
FEATURE_MAPS = (
    _row('lenet', 'conv2 pool2'),
    _row('cifarnet', 'conv2 pool2'),
    _row('alexnet_v2', '{name}/conv1 {name}/conv2 {name}/conv5 {name}/pool5',
         first_stride=4, lost=2),
    _row('overfeat', '{name}/conv1 {name}/conv2 {name}/conv5 {name}/pool5',
         first_stride=4, lost=5),
    *(_vgg(name) for name in architectures.VGG_CONVOLUTIONS),
    *(_resnet(f'{family}_{layers}', unit)
      for family, unit in (('resnet_v1', 'bottleneck_v1'),
                           ('resnet_v2', 'bottleneck_v2'))
      for layers in architectures.RESNET_UNITS),
    # Here a block's first unit is the strided one, so each block is a feature map.
    *(_row(pattern, '{name}/conv1 {name}/block1 {name}/block2 {name}/block3'
           ' {name}/block4')
      for pattern in ('resnet_v1b_*', 'resnext_*', 'se_resnet_*', 'se_resnext_*')),
    _row('inception_v1', 'Conv2d_1a_7x7 Conv2d_2c_3x3 Mixed_3c Mixed_4f Mixed_5c'),
    _row('inception_v2', 'Conv2d_1a_7x7 Conv2d_2c_3x3 Mixed_3c Mixed_4e Mixed_5c'),
    _row('inception_v3', 'Conv2d_2b_3x3 Conv2d_4a_3x3 Mixed_5d Mixed_6e Mixed_7c',
         lost=4),
    _row('*inception_v4', 'Conv2d_2b_3x3 Mixed_4a Mixed_5e Mixed_6h Mixed_7d', lost=4),
    # The units of a resolution are an end point only if the head or the next reduction
    # reads them.
    _row('*inception_resnet_v2',
         'Conv2d_2b_3x3 Conv2d_4a_3x3 Mixed_5b PreAuxLogits Conv2d_7b_1x1', lost=4),
    # The stems of the ImageNet cells have no end points at strides 2 and 4.
    *(_searched(name, cells) for name, cells in (
        *architectures.NASNET_CELLS.items(), *architectures.PNASNET_CELLS.items())),
    _row('mobilenet_v1*', 'Conv2d_1_pointwise Conv2d_3_pointwise Conv2d_5_pointwise'
         ' Conv2d_11_pointwise Conv2d_13_pointwise'),
    _row('mobilenet_v2*', 'layer_2 layer_4 layer_7 layer_14 layer_19'),
    _row('mobilenet_v3_large*', 'layer_2 layer_4 layer_7 layer_13 layer_17'),
    _row('mobilenet_v3_small*', 'layer_1 layer_2 layer_4 layer_9 layer_13'),
    _row('mobilenet_edgetpu*', 'layer_2 layer_6 layer_10 layer_18 layer_24'),
)


def find_row(name: str) -> FeatureMaps | None:
  """Returns the row of FEATURE_MAPS for a network's name; None if there is none."""
  return next(
      (row for row in FEATURE_MAPS if fnmatch.fnmatchcase(name, row.pattern)), None)


def feature_map_names(name: str) -> dict[int, str]:
  """Returns the feature maps of a network: {stride: end point name}.

  The names are those under the network's default scope, as built by
  `nets_factory.get_network_fn`. ResNet v2's last one, 'postnorm', is an end point of a
  network with classes only with store_postnorm=True; `nets_factory.get_feature_maps_fn`
  builds all feature maps.

  Args:
    name: a name of `catalog.networks.NETWORKS`.

  Returns:
    Names by stride, the shallowest first; strides without an end point are missing. The
    features are float32 [batch, height, width, depth] with ceil(size / stride) pixels
    per side, or up to `FeatureMaps.lost` fewer.

  Raises:
    UserError: the network does not exist, or has no feature maps.
  """
  if networks.get_network(name).frames is not None:
    raise diagnostics.UserError(
        f"network '{name}' is a video network: feature maps are for image networks")
  row = find_row(name)
  if row is None:
    raise diagnostics.UserError(
        f"network '{name}' has no feature maps: add its row to catalog/feature_maps.py")
  return {stride: end_point.replace('{name}', name)
          for stride, end_point in row.by_stride}


def smallest_size(name: str, strides: Sequence[int]) -> int:
  """Returns the smallest height and width for the feature maps at some strides.

  Networks whose convolutions have no padding need larger images.

  Args:
    name: a name of `catalog.networks.NETWORKS`.
    strides: of its feature maps.
  """
  row = find_row(name)
  # The pools of VGG lose one pixel, and take maps of any size.
  whole = networks.get_network(name).sizes.smallest if row and row.lost > 1 else 1
  return max(whole, *strides)
