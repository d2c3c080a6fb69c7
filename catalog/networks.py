"""The table of networks: one row each, read by nets, preprocessing and scripts."""

import dataclasses
from collections.abc import Sequence

import diagnostics


@dataclasses.dataclass(frozen=True)
class Network:
  """What the project knows of a network besides its graph.

  Attributes:
    name: what users type for --model_name.
    builder: 'module:function' below nets/, such as 'vgg:vgg_16'. The function
      takes (images, num_classes, is_training, **kwargs), returns
      (logits, end_points) and has the attribute `default_image_size`.
    arg_scope: the name, in the builder's module, of the function that takes
      weight_decay and returns the arg scope to build under.
    preprocessing: the default preprocessing family.
    head_scopes: variable scopes that depend on the number of classes.
    num_classes: the class count of the published checkpoint; 1001 counts an
      ImageNet background class 0, 1000 does not (then labels_offset is 1).
    paper: first author, year and arXiv id or venue.
    channels: image channels the published weights expect.
    frames: the frames of a clip the network takes; None: single images.
  """

  name: str
  builder: str
  arg_scope: str
  preprocessing: str
  head_scopes: tuple[str, ...]
  num_classes: int
  paper: str
  channels: int = 3
  frames: int | None = None


_ALEXNET = 'Krizhevsky 2014, arXiv 1404.5997'
_CIFARNET = 'Krizhevsky 2009, Learning multiple layers of features (technical report)'
_LENET = 'LeCun 1998, Proceedings of the IEEE 86(11)'
_OVERFEAT = 'Sermanet 2014, arXiv 1312.6229'
_VGG = 'Simonyan 2015, arXiv 1409.1556'
_RESNET_V1 = 'He 2016, arXiv 1512.03385'
_RESNET_V2 = 'He 2016, arXiv 1603.05027'
_INCEPTION_V1 = 'Szegedy 2015, arXiv 1409.4842'
_INCEPTION_V2 = 'Ioffe 2015, arXiv 1502.03167'
_INCEPTION_V3 = 'Szegedy 2016, arXiv 1512.00567'
_INCEPTION_V4 = 'Szegedy 2017, arXiv 1602.07261'
_SE = 'Hu 2018, arXiv 1709.01507'
_RESNEXT = 'Xie 2017, arXiv 1611.05431'
_I3D = 'Carreira 2017, arXiv 1705.07750'
_S3DG = 'Xie 2018, arXiv 1712.04851'
_NASNET = 'Zoph 2018, arXiv 1707.07012'
_PNASNET = 'Liu 2018, arXiv 1712.00559'

_MOBILENET_V1 = 'Howard 2017, arXiv 1704.04861'
_MOBILENET_V2 = 'Sandler 2018, arXiv 1801.04381'
_MOBILENET_V3 = 'Howard 2019, arXiv 1905.02244'
_MOBILENET_EDGETPU = 'Howard 2019, Google AI blog'


def _table(*rows: Network) -> dict[str, Network]:
  return {row.name: row for row in rows}


