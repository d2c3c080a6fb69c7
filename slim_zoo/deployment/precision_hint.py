"""Makes the line for a long float32 computation that is faster in bfloat16."""

from slim_zoo.catalog import complexity
from slim_zoo.deployment import graph_rewrite, precision_trial, small_trials
from slim_zoo.files.user_cache import UserCache

# Multiply-adds from which time matters: half a minute of two cores.
_LONG = 2e12
# A network has more to do than products, so of these bfloat16 is to be much faster.
_LEAST_OF_PRODUCTS = 1.5
# Multiply-adds of a training step are those of the forward pass so many times.
FORWARD, TRAINING = 1, 3


def is_long(model_name: str, num_images: int | None, passes: int = FORWARD) -> bool:
  """Returns whether the work is worth a hint.

  Args:
    model_name: of the network; one without a stored cost is not.
    num_images: that it is to compute; None: no end is known.
    passes: `FORWARD` or `TRAINING`.
  """
  cost = complexity.load().get(model_name)
  return cost is not None and (
      num_images is None or passes * num_images * cost.multiply_adds > _LONG)


def line(key: str, cache: UserCache, device: str = '') -> str | None:
  """Returns by how much bfloat16 is faster, with the flag; None where it is not.

  An earlier trial of the graph decides. Without one, the factor is that of a product of
  matrices, which is measured once on a machine, in a fraction of a second.

  Args:
    key: of the graph, see `precision_trial.key_of`.
    cache: of earlier trials.
    device: of the graph; '' for TensorFlow's choice.
  """
  stored = precision_trial.find(key, cache)
  if stored:
    if stored.dtype == graph_rewrite.FLOAT32:
      return None
    return (f'bfloat16 is {stored.reason}: set --precision=bfloat16, or'
            ' --precision=auto, which measures and decides')
  if precision_trial.without_trial(device=device):
    return None
  factor = small_trials.factor_of_products(cache)
  if factor < _LEAST_OF_PRODUCTS:
    return None
  return (f'this processor multiplies matrices {factor:.1f} times as fast in bfloat16:'
          ' --precision=auto times the network in both types and takes the faster one')
