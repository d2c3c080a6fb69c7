"""The kinds of names in a checkpoint: weights, and the other values of training."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

from slim_zoo.checkpoints import quantization

AVERAGE = 'ExponentialMovingAverage'
STEP = 'global_step'

# The names that TensorFlow's optimizers give what they keep for a weight, below the
# weight's own name; a second and a third of it end in _1 and _2.
_SLOTS = ('Adadelta', 'Adagrad', 'Adam', 'Ftrl', 'Momentum', 'RMSProp')
_SECOND = re.compile(r'_\d+$')
# Of an optimizer as a whole, such as beta1_power.
_POWER = re.compile(r'(^|/)beta\d_power(_\d+)?$')
# Of the run: how the loss is scaled for float16, see `training.loss_scaling`.
_OF_THE_RUN = ('loss_scaling/',)
# Of batch norm's averages where they are corrected for their start at zero.
_CORRECTIONS = ('biased', 'local_step')


@dataclasses.dataclass(frozen=True)
class Contents:
  """The names in a checkpoint, by kind.

  Attributes:
    weights: the shape of each variable of the network, batch norm's statistics
      included. One of which only the moving average is kept counts too.
    averages: the weights of which there is a moving average (EMA).
    only_averages: those of them that are not in the checkpoint themselves.
    slots: what optimizers keep: the weights it is kept for, by its name, such as
      'Momentum' or 'Adam_1'.
    others: the rest, such as global_step, beta1_power, loss_scaling/scale and the
      ranges of a quantized network.
  """

  weights: dict[str, tuple[int, ...]]
  averages: frozenset[str]
  only_averages: frozenset[str]
  slots: dict[str, list[str]]
  others: list[str]

  @property
  def optimizers(self) -> list[str]:
    """The optimizers that wrote slots, as --optimizer calls them where it has them."""
    return list(dict.fromkeys(_SECOND.sub('', slot).lower() for slot in self.slots))


def sort(shapes: Mapping[str, Sequence[int]]) -> Contents:
  """Sorts the names in a checkpoint by kind.

  A variable of slim has nothing below its name but what was kept for it: slots, as
  large as it is, and moving averages.

  Args:
    shapes: the shape of each variable in the checkpoint, by name.
  """
  weights, averages, others = {}, set(), []
  slots = collections.defaultdict(list)
  for name in sorted(shapes):
    shape = tuple(shapes[name])
    parent, _, child = name.rpartition('/')
    if any(quantization.is_range(part) or quantization.is_state(part)
           for part in (name, parent)):
      others.append(name)
    elif child == AVERAGE and parent:
      averages.add(parent)
    elif parent and _is_slot(child, shape, shapes.get(parent)):
      slots[child].append(parent)
    elif child == STEP or name.startswith(_OF_THE_RUN) or _POWER.search(name) or (
        child in _CORRECTIONS and parent in shapes):
      others.append(name)
    else:
      weights[name] = shape
  only = frozenset(name for name in averages if name not in weights)
  weights.update((name, tuple(shapes[f'{name}/{AVERAGE}'])) for name in only)
  return Contents(weights, frozenset(averages), only, dict(slots), others)


def _is_slot(child, shape, of_parent):
  """Returns whether a name is a slot, given what it is called below which weight."""
  if child in _CORRECTIONS:
    return False
  if of_parent is not None:
    return tuple(of_parent) == shape
  # Also of weights that were left out of the checkpoint.
  return _SECOND.sub('', child) in _SLOTS
