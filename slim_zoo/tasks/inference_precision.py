"""Checks in which number type the network of a checkpoint can compute."""

from slim_zoo import diagnostics
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.deployment import computation, graph_rewrite, precision_trial, processor
from slim_zoo.tf_compat import tf


def checked(precision: str, network: TrainedNetwork) -> tuple[str, list[str]]:
  """Returns the precision of a network after a check, and notes on it.

  Args:
    precision: 'float32', 'bfloat16', 'float16', or 'auto'.
    network: with the weights of a checkpoint.

  Raises:
    UserError: bfloat16 or float16 for a quantized network; or this machine does not
      compute finished networks in the type, or is far slower.
  """
  if precision == graph_rewrite.FLOAT32:
    return precision, []
  if network.quantized is not None and precision == precision_trial.AUTO:
    return graph_rewrite.FLOAT32, [precision_trial.OF_QUANTIZED.line()]
  if network.quantized is not None:
    raise diagnostics.UserError(
        f"--precision={precision}, but '{network.checkpoint}' is quantized: its values"
        ' are rounded in float32; use --precision=float32')
  if precision == precision_trial.AUTO:
    return precision, []
  graph_rewrite.check(precision)
  if precision == graph_rewrite.BFLOAT16 and not processor.has_bfloat16(
      processor.instructions()):
    note = computation.check_speed(tf.bfloat16)
    return precision, [note] if note else []
  return precision, []
