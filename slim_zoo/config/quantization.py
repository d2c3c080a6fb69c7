"""Quantization-aware training: when rounding begins, and to how many bits."""

import dataclasses
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.config.distribution import Distribution
from slim_zoo.config.options import Group, option
from slim_zoo.config.precision import Precision


@dataclasses.dataclass(frozen=True)
class Quantization(Group):
  """Training of a network that will compute in 8 bits."""

  quantize_delay: int = option(
      -1, 'Number of steps before weights and activations are rounded, as an 8-bit'
      ' network rounds them. Their ranges are learned from the first step on. 0 rounds'
      ' from the first step on, -1 never rounds.', lower=-1)
  quantize_weight_bits: int = option(
      8, 'Number of bits of rounded weights.', lower=2, upper=16)
  quantize_activation_bits: int = option(
      8, 'Number of bits of rounded activations.', lower=2, upper=16)
  quantize_per_channel: bool = option(
      False, 'Give the weights of each output channel their own range, symmetric'
      ' about 0.')
  quantize_freeze_batch_norm_delay: int | None = option(
      None, 'Number of steps before batch norm is frozen: it then uses its moving'
      ' averages, as the 8-bit network does, and no longer changes them. By default it'
      ' is never frozen.', int, lower=0)

  @property
  def is_on(self) -> bool:
    """Whether the network is quantized."""
    return self.quantize_delay >= 0

  def network_options(self, is_training: bool, batches_of_step: int = 1
                      ) -> dict[str, Any]:
    """Returns the arguments of `nets_factory.get_network_fn`.

    Args:
      is_training: whether it is the network that trains.
      batches_of_step: of --accumulate_steps; the network counts batches, not steps.
    """
    if not self.is_on:
      return {}
    options = {'weight_bits': self.quantize_weight_bits,
               'activation_bits': self.quantize_activation_bits,
               'per_channel': self.quantize_per_channel}
    if not is_training:
      return {'quantize': True, 'quantize_options': options}
    freeze_delay = self.quantize_freeze_batch_norm_delay
    return {'quantize': True, 'quantize_delay': self.quantize_delay * batches_of_step,
            'quantize_options': options | {
                'batch_norm_freeze_delay': freeze_delay and (
                    freeze_delay * batches_of_step)}}

  def check(self, precision: Precision, distribution: Distribution,
            stochastic_depth: float = 0.0) -> None:
    """Refuses options that make no sense together.

    Args:
      precision: how networks are computed.
      distribution: the machines that compute.
      stochastic_depth: the drop rate of the last residual block.

    Raises:
      UserError: the first fault.
    """
    if not self.is_on:
      return
    # With auto, a quantized network computes in float32.
    for name, given, value in (('precision', precision.dtype, 'float32'),
                               ('data_format', precision.data_format, 'NHWC')):
      if given != value:
        raise diagnostics.UserError(
            f'--quantize_delay={self.quantize_delay} with --{name}={given}: a quantized'
            ' network computes in float32, with channels last; use'
            f' --{name}={value}')
    if stochastic_depth:
      raise diagnostics.UserError(
          f'--quantize_delay={self.quantize_delay} with'
          f' --stochastic_depth={stochastic_depth:g}: the ranges of an addition are'
          ' measured with all blocks; leave out one of them')
    if distribution.sync_batch_norm:
      raise diagnostics.UserError(
          f'--quantize_delay={self.quantize_delay} with --sync_batch_norm: batch norm'
          ' over all clones cannot be folded into the weights; leave out one of them')

  def without_effect(self) -> dict[str, str]:
    """Returns the cause for each option that changes nothing."""
    if self.is_on:
      return {}
    return dict.fromkeys(
        ('quantize_weight_bits', 'quantize_activation_bits', 'quantize_per_channel',
         'quantize_freeze_batch_norm_delay'), '--quantize_delay=-1')

  def describe(self) -> list[str]:
    """Returns the lines of the banner."""
    if not self.is_on:
      return []
    begins = (f'from step {self.quantize_delay} on' if self.quantize_delay
              else 'from the first step on')
    bits = f'{self.quantize_weight_bits} bits'
    if self.quantize_activation_bits != self.quantize_weight_bits:
      bits += f', activations to {self.quantize_activation_bits}'
    lines = [f'rounded to {bits} {begins}; an export to 8 bits uses the ranges that are'
             ' learned']
    if self.quantize_freeze_batch_norm_delay is not None:
      lines.append('batch norm is frozen after step'
                   f' {self.quantize_freeze_batch_norm_delay}')
    return lines
