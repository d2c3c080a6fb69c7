"""Tables of layers for PyTorch networks, with the layer names of timm.

Scopes are below the network's scope.
"""

from collections.abc import Collection, Sequence

from slim_zoo.weight_conversion.layers import Row


def resnet(counts: Sequence[int], attention: bool = False) -> list[Row]:
  """Returns the rows of a ResNet or ResNeXt with `counts` units in the layers.

  Args:
    counts: the number of units of each of the four layers.
    attention: whether units have squeeze-and-excitation.
  """
  rows = [Row('conv1', 'conv1', 'bn1')]
  for block, count in enumerate(counts, 1):
    for unit in range(count):
      scope = f'block{block}/unit_{unit + 1}/bottleneck_v1'
      prefix = f'layer{block}.{unit}'
      if unit == 0:
        rows.append(Row(f'{scope}/shortcut', f'{prefix}.downsample.0',
                        f'{prefix}.downsample.1'))
      rows += [Row(f'{scope}/conv{number}', f'{prefix}.conv{number}',
                   f'{prefix}.bn{number}') for number in (1, 2, 3)]
      if attention:
        rows += [Row(f'{scope}/squeeze_excite/Conv', f'{prefix}.se.fc1'),
                 Row(f'{scope}/squeeze_excite/Conv_1', f'{prefix}.se.fc2')]
  return [*rows, Row('logits', 'fc', kind='dense')]


def vgg(counts: Sequence[int]) -> list[Row]:
  """Returns the rows of a VGG with `counts` convolutions in the blocks."""
  rows, number = [], 0
  for block, count in enumerate(counts, 1):
    for unit in range(1, count + 1):
      rows.append(Row(f'conv{block}/conv{block}_{unit}', f'features.{number}'))
      number += 2  # The convolution and its ReLU.
    number += 1  # The pool.
  return [*rows, Row('fc6', 'pre_logits.fc1'), Row('fc7', 'pre_logits.fc2'),
          Row('fc8', 'head.fc', kind='dense')]


# The layers of a block of MobileNet v3: in slim, in timm, and the kind of the row. The
# first block does not expand, and its last convolution has another name in timm.
_INVERTED_RESIDUAL = (('expand', 'conv_pw', 'conv'),
                      ('depthwise', 'conv_dw', 'depthwise'),
                      ('project', 'conv_pwl', 'conv'))
_FIRST_RESIDUAL = (('depthwise', 'conv_dw', 'depthwise'),
                   ('project', 'conv_pw', 'conv'))


def mobilenet_v3(stages: Sequence[int], gated: Collection[int]) -> list[Row]:
  """Returns the rows of MobileNet v3, of any width.

  Args:
    stages: the number of inverted residuals in each stage.
    gated: the numbers of those with squeeze-and-excitation, from 0 in the network.
  """
  rows, number = [Row('Conv', 'conv_stem', 'bn1')], 0
  for stage, count in enumerate(stages):
    for place in range(count):
      scope = f'expanded_conv_{number}' if number else 'expanded_conv'
      block = f'blocks.{stage}.{place}'
      for norm, (ours, theirs, kind) in enumerate(
          _INVERTED_RESIDUAL if number else _FIRST_RESIDUAL, 1):
        rows.append(Row(f'{scope}/{ours}', f'{block}.{theirs}', f'{block}.bn{norm}',
                        kind))
      if number in gated:
        rows += [Row(f'{scope}/squeeze_excite/Conv', f'{block}.se.conv_reduce'),
                 Row(f'{scope}/squeeze_excite/Conv_1', f'{block}.se.conv_expand')]
      number += 1
  last = f'blocks.{len(stages)}.0'
  return [*rows, Row('Conv_1', f'{last}.conv', f'{last}.bn1'),
          Row('Conv_2', 'conv_head'),
          Row('Logits/Conv2d_1c_1x1', 'classifier', kind='dense')]


def _normalized(scope, layer):
  return Row(scope, f'{layer}.conv', f'{layer}.bn')


def _branches(module, layer, *branches):
  """Returns the rows of an Inception module.

  Args:
    module: its scope.
    layer: its name in PyTorch.
    *branches: per branch the last parts of its layers' scopes, separated by spaces;
      'pool' is a layer without weights, which PyTorch counts.
  """
  rows = []
  for number, branch in enumerate(branches):
    names = branch.split()
    for position, name in enumerate(names):
      if name != 'pool':
        suffix = f'branch{number}' + (f'.{position}' if len(names) > 1 else '')
        rows.append(_normalized(
            f'{module}/Branch_{number}/{name}', f'{layer}.{suffix}'))
  return rows


_DOUBLE = 'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_0c_3x3'
_POOLED = 'pool Conv2d_0b_1x1'


