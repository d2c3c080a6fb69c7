"""Tables of NASNet-A (Zoph et al. 2018, arXiv 1707.07012) for Keras and timm, and of
PNASNet-5 (Liu et al. 2018, arXiv 1712.00559) for timm.

One table of the parts of a cell has columns for slim, Keras and timm; timm's names are
similar to slim's.
"""

from collections.abc import Iterator
from typing import NamedTuple

from slim_zoo.weight_conversion.layers import Row

# The separable convolutions by kind of cell: block, side, kernel size, and Keras' name
# of the position.
_SEPARABLE = {
    'normal': ((0, 'left', 5, 'left1'), (0, 'right', 3, 'right1'),
               (1, 'left', 5, 'left2'), (1, 'right', 3, 'right2'),
               (4, 'left', 3, 'left5')),
    'reduction': ((0, 'left', 5, 'left1'), (0, 'right', 7, 'right1'),
                  (1, 'right', 7, 'right2'), (2, 'right', 5, 'right3'),
                  (4, 'left', 3, 'left4')),
}


class _Cell(NamedTuple):
  """A cell, and its adjustment of the output of the cell before the last.

  Attributes:
    scope: the scope in slim, and the name in timm.
    keras: suffix of its layers' names in Keras.
    kind: a key of `_SEPARABLE`.
    fit: 'paths' for another size, 'projection' for another depth, or 'none'.
  """

  scope: str
  keras: str
  kind: str
  fit: str


class _Part(NamedTuple):
  """A layer of a cell: the kind of its row, and its names."""

  kind: str
  slim: str
  keras: str
  timm: str


_FITS = {
    'none': (),
    'paths': (_Part('conv', 'path1_conv', 'adjust_conv_1', 'path_1.conv'),
              _Part('conv', 'path2_conv', 'adjust_conv_2', 'path_2.conv'),
              _Part('norm', 'final_path_bn', 'adjust_bn', 'final_path_bn')),
    'projection': (
        _Part('conv', 'prev_1x1', 'adjust_conv_projection', 'conv_prev_1x1.conv'),
        _Part('norm', 'prev_bn', 'adjust_bn', 'conv_prev_1x1.bn')),
}


def _parts(kind: str, fit: str) -> Iterator[_Part]:
  """Yields the layers of a cell."""
  yield from _FITS[fit]
  yield _Part('conv', '1x1', f'{kind}_conv_1', 'conv_1x1.conv')
  yield _Part('norm', 'beginning_bn', f'{kind}_bn_1', 'conv_1x1.bn')
  for block, side, size, position in _SEPARABLE[kind]:
    slim, timm = f'comb_iter_{block}/{side}', f'comb_iter_{block}_{side}'
    for layer in (1, 2):
      name = f'{size}x{size}_{layer}'
      for half, module in (('spatial', 'depthwise'), ('pointwise', 'pointwise')):
        yield _Part(half, f'{slim}/separable_{name}',
                    f'separable_conv_{layer}_{kind}_{position}',
                    f'{timm}.separable_{layer}.{module}_conv2d')
      yield _Part('norm', f'{slim}/bn_sep_{name}',
                  f'separable_conv_{layer}_bn_{kind}_{position}',
                  f'{timm}.bn_sep_{layer}')


def _cells(run: int) -> Iterator[_Cell]:
  """Yields the cells of a network with three runs of `run` normal cells."""
  yield _Cell('cell_stem_0', 'stem_1', 'reduction', 'none')
  yield _Cell('cell_stem_1', 'stem_2', 'reduction', 'paths')
  for number in range(3 * run):
    before = number // run
    if number and number % run == 0:
      yield _Cell(f'reduction_cell_{before - 1}', f'reduce_{number}', 'reduction',
                  'projection')
    # Keras counts the first reduction as a cell, but not the second.
    yield _Cell(f'cell_{number}', str(number + min(before, 1)), 'normal',
                'projection' if number % run else 'paths')


def _row(part: _Part, scope: str, layer: str) -> Row:
  return (Row(scope, '', layer, 'norm') if part.kind == 'norm' else
          Row(scope, layer, kind=part.kind))


