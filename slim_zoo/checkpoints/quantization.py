"""The ranges in checkpoints of quantized networks. Needs no TensorFlow.

`nets.quantization.fake_quantization` describes the variables.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from slim_zoo import diagnostics
from slim_zoo.checkpoints import run_card

# Counts training steps if quantization starts later than the first step.
STEP = 'fake_quantization_step'
_RANGE = re.compile(
    r'(^|/)(weights|act|conv|add|post_activation_bypass|activation_\w+)_quant(_\d+)?/'
    r'(min|max)$')
_WEIGHTS = re.compile(r'(^|/)weights_quant(_\d+)?/(min|max)$')
# Values for the moving averages of ranges.
_STATE = re.compile(r'_quant(_\d+)?/.*_quant(_\d+)?/(min|max)/(biased|local_step)$')


@dataclasses.dataclass(frozen=True)
class Quantized:
  """How the network of a checkpoint is quantized.

  Attributes:
    num_ranges: number of tensors with a range.
    per_channel: whether the weights of each output channel have their own range.
    weight_bits: bits of weights from the run card; 8 without one.
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
  """Returns whether a variable is the minimum or maximum of a range."""
  return bool(_RANGE.search(name))


def is_range_of_weights(name: str) -> bool:
  """Returns whether a variable is the minimum or maximum of weights."""
  return bool(_WEIGHTS.search(name))


def is_state(name: str) -> bool:
  """Returns whether a variable of the quantization is needed only for training."""
  return name == STEP or bool(_STATE.search(name))


def is_sum(name: str) -> bool:
  """Returns whether a variable is the sum behind the moving average of a range."""
  return bool(_STATE.search(name)) and name.endswith('/biased')


def without_ranges(names: Iterable[str]) -> list[str]:
  """Returns the names without variables of the quantization."""
  return [name for name in names if not is_range(name) and not is_state(name)]


def find(shapes: Mapping[str, Sequence[int]],
         card: run_card.RunFacts | None = None) -> Quantized | None:
  """Returns how a network is quantized; None if its checkpoint has no ranges.

  Args:
    shapes: shapes of all variables in the checkpoint, by name.
    card: facts of its run; None without a run card.
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
           quantize: bool | None, path: str) -> Quantized | None:
  """Returns how a checkpoint is evaluated; None: without quantization.

  Args:
    shapes: shapes of all variables in the checkpoint, by name.
    card: facts of its run; None without a run card.
    quantize: the user's choice; None: quantized if the checkpoint is.
    path: path of the checkpoint.

  Raises:
    UserError: the choice is True, but the checkpoint has no ranges.
  """
  if quantize is False:
    return None
  quantized = find(shapes, card)
  if quantize and quantized is None:
    raise diagnostics.UserError(
        f"--quantize, but '{path}' has no ranges, such as .../act_quant/max: train"
        ' with --quantize_delay=0, or leave the flag out')
  return quantized


def note(shapes: Mapping[str, Sequence[int]], card: run_card.RunFacts | None = None,
         quantize: bool | None = None) -> str | None:
  """Returns a note on the use of a quantized checkpoint; None for others."""
  quantized = find(shapes, card)
  if quantized is None:
    return None
  if quantize is False:
    return f'the checkpoint is quantized ({quantized}); its ranges are not used'
  return f'the checkpoint is quantized: {quantized}'
