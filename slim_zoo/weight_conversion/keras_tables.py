"""Tables of layers for the networks of keras.applications.

Scopes are below the network's scope. Layers that Keras numbers when they are created,
such as 'conv2d_7', are numbered from the start of the program.
"""

from collections.abc import Collection, Iterator, Sequence

from slim_zoo.weight_conversion.layers import Row


def vgg(counts: Sequence[int]) -> list[Row]:
  """Returns the rows of a VGG with `counts` convolutions in the blocks."""
  rows = [Row(f'conv{block}/conv{block}_{number}', f'block{block}_conv{number}')
          for block, count in enumerate(counts, 1) for number in range(1, count + 1)]
  return [*rows, Row('fc6', 'fc1', kind='dense'), Row('fc7', 'fc2', kind='dense'),
          Row('fc8', 'predictions', kind='dense')]


def _units(counts):
  """Yields (slim scope, Keras prefix, whether it is the block's first) of each unit."""
  for block, count in enumerate(counts, 1):
    for unit in range(1, count + 1):
      yield f'block{block}/unit_{unit}', f'conv{block + 1}_block{unit}', unit == 1


def resnet_v1(counts: Sequence[int]) -> list[Row]:
  """Returns the rows of a ResNet with `counts` units in the blocks."""
  rows = [Row('conv1', 'conv1_conv', 'conv1_bn')]
  for scope, prefix, is_first in _units(counts):
    names = {'shortcut': 0} if is_first else {}
    names |= {'conv1': 1, 'conv2': 2, 'conv3': 3}
    rows += [Row(f'{scope}/bottleneck_v1/{name}', f'{prefix}_{number}_conv',
                 f'{prefix}_{number}_bn') for name, number in names.items()]
  return [*rows, Row('logits', 'predictions', kind='dense')]


def resnet_v2(counts: Sequence[int]) -> list[Row]:
  """Returns the rows of a ResNet v2 with `counts` units in the blocks."""
  rows = [Row('conv1', 'conv1_conv')]
  for scope, prefix, is_first in _units(counts):
    unit = f'{scope}/bottleneck_v2'
    rows.append(Row(f'{unit}/preact', '', f'{prefix}_preact_bn', 'norm'))
    if is_first:
      rows.append(Row(f'{unit}/shortcut', f'{prefix}_0_conv'))
    rows += [Row(f'{unit}/conv{number}', f'{prefix}_{number}_conv',
                 f'{prefix}_{number}_bn') for number in (1, 2)]
    rows.append(Row(f'{unit}/conv3', f'{prefix}_3_conv'))
  return [*rows, Row('postnorm', '', 'post_bn', 'norm'),
          Row('logits', 'predictions', kind='dense')]


def mobilenet_v1() -> list[Row]:
  """Returns the rows of MobileNet, of any width."""
  rows = [Row('Conv2d_0', 'conv1', 'conv1_bn')]
  for number in range(1, 14):
    rows += [Row(f'Conv2d_{number}_{name}', f'conv_{short}_{number}',
                 f'conv_{short}_{number}_bn', kind)
             for name, short, kind in (('depthwise', 'dw', 'depthwise'),
                                       ('pointwise', 'pw', 'conv'))]
  return [*rows, Row('Logits/Conv2d_1c_1x1', 'conv_preds')]


def mobilenet_v2() -> list[Row]:
  """Returns the rows of MobileNet v2, of any width."""
  rows = [Row('Conv', 'Conv1', 'bn_Conv1')]
  for number in range(17):
    scope, prefix = ((f'expanded_conv_{number}', f'block_{number}') if number else
                     ('expanded_conv', 'expanded_conv'))
    for name in ('expand', 'depthwise', 'project')[0 if number else 1:]:
      rows.append(Row(f'{scope}/{name}', f'{prefix}_{name}', f'{prefix}_{name}_BN',
                      'depthwise' if name == 'depthwise' else 'conv'))
  return [*rows, Row('Conv_1', 'Conv_1', 'Conv_1_bn'),
          Row('Logits/Conv2d_1c_1x1', 'predictions', kind='dense')]


def mobilenet_v3(blocks: int, gated: Collection[int]) -> list[Row]:
  """Returns the rows of MobileNet v3, of any width.

  Args:
    blocks: the number of its inverted residuals.
    gated: the numbers of those with squeeze-and-excitation.
  """
  rows = [Row('Conv', 'conv', 'conv_bn')]
  for number in range(blocks):
    scope = f'expanded_conv_{number}' if number else 'expanded_conv'
    expand, depthwise, project = (
        Row(f'{scope}/{name}', f'{scope}_{name}', f'{scope}_{name}_bn', kind)
        for name, kind in (
            ('expand', 'conv'), ('depthwise', 'depthwise'), ('project', 'conv')))
    rows += [expand, depthwise] if number else [depthwise]
    if number in gated:
      rows += [Row(f'{scope}/squeeze_excite/Conv', f'{scope}_squeeze_excite_conv'),
               Row(f'{scope}/squeeze_excite/Conv_1', f'{scope}_squeeze_excite_conv_1')]
    rows.append(project)
  return [*rows, Row('Conv_1', 'conv_1', 'conv_1_bn'), Row('Conv_2', 'conv_2'),
          Row('Logits/Conv2d_1c_1x1', 'logits')]


