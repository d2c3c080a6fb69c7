"""What all-reduce workers agree on: the first weights, equal weights, a common stop."""

import dataclasses
from collections.abc import Sequence, Set

import numpy as np

from slim_zoo.deployment import collectives, peers, servers
from slim_zoo.deployment.cluster import WORKER, Cluster
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import tf

# What a worker may ask of all of them, as numbers that are added up.
STOP_BY_SIGNAL, STOP_WITH_REASON, SAVE = range(3)
_WISHES = 3


@dataclasses.dataclass(frozen=True)
class Workers:
  """The all-reduce workers of a job, as one of them sees them.

  Attributes:
    cluster: which one this is, and where the others are.
    timeout_seconds: how long it waits for the others; 0: forever.
  """

  cluster: Cluster
  timeout_seconds: float = 0

  @property
  def count(self) -> int:
    """How many there are."""
    return len(self.cluster.workers)

  @property
  def is_chief(self) -> bool:
    """Whether this is worker 0."""
    return self.cluster.task == 0

  @property
  def others(self) -> dict[str, str]:
    """The addresses of the other workers by name."""
    return {self.cluster.describe(WORKER, task): address
            for task, address in enumerate(self.cluster.workers)
            if task != self.cluster.task}

  def replica(self, group_key: int, device: str) -> collectives.Replica:
    """Returns the replica of this worker in a group of which each worker has one."""
    return collectives.Replica(group_key, self.count, device, self.timeout_seconds)

  def explain(self, error: tf.errors.OpError) -> UserError | None:
    """Returns which worker is gone; None if the error is none of a collective."""
    if not isinstance(error, (
        tf.errors.UnavailableError, tf.errors.DeadlineExceededError,
        tf.errors.CancelledError, tf.errors.AbortedError)):
      return None
    gone = peers.silent_soon(
        self.others, 0 if isinstance(error, tf.errors.DeadlineExceededError) else 3.0)
    if gone:
      return UserError(f'{", ".join(gone)} has ended: start all workers again, they go'
                       ' on from the last checkpoint')
    if isinstance(error, tf.errors.DeadlineExceededError):
      return UserError(
          f'another worker took no step for {self.timeout_seconds:g} s: look at what'
          ' the others print; --worker_timeout_secs sets the time')
    return UserError(
        'the connection to another worker was lost: start all workers again, they go on'
        ' from the last checkpoint')

  def meet(self, target: str, facts: Sequence[int]) -> np.ndarray:
    """Waits for the other workers, and returns what each brings.

    Args:
      target: of the server of this worker.
      facts: int64 numbers of this worker, as many as the others have.

    Returns:
      int64 [workers, len(facts)].

    Raises:
      UserError: a worker does not come.
    """
    peers.wait_for(self.others, self.timeout_seconds,
                   lambda line: print(line, flush=True))
    with tf.Graph().as_default():
      gathered = self.replica(collectives.MEETING, '/device:CPU:0').gather(
          tf.constant([list(facts)], tf.int64))

      def gather():
        # The default graph is that of a thread.
        with tf.Session(target, gathered.graph, servers.session_config(
            self.cluster)) as session:
          return session.run(gathered)

      try:
        return peers.interruptible(gather)
      except tf.errors.OpError as error:
        raise self.explain(error) or error from error


class Agreement:
  """The operations by which workers agree. Make it when all variables are there.

  Args:
    workers: who agrees.
    wishes: of `make_wishes`.
  """

  def __init__(self, workers: Workers, wishes: tf.Variable):
    self.workers = workers
    self._asked = frozenset()
    variables = tf.global_variables()
    self._names = [variable.op.name for variable in variables]
    replica = workers.replica(collectives.CONTROL, '/device:CPU:0')
    with tf.name_scope('agreement'), tf.device('/device:CPU:0'):
      self._new_wishes = tf.placeholder(tf.float32, [_WISHES])
      self._set_wishes = wishes.assign(self._new_wishes, read_value=False)
      self._broadcast = _broadcast(replica, variables, workers.is_chief)
      self._checksums = replica.gather(checksums(variables)[tf.newaxis])

  def decide(self, session: tf.Session, agreed: np.ndarray, wishes: Set[int]
             ) -> frozenset[int]:
    """Returns what all workers do after a step, and asks for more after the next.

    Args:
      session: of the run.
      agreed: float32 [wishes], how many workers asked before the step.
      wishes: what this worker asks: `STOP_BY_SIGNAL`, `STOP_WITH_REASON`, `SAVE`.
    """
    decided = frozenset(wish for wish in range(_WISHES) if agreed[wish])
    asked = (self._asked | wishes) - decided
    if asked != self._asked:
      session.run(self._set_wishes, {
          self._new_wishes: [float(wish in asked) for wish in range(_WISHES)]})
    self._asked = asked
    return decided

  def broadcast(self, session: tf.Session) -> None:
    """Gives all workers the values of the chief's variables.

    Raises:
      UserError: a worker is gone.
    """
    self._run(session, self._broadcast)

  def compare(self, session: tf.Session, step: int) -> None:
    """Compares the variables of all workers, bit for bit.

    Args:
      session: of the run.
      step: the global step, for the message.

    Raises:
      UserError: they differ, or a worker is gone.
    """
    checksums = self._run(session, self._checksums)
    different = (checksums != checksums[:1]).any(axis=2)
    if different.any():
      worker, variable = np.argwhere(different)[0]
      raise UserError(
          f"the variable '{self._names[variable]}' of"
          f' {self.workers.cluster.describe(WORKER, int(worker))} differs from the'
          f" chief's at step {step} ({different.any(axis=0).sum()} variables differ): a"
          ' machine computes wrongly, or the workers run different programs; go on from'
          ' the last checkpoint')

  def _run(self, session, fetches):
    try:
      return session.run(fetches)
    except tf.errors.OpError as error:
      raise self.workers.explain(error) or error from error


def make_wishes() -> tf.Variable:
  """Returns the variable that holds the wishes of this worker."""
  return tf.Variable(
      lambda: tf.zeros([_WISHES]), trainable=False, name='wishes',
      collections=[tf.GraphKeys.LOCAL_VARIABLES])


def _broadcast(replica, variables, is_chief):
  """Returns the op that sets all variables to those of the chief."""
  values = [variable.read_value() for variable in variables]
  # The others add zeros: a sum is all that the ring needs to know.
  sums = replica.sum_packed(
      values if is_chief else [tf.zeros_like(value) for value in values])
  return tf.group(*[variable.assign(value, read_value=False)
                    for variable, value in zip(variables, sums, strict=True)])


def checksums(variables: Sequence[tf.Variable]) -> tf.Tensor:
  """Returns int32 [variables, 2]: sums of the bits of each variable, with overflow."""
  rows = []
  for variable in variables:
    value = variable.read_value()
    size = max(2, min(value.dtype.size, 4))
    bits = tf.cast(tf.bitcast(value, {2: tf.int16, 4: tf.int32}[size]), tf.int32)
    rows.append(tf.stack([tf.reduce_sum(bits), tf.reduce_sum(bits * bits)]))
  return tf.stack(rows)
