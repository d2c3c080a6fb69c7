"""Keeps a run whose numbers went bad from spoiling its weights and checkpoints.

A loss that is not finite is found before the update that it would cause, so the
weights stay those of the last sound step, and the first thing that went bad is named.
A checkpoint is written only if all of its values are finite.
"""

import functools
import re

from slim_zoo import diagnostics
from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks.callback import Callback

# What `failing_unless` is to name of a loss that is finite.
GRADIENTS = 'the gradients'
_MARK = 'not finite first in'
_ADVICE = 'try a lower --learning_rate'
# Marks a tensor beyond 65504, the largest float16; float32 has larger numbers.
_OF_SMALL_RANGE = ' (float16)'
# Values that a tensor may have to be held without looking who needs it.
_SMALL = 2**16
# Single batches may be odd.
_STEPS_IN_A_ROW = 3


class BadNumbers(diagnostics.UserError):
  """The numbers of the run are not finite; its earlier checkpoints are."""


class FiniteCheck:
  """Looks for values that are not finite in all variables of the default graph.

  Make it when all of them are there.
  """

  def __init__(self):
    variables = [variable for variable in tf.global_variables()
                 if variable.dtype.base_dtype.is_floating]
    self._names = [variable.op.name for variable in variables]
    # Deep networks have hundreds of them: each op more is felt when a run starts.
    reads = [tf.get_default_graph().as_graph_element(variable)
             for variable in variables]
    with tf.name_scope('finite_check'):
      axes = {rank: tf.range(rank) for rank in {read.shape.rank for read in reads}}
      self._finite = tf.stack(
          [_all_finite(read, axes[read.shape.rank]) for read in reads])

  def first_bad(self, session) -> str | None:
    """Returns the name of the first variable that is not finite, or None."""
    finite = session.run(self._finite)
    return None if finite.all() else self._names[finite.argmin()]


class Guard:
  """An op that fails if the loss is not finite, and names the first tensor that is not.

  Make it before the gradients, and ask for `op` when they are there. End points are
  looked at only if it fails, but stay in memory until it is known: that costs nothing
  for those that a gradient waits for. Others are left out: with them the step of a
  ResNet takes a quarter more memory. What is bad in one of these is bad in the next.

  Args:
    clones: each with outputs (batch, logits, end_points).
    total_loss: float32 scalar.
  """

  def __init__(self, clones: list[model_deploy.Clone], total_loss: tf.Tensor):
    self._total_loss, self._candidates = total_loss, []
    for clone in clones:
      batch, logits, end_points = clone.outputs
      for name, tensor in {'the images': batch.images, **end_points,
                           'the logits': logits}.items():
        tensor = tf.convert_to_tensor(tensor)
        if tensor.dtype.is_floating:
          self._candidates.append((
              name + (_OF_SMALL_RANGE if tensor.dtype == tf.float16 else ''), tensor,
              _uses(tensor)))

  def watch(self, total_loss: tf.Tensor) -> None:
    """Looks at another loss, such as a mean over workers that the gradients bring."""
    self._total_loss = total_loss

  @functools.cached_property
  def op(self) -> tf.Operation:
    """The op that fails."""
    held = [(name, tensor) for name, tensor, uses in self._candidates
            if _uses(tensor) > uses or _is_small(tensor)]

    def fail():
      names = [*(name for name, _ in held), 'the loss itself']
      finite = tf.stack([_all_finite(tensor) for _, tensor in held] + [False])
      first = tf.gather(names, tf.argmin(tf.cast(finite, tf.int8)))
      with tf.control_dependencies([tf.Assert(False, [_MARK, first])]):
        return tf.constant(False)

    with tf.name_scope('numerics_guard'), tf.device('/device:CPU:0'):
      return tf.cond(tf.math.is_finite(self._total_loss), lambda: tf.constant(True),
                     fail).op


def _uses(tensor):
  """Returns how many ops take the values of a tensor."""
  return sum(op.type != 'Shape' for op in tensor.consumers())


def _is_small(tensor):
  size = tensor.shape.num_elements()
  return size is not None and size <= _SMALL


def failing_unless(condition: tf.Tensor, name: str) -> tf.Operation:
  """Returns an op that fails as a `Guard` does, naming `what`, unless it is true."""
  return tf.Assert(condition, [_MARK, name])


def guarded(guard: Guard, pairs: list) -> list:
  """Returns (gradient, variable) pairs that wait for the guard."""
  with tf.control_dependencies([guard.op]):
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
  match = re.search(rf'\[{_MARK}\] \[([^\]]*)\]', error.message)
  if not match:
    return None
  at = 'in the first step' if step is None else f'after step {step}'
  variable = check.first_bad(session)
  if variable:
    cause = f"the update before it made the variable '{variable}' not finite"
  elif match[1] == 'the images':
    cause = 'the images of its batch are not finite: look at the preprocessing'
  elif match[1] == GRADIENTS:
    return BadNumbers(
        f'the gradients are not finite {at}, though the loss is and is not scaled any'
        f' more: {_ADVICE} or --precision=bfloat16')
  elif match[1].startswith('the '):
    cause = f'{match[1]} went bad first'
  else:
    cause = f"the end point '{match[1]}' went bad first"
  more = ' or --precision=bfloat16' if match[1].endswith(_OF_SMALL_RANGE) else ''
  return BadNumbers(f'the loss is not finite any more {at}, {cause}: {_ADVICE}{more}')


class CheckpointGuard(Callback):
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


class ExplosionGuard(Callback):
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


def _all_finite(tensor, axes=None):
  return tf.reduce_all(tf.math.is_finite(tensor), axes)