def inception_v1() -> list[Row]:
  """Returns the rows of torchvision's GoogLeNet, without its auxiliary heads."""
  rows = [_normalized('Conv2d_1a_7x7', 'conv1'), _normalized('Conv2d_2b_1x1', 'conv2'),
          _normalized('Conv2d_2c_3x3', 'conv3')]
  for module, layer in (
      ('Mixed_3b', '3a'), ('Mixed_3c', '3b'), ('Mixed_4b', '4a'), ('Mixed_4c', '4b'),
      ('Mixed_4d', '4c'), ('Mixed_4e', '4d'), ('Mixed_4f', '4e'), ('Mixed_5b', '5a'),
      ('Mixed_5c', '5b')):
    third = 'Conv2d_0a_3x3' if module == 'Mixed_5b' else 'Conv2d_0b_3x3'
    for branch, place, name in (
        (0, '', 'Conv2d_0a_1x1'),
        (1, '.0', 'Conv2d_0a_1x1'), (1, '.1', 'Conv2d_0b_3x3'),
        (2, '.0', 'Conv2d_0a_1x1'), (2, '.1', third), (3, '.1', 'Conv2d_0b_1x1')):
      rows.append(_normalized(f'{module}/Branch_{branch}/{name}',
                              f'inception{layer}.branch{branch + 1}{place}'))
  return [*rows, Row('Logits/Conv2d_0c_1x1', 'fc', kind='dense')]


def inception_v4() -> list[Row]:
  """Returns the rows of Inception v4, without the auxiliary head."""
  rows = [_normalized('Conv2d_1a_3x3', 'features.0'),
          _normalized('Conv2d_2a_3x3', 'features.1'),
          _normalized('Conv2d_2b_3x3', 'features.2'),
          _normalized('Mixed_3a/Branch_1/Conv2d_0a_3x3', 'features.3.conv'),
          *_branches('Mixed_4a', 'features.4', 'Conv2d_0a_1x1 Conv2d_1a_3x3',
                     'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1 Conv2d_1a_3x3'),
          _normalized('Mixed_5a/Branch_0/Conv2d_1a_3x3', 'features.5.conv')]
  for number, letter in enumerate('bcde', 6):
    rows += _branches(f'Mixed_5{letter}', f'features.{number}', 'Conv2d_0a_1x1',
                      'Conv2d_0a_1x1 Conv2d_0b_3x3', _DOUBLE, _POOLED)
  rows += _branches('Mixed_6a', 'features.10', 'Conv2d_1a_3x3',
                    'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_3x3')
  for number, letter in enumerate('bcdefgh', 11):
    rows += _branches(
        f'Mixed_6{letter}', f'features.{number}', 'Conv2d_0a_1x1',
        'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1',
        'Conv2d_0a_1x1 Conv2d_0b_7x1 Conv2d_0c_1x7 Conv2d_0d_7x1 Conv2d_0e_1x7',
        _POOLED)
  rows += _branches('Mixed_7a', 'features.18', 'Conv2d_0a_1x1 Conv2d_1a_3x3',
                    'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1 Conv2d_1a_3x3')
  # These branches end in two parallel layers.
  forked = {'Branch_0/Conv2d_0a_1x1': 'branch0', 'Branch_1/Conv2d_0a_1x1': 'branch1_0',
            'Branch_1/Conv2d_0b_1x3': 'branch1_1a',
            'Branch_1/Conv2d_0c_3x1': 'branch1_1b',
            'Branch_2/Conv2d_0a_1x1': 'branch2_0',
            'Branch_2/Conv2d_0b_3x1': 'branch2_1',
            'Branch_2/Conv2d_0c_1x3': 'branch2_2',
            'Branch_2/Conv2d_0d_1x3': 'branch2_3a',
            'Branch_2/Conv2d_0e_3x1': 'branch2_3b',
            'Branch_3/Conv2d_0b_1x1': 'branch3.1'}
  rows += [_normalized(f'Mixed_7{letter}/{scope}', f'features.{number}.{layer}')
           for number, letter in enumerate('bcd', 19)
           for scope, layer in forked.items()]
  return [*rows, Row('Logits/Logits', 'last_linear', kind='dense')]


def inception_resnet_v2() -> list[Row]:
  """Returns the rows of Inception-ResNet v2, without the auxiliary head."""
  rows = [_normalized(scope, scope.lower().rsplit('_', 1)[0]) for scope in (
      'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'Conv2d_3b_1x1',
      'Conv2d_4a_3x3', 'Conv2d_7b_1x1')]
  rows += _branches('Mixed_5b', 'mixed_5b', 'Conv2d_1x1',
                    'Conv2d_0a_1x1 Conv2d_0b_5x5', _DOUBLE, _POOLED)
  rows += _branches('Mixed_6a', 'mixed_6a', 'Conv2d_1a_3x3',
                    'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_3x3')
  rows += _branches('Mixed_7a', 'mixed_7a', 'Conv2d_0a_1x1 Conv2d_1a_3x3',
                    'Conv2d_0a_1x1 Conv2d_1a_3x3',
                    'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_3x3')
  blocks = [(f'Repeat{repeat}/{name}_{number + 1}', f'repeat{repeat}.{number}', inner)
            for repeat, name, count, inner in (
                ('', 'block35', 10, ('Conv2d_0a_1x1 Conv2d_0b_3x3', _DOUBLE)),
                ('_1', 'block17', 20, ('Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1',)),
                ('_2', 'block8', 9, ('Conv2d_0a_1x1 Conv2d_0b_1x3 Conv2d_0c_3x1',)))
            for number in range(count)]
  for scope, layer, inner in (*blocks, ('Block8', 'block8', blocks[-1][2])):
    rows += _branches(scope, layer, 'Conv2d_1x1', *inner)
    rows.append(Row(f'{scope}/Conv2d_1x1', f'{layer}.conv2d'))
  return [*rows, Row('Logits/Logits', 'classif', kind='dense')]
