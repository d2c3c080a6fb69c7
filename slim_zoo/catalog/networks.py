"""The table of networks: one row each, read by nets, preprocessing and commands."""

import dataclasses

from slim_zoo import diagnostics

# The largest height or width of images, in pixels. Larger tensors exceed the limits of
# TensorFlow and machines; usual sizes are 28 to 600.
LARGEST_SIDE = 10_000


@dataclasses.dataclass(frozen=True)
class ImageSizes:
  """The image sizes that a network supports, in pixels; a test measures them.

  Most networks pad every convolution and average over the whole image, so they support
  every size.

  Attributes:
    smallest: the smallest height and width in evaluation.
    smallest_in_training: the smallest in training, where the auxiliary head needs a
      larger feature map.
    fixed_pool: (smallest, largest) height and width that fit the network's last pool or
      fully connected layer. At other sizes the features are averaged over the whole
      image. None: every size fits.
      are averaged over the whole image instead. None: every size fits.
  """

  smallest: int = 1
  smallest_in_training: int = 1
  fixed_pool: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Network:
  """A network: its builder and facts about it.

  Attributes:
    name: the value of --model_name.
    builder: 'module:function' below nets/, such as 'vgg:vgg_16'. The function has the
      arguments (images, num_classes, is_training, **kwargs), returns
      (logits, end_points) and has the attribute `default_image_size`.
    arg_scope: the function in the builder's module that returns the arg scope for a
      weight_decay.
    preprocessing: the default preprocessing family.
    head_scopes: variable scopes that depend on the number of classes.
    num_classes: the class count of the published checkpoint; 1001 includes an ImageNet
      background class 0, 1000 does not (then labels_offset is 1).
    paper: first author, year and arXiv id or venue.
    channels: image channels of the published weights.
    frames: the number of frames of a clip; None: single images.
    sizes: the supported image sizes.
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
  sizes: ImageSizes = ImageSizes()

  @property
  def has_stochastic_depth(self) -> bool:
    """Whether its residual blocks can be left out at random in training."""
    return self.builder.split(':')[0] in _WITH_RESIDUAL_BLOCKS


# Modules of networks whose blocks have a shortcut and an argument drop_rate.
_WITH_RESIDUAL_BLOCKS = frozenset({
    'resnet_v1', 'resnet_v1b', 'resnet_v2', 'resnext', 'mobilenet.mobilenet_v2',
    'mobilenet.mobilenet_v3'})

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
    Network('alexnet_v2', 'alexnet:alexnet_v2', 'alexnet_v2_arg_scope', 'vgg',
            ('alexnet_v2/fc8',), 1000, _ALEXNET,
            sizes=ImageSizes(195, 195, fixed_pool=(195, 226))),
    Network('cifarnet', 'cifarnet:cifarnet', 'cifarnet_arg_scope', 'cifarnet',
            ('CifarNet/logits',), 10, _CIFARNET, sizes=ImageSizes(4, 4)),
    Network('lenet', 'lenet:lenet', 'lenet_arg_scope', 'lenet', ('LeNet/fc4',), 10,
            _LENET, channels=1, sizes=ImageSizes(4, 4)),
    Network('overfeat', 'overfeat:overfeat', 'overfeat_arg_scope', 'vgg',
            ('overfeat/fc8',), 1000, _OVERFEAT,
            sizes=ImageSizes(231, 231, fixed_pool=(231, 262))),
    Network('vgg_a', 'vgg:vgg_a', 'vgg_arg_scope', 'vgg', ('vgg_a/fc8',), 1000, _VGG,
            sizes=ImageSizes(224, 224, fixed_pool=(224, 255))),
    Network('vgg_16', 'vgg:vgg_16', 'vgg_arg_scope', 'vgg', ('vgg_16/fc8',), 1000, _VGG,
            sizes=ImageSizes(224, 224, fixed_pool=(224, 255))),
    Network('vgg_19', 'vgg:vgg_19', 'vgg_arg_scope', 'vgg', ('vgg_19/fc8',), 1000, _VGG,
            sizes=ImageSizes(224, 224, fixed_pool=(224, 255))),
    Network('resnet_v1_50', 'resnet_v1:resnet_v1_50', 'resnet_arg_scope', 'vgg',
            ('resnet_v1_50/logits',), 1000, _RESNET_V1),
    Network('resnet_v1_101', 'resnet_v1:resnet_v1_101', 'resnet_arg_scope', 'vgg',
            ('resnet_v1_101/logits',), 1000, _RESNET_V1),
    Network('resnet_v1_152', 'resnet_v1:resnet_v1_152', 'resnet_arg_scope', 'vgg',
            ('resnet_v1_152/logits',), 1000, _RESNET_V1),
    Network('resnet_v1_200', 'resnet_v1:resnet_v1_200', 'resnet_arg_scope', 'vgg',
            ('resnet_v1_200/logits',), 1000, _RESNET_V1),
    Network('resnet_v1b_50', 'resnet_v1b:resnet_v1b_50', 'resnet_arg_scope', 'vgg',
            ('resnet_v1b_50/logits',), 1000, _RESNET_V1),
    Network('resnet_v1b_101', 'resnet_v1b:resnet_v1b_101', 'resnet_arg_scope', 'vgg',
            ('resnet_v1b_101/logits',), 1000, _RESNET_V1),
    Network('resnet_v1b_152', 'resnet_v1b:resnet_v1b_152', 'resnet_arg_scope', 'vgg',
            ('resnet_v1b_152/logits',), 1000, _RESNET_V1),
    Network('resnet_v2_50', 'resnet_v2:resnet_v2_50', 'resnet_arg_scope', 'vgg',
            ('resnet_v2_50/logits',), 1001, _RESNET_V2),
    Network('resnet_v2_101', 'resnet_v2:resnet_v2_101', 'resnet_arg_scope', 'vgg',
            ('resnet_v2_101/logits',), 1001, _RESNET_V2),
    Network('resnet_v2_152', 'resnet_v2:resnet_v2_152', 'resnet_arg_scope', 'vgg',
            ('resnet_v2_152/logits',), 1001, _RESNET_V2),
    Network('resnet_v2_200', 'resnet_v2:resnet_v2_200', 'resnet_arg_scope', 'vgg',
            ('resnet_v2_200/logits',), 1001, _RESNET_V2),
    Network('inception_v1', 'inception_v1:inception_v1', 'inception_v1_arg_scope',
            'inception', ('InceptionV1/Logits',), 1001, _INCEPTION_V1,
            sizes=ImageSizes(fixed_pool=(193, 224))),
    Network('inception_v2', 'inception_v2:inception_v2', 'inception_v2_arg_scope',
            'inception', ('InceptionV2/Logits',), 1001, _INCEPTION_V2,
            sizes=ImageSizes(fixed_pool=(1, 256))),
    Network('inception_v3', 'inception_v3:inception_v3', 'inception_v3_arg_scope',
            'inception', ('InceptionV3/Logits', 'InceptionV3/AuxLogits'), 1001,
            _INCEPTION_V3, sizes=ImageSizes(75, 107, fixed_pool=(75, 362))),
    Network('inception_v4', 'inception_v4:inception_v4', 'inception_v4_arg_scope',
            'inception', ('InceptionV4/Logits', 'InceptionV4/AuxLogits'), 1001,
            _INCEPTION_V4, sizes=ImageSizes(75, 107)),
    Network('inception_resnet_v2', 'inception_resnet_v2:inception_resnet_v2',
            'inception_resnet_v2_arg_scope', 'inception',
            ('InceptionResnetV2/Logits', 'InceptionResnetV2/AuxLogits'), 1001,
            _INCEPTION_V4, sizes=ImageSizes(75, 107)),
    Network('i3d', 'i3d:i3d', 'i3d_arg_scope', 'inception', ('InceptionV1/Logits',),
            400, _I3D, frames=64, sizes=ImageSizes(fixed_pool=(1, 224))),
    Network('s3dg', 's3dg:s3dg', 's3dg_arg_scope', 'inception', ('InceptionV1/Logits',),
            400, _S3DG, frames=64, sizes=ImageSizes(fixed_pool=(1, 224))),
    Network('se_resnet_v1_50', 'resnext:se_resnet_v1_50', 'resnet_arg_scope', 'vgg',
            ('se_resnet_v1_50/logits',), 1000, _SE),
    Network('se_resnet_v1_101', 'resnext:se_resnet_v1_101', 'resnet_arg_scope', 'vgg',
            ('se_resnet_v1_101/logits',), 1000, _SE),
    Network('se_resnet_v1_152', 'resnext:se_resnet_v1_152', 'resnet_arg_scope', 'vgg',
            ('se_resnet_v1_152/logits',), 1000, _SE),
    Network('resnext_50', 'resnext:resnext_50', 'resnet_arg_scope', 'vgg',
            ('resnext_50/logits',), 1000, _RESNEXT),
    Network('resnext_101', 'resnext:resnext_101', 'resnet_arg_scope', 'vgg',
            ('resnext_101/logits',), 1000, _RESNEXT),
    Network('se_resnext_50', 'resnext:se_resnext_50', 'resnet_arg_scope', 'vgg',
            ('se_resnext_50/logits',), 1000, _SE),
    Network('se_resnext_101', 'resnext:se_resnext_101', 'resnet_arg_scope', 'vgg',
            ('se_resnext_101/logits',), 1000, _SE),
    Network('se_inception_v4', 'se_inception:se_inception_v4', 'inception_v4_arg_scope',
            'inception', ('SeInceptionV4/Logits', 'SeInceptionV4/AuxLogits'), 1001, _SE,
            sizes=ImageSizes(75, 107)),
    Network('se_inception_resnet_v2', 'se_inception:se_inception_resnet_v2',
            'inception_resnet_v2_arg_scope', 'inception',
            ('SeInceptionResnetV2/Logits', 'SeInceptionResnetV2/AuxLogits'), 1001, _SE,
            sizes=ImageSizes(75, 107)),
    Network('nasnet_cifar', 'nasnet.nasnet:build_nasnet_cifar',
            'nasnet_cifar_arg_scope', 'inception',
            ('final_layer', 'aux_11/aux_logits/FC'), 10, _NASNET,
            sizes=ImageSizes(1, 9)),
    Network('nasnet_mobile', 'nasnet.nasnet:build_nasnet_mobile',
            'nasnet_mobile_arg_scope', 'inception',
            ('final_layer', 'aux_7/aux_logits/FC'), 1001, _NASNET,
            sizes=ImageSizes(3, 67)),
    Network('nasnet_large', 'nasnet.nasnet:build_nasnet_large',
            'nasnet_large_arg_scope', 'inception',
            ('final_layer', 'aux_11/aux_logits/FC'), 1001, _NASNET,
            sizes=ImageSizes(3, 67)),
    Network('pnasnet_mobile', 'nasnet.pnasnet:build_pnasnet_mobile',
            'pnasnet_mobile_arg_scope', 'inception',
            ('final_layer', 'aux_5/aux_logits/FC'), 1001, _PNASNET,
            sizes=ImageSizes(3, 67)),
    Network('pnasnet_large', 'nasnet.pnasnet:build_pnasnet_large',
            'pnasnet_large_arg_scope', 'inception',
            ('final_layer', 'aux_7/aux_logits/FC'), 1001, _PNASNET,
            sizes=ImageSizes(3, 67)),
    Network('mobilenet_v1', 'mobilenet_v1:mobilenet_v1', 'mobilenet_v1_arg_scope',
            'inception', ('MobilenetV1/Logits',), 1001, _MOBILENET_V1,
            sizes=ImageSizes(fixed_pool=(1, 256))),
    Network('mobilenet_v1_075', 'mobilenet_v1:mobilenet_v1_075',
            'mobilenet_v1_arg_scope', 'inception', ('MobilenetV1/Logits',), 1001,
            _MOBILENET_V1, sizes=ImageSizes(fixed_pool=(1, 256))),
    Network('mobilenet_v1_050', 'mobilenet_v1:mobilenet_v1_050',
            'mobilenet_v1_arg_scope', 'inception', ('MobilenetV1/Logits',), 1001,
            _MOBILENET_V1, sizes=ImageSizes(fixed_pool=(1, 256))),
    Network('mobilenet_v1_025', 'mobilenet_v1:mobilenet_v1_025',
            'mobilenet_v1_arg_scope', 'inception', ('MobilenetV1/Logits',), 1001,
            _MOBILENET_V1, sizes=ImageSizes(fixed_pool=(1, 256))),
    Network('mobilenet_v2', 'mobilenet.mobilenet_v2:mobilenet', 'training_scope',
            'inception', ('MobilenetV2/Logits',), 1001, _MOBILENET_V2),
    Network('mobilenet_v2_140', 'mobilenet.mobilenet_v2:mobilenet_v2_140',
            'training_scope', 'inception', ('MobilenetV2/Logits',), 1001,
            _MOBILENET_V2),
    Network('mobilenet_v2_130', 'mobilenet.mobilenet_v2:mobilenet_v2_130',
            'training_scope', 'inception', ('MobilenetV2/Logits',), 1001,
            _MOBILENET_V2),
    Network('mobilenet_v2_075', 'mobilenet.mobilenet_v2:mobilenet_v2_075',
            'training_scope', 'inception', ('MobilenetV2/Logits',), 1001,
            _MOBILENET_V2),
    Network('mobilenet_v2_050', 'mobilenet.mobilenet_v2:mobilenet_v2_050',
            'training_scope', 'inception', ('MobilenetV2/Logits',), 1001,
            _MOBILENET_V2),
    Network('mobilenet_v2_035', 'mobilenet.mobilenet_v2:mobilenet_v2_035',
            'training_scope', 'inception', ('MobilenetV2/Logits',), 1001,
            _MOBILENET_V2),
    Network('mobilenet_v3_small', 'mobilenet.mobilenet_v3:small', 'training_scope',
            'inception', ('MobilenetV3/Logits',), 1001, _MOBILENET_V3),
    Network('mobilenet_v3_large', 'mobilenet.mobilenet_v3:large', 'training_scope',
            'inception', ('MobilenetV3/Logits',), 1001, _MOBILENET_V3),
    Network('mobilenet_v3_small_075', 'mobilenet.mobilenet_v3:small_075',
            'training_scope', 'inception', ('MobilenetV3/Logits',), 1001,
            _MOBILENET_V3),
    Network('mobilenet_v3_large_075', 'mobilenet.mobilenet_v3:large_075',
            'training_scope', 'inception', ('MobilenetV3/Logits',), 1001,
            _MOBILENET_V3),
    Network('mobilenet_v3_small_minimalistic',
            'mobilenet.mobilenet_v3:small_minimalistic', 'training_scope', 'inception',
            ('MobilenetV3/Logits',), 1001, _MOBILENET_V3),
    Network('mobilenet_v3_large_minimalistic',
            'mobilenet.mobilenet_v3:large_minimalistic', 'training_scope', 'inception',
            ('MobilenetV3/Logits',), 1001, _MOBILENET_V3),
    Network('mobilenet_edgetpu', 'mobilenet.mobilenet_v3:edge_tpu', 'training_scope',
            'inception', ('MobilenetEdgeTPU/Logits',), 1001, _MOBILENET_EDGETPU),
    Network('mobilenet_edgetpu_075', 'mobilenet.mobilenet_v3:edge_tpu_075',
            'training_scope', 'inception', ('MobilenetEdgeTPU/Logits',), 1001,
            _MOBILENET_EDGETPU),
)


def get_network(name: str) -> Network:
  """Returns the row of the network `name`.

  Raises:
    UserError: it does not exist; the message suggests the nearest name.
  """
  if name not in NETWORKS:
    raise diagnostics.unknown_name('network', name, NETWORKS)
  return NETWORKS[name]


def get_image_network(name: str) -> Network:
  """Returns the row of the image network `name`.

  Raises:
    UserError: it does not exist, or is a video network.
  """
  row = get_network(name)
  if row.frames is not None:
    raise diagnostics.UserError(
        f"'{name}' is a video network: it takes clips [batch, frames, height, width,"
        f' {row.channels}], the image scripts cannot feed it')
  return row


def check_image_size(name: str, size: int | tuple[int, int], is_training: bool = False,
                     flag: str = '') -> None:
  """Raises UserError for images that are too small or too large for a network.

  Args:
    name: a name of `NETWORKS`.
    size: side of the images, or (height, width).
    is_training: whether the network is built for training.
    flag: the name of the flag that sets the size, for the message; '' for none.
  """
  sizes = get_network(name).sizes
  smallest = sizes.smallest_in_training if is_training else sizes.smallest
  height, width = (size, size) if isinstance(size, int) else size
  if max(height, width) > LARGEST_SIDE:
    advice = (f'set --{flag}={LARGEST_SIDE} or smaller' if flag else
              'give smaller images')
    raise diagnostics.UserError(
        f'images of {height} x {width} are too large: a side has at most'
        f' {LARGEST_SIDE:,} pixels, {advice}')
  if min(height, width) >= smallest:
    return
  where = ' in training' if smallest > sizes.smallest else ''
  advice = f'set --{flag}={smallest} or larger' if flag else 'give larger images'
  raise diagnostics.UserError(
      f'images of {height} x {width} are too small for {name}{where}: the smallest'
      f' are {smallest} x {smallest}, {advice}')


def check_stochastic_depth(name: str, rate: float) -> None:
  """Raises UserError for a network without residual blocks to leave out.

  Args:
    name: a name of `NETWORKS`.
    rate: the drop rate of the last block.
  """
  row = get_network(name)
  if row.has_stochastic_depth:
    return
  if row.builder.startswith('nasnet.'):
    reason = 'leaves out paths of its cells already (scheduled drop path)'
  else:
    reason = 'has no residual blocks to leave out'
  raise diagnostics.UserError(
      f'--stochastic_depth={rate:g}: {name} {reason}; leave the flag out, or take a'
      ' ResNet, ResNeXt, MobileNet V2 or V3')
