"""Writes the classes of a network: one for all blocks that differ only in numbers.

A block has members: attributes that its constructor makes. A slot is a place for a
value in the constructor: (name of a member, argument of the member's constructor), such
as ('conv1', 'outputs'). If a slot has the same value in all blocks of a class, the
class has this value; otherwise it has an argument for it.
"""

import collections
import dataclasses
import itertools
import re

from slim_zoo.exporting.torch_source import forward
from slim_zoo.exporting.torch_source.blocks import Block
from slim_zoo.exporting.torch_source.layers import (
  BATCH_NORM,
  CONVOLUTION,
  EPSILON,
  SAME_CONVOLUTION,
  WITH_NORM,
)
from slim_zoo.exporting.torch_source.steps import Array, Layer

_DEFAULTS = {'stride': 1, 'padding': 0, 'dilation': 1, 'groups': 1, 'bias': True,
             'eps': EPSILON}
_POSITIONAL = ('inputs', 'outputs', 'kernel_size', 'shape')


@dataclasses.dataclass(eq=False)
class Member:
  """A named part of a block: a layer, a block, or a sequence of blocks.

  Attributes:
    name: of the attribute.
    layer: the layer; None for blocks and sequences.
    block: the block; None for layers and sequences.
    parts: those of a sequence; [] for layers and blocks.
  """

  name: str
  layer: Layer | None = None
  block: Block | None = None
  parts: list['Member'] = dataclasses.field(default_factory=list)

  def key(self, keys) -> tuple:
    """Returns a key that is equal for equal members; `keys` are those of blocks."""
    if self.layer:
      return self.name, self.layer.kind
    return (self.name, *(part.key(keys) for part in self.parts)) if self.parts else (
        self.name, keys[self.block])

  def leaves(self, prefix: str = ''):
    """Yields (name, member) for each layer and block, also in sequences.

    The name begins with those of the sequences: 'block1_unit_2'.
    """
    for part in self.parts:
      yield from part.leaves(f'{prefix}{self.name}_')
    if not self.parts:
      yield prefix + self.name, self


class _ModuleClass:
  """A class, and its blocks.

  Attributes:
    method: its `forward.Forward`.
    name: of the class.
    blocks: those of the class.
    members: the members of each block.
    first_members: those of the first block.
    arguments: by name of an argument of the constructor, its value for each block.
    slots: the argument of this class that gives the value of a slot. Slots that have
      the same value in all blocks are not among them.
  """

  def __init__(self, method, members):
    self.method, self.name = method, ''
    self.blocks: list[Block] = []
    self.members: dict[Block, list[Member]] = {}
    self.first_members = members
    self.arguments: dict[str, list] = {}
    self.slots: dict[tuple[str, str], str] = {}


@dataclasses.dataclass(frozen=True)
class Source:
  """The classes of a network.

  Attributes:
    text: of all classes; the network's is the last one.
    name: that of the network.
    arrays: the tensors, by the names that the network has for them.
    epsilon: the default of convolutions with batch norm, added to variances.
  """

  text: str
  name: str
  arrays: dict[str, Array]
  epsilon: float


def write(network: Block, epsilon: float) -> Source:
  """Returns the source of a network."""
  return _Writer(network).write(epsilon)


