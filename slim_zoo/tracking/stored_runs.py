"""The file tracking.json: ids of the logged runs of a training run.

It is in the folder of the checkpoints. With it, a continued run continues its logged
runs. The file contains a digest of the address of a server, not the address, which may
contain a password.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping

from slim_zoo.files import atomic

FILE = 'tracking.json'


class StoredRuns:
  """The file of one training run. All methods may be called in any thread.

  Args:
    folder: folder of the training run.
  """

  def __init__(self, folder: str):
    self._path, self._lock = os.path.join(folder, FILE), threading.Lock()

  def find(self, name: str, store: str) -> tuple[str | None, dict[str, int]]:
    """Finds the logged run of a tracker.

    Args:
      name: name of the tracker.
      store: `Tracker.store`; a run that is stored elsewhere is not found.

    Returns:
      (id of the logged run, last step of each kind of metrics); (None, {}) if there is
      no such run.
    """
    entry = self._read().get(name)
    try:
      if entry is None or entry['store'] != _digest(store):
        return None, {}
      return str(entry['run']), {
          str(kind): int(step) for kind, step in entry['steps'].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
      return None, {}  # The file is damaged: the tracker starts a new run.

  def put(self, name: str, store: str, run: str, steps: Mapping[str, int]) -> None:
    """Stores the logged run of a tracker.

    Args:
      name: name of the tracker.
      store: `Tracker.store`.
      run: id of the logged run.
      steps: last sent step of each kind of metrics.

    Raises:
      OSError: the file cannot be written.
    """
    with self._lock:
      runs = self._read()
      runs[name] = {'run': run, 'store': _digest(store), 'steps': dict(steps)}
      atomic.write_text(self._path, json.dumps(runs, indent=1) + '\n')

  def _read(self):
    return atomic.read_json(self._path) or {}


def _digest(store):
  return hashlib.sha256(store.encode(errors='replace')).hexdigest()[:16]
