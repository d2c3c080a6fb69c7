"""Agreement of all-reduce workers: first weights, equal weights, a common last step."""

import dataclasses
import functools
from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np

from slim_zoo.deployment import collectives, peers, servers, variable_checksums
from slim_zoo.deployment.cluster import WORKER, Cluster
from slim_zoo.deployment.server_connections import ServerConnections
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import tf

# Requests of a worker to all workers: positions in a vector that is added up over them.
STOP_BY_SIGNAL, STOP_WITH_REASON, SAVE = range(3)
_NUM_REQUESTS = 3
# TensorFlow notices the end of a worker by itself in most operations.
_SECONDS_AFTER_LOSS = 8.0
_QUIET_SECONDS, _LINE_SECONDS = 10.0, 30.0


@dataclasses.dataclass(frozen=True)
class Workers:
  """The all-reduce workers of a job, as one of them sees them.

  Attributes:
    cluster: the addresses of all workers, and the number of this one.
    timeout_seconds: how long this worker waits for the others; 0: forever.
    advice: what to do when a worker is lost.
  """

  cluster: Cluster
  timeout_seconds: float = 0
  advice: str = 'start all workers again, they continue from the last checkpoint'

  @property
  def count(self) -> int:
    """The number of workers."""
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

  @functools.cached_property
  def connections(self) -> ServerConnections:
    """The connections to the others, opened at the first use, which `meet` makes."""
    return ServerConnections(self.others)

  def replica(self, group_key: int, device: str) -> collectives.Replica:
    """Returns this worker's member of a group with one member in each worker."""
    return collectives.Replica(group_key, self.count, device, self.timeout_seconds)

  def run(self, call: Callable[[], Any]) -> Any:
    """Returns what a call of `Session.run` returns that waits for the other workers.

    It prints what it waits for; signals are handled meanwhile.

    Args:
      call: the function.

    Raises:
      UserError: a worker has ended.
    """
    lines = 0
    lost_after = None

    def look(seconds):
      nonlocal lines, lost_after
      if seconds > _QUIET_SECONDS + lines * _LINE_SECONDS:
        lines += 1
        print(f'waiting for the other workers ({seconds:.0f} s)', flush=True)
      if self.connections.lost() and lost_after is None:
        lost_after = seconds
      if lost_after is not None and seconds - lost_after > _SECONDS_AFTER_LOSS:
        raise self._ended(self.connections.lost())

    try:
      return peers.interruptible(call, look)
    except tf.errors.OpError as error:
      raise self.explain(error) or error from error

  def _ended(self, names):
    return UserError(f'{", ".join(names)} has ended: {self.advice}')

  def explain(self, error: tf.errors.OpError) -> UserError | None:
    """Returns the error for the user: which worker does not answer, or what to do.

    Args:
      error: of `Session.run`. None is returned if a lost worker cannot be its cause.
    """
    if not isinstance(error, (
        tf.errors.UnavailableError, tf.errors.DeadlineExceededError,
        tf.errors.CancelledError, tf.errors.AbortedError)):
      return None
    # One that was started again at once answers.
    ended = self.connections.lost() or peers.wait_for_silent_peers(
        self.others, 0 if isinstance(error, tf.errors.DeadlineExceededError) else 3.0)
    if ended:
      return self._ended(ended)
    if isinstance(error, tf.errors.DeadlineExceededError):
      return UserError(
          f'another worker took no step for {self.timeout_seconds:g} s: look at what'
          ' the others print; --worker_timeout_secs sets the time')
    return UserError(f'the connection to another worker was lost: {self.advice}')

  def meet(self, target: str, facts: Sequence[int]) -> np.ndarray:
    """Waits until all workers call this, and returns the numbers of each.

    Args:
      target: of the server of this worker.
      facts: int64 numbers of this worker; each worker has the same number of them.

    Returns:
      int64 [workers, len(facts)].

    Raises:
      UserError: a worker does not start, or ends.
    """
    peers.wait_for(self.others, self.timeout_seconds,
                   lambda line: print(line, flush=True))
    with tf.Graph().as_default():
      gathered = self.replica(collectives.MEETING, '/device:CPU:0').gather(
          tf.constant([list(facts)], tf.int64))

      def gather():
        # Another thread has another default graph: the session gets this one.
        with tf.Session(target, gathered.graph, servers.job_config(
            self.cluster)) as session:
          return session.run(gathered)

      return self.run(gather)


