"""The checkpoints that a run keeps in its folder, and the newest whole one of them.

The file `checkpoint` names them. It may lag behind the files (a kill between the
two), be torn, or hold the names of a folder that has since been moved; then the files
themselves decide.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable

import diagnostics
from checkpoints.checkpoint_names import (
    OF_A_RUN,
    STATE_FILE,
    holds_run,
    names_in,
    step_of,
)
from tf_compat import tf

# As many as a tf.train.Saver keeps.
KEPT = 5


@dataclasses.dataclass(frozen=True)
class Newest:
  """The checkpoint to resume.

  Attributes:
    path: its prefix.
    damaged: (prefix, what is wrong) of newer ones.
    kept: prefixes of the run's whole checkpoints, the oldest first; a saver goes
      on deleting from its front.
    recorded: whether the state file names `path` as the latest already.
  """

  path: str
  damaged: list[tuple[str, str]]
  kept: list[str]
  recorded: bool

  def describe_damage(self) -> list[str]:
    """Returns lines that name the damaged checkpoints and what is lost by them."""
    lines = []
    for path, reason in self.damaged:
      lost = step_of(path) - step_of(self.path)
      steps = f', {lost:,} steps are lost' if lost > 0 else ''
      if _has_files(path):
        lines.append(
            f'WARNING: {os.path.basename(path)} is newer but damaged ({reason})'
            f'{steps}; its files stay until the run writes that step again')
      else:
        lines.append(f'WARNING: {os.path.basename(path)} is gone{steps}')
    return lines

  def record(self) -> None:
    """Makes the state file name `path` as the latest, which is what is restored.

    Raises:
      OSError: it cannot be written.
    """
    if self.recorded:
      return
    try:
      tf.train.update_checkpoint_state(
          os.path.dirname(self.path), self.path, self.kept)
    except tf.errors.OpError as error:
      raise OSError(f"cannot write to '{os.path.dirname(self.path)}':"
                    f' {error.message}') from error


def newest_first(folder: str) -> list[str]:
  """Returns the prefixes of a run's checkpoints, in the order to try them.

  First what the state file names as the latest, which may be an older one that
  somebody wrote there by hand; but files that were written after the state file
  come before it, as the run was then killed between the two. At the end come files
  that the state file does not name.
  """
  recorded = _recorded(folder)
  files = sorted((os.path.join(folder, name) for name in names_in(folder)
                  if OF_A_RUN.fullmatch(name)), key=step_of, reverse=True)
  if not recorded:
    return files
  state_time = os.path.getmtime(os.path.join(folder, STATE_FILE))
  latest = step_of(recorded[0])
  killed = [path for path in files if step_of(path) > latest
            and os.path.getmtime(_first_file(path)) > state_time]
  put_back = [path for path in [*recorded, *files]
              if step_of(path) > latest and path not in killed]
  return [path for path in dict.fromkeys([*killed, *recorded, *files])
          if path not in put_back] + list(dict.fromkeys(put_back))


def newest_whole(folder: str,
                 damage_of: Callable[[str], str | None]) -> Newest | None:
  """Finds the checkpoint of a run to go on from; None if there is no run.

  Args:
    folder: the run's.
    damage_of: returns what is wrong with the checkpoint at a prefix, or None.

  Raises:
    UserError: there are only damaged ones, or only the state file is left.
  """
  if not holds_run(folder):
    return None
  damaged = []
  for path in newest_first(folder):
    reason = damage_of(path) if _has_files(path) else 'its files are not there'
    if reason is None:
      return _newest(folder, path, damaged)
    damaged.append((path, reason))
  advice = ("put whole ones back, or name another --train_dir to begin anew")
  if not damaged:
    raise diagnostics.UserError(
        f"'{os.path.join(folder, STATE_FILE)}' is there, but no checkpoint: {advice},"
        ' or remove that file')
  reasons = ', '.join(f'{os.path.basename(path)} ({reason})'
                      for path, reason in damaged[:3])
  more = f', and {len(damaged) - 3} more' if len(damaged) > 3 else ''
  raise diagnostics.UserError(
      f"no checkpoint in '{folder}' is whole: {reasons}{more}; {advice}")


def _newest(folder, path, damaged):
  recorded = _recorded(folder)
  bad = [other for other, _ in damaged]
  # Without a state file these are what a saver would have kept.
  known = recorded or newest_first(folder)[:KEPT + len(bad)]
  kept = sorted({path, *(other for other in known
                         if other not in bad and _has_files(other))}, key=step_of)
  # The latest stands last in a state file.
  kept = [other for other in kept if other != path] + [path]
  stated = _stated(folder)[:1]
  return Newest(path, damaged, kept, recorded=any(
      os.path.abspath(other) == os.path.abspath(path) for other in stated))


def _stated(folder):
  """Returns the prefixes as the state file has them, the latest first, or []."""
  logger = tf.get_logger()
  level = logger.level
  logger.setLevel('ERROR')  # A torn file is said in our own words.
  with contextlib.suppress(ValueError, tf.errors.OpError):
    try:
      state = tf.train.get_checkpoint_state(folder)
    finally:
      logger.setLevel(level)
    if state is not None:
      return list(dict.fromkeys([
          state.model_checkpoint_path, *reversed(state.all_model_checkpoint_paths)]))
  return []


def _recorded(folder):
  """Returns the same, with prefixes of a folder that was moved put right."""
  paths = []
  for path in _stated(folder):
    here = os.path.join(folder, os.path.basename(path))
    same = os.path.abspath(here) == os.path.abspath(path)
    paths.append(here if same or not _has_files(path) else path)
  return paths if any(map(_has_files, paths)) else []


def _has_files(path):
  return _first_file(path) is not None


def _first_file(path):
  """Returns a file of the checkpoint at a prefix, or None."""
  return next((path + suffix for suffix in ('.index', '.data-00000-of-00001', '')
               if os.path.isfile(path + suffix)), None)
