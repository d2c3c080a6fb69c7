"""Keeps a run whose numbers went bad from spoiling its weights and checkpoints.

A loss that is not finite is found before the update that it would cause, so the
weights stay those of the last sound step, and the first thing that went bad is named.
A checkpoint is written only if all of its values are finite.
"""

import re

import diagnostics
from deployment import model_deploy
from tf_compat import tf
from training import watching

_MARK = 'not finite first in'
# Single batches may be odd.
_STEPS_IN_A_ROW = 3


class BadNumbers(diagnostics.UserError):
  """The run has gone bad; what it saved before is sound."""


class FiniteCheck:
  """Looks for values that are not finite in all variables of the default graph.

  Make it when all of them are there.
  """

  def __init__(self):
    variables = [variable for variable in tf.global_variables()
                 if variable.dtype.base_dtype.is_floating]
    self._names = [variable.op.name for variable in variables]
    with tf.name_scope('finite_check'):
      self._finite = tf.stack(
          [_all_finite(variable.read_value()) for variable in variables])

  def first_bad(self, session) -> str | None:
    """Returns the name of the first variable that is not finite, or None."""
    finite = session.run(self._finite)
    return None if finite.all() else self._names[finite.argmin()]


def guard(clones: list[model_deploy.Clone], total_loss: tf.Tensor) -> tf.Operation:
  """Returns an op that fails if the loss is not finite, and names what was first.

  The end points are looked at in that case only.

  Args:
    clones: each with outputs (batch, logits, end_points).
    total_loss: float32 scalar.
  """
  names, tensors = [], []
  for clone in clones:
    batch, logits, end_points = clone.outputs
    for name, tensor in {'the images': batch.images, **end_points,
                         'the logits': logits}.items():
      if tensor.dtype.is_floating:
        names.append(name)
        tensors.append(tensor)

  def fail():
    finite = tf.stack([_all_finite(tensor) for tensor in tensors] + [False])
    first = tf.gather([*names, 'the loss itself'], tf.argmin(tf.cast(finite, tf.int8)))
    with tf.control_dependencies([tf.Assert(False, [_MARK, first])]):
      return tf.constant(False)

  with tf.name_scope('numerics_guard'):
    return tf.cond(tf.math.is_finite(total_loss), lambda: tf.constant(True), fail).op


def guarded(guard_op: tf.Operation, pairs: list) -> list:
  """Returns (gradient, variable) pairs that wait for the guard."""
  with tf.control_dependencies([guard_op]):
    return [(tf.identity(gradient) if isinstance(gradient, tf.Tensor) else
             tf.IndexedSlices(tf.identity(gradient.values), gradient.indices,
                              gradient.dense_shape), variable)
            for gradient, variable in pairs]


def explain(error: tf.errors.OpError, session, check: FiniteCheck,
            step: int | None) -> BadNumbers | None:
  """Returns what went bad, None if the error is not the guard's.

  Args:
    error: what running a step raised.
    session: the session of the run.
    check: of its graph.
    step: the last step taken; None if there was none.
  """
  found = re.search(rf'\[{_MARK}\] \[([^\]]*)\]', error.message)
  if not found:
    return None
  at = 'in the first step' if step is None else f'after step {step}'
  variable = check.first_bad(session)
  if variable:
    what = f"the update before it made the variable '{variable}' not finite"
  elif found[1] == 'the images':
    what = 'the images of its batch are not finite: look at the preprocessing'
  elif found[1].startswith('the '):
    what = f'{found[1]} went bad first'
  else:
    what = f"the end point '{found[1]}' went bad first"
  return BadNumbers(
      f'the loss is not finite any more {at}, {what}: try a lower --learning_rate')


class CheckpointGuard(watching.Watcher):
  """Refuses to write a checkpoint with values that are not finite.

  Args:
    check: of the graph.
  """

  def __init__(self, check: FiniteCheck):
    self._check = check

  def before_save(self, session, step):
    """Raises BadNumbers for the first variable that is not finite."""
    variable = self._check.first_bad(session)
    if variable:
      raise BadNumbers(
          f"the variable '{variable}' is not finite any more at step {step}, so no"
          ' checkpoint of it is written: try a lower --learning_rate')


class ExplosionGuard(watching.Watcher):
  """Stops a run whose loss grew out of all bounds.

  Args:
    factor: what the loss of the first step of this process, which no update has
      touched, is multiplied by for the bound; the loss of a few steps in a row must
      be above it. 0: no bound.
  """

  def __init__(self, factor: float):
    self._factor = factor
    self._bound = None
    self._above = 0

  def measured(self, step, loss, waited):
    """Raises BadNumbers when the loss has exploded."""
    if not self._factor:
      return
    if self._bound is None:
      # A run resumed near its end may begin with a loss near 0.
      self._bound = self._factor * max(1.0, abs(loss))
    self._above = self._above + 1 if loss > self._bound else 0
    if self._above >= _STEPS_IN_A_ROW:
      raise BadNumbers(
          f'the loss has exploded: {loss:.3g} at step {step}, more than'
          f' --max_loss_growth={self._factor:g} times that of the first step; try a'
          ' lower --learning_rate')


def _all_finite(tensor):
  return tf.reduce_all(tf.math.is_finite(tensor))
