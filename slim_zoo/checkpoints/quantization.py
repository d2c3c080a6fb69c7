"""What a checkpoint of a quantized network keeps beside the weights; no TensorFlow.

`nets.quantization.fake_quantization` describes the variables.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.checkpoints import run_card

# How many training steps there were, where rounding begins later.
STEP = 'fake_quantization_step'
_RANGE = re.compile(
    r'(^|/)(weights|act|conv|add|post_activation_bypass|activation_\w+)_quant(_\d+)?/'
    r'(min|max)$')
_WEIGHTS = re.compile(r'(^|/)weights_quant(_\d+)?/(min|max)$')
# What the moving averages of ranges are computed from.
_STATE = re.compile(r'_quant(_\d+)?/.*_quant(_\d+)?/(min|max)/(biased|local_step)$')


@dataclasses.dataclass(frozen=True)
class Quantized:
  """How the network of a checkpoint is quantized.

  Attributes:
    num_ranges: how many tensors have a range.
    per_channel: whether each output channel of a layer has a range for its weights.
    weight_bits: bits of weights, by the run card; 8 without one.
    activation_bits: bits of activations, likewise.
  """

  num_ranges: int
  per_channel: bool = False
  weight_bits: int = 8
  activation_bits: int = 8

  @property
  def options(self) -> dict[str, object]:
    """The `quantize_options` of `nets_factory.get_network_fn`."""
    return {'per_channel': self.per_channel, 'weight_bits': self.weight_bits,
            'activation_bits': self.activation_bits}

  def __str__(self):
    bits = (f'{self.weight_bits} bits' if self.weight_bits == self.activation_bits else
            f'{self.weight_bits} bits for weights and {self.activation_bits} for'
            ' activations')
    channels = ', weights by channel' if self.per_channel else ''
    return f'{bits}{channels}, {self.num_ranges} ranges'


def network_options(quantized: Quantized | None) -> dict[str, object]:
  """Returns the arguments of `nets_factory.get_network_fn`."""
  return {} if quantized is None else {
      'quantize': True, 'quantize_options': quantized.options}


def is_range(name: str) -> bool:
  """Returns whether a variable is one end of a range."""
  return bool(_RANGE.search(name))


def is_state(name: str) -> bool:
  """Returns whether only training needs a variable of the quantization."""
  return name == STEP or bool(_STATE.search(name))


def without_ranges(names: Iterable[str]) -> list[str]:
  """Returns the names that are not of the quantization."""
  return [name for name in names if not is_range(name) and not is_state(name)]


def find(shapes: Mapping[str, Sequence[int]],
         card: run_card.RunFacts | None = None) -> Quantized | None:
  """Returns how a network is quantized; None if its checkpoint has no ranges.

  Args:
    shapes: of all variables in the checkpoint, by name.
    card: of its run; None without a run card.
  """
  weights = [name for name in shapes if _WEIGHTS.search(name)]
  if not weights:
    return None
  ranges = sum(is_range(name) and name.endswith('/min') for name in shapes)
  per_channel = any(len(shapes[name]) for name in weights)
  if card is None:
    return Quantized(ranges, per_channel)
  return Quantized(ranges, per_channel, card.weight_bits, card.activation_bits)


def choose(shapes: Mapping[str, Sequence[int]], card: run_card.RunFacts | None,
           wanted: bool | None, path: str) -> Quantized | None:
  """Returns how a checkpoint is evaluated; None: without quantization.

  Args:
    shapes: of all variables in the checkpoint, by name.
    card: of its run; None without a run card.
    wanted: what the user says; None: quantized if the checkpoint is.
    path: of the checkpoint.

  Raises:
    UserError: quantization is wanted of a checkpoint without ranges.
  """
  if wanted is False:
    return None
  stored = find(shapes, card)
  if wanted and stored is None:
    raise diagnostics.UserError(
        f"--quantize, but '{path}' keeps no ranges, such as .../act_quant/max: train"
        ' with --quantize_delay=0, or leave the flag out')
  return stored


def note(shapes: Mapping[str, Sequence[int]], card: run_card.RunFacts | None = None,
         wanted: bool | None = None) -> str | None:
  """Returns a line that says how a quantized checkpoint is used; None for others."""
  stored = find(shapes, card)
  if stored is None:
    return None
  if wanted is False:
    return f'the checkpoint is quantized ({stored}); its ranges are not used'
  return f'the checkpoint is quantized: {stored}'
