"""The variables of every network: variables.json, without TensorFlow.

Checkpoints are recognized by them. Building all networks takes minutes, so the
variables are stored. `slim-zoo networks --measure` writes the file, and a test builds
the networks again.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.files import atomic

PATH = pathlib.Path(__file__).with_name('variables.json')

# In a shape, a dimension that depends on the data: 'classes', 'channels', or a multiple
# such as '8*channels' after a depthwise convolution of the image.
CLASSES, CHANNELS = 'classes', 'channels'

Shape = tuple[int | str, ...]


@dataclasses.dataclass(frozen=True)
class Variables:
  """The variables of a network as training creates them, auxiliary heads included.

  Attributes:
    shapes: by name; a dimension is a number, 'classes', 'channels' or a multiple of
      them such as '8*channels'.
    depth_multiplier: the width, if the network's function has this argument; else None.
  """

  shapes: Mapping[str, Shape]
  depth_multiplier: float | None = None


def load(path: os.PathLike = PATH) -> dict[str, Variables]:
  """Returns the stored variables by network name, for networks in the table.

  Raises:
    UserError: the file is damaged.
    OSError: it cannot be read.
  """
  try:
    with open(path, encoding='utf-8') as file:
      stored = json.load(file)
    return {name: Variables(dict(_leaves(stored['scopes'], value['scope'])),
                            value['depth_multiplier'])
            for name, value in stored['networks'].items() if name in networks.NETWORKS}
  except FileNotFoundError:
    return {}
  except (ValueError, LookupError, TypeError, AttributeError) as error:
    raise diagnostics.UserError(
        f"'{path}' is damaged ({error!r}): remove it and write it again with"
        ' slim-zoo networks --measure') from error


def save(variables: Mapping[str, Variables], path: os.PathLike = PATH) -> None:
  """Writes the variables of networks, one network per line, in the table's order.

  Scopes with equal content, such as the units of a residual block, are written once;
  the full names and shapes would be ten times as long.

  Raises:
    OSError: the file cannot be written.
  """
  numbers = {}  # The number of each scope, by its JSON text.
  lines = []
  for name in networks.NETWORKS:
    if name in variables:
      value = {'scope': _number(_tree(variables[name].shapes), numbers),
               'depth_multiplier': variables[name].depth_multiplier}
      lines.append(f'  {json.dumps(name)}: {json.dumps(value)}')
  atomic.write_text(path, '{"networks": {\n' + ',\n'.join(lines)
                    + '\n},\n"scopes": [\n' + ',\n'.join(numbers) + '\n]}\n')


def _tree(shapes):
  """Returns {'a/b': shape} as {'a': {'b': shape}}."""
  root = {}
  for name, shape in shapes.items():
    *scopes, leaf = name.split('/')
    node = root
    for scope in scopes:
      node = node.setdefault(scope, {})
    node[leaf] = list(shape)
  return root


def _number(node, numbers):
  """Returns the number of a scope; a new one is added to `numbers`."""
  text = json.dumps({
      name: _number(inside, numbers) if isinstance(inside, dict) else inside
      for name, inside in node.items()}, separators=(',', ':'))
  return numbers.setdefault(text, len(numbers))


def _leaves(scopes, number, prefix=''):
  """Yields the (name, shape) pairs below the scope of a number."""
  for name, inside in scopes[number].items():
    if isinstance(inside, list):
      yield prefix + name, tuple(inside)
    else:
      yield from _leaves(scopes, inside, f'{prefix}{name}/')