NETWORKS = _table(
    Network('alexnet_v2', 'alexnet:alexnet_v2', 'alexnet_v2_arg_scope',
            'vgg', ('alexnet_v2/fc8',), 1000, _ALEXNET),
    Network('cifarnet', 'cifarnet:cifarnet', 'cifarnet_arg_scope',
            'cifarnet', ('CifarNet/logits',), 10, _CIFARNET),
    Network('lenet', 'lenet:lenet', 'lenet_arg_scope',
            'lenet', ('LeNet/fc4',), 10, _LENET, channels=1),
    Network('overfeat', 'overfeat:overfeat', 'overfeat_arg_scope',
            'vgg', ('overfeat/fc8',), 1000, _OVERFEAT),
    *(Network(name, f'vgg:{name}', 'vgg_arg_scope',
              'vgg', (f'{name}/fc8',), 1000, _VGG)
      for name in ('vgg_a', 'vgg_16', 'vgg_19')),
    *(Network(name, f'resnet_v1:{name}', 'resnet_arg_scope',
              'vgg', (f'{name}/logits',), 1000, _RESNET_V1)
      for name in (f'resnet_v1_{depth}' for depth in (50, 101, 152, 200))),
    *(Network(name, f'resnet_v1b:{name}', 'resnet_arg_scope',
              'vgg', (f'{name}/logits',), 1000, _RESNET_V1)
      for name in (f'resnet_v1b_{depth}' for depth in (50, 101, 152))),
    *(Network(name, f'resnet_v2:{name}', 'resnet_arg_scope',
              'vgg', (f'{name}/logits',), 1001, _RESNET_V2)
      for name in (f'resnet_v2_{depth}' for depth in (50, 101, 152, 200))),
    *(Network(name, f'{name}:{name}', f'{name}_arg_scope', 'inception',
              tuple(f'{scope}/{head}' for head in heads), 1001, paper)
      for name, scope, heads, paper in (
          ('inception_v1', 'InceptionV1', ('Logits',), _INCEPTION_V1),
          ('inception_v2', 'InceptionV2', ('Logits',), _INCEPTION_V2),
          ('inception_v3', 'InceptionV3', ('Logits', 'AuxLogits'), _INCEPTION_V3),
          ('inception_v4', 'InceptionV4', ('Logits', 'AuxLogits'), _INCEPTION_V4),
          ('inception_resnet_v2', 'InceptionResnetV2', ('Logits', 'AuxLogits'),
           _INCEPTION_V4))),
    *(Network(name, f'{name}:{name}', f'{name}_arg_scope',
              'inception', ('InceptionV1/Logits',), 400, paper, frames=64)
      for name, paper in (('i3d', _I3D), ('s3dg', _S3DG))),
    *(Network(name, f'resnext:{name}', 'resnet_arg_scope',
              'vgg', (f'{name}/logits',), 1000, paper)
      for name, paper in (
          ('se_resnet_v1_50', _SE), ('se_resnet_v1_101', _SE),
          ('se_resnet_v1_152', _SE), ('resnext_50', _RESNEXT),
          ('resnext_101', _RESNEXT), ('se_resnext_50', _SE),
          ('se_resnext_101', _SE))),
    *(Network(f'se_{name}', f'se_inception:se_{name}', f'{name}_arg_scope', 'inception',
              (f'{scope}/Logits', f'{scope}/AuxLogits'), 1001, _SE)
      for name, scope in (('inception_v4', 'SeInceptionV4'),
                          ('inception_resnet_v2', 'SeInceptionResnetV2'))),
    *(Network(name, f'nasnet.{family}:build_{name}', f'{name}_arg_scope', 'inception',
              ('final_layer', f'aux_{cell}/aux_logits/FC'), num_classes, paper)
      for name, family, cell, num_classes, paper in (
          ('nasnet_cifar', 'nasnet', 11, 10, _NASNET),
          ('nasnet_mobile', 'nasnet', 7, 1001, _NASNET),
          ('nasnet_large', 'nasnet', 11, 1001, _NASNET),
          ('pnasnet_mobile', 'pnasnet', 5, 1001, _PNASNET),
          ('pnasnet_large', 'pnasnet', 7, 1001, _PNASNET))),
    *(Network(name, f'mobilenet_v1:{name}', 'mobilenet_v1_arg_scope',
              'inception', ('MobilenetV1/Logits',), 1001, _MOBILENET_V1)
      for name in ('mobilenet_v1', 'mobilenet_v1_075', 'mobilenet_v1_050',
                   'mobilenet_v1_025')),
    *(Network(name, f'mobilenet.{builder}', 'training_scope',
              'inception', (f'{scope}/Logits',), 1001, paper)
      for name, builder, scope, paper in (
          ('mobilenet_v2', 'mobilenet_v2:mobilenet', 'MobilenetV2', _MOBILENET_V2),
          ('mobilenet_v2_140', 'mobilenet_v2:mobilenet_v2_140', 'MobilenetV2',
           _MOBILENET_V2),
          ('mobilenet_v2_035', 'mobilenet_v2:mobilenet_v2_035', 'MobilenetV2',
           _MOBILENET_V2),
          ('mobilenet_v3_small', 'mobilenet_v3:small', 'MobilenetV3', _MOBILENET_V3),
          ('mobilenet_v3_large', 'mobilenet_v3:large', 'MobilenetV3', _MOBILENET_V3),
          ('mobilenet_v3_small_minimalistic', 'mobilenet_v3:small_minimalistic',
           'MobilenetV3', _MOBILENET_V3),
          ('mobilenet_v3_large_minimalistic', 'mobilenet_v3:large_minimalistic',
           'MobilenetV3', _MOBILENET_V3),
          ('mobilenet_edgetpu', 'mobilenet_v3:edge_tpu', 'MobilenetEdgeTPU',
           _MOBILENET_EDGETPU),
          ('mobilenet_edgetpu_075', 'mobilenet_v3:edge_tpu_075', 'MobilenetEdgeTPU',
           _MOBILENET_EDGETPU))),
)


