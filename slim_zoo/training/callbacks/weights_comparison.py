"""Compares the weights of all-reduce workers, which have to be equal at any time."""

from slim_zoo.deployment.agreement import Agreement
from slim_zoo.training.callbacks.callback import Callback


class WeightsComparison(Callback):
  """Stops a run whose workers have different weights.

  It compares at the beginning and before each checkpoint, also in workers that write
  none: `before_save` is called in all of them.

  Args:
    agreement: of the workers.
  """

  def __init__(self, agreement: Agreement):
    self._agreement = agreement

  def begin(self, session, step, writer):
    """Compares the weights that the chief has sent."""
    self._agreement.compare(session, step)

  def before_save(self, session, step):
    """Compares the weights before they are saved."""
    self._agreement.compare(session, step)
