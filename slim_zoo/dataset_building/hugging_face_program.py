"""Loads a data set with the package `datasets` of Hugging Face; prints its files.

Run as a program, in a process that has nothing of this project in it: the name of the
package is also that of slim's. Prints one line of JSON: 'splits' with the Arrow files
of each split; 'missing' or 'error' with a reason.
"""

import importlib
import json
import os
import sys


def main() -> None:
  """Loads the data set that the arguments name."""
  # Without the folder of this program.
  sys.path[:] = [folder for folder in sys.path[1:] if not _has_alias(folder)]
  try:
    load = importlib.import_module('datasets').load_dataset
  except (ImportError, AttributeError) as error:
    _answer({'missing': str(error)})
    return
  try:
    loaded = load(sys.argv[1], sys.argv[2] or None)
    splits = {}
    for name, split in loaded.items():
      files = [file['filename'] for file in split.cache_files]
      if not files and len(split):
        raise ValueError(f'the split {name} is not in files of the cache')
      splits[str(name)] = files
  except Exception as error:  # Loaders and networks raise many kinds of exceptions.
    lines = f'{type(error).__name__}: {error}'.strip().splitlines()
    _answer({'error': lines[0]})
    return
  _answer({'splits': splits})


def _has_alias(folder):
  """Returns whether `datasets` in a folder of the path is slim's package."""
  try:
    path = os.path.join(folder, 'datasets', '__init__.py')
    with open(path, encoding='utf-8') as file:
      return 'alias of slim_zoo.datasets' in file.read(1000)
  except (OSError, ValueError):
    return False


def _answer(values):
  print(json.dumps(values), flush=True)


if __name__ == '__main__':
  main()
