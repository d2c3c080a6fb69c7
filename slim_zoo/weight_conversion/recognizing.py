"""Finds the network of a file of Keras or PyTorch by the shapes of its tensors.

The names of layers do not count: files of Keras do not always have them. Tensors whose
shape depends on the number of classes or on the channels of the images do not count
either.
"""

import collections
import math

import numpy as np

from slim_zoo import diagnostics
from slim_zoo.weight_conversion import framework_process, layers, pairs

# Numbers that no network has as a number of channels.
_CLASSES, _CHANNELS = 7919, 7907
# The largest share of tensors that are missing or too many: layers of the head, and
# other layers behind the network. A wrong network is refused later, by its layers.
_LARGEST_DIFFERENCE = 0.35
_MOST_NAMED = 3

Shapes = collections.Counter[tuple[int, ...]]


def find(path: str, framework: str, python: str = '') -> pairs.Pair:
  """Returns the pair of networks of a file.

  Args:
    path: the file.
    framework: 'keras' or 'pytorch'.
    python: an interpreter that has the framework; '' for this one.

  Raises:
    UserError: the file cannot be read, or is of no network with a pair.
  """
  there = collections.Counter(
      framework_process.shapes(layers.FRAMEWORKS[framework], path, python))
  ranked = sorted(
      ((_difference(pair, there), pair) for pair in pairs.PAIRS
       if pair.framework.name == framework),
      # Of two networks of this project that fit, the one that computes the same.
      key=lambda item: (item[0], item[1].needs_training))
  difference, pair = ranked[0]
  if difference <= _LARGEST_DIFFERENCE:
    return pair
  nearest = ', '.join(pair.model_name for _, pair in ranked[:_MOST_NAMED])
  raise diagnostics.UserError(
      f"the network of '{path}' is unknown: it has {there.total()} tensors, and no"
      f' network of slim-zoo convert-weights --list has such shapes (the nearest are'
      f' {nearest}); name it with --model_name')


def _difference(pair: pairs.Pair, there: Shapes) -> float:
  """Returns the number of tensors missing or too many, relative to those of a pair."""
  needed, optional = _shapes(pair)
  missing, more = needed - there, there - needed - optional
  return (missing.total() + more.total()) / needed.total()


def _shapes(pair: pairs.Pair) -> tuple[Shapes, Shapes]:
  """Returns the required and the optional shapes of a framework's network."""
  needed, optional = collections.Counter(), collections.Counter()
  known = pair.shapes(_CLASSES, _CHANNELS)
  for row in pair.rows():
    if row.kind != 'norm':
      # An array without memory of its own: only its shape is read.
      kernel = np.broadcast_to(np.float32(0), known[row.kernel])
      needed[pair.framework.layouts[row.kind].from_slim(kernel).shape] += 1
      bias = known.get(f'{row.scope}/biases')
      if bias:
        needed[bias] += 1
      elif row.norm:
        optional[_channels(row, known)] += 1
    if row.norm:
      norm = known[f'{row.norm_scope}/beta']
      needed[norm] += len(pair.framework.norm) - 1
      (needed if f'{row.norm_scope}/gamma' in known else optional)[norm] += 1
  for shapes in (needed, optional):
    for shape in list(shapes):
      if any(size % number == 0 for size in shape for number in (_CLASSES, _CHANNELS)):
        del shapes[shape]
  return needed, optional


def _channels(row, known):
  shape = known[row.kernel]
  return (math.prod(shape[2:]) if row.kind == 'depthwise' else shape[-1],)
