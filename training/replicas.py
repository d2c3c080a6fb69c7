"""Synchronous replicas: what their chief needs to come to an end."""

import contextlib
import threading
from collections.abc import Callable

from tf_compat import tf


class ReleasingSaver(tf.train.Saver):
  """A saver that lets the chief's gradient thread go after the last checkpoint.

  That thread waits for gradients of the next step, and nobody will send them: the
  Supervisor then waits for the thread for two minutes and fails. So one more step's
  gradients are sent once the weights are safe.

  Args:
    train_op: sends the gradients of one replica.
    count: how many gradients an update takes.
    is_last: tells whether the checkpoint just written is the last one.
  """

  def __init__(self, train_op: tf.Tensor, count: int, is_last: Callable[[], bool]):
    super().__init__()
    self._train_op, self._count, self._is_last = train_op, count, is_last

  def save(self, sess, *args, **kwargs):
    """Saves as tf.train.Saver does; returns the checkpoint's prefix."""
    path = super().save(sess, *args, **kwargs)
    if self._is_last():
      for _ in range(self._count):
        threading.Thread(target=self._send, args=(sess,), daemon=True).start()
    return path

  def _send(self, session):
    # The session closes as soon as the thread is gone.
    with contextlib.suppress(tf.errors.OpError, RuntimeError):
      session.run(self._train_op)
