"""Stores small facts for the next command, in the cache folder of the user.

The folder is the one in the environment variable SLIM_ZOO_CACHE, else
~/.cache/slim_zoo. It may be removed at any time.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from slim_zoo import diagnostics
from slim_zoo.files import atomic

VARIABLE = 'SLIM_ZOO_CACHE'


def folder() -> str:
  """Returns the path of the cache folder, which may not exist."""
  return os.environ.get(VARIABLE) or os.path.join(
      os.path.expanduser('~'), '.cache', 'slim_zoo')


class UserCache:
  """A JSON object in a file of the cache folder.

  A file that cannot be read counts as empty, and a file that cannot be written is left
  as it is. What this object was given stays in memory.

  Args:
    name: of the file.

  Attributes:
    notes: a line for each fault of the file; the caller prints and clears them.
  """

  def __init__(self, name: str):
    self._path = os.path.join(folder(), name)
    self.notes, self._entries = [], {}
    self._entries = self._read()

  def find(self, key: str) -> Mapping[str, Any] | None:
    """Returns the entry of a key; None if there is none."""
    return self._entries.get(key)

  def add(self, key: str, entry: Mapping[str, Any]) -> None:
    """Adds an entry, in the file too, beside those of other processes."""
    self._entries[key] = dict(entry)
    try:
      os.makedirs(os.path.dirname(self._path), exist_ok=True)
      text = json.dumps({**self._read(is_quiet=True), key: dict(entry)}, indent=1)
      atomic.write_text(self._path, f'{text}\n')
    except OSError as error:
      self.notes.append(f"'{self._path}' is not written, so this is measured again the"
                        f' next time: {diagnostics.explain_os_error(error)}')

  def _read(self, is_quiet=False):
    """Returns the entries of the file."""
    try:
      with open(self._path, encoding='utf-8') as file:
        stored = json.load(file)
      if isinstance(stored, dict):
        return {key: entry for key, entry in stored.items() if isinstance(entry, dict)}
      reason = 'it is not a JSON object'
    except FileNotFoundError:
      return {}
    except OSError as error:
      reason = diagnostics.explain_os_error(error)
    except ValueError:
      reason = 'it is not JSON'
    if not is_quiet:
      self.notes.append(f"'{self._path}' is ignored: {reason}")
    return {}

  def take_notes(self) -> list[str]:
    """Returns the notes since the last call."""
    notes, self.notes = self.notes, []
    return notes
