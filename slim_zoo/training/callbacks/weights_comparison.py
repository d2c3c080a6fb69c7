"""Compares the weights of all replicas, which have to be equal at any time."""

from slim_zoo.deployment.agreement import Agreement
from slim_zoo.deployment.variable_copies import CopiedVariables
from slim_zoo.training.callbacks.callback import Callback


class WeightsComparison(Callback):
  """Stops a run whose workers, or clones, have different weights.

  It compares at the beginning and before each checkpoint, also in workers that write
  none: `before_save` is called in all of them.

  Args:
    weights: of all workers, or of all clones.
  """

  def __init__(self, weights: Agreement | CopiedVariables):
    self._weights = weights

  def begin(self, session, step, writer):
    """Compares the weights that the run begins with."""
    self._weights.compare(session, step)

  def before_save(self, session, step):
    """Compares the weights before they are saved."""
    self._weights.compare(session, step)
