"""Pairs of equal networks in slim and other frameworks, and networks without a pair."""

import dataclasses
import functools
from collections.abc import Callable

from slim_zoo import diagnostics
from slim_zoo.catalog import architectures, networks, variables
from slim_zoo.checkpoints import comparison
from slim_zoo.weight_conversion import (
    keras_tables,
    layers,
    nasnet_tables,
    pytorch_tables,
)


@dataclasses.dataclass(frozen=True)
class Pair:
  """A network of this project and the same network of another framework.

  Attributes:
    model_name: name in this project.
    framework: a `layers.Framework`.
    framework_model: name of the class in keras.applications, or of the model in timm;
      'torchvision.' is before that of a model in torchvision.
    table: returns the rows.
    options: keyword arguments to build the framework's network.
    reads_bgr: whether the framework's network reads BGR images; the conversion reverses
      the input channels of the first kernel.
    slim_variant: the change with which the framework's network computes the same as
      slim's, for the check of the weights; '' if it already does.
    difference: message about the difference, if there is a `slim_variant`.
    needs_training: whether the difference is so large that the weights are only a start
      for training.
    preprocessing: message about the images of the published weights.
  """

  model_name: str
  framework: layers.Framework
  framework_model: str
  table: Callable[[], list[layers.Row]]
  options: dict = dataclasses.field(default_factory=dict)
  reads_bgr: bool = False
  slim_variant: str = ''
  difference: str = ''
  needs_training: bool = False
  preprocessing: str = ''

  @property
  def scope(self) -> str:
    """The variable scope of slim's network, or ''."""
    return networks.NETWORKS[self.model_name].head_scopes[0].rpartition('/')[0]

  @property
  def framework_name(self) -> str:
    """The name of the framework's model, with its options."""
    options = ', '.join(f'{key}={value}' for key, value in self.options.items())
    return self.framework_model + (f'({options})' if options else '')

  @property
  def family(self) -> str | None:
    """The preprocessing family of the published weights; None if there is none."""
    return _FAMILIES.get(self.preprocessing)

  def rows(self) -> list[layers.Row]:
    """Returns the table with full scopes."""
    above = f'{self.scope}/' if self.scope else ''
    return [row._replace(scope=above + row.scope) for row in self.table()]

  def head(self) -> str:
    """Returns the scope of the logits."""
    return next(row.scope for row in reversed(self.rows()))

  def shapes(self, num_classes: int, channels: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of slim's variables, without auxiliary heads."""
    sizes = {variables.CLASSES: num_classes, variables.CHANNELS: channels}
    return {name: tuple(sizes.get(size, size) for size in shape)
            for name, shape in variables_of(self.model_name).items()
            if not comparison.is_auxiliary(name)}

  def auxiliary_scope(self) -> str | None:
    """Returns the scope of the auxiliary head, which other frameworks lack, or None."""
    return next(filter(None, map(comparison.auxiliary_scope,
                                 variables_of(self.model_name))), None)


_all_variables = functools.cache(variables.load)


def variables_of(model_name: str) -> dict[str, variables.Shape]:
  """Returns the shapes of a network's variables, auxiliary heads included."""
  return _all_variables()[model_name].shapes


_POOL1 = 'Keras pads pool1 on all sides, slim on one side for even sizes'
_STRIDES = ("in PyTorch the 3x3 convolution of a block's first unit has the stride, in"
            ' slim the last unit of the block before, and pool1 is padded differently;'
            " resnet_v1b_{} is the same as PyTorch's")
_CAFFE = 'images: RGB minus channel means, --preprocessing_name=vgg'
_INCEPTION = 'images: in [-1, 1], --preprocessing_name=inception'
_NORMALIZED = ('images: timm scales them to [0, 1] and normalizes them by mean (0.485,'
               ' 0.456, 0.406) and deviation (0.229, 0.224, 0.225). No preprocessing'
               ' does this: fold it into the first kernel with --fold_normalization and'
               ' use --preprocessing_name=vgg')
_FAMILIES = {_CAFFE: 'vgg', _INCEPTION: 'inception'}

# The variants in other frameworks; a searched network has three runs of cells.
_VGG = {layers: architectures.VGG_CONVOLUTIONS[f'vgg_{layers}'] for layers in (16, 19)}
_NASNET = {size: architectures.NASNET_CELLS[f'nasnet_{size}'] // 3
           for size in ('mobile', 'large')}
_RESNET = {layers: architectures.RESNET_UNITS[layers] for layers in (50, 101, 152)}
# MobileNet v3: the inverted residuals in the stages of timm's networks, and the numbers
# of those with squeeze-and-excitation.
_MOBILENET_V3 = {'small': ((1, 2, 3, 2, 3), (0, *range(3, 11))),
                 'large': ((1, 2, 3, 4, 2, 3), (3, 4, 5, *range(10, 15)))}
_GATES = 'slim multiplies the gates by 0.16667, {} by 1/6'
# The suffix in slim and in timm, and the options in Keras.
_MOBILENET_V3_KINDS = (('', '100', {}), ('_075', '075', {'alpha': 0.75}),
                       ('_minimalistic', 'minimal_100', {'minimalistic': True}))


def _keras_pairs():
  keras = functools.partial(Pair, framework=layers.KERAS)
  for depth, counts in _VGG.items():
    yield keras(f'vgg_{depth}', framework_model=f'VGG{depth}', reads_bgr=True,
                table=functools.partial(keras_tables.vgg, counts),
                preprocessing=_CAFFE)
  for depth, counts in _RESNET.items():
    yield keras(f'resnet_v1_{depth}', framework_model=f'ResNet{depth}', reads_bgr=True,
                table=functools.partial(keras_tables.resnet_v1, counts),
                slim_variant='pool1',
                difference=f'{_POOL1}; at 225 x 225 they are equal',
                preprocessing=_CAFFE)
    yield keras(f'resnet_v2_{depth}', framework_model=f'ResNet{depth}V2',
                slim_variant='pool1',
                table=functools.partial(keras_tables.resnet_v2, counts),
                difference=f'{_POOL1}, and Keras pads with zeros, which are greater'
                           ' than negative features',
                preprocessing=_INCEPTION)
  yield keras('inception_v3', framework_model='InceptionV3',
              table=keras_tables.inception_v3, preprocessing=_INCEPTION)
  yield keras('inception_resnet_v2', framework_model='InceptionResNetV2',
              table=keras_tables.inception_resnet_v2, preprocessing=_INCEPTION)
  for name, run in _NASNET.items():
    yield keras(f'nasnet_{name}', framework_model=f'NASNet{name.title()}',
                slim_variant='pools',
                table=functools.partial(nasnet_tables.keras, run),
                difference='at the border, Keras includes zeros of the padding in the'
                           " pools of reduction cells, slim does not",
                preprocessing=_INCEPTION)
  for version, table, widths in (
      ('1', keras_tables.mobilenet_v1, {'': 1.0, '_075': .75, '_050': .5, '_025': .25}),
      ('2', keras_tables.mobilenet_v2, {
          '': 1.0, '_140': 1.4, '_130': 1.3, '_075': .75, '_050': .5, '_035': .35})):
    for suffix, alpha in widths.items():
      yield keras(f'mobilenet_v{version}{suffix}',
                  framework_model='MobileNetV2' if version == '2' else 'MobileNet',
                  table=table, options={'alpha': alpha}, preprocessing=_INCEPTION)
  for size, (stages, gated) in _MOBILENET_V3.items():
    for suffix, _, options in _MOBILENET_V3_KINDS:
      has_gates = 'minimalistic' not in options
      yield keras(f'mobilenet_v3_{size}{suffix}',
                  framework_model=f'MobileNetV3{size.title()}',
                  table=functools.partial(
                      keras_tables.mobilenet_v3, sum(stages),
                      gated if has_gates else ()),
                  slim_variant='gates' if has_gates else '',
                  difference=_GATES.format('Keras') if has_gates else '',
                  options={**options, 'include_preprocessing': False},
                  preprocessing=_INCEPTION)


def _pytorch_pairs():
  pytorch = functools.partial(Pair, framework=layers.PYTORCH)
  for depth, counts in _VGG.items():
    yield pytorch(f'vgg_{depth}', framework_model=f'vgg{depth}',
                  table=functools.partial(pytorch_tables.vgg, counts),
                  preprocessing=_NORMALIZED)
  for slim_prefix, framework_model, depths in (
      ('resnet_v1b_', 'resnet{}', (50, 101, 152)),
      ('se_resnet_v1_', 'seresnet{}', (50, 101, 152)),
      ('resnext_', 'resnext{}_32x4d', (50, 101)),
      ('se_resnext_', 'seresnext{}_32x4d', (50, 101))):
    for depth in depths:
      yield pytorch(f'{slim_prefix}{depth}',
                    framework_model=framework_model.format(depth),
                    table=functools.partial(pytorch_tables.resnet, _RESNET[depth],
                                            slim_prefix.startswith('se_')),
                    preprocessing=_NORMALIZED)
  for depth, counts in _RESNET.items():
    yield pytorch(f'resnet_v1_{depth}', framework_model=f'resnet{depth}',
                  table=functools.partial(pytorch_tables.resnet, counts),
                  slim_variant='strides', difference=_STRIDES.format(depth),
                  needs_training=True, preprocessing=_NORMALIZED)
  yield pytorch('inception_v1', framework_model='torchvision.googlenet',
                table=pytorch_tables.inception_v1, slim_variant='first convolution',
                difference='torchvision pads the first convolution on both sides alike,'
                           ' slim by one more pixel at the end',
                preprocessing=_INCEPTION)
  yield pytorch('inception_v4', framework_model='inception_v4',
                table=pytorch_tables.inception_v4, preprocessing=_INCEPTION)
  yield pytorch('inception_resnet_v2', framework_model='inception_resnet_v2',
                table=pytorch_tables.inception_resnet_v2, preprocessing=_INCEPTION)
  for size, (stages, gated) in _MOBILENET_V3.items():
    for suffix, of_timm, options in _MOBILENET_V3_KINDS:
      has_gates = 'minimalistic' not in options
      yield pytorch(f'mobilenet_v3_{size}{suffix}',
                    framework_model=f'tf_mobilenetv3_{size}_{of_timm}',
                    table=functools.partial(
                        pytorch_tables.mobilenet_v3, stages,
                        gated if has_gates else ()),
                    slim_variant='gates' if has_gates else '',
                    difference=_GATES.format('timm') if has_gates else '',
                    preprocessing=_INCEPTION)
  yield pytorch('nasnet_large', framework_model='nasnetalarge',
                slim_variant='average pools',
                table=functools.partial(nasnet_tables.timm, _NASNET['large']),
                difference='at the border, timm includes zeros of the padding in the'
                           ' average pools of reduction cells, slim does not',
                preprocessing=_INCEPTION)
  yield pytorch('pnasnet_large', framework_model='pnasnet5large',
                table=nasnet_tables.pnasnet_timm, preprocessing=_INCEPTION)


PAIRS = (*_keras_pairs(), *_pytorch_pairs())

# By framework and name (of slim or the framework): why there is no conversion.
REFUSED = {
    'keras': {
        f'resnet_v1b_{depth}': "in Keras the first convolution of a block's first unit"
                               ' has the stride, in resnet_v1b the 3x3 convolution;'
                               f" resnet_v1_{depth} is Keras's ResNet{depth}"
        for depth in _RESNET},
    'pytorch': {
        **dict.fromkeys(('inception_v2', 'se_inception_v4', 'se_inception_resnet_v2'),
                        'neither timm nor torchvision has it'),
        'inception_v3': 'its 3x3 average pools include the padding, those of slim do'
                        ' not: every module differs at the border',
        **{name: "in PyTorch a block's first unit has the stride, in slim its last"
                 " unit; and its convolutions have no biases, slim's have"
           for depth in _RESNET
           for name in (f'resnet_v2_{depth}', f'resnetv2_{depth}')},
        **dict.fromkeys(
            ('mobilenet_v1', 'mobilenetv1_100', 'mobilenet_v2', 'mobilenetv2_100'),
            "its strided convolutions pad both sides, slim's one side, and batch norm"
            ' adds 1e-5 to the variance, in slim 1e-3; convert from Keras instead'),
        **{f'mobilenetv3_{name}': "its strided convolutions pad both sides, slim's one"
                                  f' side; convert tf_mobilenetv3_{name}, which pads as'
                                  " slim does"
           for name in ('small_100', 'small_075', 'large_100', 'large_075')},
        **dict.fromkeys(
            ('mobilenet_edgetpu', 'mobilenet_edgetpu_075', 'mobilenet_edgetpu_100'),
            "its strided convolutions pad both sides, slim's one side, and batch norm"
            ' adds 1e-5 to the variance, in slim 1e-3'),
    },
}


def find(name: str, framework: str) -> Pair:
  """Returns the pair of a network.

  Args:
    name: name of the network in slim or in the framework.
    framework: 'keras' or 'pytorch'.

  Raises:
    UserError: there is none; the message says why, if the graphs differ.
  """
  title = layers.FRAMEWORKS[framework].title
  matches = [pair for pair in PAIRS if pair.framework.name == framework
           and name in (pair.model_name, pair.framework_model)]
  if matches:
    # In Keras all widths have one name; the first pair has width 1.
    return matches[0]
  if name in REFUSED[framework]:
    raise diagnostics.UserError(
        f"'{name}' cannot be converted between slim and {title}:"
        f' {REFUSED[framework][name]}')
  known = [pair.model_name for pair in PAIRS if pair.framework.name == framework]
  if name in networks.NETWORKS:
    raise diagnostics.UserError(
        f"'{name}' has no table for {title}; there are tables for"
        f' {", ".join(known)}')
  raise diagnostics.unknown_name('network', name, known)