class _Writer:
  """Writes the classes of one network, inner ones first."""

  def __init__(self, network):
    self._network = network
    # Blocks with equal keys have one class.
    self._keys: dict[Block, object] = {}
    self._classes: dict[object, _ModuleClass] = {}
    self._arrays: dict[str, Array] = {}

  def write(self, epsilon):
    self._collect(self._network, '')
    self._name_classes()
    for module in self._classes.values():
      self._find_arguments(module)
    texts = [self._text(module) for module in self._classes.values()]
    return Source('\n\n\n'.join(texts), self._class_of(self._network).name,
                  self._arrays, epsilon)

  def _class_of(self, block):
    return self._classes[self._keys[block]]

  # --- The class of each block.

  def _collect(self, block, prefix):
    """Finds the class of a block, after those of the blocks in it.

    Args:
      block: no sequence.
      prefix: of the names of its tensors, such as 'block1.unit_2.'.
    """
    members = self._members(block, prefix)
    method = forward.write(block)
    key = (tuple(method.inputs), tuple(method.statements),
           tuple(member.key(self._keys) for member in members))
    module = self._classes.setdefault(key, _ModuleClass(method, members))
    module.blocks.append(block)
    module.members[block] = members
    self._keys[block] = key

  def _members(self, block, prefix):
    """Returns the members of a block or sequence; notes their tensors."""
    members, seen = [], set()
    for item in block.items:
      if not isinstance(item, Block) and (item.layer is None or item.layer in seen):
        continue
      name = forward.attribute(item.path, block)
      if isinstance(item, Block):
        members.append(self._member_of_block(name, item, f'{prefix}{name}.'))
        continue
      seen.add(item.layer)
      members.append(Member(name, layer=item.layer))
      for array_name, array in item.layer.arrays.items():
        self._arrays[f'{prefix}{name}.{array_name}'.removesuffix('.')] = array
    return members

  def _member_of_block(self, name, block, prefix):
    if block.is_sequence:
      return Member(name, parts=self._members(block, prefix))
    self._collect(block, prefix)
    return Member(name, block=block)

  # --- Names.

  def _name_classes(self):
    taken = collections.Counter()
    for module in self._classes.values():
      scopes = sorted({(block.scope or block.path)[-1] for block in module.blocks})
      name = _common_beginning(scopes)
      if module.blocks != [self._network]:
        name = re.sub(r'_\d*$', '', name) or scopes[0]
      name = _class_name(name)
      taken[name] += 1
      module.name = name if taken[name] == 1 else f'{name}Variant{taken[name]}'

  # --- Arguments of the constructors.

  def _find_arguments(self, module):
    """Makes an argument of each slot whose value is not the same in all blocks.

    Slots that have equal values in each block have one argument.
    """
    values = collections.defaultdict(list)  # By slot: a value for each block.
    for block in module.blocks:
      for leaf, member in self._leaves(module.members[block]):
        for role, value in self._constructor_values(member).items():
          values[leaf, role].append(value)
    slots_of = {}  # By the values of all blocks, as text.
    for slot, own in values.items():
      texts = tuple(map(repr, own))
      if len(set(texts)) > 1:
        slots_of.setdefault(texts, []).append(slot)
    for slots in slots_of.values():
      name = self._argument_name(slots, list(values))
      while name in module.arguments:
        name += '_2'
      module.arguments[name] = values[slots[0]]
      module.slots.update((slot, name) for slot in slots)

  def _argument_name(self, slots, all_slots):
    """Returns a name for the argument of some slots, which have equal values.

    The class reads `inputs` channels in its first layer, and gives `outputs` channels
    in its last one.
    """
    first = next((slot for slot in all_slots if slot[1] == 'inputs'), None)
    last = next((slot for slot in reversed(all_slots) if slot[1] == 'outputs'), None)
    if first in slots:
      return 'channels' if last in slots else 'inputs'
    if last in slots:
      return 'outputs'
    leaf, role = slots[0]
    if role == 'outputs':
      # The number of a layer's channels.
      return leaf.lower()
    return role if len([slot for slot in all_slots if slot[1] == role]) == 1 else (
        f'{leaf}_{role}'.lower())

  def _leaves(self, members):
    for member in members:
      yield from member.leaves()

  def _constructor_values(self, member):
    """Returns the values that a member's constructor gets, by argument."""
    if member.layer:
      return member.layer.arguments
    module = self._class_of(member.block)
    place = module.blocks.index(member.block)
    return {name: values[place] for name, values in module.arguments.items()}

  # --- Text.

  def _text(self, module):
    arguments = ''.join(f', {name}' for name in module.arguments)
    lines = [f'class {module.name}(nn.Module):',
             f'  """{self._description(module)}"""', '']
    lines += forward.wrapped(f'  def __init__(self{arguments}):', 15)
    lines.append('    super().__init__()')
    for member in module.first_members:
      lines += self._assignment(module, member)
    lines.append('')
    if module.blocks == [self._network]:
      lines += ['  def forward(self, images):',
                '    """Returns logits, float32 [batch, classes]; see `scaled`."""',
                '    net = scaled(images)']
    else:
      lines.append(f"  def forward(self, {', '.join(module.method.inputs)}):")
    lines += [f'    {line}' for line in module.method.statements]
    return '\n'.join(lines)

  def _description(self, module):
    if module.blocks == [self._network]:
      return 'The network.'
    others = len(module.blocks) - 1
    return '/'.join(module.blocks[0].scope) + (
        f' and {others} more like it.' if others else '.')

  def _assignment(self, module, member):
    """Returns the lines that make a member."""
    if not member.parts:
      return forward.wrapped(
          f'    self.{member.name} = {self._call(module, member, member.name)}', 8)
    lines = [f'    self.{member.name} = nn.Sequential(OrderedDict(']
    for part in member.parts:
      call = self._call(module, part, f'{member.name}_{part.name}')
      lines += forward.wrapped(f'        {part.name}={call},', 12)
    lines[-1] = lines[-1][:-1] + '))'
    return lines

  def _call(self, module, member, leaf):
    """Returns the call that makes a member; `leaf` is its name in slots."""
    if member.parts:
      parts = ', '.join(
          f"{part.name}={self._call(module, part, f'{leaf}_{part.name}')}"
          for part in member.parts)
      return f'nn.Sequential(OrderedDict({parts}))'
    values = {role: module.slots.get((leaf, role), value)
              for role, value in self._constructor_values(member).items()}
    if member.layer is None:
      name = self._class_of(member.block).name
      return f"{name}({', '.join(f'{role}={value}' for role, value in values.items())})"
    if member.layer.kind == 'nn.Parameter':
      return f"nn.Parameter(torch.zeros({values['shape']}))"
    written = [str(value) if role in _POSITIONAL else f'{role}={value}'
               for role, value in values.items()
               if role not in _DEFAULTS or value != _DEFAULTS[role]
               or (role == 'eps' and member.layer.kind != BATCH_NORM)]
    return f"{member.layer.kind}({', '.join(written)})"


