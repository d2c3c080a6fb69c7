"""Savers of a run's checkpoints."""

import contextlib
import errno
import glob
import os
import shutil
import threading
from collections.abc import Callable

from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks.callback import CallbackList

CHECKPOINT_NAME = 'model.ckpt'


# TensorFlow writes them before it moves them into place.
_UNFINISHED = (f'{CHECKPOINT_NAME}-*.tempstate*', f'{CHECKPOINT_NAME}-*.meta.tmp*',
               'checkpoint.tmp*')


def unfinished_files(folder: str) -> list[str]:
  """Returns the files of checkpoints that were not written to their end."""
  return [path for pattern in _UNFINISHED
          for path in glob.glob(os.path.join(glob.escape(folder), pattern))]


class CheckpointSaver(tf.train.Saver):
  """A saver that does not begin a checkpoint for which there is no room.

  It never deletes files outside its folder, even if a state file names them.

  Args:
    folder: of the checkpoints.
    called: is called around every checkpoint.

  Attributes:
    failure: what the last attempt raised, or None. The Supervisor swallows what its
      own last save raises, and the run would seem to have ended well.
  """

  def __init__(self, folder: str, called: CallbackList | None = None):
    # With relative names, a folder can be copied or moved.
    super().__init__(save_relative_paths=True)
    self._folder = folder
    self.failure = None
    self._callbacks = called or CallbackList()
    self._size = sum(variable.shape.num_elements() * variable.dtype.size
                     for variable in tf.global_variables())

  def save(self, sess, save_path, *args, **kwargs):
    """Saves as tf.train.Saver does; returns the checkpoint's prefix.

    Raises:
      OSError: the disk has no room for it.
    """
    try:
      folder = os.path.dirname(save_path)
      if os.path.isdir(folder) and shutil.disk_usage(folder).free < self._size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
      step = int(sess.run(tf.train.get_global_step(sess.graph)))
      self._callbacks.before_save(sess, step)
      left_by_the_dead = unfinished_files(folder)
      path = super().save(sess, save_path, *args, **kwargs)
      for file in left_by_the_dead:
        with contextlib.suppress(FileNotFoundError):
          os.remove(file)
      self._callbacks.after_save(sess, step, path)
      return path
    except Exception as error:
      self.failure = error
      raise

  def recover_last_checkpoints(self, checkpoint_paths):
    """Takes up the list of checkpoints to delete in turn: those of its folder only."""
    super().recover_last_checkpoints([
        os.path.join(self._folder, os.path.basename(path)) for path in checkpoint_paths
        if os.path.realpath(os.path.dirname(path)) == os.path.realpath(self._folder)])


class ReleasingSaver(CheckpointSaver):
  """A saver that lets the chief's gradient thread go after the last checkpoint.

  With synchronous replicas that thread waits for gradients of the next step, and
  nobody will send them: the Supervisor then waits for the thread for two minutes
  and fails. So one more step's gradients are sent once the weights are safe.

  Args:
    folder: as for `CheckpointSaver`.
    called: as for `CheckpointSaver`.
    train_op: sends the gradients of one replica.
    count: how many gradients an update takes.
    is_last: tells whether the checkpoint just written is the last one.
  """

  def __init__(self, folder: str, called: CallbackList, train_op: tf.Tensor,
               count: int, is_last: Callable[[], bool]):
    super().__init__(folder, called)
    self._train_op, self._count, self._is_last = train_op, count, is_last

  def save(self, sess, save_path, *args, **kwargs):
    """Saves as `CheckpointSaver` does, then lets the thread go."""
    path = super().save(sess, save_path, *args, **kwargs)
    if self._is_last():
      for _ in range(self._count):
        threading.Thread(target=self._send, args=(sess,), daemon=True).start()
    return path

  def _send(self, session):
    # The session closes as soon as the thread is gone.
    with contextlib.suppress(tf.errors.OpError, RuntimeError):
      session.run(self._train_op)
