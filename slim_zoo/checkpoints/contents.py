"""Classifies the names in a checkpoint: weights, and values that training stores."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

from slim_zoo.checkpoints import quantization

AVERAGE = 'ExponentialMovingAverage'
STEP = 'global_step'

# The names of optimizer slots, below the name of their weight. A second and a third
# slot end in _1 and _2.
_SLOTS = ('Adadelta', 'Adagrad', 'Adam', 'Ftrl', 'Momentum', 'RMSProp')
_SECOND = re.compile(r'_\d+$')
# Values of an optimizer as a whole, such as beta1_power.
_POWER = re.compile(r'(^|/)beta\d_power(_\d+)?$')
# The scope of layers that only distillation needs, see `training.distillation`.
DISTILLATION = 'distillation'
# Values of the run: the loss scale of float16, see `training.updates.loss_scaling`.
_OF_THE_RUN = ('loss_scaling/', f'{DISTILLATION}/')
# Values of batch norm's averages with correction of their start at zero.
_CORRECTIONS = ('biased', 'local_step')


@dataclasses.dataclass(frozen=True)
class Contents:
  """The names in a checkpoint by kind.

  Attributes:
    weights: the shape of each variable of the network, including batch norm's
      statistics and variables with only a moving average.
    averages: the weights with a moving average (EMA).
    only_averages: those of them that are not in the checkpoint themselves.
    slots: the weights that have a slot, by the slot's name, such as 'Momentum' or
      'Adam_1'.
    others: other names, such as global_step, beta1_power, loss_scaling/scale, layers of
      distillation and the ranges of a quantized network.
  """

  weights: dict[str, tuple[int, ...]]
  averages: frozenset[str]
  only_averages: frozenset[str]
  slots: dict[str, list[str]]
  others: list[str]

  @property
  def optimizers(self) -> list[str]:
    """The optimizers that wrote slots, by their values of --optimizer if possible."""
    return list(dict.fromkeys(_SECOND.sub('', slot).lower() for slot in self.slots))


def sort(shapes: Mapping[str, Sequence[int]]) -> Contents:
  """Classifies each name in a checkpoint.

  Below the name of a slim variable there are only values stored for it: slots of the
  same shape, and moving averages.

  Args:
    shapes: the shape of each variable in the checkpoint, by name.
  """
  weights, averages, others = {}, set(), []
  slots = collections.defaultdict(list)
  for name in sorted(shapes):
    shape = tuple(shapes[name])
    parent, _, child = name.rpartition('/')
    if any(quantization.is_range(part) or quantization.is_state(part)
           for part in (name, parent)) or name.startswith(_OF_THE_RUN):
      others.append(name)
    elif child == AVERAGE and parent:
      averages.add(parent)
    elif parent and _is_slot(child, shape, shapes.get(parent)):
      slots[child].append(parent)
    elif child == STEP or _POWER.search(name) or (
        child in _CORRECTIONS and parent in shapes):
      others.append(name)
    else:
      weights[name] = shape
  only = frozenset(name for name in averages if name not in weights)
  weights.update((name, tuple(shapes[f'{name}/{AVERAGE}'])) for name in only)
  return Contents(weights, frozenset(averages), only, dict(slots), others)


def _is_slot(child, shape, parent_shape):
  """Returns whether a name is a slot, by its last part and its parent's shape."""
  if child in _CORRECTIONS:
    return False
  if parent_shape is not None:
    return tuple(parent_shape) == shape
  # Slots of weights that are not in the checkpoint count too.
  return _SECOND.sub('', child) in _SLOTS
