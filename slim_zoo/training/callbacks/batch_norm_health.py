"""Whether the statistics of batch norm are fit for evaluation.

In training batch norm uses the statistics of each batch, in evaluation their moving
averages. Without a checkpoint these begin at 0 and 1, and of that beginning they still
hold decay^steps after so many steps. With slow decays and short runs a
network that trains well evaluates at chance.
"""

import math
from collections.abc import Mapping

# Below this share the beginning matters little.
_HARMLESS = 0.1
# In accuracy; smaller gaps are noise, or what evaluation really costs.
_GAP = 0.1
_FEWEST_MISSED = 5
_CURE = ('slim-zoo eval --recalibrate_batch_norm estimates them anew for a checkpoint')


def share_left(decay: float, steps: int) -> float:
  """Returns how much of their beginning moving averages still hold after steps."""
  return decay ** steps


def steps_until_settled(decay: float) -> float:
  """Returns after how many steps little of the beginning is left; inf for 1."""
  if decay <= 0:
    return 1
  return math.inf if decay >= 1 else math.ceil(math.log(_HARMLESS) / math.log(decay))


def stale(decays: Mapping[str, float], step: int) -> str | None:
  """Says what is wrong with statistics after `step` steps, and what to do; or None.

  Args:
    decays: of each layer whose statistics began at 0 and 1, see
      `nets.normalization.decays`. Those of a checkpoint are no initial values.
    step: the steps since they began.
  """
  slowest = max(decays.values(), default=0)
  left = share_left(slowest, step)
  if left <= _HARMLESS:
    return None
  settled = steps_until_settled(slowest)
  until = ('to the end' if math.isinf(settled) else f'until about step {settled:,}')
  return (f'after {step:,} steps with decay {slowest:g} the statistics of batch norm'
          f' still hold {left:.0%} of what they began with: evaluation may look bad'
          f' {until}; {_CURE}')


def gap(train_mode: int, eval_mode: int, images: int, is_stale: bool) -> str | None:
  """Says what it means that evaluation does worse on the same images; or None.

  Args:
    train_mode: how many were right with the statistics of their batches.
    eval_mode: how many with the moving averages.
    images: how many there were.
    is_stale: whether the averages are known to be stale, see `stale`.
  """
  missed = train_mode - eval_mode
  if missed < max(_FEWEST_MISSED, _GAP * images):
    return None
  cause = ('the moving averages lag behind' if is_stale else
           'the moving averages do not fit the weights: the learning rate may be too'
           ' high for them, or batches too small or all alike')
  return (f'batch norm: of the same {images} images {train_mode / images:.1%} are right'
          f" with their batches' statistics, {eval_mode / images:.1%} with the moving"
          f' averages that evaluation uses: {cause}; {_CURE}')
