"""The best checkpoint of a run, kept apart from the latest ones.

It lies in a folder of its own, with its own file `checkpoint`, and beside it what
validation found. The file `checkpoint` decides which one it is: before it is written
the new one is whole, and after it the old one goes. So a kill at any moment leaves a
whole best checkpoint, and at most files that the next one takes away.
"""

import contextlib
import glob
import itertools
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from slim_zoo.checkpoints import run_card, state_file
from slim_zoo.files import atomic
from slim_zoo.tf_compat import tf
from slim_zoo.training import savers

FOLDER = run_card.BEST_FOLDER
_NAMES = ('model.ckpt', 'model.ckpt-again')
# Not what somebody else has put there, such as a recalibrated one.
_FILE = re.compile(r'\.?(model\.ckpt(-again)?-\d+)\.')


class BestCheckpoint:
  """Keeps one checkpoint; make it when all variables are in the default graph.

  Args:
    folder: its own.
  """

  def __init__(self, folder: str):
    self.folder = folder
    # It deletes nothing: that is done here, whichever process wrote it.
    self._saver = tf.train.Saver(max_to_keep=0, save_relative_paths=True)

  def finding(self) -> dict | None:
    """Returns the validation results of the kept checkpoint; None without one."""
    name = self._kept()
    return name and atomic.read_json(os.path.join(self.folder, name + '.json'))

  def _kept(self):
    return next(iter(state_file.names(self.folder)), None)

  def _is_kept(self, prefix):
    return os.path.basename(prefix) == self._kept()

  def rename_existing(self) -> str | None:
    """Renames a folder that is there; returns its new name, None if there is none."""
    if not os.path.isdir(self.folder):
      return None
    for number in itertools.count(1):
      aside = f'{self.folder}-before-{number}'
      if not os.path.exists(aside):
        os.rename(self.folder, aside)
        return aside

  def save(self, session: tf.Session, step: int, finding: Mapping[str, Any]) -> str:
    """Replaces the checkpoint by the session's variables; returns its prefix.

    Args:
      session: of the run.
      step: the global step.
      finding: the results of its validation.

    Raises:
      OSError, tf.errors.OpError: it cannot be written; the old one is kept.
    """
    os.makedirs(self.folder, exist_ok=True)
    # A resumed run may come to the step of the one that is kept.
    path = next(path for path in (os.path.join(self.folder, name) for name in _NAMES)
                if not self._is_kept(f'{path}-{step}'))
    prefix = f'{path}-{step}'
    try:
      atomic.write_text(prefix + '.json', json.dumps(finding, indent=1) + '\n')
      self._saver.save(session, path, step)
    except Exception:
      _remove(prefix)
      raise
    for old in {_FILE.match(name)[1] for name in os.listdir(self.folder)
                if _FILE.match(name)} - {os.path.basename(prefix)}:
      _remove(os.path.join(self.folder, old))
    for path in savers.unfinished_files(self.folder):
      _remove_file(path)
    return prefix


def _remove(prefix: str) -> None:
  folder, name = os.path.split(prefix)
  # A hidden file is one that was not written to its end.
  for pattern in (f'{name}.*', f'.{name}.*'):
    for path in glob.glob(os.path.join(glob.escape(folder), pattern)):
      _remove_file(path)


def _remove_file(path: str) -> None:
  # Only the file `checkpoint` counts; leftover files do no harm.
  with contextlib.suppress(OSError):
    os.remove(path)
