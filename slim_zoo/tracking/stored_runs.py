"""Which runs of the trackers belong to a run, in a file beside its checkpoints.

A continued run continues them. The file has a digest of the place of each run in place
of its address, which may contain a password.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping

from slim_zoo.files import atomic

FILE = 'tracking.json'


class StoredRuns:
  """The file of one folder; its methods may be called in any thread.

  Args:
    folder: of the run.
  """

  def __init__(self, folder: str):
    self._path, self._lock = os.path.join(folder, FILE), threading.Lock()

  def find(self, name: str, store: str) -> tuple[str | None, dict[str, int]]:
    """Returns the id of a tracker's run and its last step of each kind of numbers.

    Args:
      name: of the tracker.
      store: where its runs are now; a run in another place is not found.

    Returns:
      (None, {}) without a run.
    """
    entry = self._read().get(name)
    try:
      if entry is None or entry['store'] != _digest(store):
        return None, {}
      return str(entry['run']), {
          str(kind): int(step) for kind, step in entry['steps'].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
      return None, {}  # Damaged: a new run is begun.

  def put(self, name: str, store: str, run: str, steps: Mapping[str, int]) -> None:
    """Stores the run of a tracker, and what it has got.

    Args:
      name: of the tracker.
      store: where its runs are.
      run: its id.
      steps: the last step of each kind of numbers.

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
