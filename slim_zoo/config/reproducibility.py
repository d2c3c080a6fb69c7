"""Repeating a run: its seed, and bit for bit."""

import dataclasses

from slim_zoo import diagnostics
from slim_zoo.config.distribution import Distribution
from slim_zoo.config.options import Group, option
from slim_zoo.config.precision import Precision


@dataclasses.dataclass(frozen=True)
class Reproducibility(Group):
  """How exactly the same flags repeat a run."""

  seed: int | None = option(
      None, 'Makes the order of images, augmentation and initial weights repeatable; by'
      ' default each run draws its own, and keeps it in its run_card.json.', int,
      lower=-2**63, upper=2**63 - 1)
  deterministic: bool = option(
      False, 'Repeat a run bit for bit: the same seed, flags and machine give the same'
      ' losses and weights, interrupted or not. Measured on two CPU cores, a step takes'
      ' 1.1 (LeNet) to 1.6 times (a small MobileNet) as long; see docs/repeating.md.')

  def check(self, distribution: Distribution, precision: Precision) -> None:
    """Refuses options that make no sense.

    Args:
      distribution: the machines that train.
      precision: how the network is computed.

    Raises:
      UserError: the other options do not allow to repeat a run bit for bit.
    """
    if not self.deterministic:
      return
    if precision.wanted == 'auto':
      raise diagnostics.UserError(
          '--deterministic with --precision=auto: auto decides by times, which differ'
          ' from run to run; name --precision=float32 or --precision=bfloat16')
    if distribution.all_reduces:
      raise diagnostics.UserError(
          f'--deterministic with {distribution.worker_replicas} workers: the position'
          ' of each in the records is not kept; leave out the flag or the workers')
    for name, cause in (
        ('num_ps_tasks', 'the updates of several workers come in any order'),
        ('sync_replicas', 'the gradients of several workers come in any order'),
        ('master', 'a server in another process decides how it computes')):
      if getattr(distribution, name):
        raise diagnostics.UserError(
            f'--deterministic with {distribution.given(name)}: {cause}; leave one of'
            ' them out')
