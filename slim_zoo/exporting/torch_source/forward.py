"""Writes the statements of a module's `forward`."""

import dataclasses
import keyword
import re

from slim_zoo.exporting.torch_source import blocks
from slim_zoo.exporting.torch_source.blocks import Block, Item
from slim_zoo.exporting.torch_source.layers import BATCH_NORM
from slim_zoo.exporting.torch_source.steps import Step

_WIDTH = 88
_INPUTS = (
    'net', 'other', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth')
# Names that are taken: attributes of every module, and variables.
_TAKEN = {'training', 'forward', 'train', 'eval', 'half', 'float', 'double', 'type',
          'to', 'cpu', 'apply', 'children', 'modules', 'parameters', 'buffers',
          'compile', 'share_memory', 'self', 'net', 'torch', 'nn'}


def wrapped(line: str, indent: int, width: int = _WIDTH) -> list[str]:
  """Returns a line, broken where it is too long: at commas, or in parentheses.

  Args:
    line: of code.
    indent: of the lines that follow.
    width: of the lines.
  """
  lines = []
  while len(line) > width:
    place = line.rfind(', ', indent + 1, width) + 1 or (
        line.find('(', indent + 1) + 1)
    if not 0 < place < len(line):
      break
    lines.append(line[:place])
    line = ' ' * indent + line[place:].lstrip()
  return [*lines, line]


def attribute(path: tuple[str, ...], inside: Block) -> str:
  """Returns the name that a block has for the layer or block of a path."""
  parts = path[len(inside.scope):]
  # 'conv1/conv1_2' is conv1_2.
  parts = [part for part, below in zip(parts, (*parts[1:], ''), strict=True)
           if not below.startswith(f'{part}_')]
  name = re.sub(r'\W', '_', '_'.join(parts))
  if name[:1].isdigit():
    name = f'_{name}'
  return f'{name}_' if keyword.iskeyword(name) or name in _TAKEN else name


@dataclasses.dataclass(frozen=True)
class Forward:
  """The method of a module.

  Attributes:
    inputs: names of its arguments.
    statements: lines of code; the last one returns the value.
  """

  inputs: list[str]
  statements: list[str]


def write(block: Block) -> Forward:
  """Returns the method of a block that is not a sequence."""
  return _Writer(block).write()


class _Writer:
  """Writes one method.

  A variable is named after the scope that computes it. A value that is computed from it
  gets the same name if nothing else reads it, so a chain of layers has one name: `net`.
  A value that only the next statement reads is written inside of it, without a
  variable.
  """

  def __init__(self, block):
    self._block = block
    self._last_use = {}  # By step: the place of the last item that reads it.
    for place, item in enumerate(block.items):
      for source in item.inputs:
        self._last_use[source] = place
    self._last_use[block.output] = len(block.items)
    # By step: its variable, or its expression if it has none.
    self._names = dict(zip(block.inputs, _INPUTS, strict=False))
    self._expressions = {}
    # By step with an expression: the variables that nothing reads after it.
    self._freed = {}

  def write(self):
    """Returns the `Forward` of the block."""
    inputs, statements = [self._names[step] for step in self._block.inputs], []
    for place, item in enumerate(self._block.items):
      text, step = self._text(item), blocks.output_of(item)
      if step is self._block.output:
        statements.append(f'return {text}')
      elif self._is_part_of_next(place, step, text):
        self._expressions[step] = text
        self._freed[step] = self._free_after(item, place)
      else:
        name = self._name(item, place)
        self._names[step] = name
        statements.append(f'{name} = {text}')
    return Forward(inputs, [line for statement in statements
                            for line in wrapped(statement, 4, _WIDTH - 4)])

  def _text(self, item):
    """Returns the expression of an item."""
    if isinstance(item, Block):
      arguments = ', '.join(self._value(step, '({0})') for step in item.inputs)
      return f'self.{attribute(item.path, self._block)}({arguments})'
    text = item.template.replace(
        '{layer}', f'self.{attribute(item.path, self._block)}' if item.layer else '')
    return text.format(*(self._value(step, text) for step in item.inputs))

  def _value(self, step, template):
    """Returns a step's variable or expression, to be written into a template."""
    text = self._expressions.get(step)
    if text is None:
      return self._names[step]
    is_sum = isinstance(step, Step) and step.kind in ('sum', 'product')
    return f'({text})' if is_sum and '({0}' not in template else text

  def _is_part_of_next(self, place, step, text):
    """Returns whether a value has no variable: only the next statement reads it.

    That statement is an activation, batch norm or the like, which reads nothing else,
    and stays short. Parameters are always written where they are read.
    """
    if place + 1 == len(self._block.items) or self._last_use[step] != place + 1:
      return False
    reader = self._block.items[place + 1]
    if isinstance(step, Step) and step.template == '{layer}' and not step.inputs:
      return True
    return (isinstance(reader, Step) and reader.inputs == [step]
            and reader.template.count('{0}') == 1
            and (reader.layer is None or reader.layer.kind == BATCH_NORM)
            and not (self._block.items[place].inputs and 'pool' in reader.template)
            and len(text) + len(reader.template) < _WIDTH - 20)

  def _free_after(self, item: Item, place: int) -> list[str]:
    """Returns the variables whose values nothing reads after an item."""
    names = []
    for source in item.inputs:
      if source in self._expressions:
        names += self._freed[source]
      elif source in self._names and self._last_use[source] == place:
        names.append(self._names[source])
    return names

  def _name(self, item: Item, place: int) -> str:
    """Returns the name of the variable for a value."""
    free = self._free_after(item, place)
    if free:
      return 'net' if 'net' in free else free[0]
    live = {name for step, name in self._names.items()
            if self._last_use.get(step, -1) > place}
    return _unused(self._wanted_name(item), live)

  def _wanted_name(self, item):
    """Returns the name of a value that is computed beside another one.

    It is the scope inside of the block, or 'branch' for a value without a scope of its
    own that one layer reads.
    """
    path, step = item.path[len(self._block.scope):], blocks.output_of(item)
    name = path[0] if path else step.name
    last = self._last_use.get(step, 0)
    if len(path) < 2 and last < len(self._block.items) and (
        len(blocks.inputs_of(self._block.items[last])) == 1):
      name = 'branch'
    name = re.sub(r'\W', '_', name).lower()
    return f'{name}_' if keyword.iskeyword(name) or name in ('f', *_TAKEN) else name


def _unused(name, taken):
  """Returns a name that is not taken: the name itself, or with a number."""
  number, unused = 1, name
  while unused in taken:
    number += 1
    unused = f'{name}_{number}'
  return unused
