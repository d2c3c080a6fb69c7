"""The checkpoints in the folder of a run, and the newest complete one.

The file `checkpoint` names them, see `state_file`. It may be older than the files
(after a kill), damaged, or name files that do not exist; then the files decide.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator

from slim_zoo import diagnostics
from slim_zoo.checkpoints import state_file
from slim_zoo.checkpoints.checkpoint_names import (
    OF_A_RUN,
    first_file,
    holds_run,
    latest,
    names_in,
    step_of,
)

# The number of checkpoints that a tf.train.Saver keeps.
KEPT = 5


@dataclasses.dataclass(frozen=True)
class Newest:
  """The checkpoint to resume.

  Attributes:
    path: its prefix.
    damaged: (prefix, reason) of newer, damaged checkpoints.
    kept: prefixes of the run's complete checkpoints, the oldest first; the saver
      deletes from the front.
    recorded: whether the state file needs no change: it names `path` as the latest, and
      nothing in another folder.
    warning: a line about entries of the state file in another folder, or None.
  """

  path: str
  damaged: list[tuple[str, str]]
  kept: list[str]
  recorded: bool
  warning: str | None = None

  def describe_damage(self) -> list[str]:
    """Returns lines with the damaged checkpoints and the lost steps."""
    lines = []
    for path, reason in self.damaged:
      lost = step_of(path) - step_of(self.path)
      steps = f', {lost:,} steps are lost' if lost > 0 else ''
      if first_file(path):
        lines.append(
            f'WARNING: {os.path.basename(path)} is newer but damaged ({reason})'
            f'{steps}; its files are kept until the run writes that step again')
      else:
        lines.append(f'WARNING: {os.path.basename(path)} is missing{steps}')
    return lines

  def record(self) -> None:
    """Writes `path`, the restored checkpoint, as the latest to the state file.

    Raises:
      OSError: it cannot be written.
    """
    if not self.recorded:
      state_file.write(os.path.dirname(self.path), self.kept)


def newest_first(folder: str) -> list[str]:
  """Returns the prefixes of a run's checkpoints, in the order to try them.

  The first is the latest in the state file, which a user may have set to an older one.
  But files that were written after the state file come before it: the run was killed
  between the two. Files that the state file does not name come last.
  """
  recorded = _recorded(folder)
  files = sorted((os.path.join(folder, name) for name in names_in(folder)
                  if OF_A_RUN.fullmatch(name)), key=step_of, reverse=True)
  if not recorded:
    return files
  state_time = os.path.getmtime(os.path.join(folder, state_file.STATE_FILE))
  latest = step_of(recorded[0])
  killed = [path for path in files if step_of(path) > latest
            and os.path.getmtime(first_file(path)) > state_time]
  put_back = [path for path in [*recorded, *files]
              if step_of(path) > latest and path not in killed]
  return [path for path in dict.fromkeys([*killed, *recorded, *files])
          if path not in put_back] + list(dict.fromkeys(put_back))


def new_ones(folder: str, timeout_secs: float | None = None,
             has_ended: Callable[[], bool] = lambda: False) -> Iterator[str]:
  """Yields the latest checkpoint of a folder, then each later one.

  Prints a warning if the folder's state file names checkpoints of another folder.

  Args:
    folder: folder of a run; it may not exist yet.
    timeout_secs: end after this many seconds without a new one; None: never.
    has_ended: returns whether the run writes no more checkpoints.
  """
  if warning := state_file.warning(folder):
    print(warning, file=sys.stderr, flush=True)
  last, since = None, time.monotonic()
  while timeout_secs is None or time.monotonic() - since < timeout_secs:
    # In this order: the last checkpoint comes before the end.
    is_last, path = has_ended(), latest(folder)
    if path is None or path == last:
      if is_last:
        return
      time.sleep(1)
      continue
    yield path
    last, since = path, time.monotonic()


def newest_complete(folder: str,
                    damage_of: Callable[[str], str | None]) -> Newest | None:
  """Returns the newest complete checkpoint of a run; None if there is no run.

  Args:
    folder: the run's folder.
    damage_of: returns a description of damage of the checkpoint at a prefix, or None.

  Raises:
    UserError: all are damaged, or only the state file exists.
  """
  if not holds_run(folder):
    return None
  damaged = []
  for path in newest_first(folder):
    reason = damage_of(path) if first_file(path) else 'its files are missing'
    if reason is None:
      return _newest(folder, path, damaged)
    damaged.append((path, reason))
  advice = 'restore complete ones, or give another --train_dir for a new run'
  if not damaged:
    raise diagnostics.UserError(
        f"'{os.path.join(folder, state_file.STATE_FILE)}' exists, but no"
        f' checkpoint{_elsewhere(folder)}: {advice}, or remove that file')
  reasons = ', '.join(f'{os.path.basename(path)} ({reason})'
                      for path, reason in damaged[:3])
  more = f', and {len(damaged) - 3} more' if len(damaged) > 3 else ''
  raise diagnostics.UserError(
      f"no checkpoint in '{folder}' is complete: {reasons}{more}; {advice}")


def _newest(folder, path, damaged):
  recorded = _recorded(folder)
  damaged_paths = [other for other, _ in damaged]
  # Without a state file these are the checkpoints that a saver would keep.
  known = recorded or newest_first(folder)[:KEPT + len(damaged_paths)]
  checkpoints = sorted({path, *(other for other in known
                                if other not in damaged_paths and first_file(other))},
                       key=step_of)
  # The latest is the last entry of a state file.
  checkpoints = [other for other in checkpoints if other != path] + [path]
  is_latest = state_file.names(folder)[:1] == [os.path.basename(path)]
  return Newest(
      path, damaged, checkpoints,
      recorded=(is_latest and state_file.is_sound(folder)
                and not state_file.elsewhere(folder)),
      warning=state_file.warning(folder))


def _elsewhere(folder):
  others = state_file.elsewhere(folder)
  return f" (it names '{others[0]}', in another folder)" if others else ''


def _recorded(folder):
  """Returns the prefixes in the state file, [] if none of them has files."""
  paths = [os.path.join(folder, name) for name in state_file.names(folder)]
  return paths if any(map(first_file, paths)) else []
