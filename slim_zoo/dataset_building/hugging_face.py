"""Data sets of Hugging Face: folders of `save_to_disk`, and names on the Hub.

A folder is read with pyarrow only. A name is loaded by the package `datasets`, which
runs in a separate process, because slim has a package of the same name. Needs no
TensorFlow.
"""

import json
import os
import subprocess
import sys

from slim_zoo import diagnostics
from slim_zoo.dataset_building import hugging_face_program, image_list
from slim_zoo.dataset_building.arrow_tables import Part
from slim_zoo.files import file_names

PREFIX = 'hf:'
INSTALL = 'python -m pip install "datasets>=5.2,<6"'
_SPLITS, _STATE = 'dataset_dict.json', 'state.json'


def is_saved(path: str) -> bool:
  """Returns whether `save_to_disk` wrote a folder."""
  return any(os.path.isfile(os.path.join(path, name)) for name in (_SPLITS, _STATE))


def saved_parts(path: str) -> list[Part]:
  """Returns the files of a folder of `save_to_disk`.

  Raises:
    UserError: the folder is damaged, or its rows have another order than its files.
    OSError: the folder cannot be read.
  """
  if not os.path.isfile(os.path.join(path, _SPLITS)):
    return _parts_of_state(path, '', None)
  splits = _read(path, _SPLITS, 'splits', list)
  parts = []
  for split in splits:
    # The name must be that of a folder, so that no other file is read.
    if not file_names.is_file_name(split):
      raise diagnostics.UserError(
          f"'{os.path.join(path, _SPLITS)}' has the split {split!r}: expected the name"
          ' of a folder')
    name = image_list.split_name(f"'{path}'", split) if len(splits) > 1 else None
    parts += _parts_of_state(os.path.join(path, split), f'{split}/', name)
  if not parts:
    raise diagnostics.UserError(f"'{path}' has no splits")
  return parts


def _parts_of_state(path, prefix, split):
  files = _read(path, _STATE, '_data_files', list)
  if _read(path, _STATE, '_indices_data_files', (list, type(None)), None):
    raise diagnostics.UserError(
        f"'{path}' has rows in another order than its files: save it again, after"
        ' dataset.flatten_indices()')
  parts = []
  for file in files:
    name = file.get('filename') if isinstance(file, dict) else None
    if not file_names.is_file_name(name):
      raise diagnostics.UserError(
          f"'{os.path.join(path, _STATE)}' names the file {name!r}: expected one in its"
          ' folder')
    parts.append(Part(os.path.join(path, name), f'{prefix}{name}', split))
  return parts


def _read(folder, name, key, kind, missing=...):
  """Returns a value of a JSON file in a folder."""
  path = os.path.join(folder, name)
  try:
    with open(path, encoding='utf-8') as file:
      values = json.load(file)
    value = values[key] if missing is ... else values.get(key, missing)
  except FileNotFoundError as error:
    raise diagnostics.UserError(
        f"there is no '{path}': save the data set again with save_to_disk") from error
  except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
    raise diagnostics.UserError(
        f"'{path}' is damaged ({error!r}): save the data set again with save_to_disk"
    ) from error
  if not isinstance(value, kind):
    raise diagnostics.UserError(
        f"'{path}' is damaged ({key} is {value!r}): save the data set again with"
        ' save_to_disk')
  return value


def named_parts(name: str) -> list[Part]:
  """Returns the files of a data set by name; downloads it if it is not in the cache.

  The cache is that of the package `datasets`; HF_HOME sets its folder.

  Args:
    name: name of the data set, such as 'hf:food101' or 'hf:user/pets', and optionally
      a configuration: 'hf:user/pets:small'.

  Raises:
    UserError: the package is not installed, or cannot load the data set.
  """
  path, _, configuration = name.removeprefix(PREFIX).partition(':')
  if not path:
    raise diagnostics.UserError(
        f"--source={name}: expected the name of a data set, such as {PREFIX}food101")
  # Progress goes to the terminal; the answer is the last line of stdout.
  done = subprocess.run(
      [sys.executable, hugging_face_program.__file__, path, configuration],
      stdout=subprocess.PIPE, text=True, check=False, stdin=subprocess.DEVNULL)
  lines = done.stdout.strip().splitlines()
  try:
    answer = json.loads(lines[-1] if lines else '')
  except ValueError as error:
    raise diagnostics.UserError(
        f"the package datasets did not load '{path}':"
        f' {diagnostics.why_a_process_failed(done.returncode)}') from error
  if answer.get('missing'):
    raise diagnostics.UserError(
        f'{name} is loaded by the package datasets of Hugging Face, which is not'
        f' installed ({answer["missing"]}): {INSTALL}')
  if answer.get('error'):
    raise diagnostics.UserError(f'{name} cannot be loaded: {answer["error"]}')
  splits = answer['splits']
  return [Part(file, f'{split}/{os.path.basename(file)}',
               image_list.split_name(name, split) if len(splits) > 1 else None)
          for split, files in splits.items() for file in files]