def _common_beginning(names):
  alike = itertools.takewhile(
      lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
  return ''.join(letters[0] for letters in alike)


def _class_name(scope):
  """Returns a scope as the name of a class: 'resnet_v1_50' is ResnetV1_50."""
  name = ''
  for part in re.split(r'\W|_', scope):
    name += ('_' if name[-1:].isdigit() and part[:1].isdigit() else '') + (
        part[:1].upper() + part[1:])
  return f'Network{name}' if name[:1].isdigit() else name


def without_common_epsilon(layers: list[Layer]) -> float:
  """Returns the most frequent epsilon of convolutions with batch norm.

  It is removed from the arguments of these layers, and becomes the default.
  """
  epsilons = [layer.arguments for layer in layers if layer.kind in WITH_NORM.values()]
  if not epsilons:
    return EPSILON
  ((common, _),) = collections.Counter(
      arguments['eps'] for arguments in epsilons).most_common(1)
  for arguments in epsilons:
    if arguments['eps'] == common:
      del arguments['eps']
  return common


def use_plain_convolutions(layers: list[Layer]) -> None:
  """Writes padding as numbers, if it depends on the image size in no layer."""
  plain = {SAME_CONVOLUTION: CONVOLUTION,
           WITH_NORM[SAME_CONVOLUTION]: WITH_NORM[CONVOLUTION]}
  same = [layer.arguments for layer in layers if layer.kind in plain]
  pairs = lambda value: value if isinstance(value, tuple) else (value, value)
  lengths = [[(size - 1) * by for size, by in zip(
      pairs(one['kernel_size']), pairs(one['dilation']), strict=True)] for one in same]
  if any(one['stride'] != 1 for one in same) or any(
      length % 2 for one in lengths for length in one):
    return
  for one, (height, width) in zip(same, lengths, strict=True):
    one['padding'] = height // 2 if height == width else (height // 2, width // 2)
  for layer in layers:
    layer.kind = plain.get(layer.kind, layer.kind)