def keras(run: int) -> list[Row]:
  """Returns the rows of Keras' NASNet with three runs of `run` normal cells."""
  return [Row('conv0', 'stem_conv1'), Row('conv0_bn', '', 'stem_bn1', 'norm'),
          *(_row(part, f'{cell.scope}/{part.slim}', f'{part.keras}_{cell.keras}')
            for cell in _cells(run) for part in _parts(cell.kind, cell.fit)),
          Row('final_layer/FC', 'predictions', kind='dense')]


def timm(run: int) -> list[Row]:
  """Returns the rows of timm's NASNet with three runs of `run` normal cells."""
  return [Row('conv0', 'conv0.conv'), Row('conv0_bn', '', 'conv0.bn', 'norm'),
          *(_row(part, f'{cell.scope}/{part.slim}', f'{cell.scope}.{part.timm}')
            for cell in _cells(run) for part in _parts(cell.kind, cell.fit)),
          Row('final_layer/FC', 'last_linear', kind='dense')]


# --- PNASNet.

_PNASNET_CELLS = ('cell_stem_0', 'cell_stem_1',
                  *(f'cell_{number}' for number in range(12)))
# Their left input has another size, and that of the other cells another depth.
_PNASNET_PATHS = ('cell_stem_1', 'cell_0', 'cell_5', 'cell_9')
# They halve the size, and have a convolution on the right side of the last block.
_PNASNET_REDUCTIONS = ('cell_stem_0', 'cell_stem_1', 'cell_4', 'cell_8')
_PNASNET_SEPARABLE = ((0, 'left', 5), (1, 'left', 7), (2, 'left', 5), (2, 'right', 3),
                      (3, 'left', 3), (4, 'left', 3))


def pnasnet_timm() -> list[Row]:
  """Returns the rows of timm's PNASNet-5 large."""
  rows = [Row('conv0', 'conv_0.conv'), Row('conv0_bn', '', 'conv_0.bn', 'norm')]
  for cell in _PNASNET_CELLS:
    if cell in _PNASNET_PATHS:
      before = f'{cell}.conv_prev_1x1'
      rows += [Row(f'{cell}/path1_conv', f'{before}.path_1.conv'),
               Row(f'{cell}/path2_conv', f'{before}.path_2.conv'),
               Row(f'{cell}/final_path_bn', '', f'{before}.final_path_bn', 'norm')]
    elif cell != 'cell_stem_0':
      rows += _convolution(cell, 'prev_1x1', 'prev_bn', 'conv_prev_1x1')
    rows += _convolution(cell, '1x1', 'beginning_bn', 'conv_1x1')
    for block, side, size in _PNASNET_SEPARABLE:
      rows += _separable(f'{cell}/comb_iter_{block}/{side}',
                         f'{cell}.comb_iter_{block}_{side}', size)
    pointwise = [4] if cell in _PNASNET_REDUCTIONS else []
    for block in [0, *pointwise] if cell == 'cell_stem_0' else pointwise:
      rows += _convolution(cell, f'comb_iter_{block}/right/1x1',
                           f'comb_iter_{block}/right/bn_1', f'comb_iter_{block}_right')
  return [*rows, Row('final_layer/FC', 'last_linear', kind='dense')]


def _convolution(cell, scope, norm_scope, module):
  return [Row(f'{cell}/{scope}', f'{cell}.{module}.conv'),
          Row(f'{cell}/{norm_scope}', '', f'{cell}.{module}.bn', 'norm')]


def _separable(scope, module, size):
  rows = []
  for layer in (1, 2):
    name = f'{size}x{size}_{layer}'
    for kind, half in (('spatial', 'depthwise'), ('pointwise', 'pointwise')):
      rows.append(Row(f'{scope}/separable_{name}',
                      f'{module}.separable_{layer}.{half}_conv2d', kind=kind))
    rows.append(Row(f'{scope}/bn_sep_{name}', '', f'{module}.bn_sep_{layer}', 'norm'))
  return rows