# The families that crop images and do not resize them.
_CROPPING = ('cifarnet', 'lenet')
# The families that a row's `preprocessing` may name.
PREPROCESSING_FAMILIES = ('cifarnet', 'inception', 'lenet', 'vgg')
# Those that leave a gray image gray. The others make three equal channels of it.
_KEEPING_GRAY = ('cifarnet', 'lenet')


def check_preprocessing(name: str) -> None:
  """Raises UserError unless `name` is a preprocessing family or a network."""
  if name not in PREPROCESSING_FAMILIES and name not in NETWORKS:
    raise diagnostics.unknown_name(
        'preprocessing', name, [*PREPROCESSING_FAMILIES, *NETWORKS])


def preprocessing_family(name: str) -> str:
  """Returns the family of a preprocessing: a network stands for its default one.

  Raises:
    UserError: there is no such family or network.
  """
  check_preprocessing(name)
  return NETWORKS[name].preprocessing if name in NETWORKS else name


def crop_note(preprocessing_name: str, image_size: int,
              sizes: Sequence[tuple[int, int]]) -> str | None:
  """Returns a line where preprocessing cuts most of the images off; None elsewhere.

  Args:
    preprocessing_name: a preprocessing family or a network.
    image_size: height and width of the network's input, in pixels.
    sizes: (height, width) of some of the images, in pixels.
  """
  larger = [size for size in sizes if min(size) > image_size]
  if preprocessing_family(preprocessing_name) not in _CROPPING or 2 * len(
      larger) <= len(sizes):
    return None
  height, width = larger[0]
  return (f'{preprocessing_name} preprocessing does not resize: the network sees'
          f' {image_size} x {image_size} pixels of images such as {height} x {width};'
          ' --preprocessing_name=inception resizes them')


def channels_after(preprocessing_name: str, decoded_channels: int,
                   use_grayscale: bool) -> int:
  """Returns the number of channels that preprocessing gives to a network.

  The preprocessing itself, and each script that builds a network for images, takes
  the number from here.

  Args:
    preprocessing_name: a preprocessing family or a network.
    decoded_channels: of the images as they are decoded, 1 or 3: the `channels` of
      their data set.
    use_grayscale: whether images are turned to gray.

  Returns:
    1 or 3.

  Raises:
    UserError: there is no such preprocessing.
  """
  family = preprocessing_family(preprocessing_name)
  if use_grayscale:
    return 1
  return decoded_channels if family in _KEEPING_GRAY else 3


def get_network(name: str) -> Network:
  """Returns the row of the network called `name`.

  Raises:
    UserError: there is none; the message suggests the nearest name.
  """
  if name not in NETWORKS:
    raise diagnostics.unknown_name('network', name, NETWORKS)
  return NETWORKS[name]


def get_image_network(name: str) -> Network:
  """Returns the row of the network called `name`, which must take single images.

  Raises:
    UserError: there is none, or it takes clips.
  """
  row = get_network(name)
  if row.frames is not None:
    raise diagnostics.UserError(
        f"'{name}' is a video network: it takes clips [batch, frames, height, width,"
        f' {row.channels}], the image scripts cannot feed it')
  return row
