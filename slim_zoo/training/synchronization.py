"""Synchronous replicas: the updates that the chief makes of all gradients."""

import contextlib

from slim_zoo.deployment import peers
from slim_zoo.tf_compat import tf

_SECONDS_TO_STOP = 2.0


class Synchronization:
  """The part of synchronous replicas that the chief runs beside its steps.

  Args:
    optimizer: its gradients were applied.
    replicas: workers of the job.
    replicas_to_aggregate: gradients of an update.
    is_chief: whether this process is the chief.

  Attributes:
    failure: what ended the updates of this session early, or None.
  """

  def __init__(self, optimizer: tf.train.SyncReplicasOptimizer, replicas: int,
               replicas_to_aggregate: int, is_chief: bool):
    self.waits_for_all = replicas_to_aggregate == replicas
    runner = optimizer.get_chief_queue_runner()
    self._update, = runner.enqueue_ops
    self._close_queue = runner.cancel_op
    self._begin_worker = optimizer.local_step_init_op
    self._thread, self._is_stopped, self.failure = None, False, None
    self._replicas_to_aggregate = replicas_to_aggregate
    if is_chief:
      self._begin_chief = optimizer.chief_init_op
      # More would let workers run ahead of the updates.
      self._first_tokens = optimizer.get_init_tokens_op(
          max(0, replicas_to_aggregate - replicas))
      with tf.device(runner.queue.queue_ref.device):
        self._token = runner.queue.enqueue(
            tf.train.get_global_step().read_value())
      self._send_zeros = tf.group(*map(_send_zeros, tf.trainable_variables()))

  def begin_worker(self, session: tf.Session) -> None:
    """Takes up the global step."""
    session.run(self._begin_worker)

  def begin_chief(self, session: tf.Session) -> None:
    """Begins to apply the gradients of the workers."""
    session.run(self._begin_chief)
    session.run(self._first_tokens)
    self._is_stopped, self.failure = False, None
    self._thread = peers.native_thread(self._apply, session)
    self._thread.start()

  def _apply(self, session):
    try:
      update = session.make_callable(self._update)
      while not self._is_stopped:
        update()
    except (tf.errors.OpError, RuntimeError) as error:
      self.failure = error
      # A step that waits for a token ends by an error, too.
      with contextlib.suppress(tf.errors.OpError, RuntimeError):
        self.close_queue(session)

  def release(self, session: tf.Session) -> None:
    """Lets one worker continue if it waits for the end of its step."""
    session.run(self._token)

  def close_queue(self, session: tf.Session) -> None:
    """Ends the steps that wait for other workers, by an OutOfRangeError."""
    session.run(self._close_queue)

  def stop(self, session: tf.Session) -> None:
    """Ends the updates, after the last checkpoint.

    A session does not end while an update waits for gradients that nobody sends, so
    gradients of zero are sent.
    """
    thread, self._thread = self._thread, None
    if thread is None:
      return
    self._is_stopped = True
    # An update that failed, or a server that is lost, needs no more.
    with contextlib.suppress(tf.errors.OpError, RuntimeError):
      for _ in range(self._replicas_to_aggregate):
        session.run(self._send_zeros)
    thread.join(_SECONDS_TO_STOP)


def _send_zeros(variable):
  """Returns an op that sends a gradient to the sums of synchronous replicas."""
  with tf.device(variable.device):
    sums = tf.ConditionalAccumulator(
        variable.dtype.base_dtype, variable.shape,
        shared_name=f'{variable.name}/grad_accum')
    return sums.apply_grad(tf.zeros_like(variable), local_step=tf.int64.max)
