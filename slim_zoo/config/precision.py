"""The computation: in how many bits, by which compiler, in which layout."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.config.distribution import Distribution
from slim_zoo.config.options import Group, option


@dataclasses.dataclass(frozen=True)
class Precision(Group):
  """How networks are computed."""

  mixed_precision: str = option(
      'none', 'Compute the network in 16 bits. Variables, and with them checkpoints,'
      ' batch norm, the loss and updates stay float32. With float16 the loss is scaled.'
      ' It is tried first: training refuses a type in which the machine is far slower.',
      choices=('none', 'bfloat16', 'float16'))
  xla: bool = option(False, 'Let XLA compile what it can.')
  data_format: str = option(
      'NHWC', 'Whether the network has channels last or first. On CPUs only NASNet and'
      ' PNASNet compute channels first; on GPUs TensorFlow may choose that for networks'
      ' with channels last.', choices=('NHWC', 'NCHW'))

  @property
  def dtype(self) -> str:
    """The name of the type that networks compute in."""
    return 'float32' if self.mixed_precision == 'none' else self.mixed_precision

  @property
  def scales_loss(self) -> bool:
    """Whether the loss is scaled, as float16 needs it."""
    return self.mixed_precision == 'float16'

  def set_environment(self) -> None:
    """Sets the variables that TensorFlow reads when it is imported."""
    if self.xla:
      own = os.environ.get('TF_XLA_FLAGS', '')
      os.environ['TF_XLA_FLAGS'] = (
          f'--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit {own}')

  def check(self, distribution: Distribution) -> None:
    """Refuses options that make no sense.

    Args:
      distribution: the machines that compute.

    Raises:
      UserError: the first fault.
    """
    if self.xla and distribution.master:
      raise diagnostics.UserError(
          f'--xla with --master={distribution.master}: a server in another process'
          ' decides how it compiles; leave one of them out')
    for name in ('sync_replicas', 'num_ps_tasks'):
      if self.scales_loss and getattr(distribution, name):
        raise diagnostics.UserError(
            f'--mixed_precision=float16 with --{name}={getattr(distribution, name)}:'
            ' one loss scale cannot serve several workers; take'
            ' --mixed_precision=bfloat16, which needs none')

  def describe(self) -> list[str]:
    """Returns the lines of the banner."""
    lines = []
    if self.mixed_precision != 'none':
      scaled = ', the loss scaled' if self.scales_loss else ''
      lines.append(f'in {self.mixed_precision}{scaled}; variables, batch norm, loss and'
                   ' updates in float32')
    if self.xla:
      lines.append('compiled by XLA, which takes its time in the first steps')
    if self.data_format != 'NHWC':
      lines.append(f'images and features laid out as {self.data_format}')
    return lines