class Exchange:
  """The operations by which workers send bytes to each other, in the default graph.

  Args:
    workers: the workers of the job.
  """

  def __init__(self, workers: Workers):
    self._workers = workers
    device = '/device:CPU:0'
    with tf.name_scope('exchange'), tf.device(device):
      self._number = tf.placeholder(tf.int64, [1])
      self._words = tf.placeholder(tf.int64, [None])
      # Two groups: the contents can only be sent when all lengths are known.
      self._numbers = workers.replica(collectives.LENGTHS, device).gather(self._number)
      self._contents = workers.replica(
          collectives.CONTENTS, device).gather(self._words)

  def numbers(self, session: tf.Session, number: int) -> list[int]:
    """Returns the numbers of all workers; all have to call this.

    Args:
      session: of this worker.
      number: of this worker.

    Raises:
      UserError: a worker has ended.
    """
    return self._run(session, self._numbers, {self._number: [number]}).tolist()

  def contents(self, session: tf.Session, content: bytes, lengths: Sequence[int]
               ) -> list[bytes]:
    """Returns the bytes of all workers; all have to call this.

    Args:
      session: of this worker.
      content: of this worker.
      lengths: of the contents of all workers, see `numbers`.

    Raises:
      UserError: a worker has ended.
    """
    size = -(-max(lengths) // 8) * 8
    words = np.frombuffer(content.ljust(size, b'\0'), np.int64)
    gathered = self._run(session, self._contents, {self._words: words})
    return [row.tobytes()[:length] for row, length in zip(
        gathered.reshape([len(lengths), -1]), lengths, strict=True)]

  def _run(self, session, fetches, values):
    return self._workers.run(lambda: session.run(fetches, values))


class Agreement:
  """The operations by which workers agree. Make it after all variables are created.

  Args:
    workers: the workers of the job.
    requests: of `make_requests`.

  Attributes:
    workers: as above.
    exchange: sends bytes between the workers.
    has_left: whether this worker ends without the others. The loop sets it.
  """

  def __init__(self, workers: Workers, requests: tf.Variable):
    self.workers, self.exchange, self.has_left = workers, Exchange(workers), False
    self._requested = frozenset()
    variables = tf.global_variables()
    self._names = [variable.op.name for variable in variables]
    replica = workers.replica(collectives.CONTROL, '/device:CPU:0')
    with tf.name_scope('agreement'), tf.device('/device:CPU:0'):
      self._new_requests = tf.placeholder(tf.float32, [_NUM_REQUESTS])
      self._set_requests = requests.assign(self._new_requests, read_value=False)
      self._broadcast = _broadcast(replica, variables, workers.is_chief)
      self._checksums = replica.gather(
          variable_checksums.checksums(variables)[tf.newaxis])

  def decide(self, session: tf.Session, agreed: np.ndarray, requests: Set[int]
             ) -> frozenset[int]:
    """Returns what all workers do after this step; stores the requests of this worker.

    The next step adds them up over the workers, so all workers decide the same.

    Args:
      session: of the run.
      agreed: float32 [requests], the number of workers with each request in this step.
      requests: of this worker: `STOP_BY_SIGNAL`, `STOP_WITH_REASON`, `SAVE`.
    """
    decided = frozenset(request for request in range(_NUM_REQUESTS) if agreed[request])
    requested = (self._requested | requests) - decided
    if requested != self._requested:
      session.run(self._set_requests, {
          self._new_requests: [float(request in requested)
                               for request in range(_NUM_REQUESTS)]})
    self._requested = requested
    return decided

  def broadcast(self, session: tf.Session) -> None:
    """Sets the variables of all workers to the values of the chief.

    Raises:
      UserError: a worker has ended.
    """
    self._run(session, self._broadcast)

  def compare(self, session: tf.Session, step: int) -> None:
    """Compares the variables of all workers, bit for bit.

    Args:
      session: of the run.
      step: the global step, for the message.

    Raises:
      UserError: they differ, or a worker has ended.
    """
    differences = variable_checksums.differences(
        self._run(session, self._checksums))
    if len(differences):
      worker, variable = differences[0]
      count = len(np.unique(differences[:, 1]))
      raise UserError(
          f"the variable '{self._names[variable]}' of"
          f' {self.workers.cluster.describe(WORKER, int(worker))} differs from the'
          f" chief's at step {step} ({count} variables differ): a"
          ' machine computes wrongly, or the workers run different programs; continue'
          ' from the last checkpoint')

  def _run(self, session, fetches):
    return self.workers.run(lambda: session.run(fetches))


def make_requests() -> tf.Variable:
  """Returns the variable that holds the requests of this worker."""
  return tf.Variable(
      lambda: tf.zeros([_NUM_REQUESTS]), trainable=False, name='requests',
      collections=[tf.GraphKeys.LOCAL_VARIABLES])


def _broadcast(replica, variables, is_chief):
  """Returns the op that sets all variables to those of the chief."""
  values = [variable.read_value() for variable in variables]
  # The others add zeros, so the sum is the value of the chief.
  sums = replica.sum_packed(
      values if is_chief else [tf.zeros_like(value) for value in values])
  return tf.group(*[variable.assign(value, read_value=False)
                    for variable, value in zip(variables, sums, strict=True)])
