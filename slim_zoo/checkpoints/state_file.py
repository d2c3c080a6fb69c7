"""The file `checkpoint`, in which a saver names its checkpoints; needs no TensorFlow.

Former runs wrote absolute paths into it. A folder that was copied or moved then names
the checkpoints of another folder. So of an entry only the name is taken, and it is
looked up in the folder of the file itself.
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
# What TensorFlow certainly reads in the same way.
_SAVED = re.compile(r'(?:(?:all_model_checkpoint_paths|model_checkpoint_path):'
                    r' "[ !#-\[\]-~]+"'
                    r'|(?:all_model_checkpoint_timestamps|last_preserved_timestamp):'
                    r' [\d.e+-]+)')
# A saver writes a few lines; more than this is another file of that name.
_MOST_BYTES = 1 << 20


def names(folder: str) -> list[str]:
  """Returns the names of the checkpoints in the state file, the latest first.

  A name has no folder. The list is empty without a state file, or if nothing can be
  read from it.
  """
  return list(dict.fromkeys(_name(path) for path in _entries(folder)))


def elsewhere(folder: str) -> list[str]:
  """Returns the entries of the state file that lie in another folder, as written."""
  return [path for path in dict.fromkeys(_entries(folder))
          if _lies_elsewhere(path, folder)]


def warning(folder: str) -> str | None:
  """Returns one line on the entries that lie in another folder; None without any."""
  others = elsewhere(folder)
  if not others:
    return None
  return (f"WARNING: '{os.path.join(folder, STATE_FILE)}' lists"
          f' checkpoints in another folder ({diagnostics.some(others, 1)}). Files with'
          f" the same names in '{folder}' are used instead.")


def is_sound(folder: str) -> bool:
  """Returns whether the state file is as a saver writes it, and can stay as it is."""
  lines = _content(folder).splitlines()
  return any(line.startswith(_LATEST) for line in lines) and all(
      map(_SAVED.fullmatch, lines))


def write(folder: str, checkpoints: Sequence[str]) -> None:
  """Writes the state file, with names relative to its folder, whole or not at all.

  Args:
    folder: of the checkpoints.
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
  """Returns a name as it stands between the quotes of a text proto."""
  return ''.join(
      chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f'\\{byte:03o}'
      for byte in os.fsencode(name))


def _content(folder):
  try:
    # Latin-1 takes any byte, and the names are bytes.
    with open(os.path.join(folder, STATE_FILE), encoding='latin-1') as file:
      return file.read(_MOST_BYTES)
  except OSError:
    return ''


def _entries(folder):
  """Returns the paths in the state file as they are written, the latest first."""
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
  """Returns the path in the quotes of a text proto, where bytes may be octal."""
  plain = _ESCAPED.sub(
      lambda escape: chr(int(escape[1], 8) % 256) if escape[1] else escape[2],
      quoted[1:-1])
  return os.fsdecode(plain.encode('latin-1'))


def _name(path):
  # The run may come from a machine with backslashes in its paths.
  return re.split(r'[/\\]', path)[-1]


def _lies_elsewhere(path, folder):
  """Returns whether an entry lies in another folder, links followed."""
  name = _name(path)
  if path == name:
    return False
  its_folder = os.path.join(folder, path[:-len(name)])
  return os.path.realpath(its_folder) != os.path.realpath(folder)
