"""Options of the computation: number type, compiler, order of the axes."""

import dataclasses
import os

from slim_zoo import diagnostics
from slim_zoo.config.distribution import Distribution
from slim_zoo.config.options import Group, option

# Values of the old option, and those of the new one.
_OLD_NAMES = {'none': 'float32'}


@dataclasses.dataclass(frozen=True)
class InferencePrecision(Group):
  """How a finished network is computed."""

  precision: str = option(
      'float32', 'Number type of convolutions and matrix products. bfloat16 is for'
      ' CPUs, float16 for GPUs. auto times float32 and bfloat16 and uses the faster'
      ' one; it uses float32 if the answers for the first images differ.',
      choices=('float32', 'bfloat16', 'float16', 'auto'))

  def check(self, master: str = '') -> None:
    """Refuses options that make no sense.

    Args:
      master: address of the server to run on; '': this process.

    Raises:
      UserError: the server decides in which type it computes.
    """
    if master and self.precision != 'float32':
      raise diagnostics.UserError(
          f'--precision={self.precision} with --master={master}: a server in another'
          ' process computes in float32; leave out one of them')


@dataclasses.dataclass(frozen=True)
class Precision(Group):
  """How networks are computed."""

  precision: str = option(
      'float32', 'Number type of convolutions and matrix products. Variables,'
      ' checkpoints, statistics of batch norm, the loss and updates stay float32. With'
      ' float16 the loss is scaled. If the machine is far slower in a type, the type is'
      ' refused. auto times float32 and bfloat16 before the first step and uses the'
      ' faster one.', choices=('float32', 'bfloat16', 'float16', 'auto'))
  mixed_precision: str | None = option(
      None, 'The old name of --precision; none stands for float32.', str,
      choices=('none', 'bfloat16', 'float16'))
  xla: bool = option(
      False, "Compile the parts of a step that TensorFlow's compiler XLA supports.")
  data_format: str = option(
      'NHWC', 'Order of the axes in the network: channels last (NHWC) or first (NCHW).'
      ' Only NASNet and PNASNet are built with channels first. Other networks take NCHW'
      ' on some GPUs only, where TensorFlow changes the order.',
      choices=('NHWC', 'NCHW'))

  @property
  def wanted(self) -> str:
    """The precision that the user wants, by either option; it may be 'auto'."""
    if self.mixed_precision is None:
      return self.precision
    return _OLD_NAMES.get(self.mixed_precision, self.mixed_precision)

  @property
  def dtype(self) -> str:
    """The name of the type of the products; for auto 'float32'."""
    return 'float32' if self.wanted == 'auto' else self.wanted

  @property
  def scales_loss(self) -> bool:
    """Whether the loss is scaled, as float16 needs it."""
    return self.wanted == 'float16'

  def set_environment(self) -> None:
    """Sets the variables that TensorFlow reads when it is imported."""
    if self.xla:
      own = os.environ.get('TF_XLA_FLAGS', '')
      os.environ['TF_XLA_FLAGS'] = (
          f'--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit {own}')

  def check_names(self, user_options: frozenset[str]) -> None:
    """Refuses different values of the option and of its old name.

    Args:
      user_options: names of the options that the user set.

    Raises:
      UserError: they differ.
    """
    if {'precision', 'mixed_precision'} <= user_options and (
        self.wanted != self.precision):
      raise diagnostics.UserError(
          f'--precision={self.precision} and --mixed_precision={self.mixed_precision}'
          ' differ: --mixed_precision is the old name of --precision; leave it out')

  def check(self, distribution: Distribution) -> None:
    """Refuses options that make no sense.

    Args:
      distribution: the machines that compute.

    Raises:
      UserError: the first fault.
    """
    self._check_auto(distribution)
    if self.xla and distribution.master:
      raise diagnostics.UserError(
          f'--xla with --master={distribution.master}: a server in another process'
          ' decides by itself what it compiles; leave out one of them')
    for name in ('sync_replicas', 'num_ps_tasks'):
      if self.scales_loss and getattr(distribution, name):
        raise diagnostics.UserError(
            f'--precision=float16 with {distribution.given(name)}:'
            ' these workers cannot share one loss scale; use --precision=bfloat16,'
            ' which needs no scale')

  def _check_auto(self, distribution):
    if self.wanted != 'auto':
      return
    for name, usual in (('master', ''), ('num_ps_tasks', 0), ('worker_replicas', 1)):
      if getattr(distribution, name) != usual:
        raise diagnostics.UserError(
            f'--precision=auto with {distribution.given(name)}: auto times the steps of'
            ' one process; use --precision=float32 or --precision=bfloat16')

  def describe(self) -> list[str]:
    """Returns the lines of the banner."""
    lines = []
    if self.wanted not in ('float32', 'auto'):
      scaled = ', the loss scaled' if self.scales_loss else ''
      lines.append(f'in {self.wanted}{scaled}; variables, batch norm, loss and'
                   ' updates in float32')
    if self.xla:
      lines.append('compiled by XLA, which takes its time in the first steps')
    if self.data_format != 'NHWC':
      lines.append(f'images and features laid out as {self.data_format}')
    return lines
