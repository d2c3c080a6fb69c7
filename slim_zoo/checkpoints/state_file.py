"""The file `checkpoint`, in which a saver lists its checkpoints; needs no TensorFlow.

Older runs wrote absolute paths into it. If such a folder is copied or moved, the paths
are of another folder. So only the name of an entry is used, in the folder of the file
itself.
"""

import os
import re
from collections.abc import Sequence

from slim_zoo import diagnostics
from slim_zoo.files import atomic

STATE_FILE = 'checkpoint'

_ENTRY = re.compile(
    r'\b(all_model_checkpoint_paths|model_checkpoint_path)\s*:\s*'
    r'("(?:[^"\\\n]|\\.)+"|\'(?:[^\'\\\n]|\\.)+\')')
_ESCAPED = re.compile(r'\\(?:([0-7]{1,3})|(.))')
_LATEST = 'model_checkpoint_path'
# Lines that TensorFlow reads in the same way.
_SAVED = re.compile(r'(?:(?:all_model_checkpoint_paths|model_checkpoint_path):'
                    r' "[ !#-\[\]-~]+"'
                    r'|(?:all_model_checkpoint_timestamps|last_preserved_timestamp):'
                    r' [\d.e+-]+)')
# A saver writes a few lines; a larger file is not a state file.
_MOST_BYTES = 1 << 20


def names(folder: str) -> list[str]:
  """Returns the names of the checkpoints in the state file, the latest first.

  Names have no folder. The list is empty without a state file, or if it cannot be read.
  """
  return list(dict.fromkeys(_name(path) for path in _entries(folder)))


def elsewhere(folder: str) -> list[str]:
  """Returns the entries of the state file in another folder, as written."""
  return [path for path in dict.fromkeys(_entries(folder))
          if _is_elsewhere(path, folder)]


def warning(folder: str) -> str | None:
  """Returns a line about entries in another folder, or None."""
  others = elsewhere(folder)
  if not others:
    return None
  return (f"WARNING: '{os.path.join(folder, STATE_FILE)}' lists"
          f' checkpoints in another folder ({diagnostics.some(others, 1)}). Files with'
          f" the same names in '{folder}' are used instead.")


def is_sound(folder: str) -> bool:
  """Returns whether the state file is in the form that a saver writes."""
  lines = _content(folder).splitlines()
  return any(line.startswith(_LATEST) for line in lines) and all(
      map(_SAVED.fullmatch, lines))


def write(folder: str, checkpoints: Sequence[str]) -> None:
  """Writes the state file atomically, with names relative to its folder.

  Args:
    folder: folder of the checkpoints.
    checkpoints: their prefixes, the oldest first and the latest last.

  Raises:
    OSError: it cannot be written.
  """
  lines = [(_LATEST, checkpoints[-1]),
           *(('all_model_checkpoint_paths', path) for path in checkpoints)]
  atomic.write_text(os.path.join(folder, STATE_FILE), ''.join(
      f'{field}: "{_escaped(os.path.basename(path))}"\n' for field, path in lines),
                    encoding='ascii')


def _escaped(name):
  """Returns a name as quoted in a text proto."""
  return ''.join(
      chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f'\\{byte:03o}'
      for byte in os.fsencode(name))


def _content(folder):
  try:
    # Latin-1 decodes any bytes, and names are bytes.
    with open(os.path.join(folder, STATE_FILE), encoding='latin-1') as file:
      return file.read(_MOST_BYTES)
  except OSError:
    return ''


def _entries(folder):
  """Returns the paths in the state file as written, the latest first."""
  latest, others = [], []
  for line in _content(folder).splitlines():
    if line.lstrip().startswith('#'):
      continue
    for field, quoted in _ENTRY.findall(line):
      (latest if field == _LATEST else others).append(quoted)
  if not latest:
    return []
  paths = map(_unquoted, [latest[-1], *reversed(others)])
  return [path for path in paths if _name(path) and '\0' not in path]


def _unquoted(quoted):
  """Returns the path in the quotes of a text proto; bytes may be octal."""
  plain = _ESCAPED.sub(
      lambda match: chr(int(match[1], 8) % 256) if match[1] else match[2],
      quoted[1:-1])
  return os.fsdecode(plain.encode('latin-1'))


def _name(path):
  # The run may be from a machine with backslashes in paths.
  return re.split(r'[/\\]', path)[-1]


def _is_elsewhere(path, folder):
  """Returns whether an entry is in another folder, after resolving links."""
  name = _name(path)
  if path == name:
    return False
  entry_folder = os.path.join(folder, path[:-len(name)])
  return os.path.realpath(entry_folder) != os.path.realpath(folder)
