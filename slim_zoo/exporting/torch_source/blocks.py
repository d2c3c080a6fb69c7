"""Groups the steps of a network by their scopes into blocks, which become modules.

A scope becomes a module if steps run side by side in it, as in a residual unit, or if
other scopes are like it. The steps of other scopes are part of the module around them.
A chain is a scope whose items read one value each, that of the item before.
"""

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Union

from slim_zoo.exporting.torch_source.steps import Step

# A module has at least so many layers.
_LEAST_LAYERS = 2
# A module whose steps follow one another has at least so many.
_LEAST_LAYERS_OF_CHAIN = 3
# A scope with this share of all steps is the network's own.
_SHARE_OF_NETWORK = 0.8


@dataclasses.dataclass(eq=False)
class Block:
  """A scope that becomes a module.

  Attributes:
    path: of the module in the network.
    scope: that of its items; longer than `path` if the scope `path` has only one block.
    items: its steps and blocks, each after its inputs.
    inputs: the steps outside that it reads.
    output: the step inside that others read.
    is_sequence: whether the items are blocks, each of which reads the one before.
  """

  path: tuple[str, ...]
  scope: tuple[str, ...]
  items: list[Union[Step, 'Block']]
  inputs: list[Step]
  output: Step
  is_sequence: bool = False


Item = Step | Block


def output_of(item: Item) -> Step:
  """Returns the step whose value an item gives."""
  return item.output if isinstance(item, Block) else item


def inputs_of(item: Item) -> list[Step]:
  """Returns the steps that an item reads, each once."""
  return list(dict.fromkeys(item.inputs))


def in_order(logits: Step) -> list[Step]:
  """Returns all steps that the logits need, each after its inputs."""
  done, order, waiting = set(), [], [logits]
  while waiting:
    step = waiting[-1]
    missing = [other for other in step.inputs if other not in done]
    if missing:
      waiting.extend(reversed(missing))
      continue
    waiting.pop()
    if step not in done:
      done.add(step)
      order.append(step)
  return order


def network(images: Step, logits: Step, name: str) -> Block:
  """Returns the block of a whole network.

  Args:
    images: the step of its images.
    logits: of its logits.
    name: of the network.
  """
  steps = [step for step in in_order(logits) if step is not images]
  _shorten(steps)
  items = _Grouping(steps, logits).items((), steps)
  return Block((name,), (), items, [images], logits)


def _shorten(steps):
  """Removes the network's own scope from the paths; some networks have it twice."""
  counted = collections.Counter(step.path[0] for step in steps if step.path)
  ((scope, count),) = counted.most_common(1) or [('', 0)]
  if count < _SHARE_OF_NETWORK * len(steps):
    return
  for step in steps:
    for _ in range(2):
      if step.path[:1] == (scope,) and (len(step.path) > 1 or step.layer is None):
        step.path = step.path[1:]


class _Grouping:
  """Groups the steps of one network."""

  def __init__(self, steps, logits):
    self._place = {step: number for number, step in enumerate(steps)}
    # By step: the steps that read it; None reads the logits.
    self._readers = collections.defaultdict(set)
    for step in steps:
      for source in step.inputs:
        self._readers[source].add(step)
    self._readers[logits].add(None)
    # How many scopes have a signature.
    self._num_alike = collections.Counter()
    for path in {step.path[:length] for step in steps
                 for length in range(1, len(step.path) + 1)}:
      self._num_alike[_signature(path, steps)] += 1

  def items(self, path: tuple[str, ...], steps: Sequence[Step]) -> list[Item]:
    """Returns the blocks and steps of the scope `path`, which has these steps."""
    below = collections.defaultdict(list)
    for step in steps:
      if len(step.path) > len(path):
        below[step.path[len(path)]].append(step)
    inside = set().union(*below.values())
    # What is an item here in any case, and (block, its items, its steps) of each chain,
    # of which it is still open whether it becomes a block.
    decided = [step for step in steps if step not in inside]
    chains = []
    for name, part in below.items():
      items = self.items((*path, name), part)
      block = self._block((*path, name), items, part)
      if block is None:
        decided.extend(items)
      elif block.is_sequence or not self._is_chain(block.items):
        decided.append(block)
      else:
        chains.append((block, items, part))
    return self._with_chains(decided, chains)

  def _with_chains(self, decided, chains):
    """Adds chains: as blocks if they are repeated parts of a chain, else their items.

    Chains that are branches side by side do not become blocks.
    """
    grouped = self._sorted([*decided, *(block for block, *_ in chains)])
    if self._is_chain(grouped):
      decided += [block for block, _, part in chains if self._is_repeated(block, part)]
      chains = [chain for chain in chains if chain[0] not in decided]
    return self._sorted([*decided, *(item for _, items, _ in chains for item in items)])

  def _is_repeated(self, block, part):
    layers = sum(step.layer is not None for step in part)
    return layers >= _LEAST_LAYERS_OF_CHAIN and (
        self._num_alike[_signature(block.path, part)] > 1)

  def _sorted(self, items):
    return sorted(items, key=lambda item: self._place[output_of(item)])

  def _block(self, path, items, steps):
    """Returns the block of a scope, or None if it cannot or need not be one."""
    if len(items) == 1 and isinstance(items[0], Block):
      return dataclasses.replace(items[0], path=path)
    inside = set(steps)
    outputs = [step for step in steps if self._readers[step] - inside]
    inputs = list(dict.fromkeys(
        source for step in steps for source in step.inputs if source not in inside))
    if len(outputs) != 1 or not inputs or (
        sum(step.layer is not None for step in steps) < _LEAST_LAYERS):
      return None
    # Its inputs must not depend on its output.
    if max(self._place.get(source, -1) for source in inputs) > self._place[outputs[0]]:
      return None
    is_sequence = (all(isinstance(item, Block) for item in items)
                   and self._is_chain(items))
    return Block(path, path, items, inputs, outputs[0], is_sequence)

  def _is_chain(self, items: Iterable[Item]) -> bool:
    """Returns whether each item reads one value, that of the item before it."""
    before = None
    for item in items:
      inputs = inputs_of(item)
      if len(inputs) != 1 or (before is not None and inputs != [before]):
        return False
      if before is not None and len(self._readers[before]) > 1 and not isinstance(
          item, Block):
        return False
      before = output_of(item)
    return True


def _signature(path, steps):
  """Returns a key that is equal for scopes with the same steps and kinds of layers."""
  inside = [step for step in steps if step.path[:len(path)] == path]
  return tuple((step.path[len(path):], step.template, step.layer and step.layer.kind)
               for step in inside)