def _numbered(scopes: Sequence[str]) -> Iterator[Row]:
  """Yields rows of normalized convolutions that have only numbers in Keras."""
  for number, scope in enumerate(scopes):
    suffix = f'_{number}' if number else ''
    yield Row(scope, f'conv2d{suffix}', f'batch_normalization{suffix}')


def _branches(module, *branches):
  """Returns the scopes of an Inception module; branches are layer names as text."""
  return [f'{module}/Branch_{number}/{layer}' for number, branch in enumerate(branches)
          for layer in branch.split()]


_STEM = ['Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'Conv2d_3b_1x1',
         'Conv2d_4a_3x3']
_FACTORED = ('Conv2d_0a_1x1 Conv2d_0b_7x1 Conv2d_0c_1x7 Conv2d_0d_7x1 Conv2d_0e_1x7')
_DOUBLE = 'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_0c_3x3'


def inception_v3() -> list[Row]:
  """Returns the rows of Inception v3, without the auxiliary head."""
  scopes = list(_STEM)
  for module, five in (('Mixed_5b', 'Conv2d_0a_1x1 Conv2d_0b_5x5'),
                       ('Mixed_5c', 'Conv2d_0b_1x1 Conv_1_0c_5x5'),
                       ('Mixed_5d', 'Conv2d_0a_1x1 Conv2d_0b_5x5')):
    scopes += _branches(module, 'Conv2d_0a_1x1', five, _DOUBLE, 'Conv2d_0b_1x1')
  scopes += _branches('Mixed_6a', 'Conv2d_1a_1x1',
                      'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_1x1')
  for module in ('Mixed_6b', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e'):
    scopes += _branches(module, 'Conv2d_0a_1x1',
                        'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1', _FACTORED,
                        'Conv2d_0b_1x1')
  scopes += _branches('Mixed_7a', 'Conv2d_0a_1x1 Conv2d_1a_3x3',
                      'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1 Conv2d_1a_3x3')
  for module, last in (('Mixed_7b', 'Conv2d_0b_3x1'), ('Mixed_7c', 'Conv2d_0c_3x1')):
    scopes += _branches(module, 'Conv2d_0a_1x1', f'Conv2d_0a_1x1 Conv2d_0b_1x3 {last}',
                        'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_0c_1x3 Conv2d_0d_3x1',
                        'Conv2d_0b_1x1')
  return [*_numbered(scopes), Row('Logits/Conv2d_1c_1x1', 'predictions', kind='dense')]


def inception_resnet_v2() -> list[Row]:
  """Returns the rows of Inception-ResNet v2, without the auxiliary head."""
  blocks = {
      'block35': [f'Repeat/block35_{number}' for number in range(1, 11)],
      'block17': [f'Repeat_1/block17_{number}' for number in range(1, 21)],
      'block8': [*(f'Repeat_2/block8_{number}' for number in range(1, 10)), 'Block8'],
  }
  branches = {
      'block35': ('Conv2d_1x1', 'Conv2d_0a_1x1 Conv2d_0b_3x3', _DOUBLE),
      'block17': ('Conv2d_1x1', 'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1'),
      'block8': ('Conv2d_1x1', 'Conv2d_0a_1x1 Conv2d_0b_1x3 Conv2d_0c_3x1'),
  }
  before = {
      'block35': [*_STEM, *_branches('Mixed_5b', 'Conv2d_1x1',
                                     'Conv2d_0a_1x1 Conv2d_0b_5x5', _DOUBLE,
                                     'Conv2d_0b_1x1')],
      'block17': _branches('Mixed_6a', 'Conv2d_1a_3x3',
                           'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_3x3'),
      'block8': _branches('Mixed_7a', 'Conv2d_0a_1x1 Conv2d_1a_3x3',
                          'Conv2d_0a_1x1 Conv2d_1a_3x3',
                          'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_3x3'),
  }
  scopes, ends = [], []
  for kind, block_scopes in blocks.items():
    scopes += before[kind]
    for number, block_scope in enumerate(block_scopes, 1):
      scopes += _branches(block_scope, *branches[kind])
      ends.append(Row(f'{block_scope}/Conv2d_1x1', f'{kind}_{number}_conv'))
  return [*_numbered(scopes), *ends, Row('Conv2d_7b_1x1', 'conv_7b', 'conv_7b_bn'),
          Row('Logits/Logits', 'predictions', kind='dense')]
