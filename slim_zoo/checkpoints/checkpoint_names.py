"""Names of checkpoints, and the checkpoints of a folder; needs no TensorFlow.

The name of a checkpoint is its prefix: model.ckpt-1000 for model.ckpt-1000.index and
model.ckpt-1000.data-00000-of-00001. Before TensorFlow 1.0 it was one file of that name.
"""

import glob
import os
import re

from slim_zoo import diagnostics
from slim_zoo.catalog import published
from slim_zoo.checkpoints import file_kinds, state_file

# Names that the training loop writes; a folder may also contain other checkpoints.
OF_A_RUN = re.compile(r'model\.ckpt-\d+')
_ONE_FILE = re.compile(r'.+\.ckpt(-\d+)?')
_SUFFIX = re.compile(r'\.(index|meta|data-\d{5}-of-\d{5})$')


def prefix_of(path: str) -> str:
  """Returns the prefix of a checkpoint for one of its files."""
  return _SUFFIX.sub('', path)


def step_of(path: str) -> int:
  """Returns the step in the name of a checkpoint, or -1."""
  match = re.search(r'-(\d+)$', path)
  return int(match[1]) if match else -1


def names_in(folder: str) -> list[str]:
  """Returns the names of the checkpoints in a folder, by name and then by step."""
  if not os.path.isdir(folder):
    return []
  files = [name for name in os.listdir(folder)
           if os.path.isfile(os.path.join(folder, name))]
  return sorted({name.removesuffix('.index') for name in files
                 if name.endswith('.index') or _ONE_FILE.fullmatch(name)},
                key=lambda name: (re.sub(r'\d+$', '', name), step_of(name), name))


def holds_run(folder: str) -> bool:
  """Returns whether a folder has checkpoint files or a state file."""
  return _has_state_file(folder) or any(map(OF_A_RUN.fullmatch, names_in(folder)))


def latest(folder: str) -> str | None:
  """Returns the checkpoint that the state file of a folder names as the latest.

  Unlike `tf.train.latest_checkpoint` it never leaves the folder. Files that the state
  file does not name are ignored: they may be incomplete.

  Returns:
    A prefix below `folder` with existing files, or None.
  """
  paths = (os.path.join(folder, name) for name in state_file.names(folder))
  return next(filter(first_file, paths), None)


def first_file(prefix: str) -> str | None:
  """Returns an existing file of the checkpoint at a prefix, or None."""
  return next((prefix + suffix for suffix in ('.index', '.data-00000-of-00001', '')
               if os.path.isfile(prefix + suffix)), None)


def _has_state_file(folder):
  return os.path.exists(os.path.join(folder, state_file.STATE_FILE))


def check_there(path: str) -> None:
  """Raises UserError for a path without a checkpoint; does not check the content.

  Args:
    path: a prefix, one of its files, a folder, or 'published:NAME', which may still
      have to be downloaded.

  Raises:
    UserError: the message describes what is there instead.
  """
  name = published.name_in(path)
  if name is not None:
    published.get(name)
    return
  if os.path.isdir(path):
    if not latest(path) and not names_in(path):
      raise none_in(path)
    check_no_pattern(path)
    return
  prefix = prefix_of(path)
  if os.path.isfile(f'{prefix}.index'):
    check_no_pattern(prefix)
    return
  if os.path.isfile(prefix):
    if not file_kinds.is_table(prefix):
      kind, advice = file_kinds.describe(prefix)
      raise diagnostics.UserError(
          f"'{prefix}' is not a checkpoint but {kind}: {advice}")
    return
  kept = [suffix for suffix in ('data', 'meta')
          if glob.glob(f'{glob.escape(prefix)}.{suffix}*')]
  if kept:
    raise diagnostics.UserError(
        f"the checkpoint '{prefix}' has lost its file '{os.path.basename(prefix)}"
        f".index', which is needed to read it{beside(prefix)}")
  raise none_at(prefix)


def check_no_pattern(path: str) -> None:
  """Raises UserError for a path that TensorFlow would treat as a glob pattern.

  It would not find the checkpoint, or delete those of other folders.

  Raises:
    UserError: there is a pattern character in the path.
  """
  character = next((other for other in path if other in '*?[\\'), None)
  if character:
    raise diagnostics.UserError(
        f"'{path}' has a '{character}' in it, and TensorFlow treats the paths of"
        ' checkpoints as patterns: choose a name without *, ?, [ and \\')


def none_in(folder: str) -> diagnostics.UserError:
  """Returns the error for a folder without a checkpoint of a run."""
  others, elsewhere = names_in(folder), state_file.elsewhere(folder)
  below = [folder, *_folders_below(folder)]
  saved_models = [path for path in below
                  if os.path.isfile(os.path.join(path, 'saved_model.pb'))]
  with_checkpoints = [path for path in below if names_in(path)
                      and os.path.dirname(path) not in saved_models]
  if others:
    advice = f'it holds {diagnostics.some(others)}: name one of them'
  elif elsewhere:
    advice = (f"its file '{state_file.STATE_FILE}' names '{elsewhere[0]}', in another"
              ' folder: give that checkpoint')
  elif with_checkpoints:
    advice = (f'there are some in {diagnostics.some(with_checkpoints)}: name one of'
              ' these folders')
  elif saved_models:
    advice = (f"'{saved_models[0]}' is a SavedModel:"
              f' {file_kinds.saved_model_advice(saved_models[0])}')
  else:
    files = sorted(os.listdir(folder))
    holds = f'holds {diagnostics.some(files)}' if files else 'is empty'
    advice = ('name a folder that training wrote to, or a file such as'
              f' model.ckpt-1000; this one {holds}')
  return diagnostics.UserError(f"no checkpoint in '{folder}': {advice}")


def _folders_below(folder):
  """Returns some of the folders up to two levels below."""
  below = []
  for pattern in ('*', '*/*'):
    below += sorted(glob.glob(os.path.join(glob.escape(folder), pattern, '')))[:100]
  return [path.rstrip('/') for path in below]


def none_at(prefix: str) -> diagnostics.UserError:
  """Returns the error for a prefix without a checkpoint."""
  advice = beside(prefix) or (
      ': name one such as model.ckpt-1000, or a folder that training wrote to')
  return diagnostics.UserError(f"no checkpoint '{prefix}'{advice}")


def beside(prefix: str) -> str:
  """Returns the end of a message: the other checkpoints of the folder."""
  folder, own = os.path.split(prefix)
  others = [name for name in names_in(folder or '.') if name != own]
  return f"; '{folder or '.'}' holds {', '.join(others)}" if others else ''
