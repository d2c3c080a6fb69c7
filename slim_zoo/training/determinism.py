"""A run that repeats itself bit for bit: its seeds, its operations, its resumption.

What makes two runs differ is the order in which threads add up numbers, and random
numbers that nobody seeded. TensorFlow can be told to keep an order and to refuse the
others; the input is numbered, so that its order and its augmentation are functions of
the seed alone. What is left is state that no checkpoint holds: how far the input is,
and how far the generators of dropout and drop path are. A resumed run puts both where
they were.
"""

import dataclasses
import time

from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks.callback import Callback

# Stateful operations whose kernels draw the next random numbers at every run.
_GENERATORS = frozenset({
    'Multinomial', 'ParameterizedTruncatedNormal', 'RandomGammaGrad', 'RandomGamma',
    'RandomPoissonV2', 'RandomShuffle', 'RandomStandardNormal', 'RandomUniform',
    'RandomUniformInt', 'TruncatedNormal'})
_LONG_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class Seeds:
  """Where all randomness of a session comes from.

  Attributes:
    seed: of the run, the one that repeats it.
    origin: 'given', 'drawn', or 'of the run card'.
    graph: of initial weights, dropout and drop path.
    input: of the order of records and of their augmentation.
    first_record: how many records were read before.
    shared_input: like `input`, but the same in all workers.
  """

  seed: int
  origin: str
  graph: int
  input: int
  first_record: int = 0
  shared_input: int = 0


def seeds_of(seed: int, origin: str, step: int, task: int = 0,
             first_record: int | None = None) -> Seeds:
  """Returns the seeds of a session that begins at `step`.

  Args:
    seed: of the run.
    origin: where it comes from.
    step: the global step to begin at.
    task: the number of the worker.
    first_record: where the input continues. None, for a run that need not repeat
      itself: the input starts again, in another order, and so does dropout.
  """
  if first_record is None:
    return Seeds(seed, origin, seed + step + task, seed + step + task,
                 shared_input=seed + step)
  return Seeds(seed, origin, seed, seed + task, first_record)


def _ancestors(op: tf.Operation) -> set:
  """Returns the operations that `op` needs, itself included."""
  ancestors, open_ops = {op}, [op]
  while open_ops:
    current = open_ops.pop()
    for before in (*(tensor.op for tensor in current.inputs), *current.control_inputs):
      if before not in ancestors:
        ancestors.add(before)
        open_ops.append(before)
  return ancestors


def generators(train_op: tf.Tensor) -> list[tf.Operation]:
  """Returns the operations that draw random numbers in a step, in graph order.

  Raises:
    ValueError: one needs the step's images or weights, so that it cannot run alone.
  """
  sources = sorted((op for op in _ancestors(train_op.op) if op.type in _GENERATORS),
                 key=lambda op: op.name)
  for op in sources:
    # Its shape is all that it needs; that is known without running anything.
    needed = {before.type for before in _ancestors(op)}
    if needed & {'IteratorGetNext', 'Placeholder', 'ReadVariableOp', 'VarHandleOp'}:
      raise ValueError(f'{op.name} draws random numbers whose count depends on'
                       f' {sorted(needed)}')
  return sources


class RandomStateReplay(Callback):
  """Draws the random numbers of the earlier steps again when a run is resumed.

  The random number generators start again in every process. After this, they continue
  as in an uninterrupted run. It takes a small part of the time of the earlier steps.

  Args:
    train_op: the train op.
    runs_per_step: number of runs of the network in a step.
    clock: returns the time in seconds.
  """

  def __init__(self, train_op: tf.Tensor, runs_per_step: int = 1,
               clock=time.monotonic):
    self._generators, self._clock = generators(train_op), clock
    self._runs_per_step = runs_per_step

  def begin(self, session, step, writer):
    """Draws the random numbers of `step` steps."""
    if not self._generators or not step:
      return
    # Operations are run, not tensors, so that no numbers are copied out of the session.
    draw, announced = session.make_callable(self._generators), False
    start = self._clock()
    for _ in range(step * self._runs_per_step):
      draw()
      if not announced and self._clock() - start > _LONG_SECONDS:
        announced = True
        print(f'winding the random numbers of dropout forward to step {step:,}',
              flush=True)
