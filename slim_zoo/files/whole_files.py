"""Files that are the old one or the new one at any moment."""

import json
import os


def write(path: str, text: str) -> None:
  """Writes a file, whole or not at all; raises OSError."""
  unfinished = os.path.join(os.path.dirname(path), f'.{os.path.basename(path)}.part')
  with open(unfinished, 'w', encoding='utf-8', errors='surrogateescape') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(unfinished, path)


def read_json(path: str) -> dict | None:
  """Returns what a file holds; None if there is none, or no JSON object in it."""
  try:
    with open(path, encoding='utf-8') as file:
      value = json.load(file)
  except (FileNotFoundError, ValueError):
    return None
  return value if isinstance(value, dict) else None
