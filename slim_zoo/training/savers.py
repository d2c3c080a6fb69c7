"""Savers of a run's checkpoints."""

import contextlib
import errno
import glob
import os
import shutil

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
  """

  def __init__(self, folder: str, called: CallbackList | None = None):
    # With relative names, a folder can be copied or moved.
    super().__init__(save_relative_paths=True)
    self._folder = folder
    self._callbacks = called or CallbackList()
    self._size = sum(variable.shape.num_elements() * variable.dtype.size
                     for variable in tf.global_variables())

  def save(self, sess, save_path, **kwargs):
    """Saves as tf.train.Saver does; returns the checkpoint's prefix.

    The checkpoint is named after the global step that it contains.

    Raises:
      OSError: the disk has no room for it.
    """
    folder = os.path.dirname(save_path)
    if os.path.isdir(folder) and shutil.disk_usage(folder).free < self._size:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
    step = int(sess.run(tf.train.get_global_step(sess.graph)))
    self._callbacks.before_save(sess, step)
    left_by_the_dead = unfinished_files(folder)
    path = super().save(sess, save_path, step, **kwargs)
    for file in left_by_the_dead:
      with contextlib.suppress(FileNotFoundError):
        os.remove(file)
    self._callbacks.after_save(sess, step, path)
    return path

  def recover_last_checkpoints(self, checkpoint_paths):
    """Takes up the list of checkpoints to delete in turn: those of its folder only."""
    super().recover_last_checkpoints([
        os.path.join(self._folder, os.path.basename(path)) for path in checkpoint_paths
        if os.path.realpath(os.path.dirname(path)) == os.path.realpath(self._folder)])
