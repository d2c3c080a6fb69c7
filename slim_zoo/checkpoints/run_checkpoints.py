"""The checkpoints that a run keeps in its folder, and the newest whole one of them.

The file `checkpoint` names them, see `state_file`. It may lag behind the files (a kill
between the two), be torn, or name files that are not there; then the files themselves
decide.
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

# As many as a tf.train.Saver keeps.
KEPT = 5


@dataclasses.dataclass(frozen=True)
class Newest:
  """The checkpoint to resume.

  Attributes:
    path: its prefix.
    damaged: (prefix, description of the damage) of newer ones.
    kept: prefixes of the run's whole checkpoints, the oldest first; a saver goes
      on deleting from its front.
    recorded: whether the state file can stay: it names `path` as the latest, and
      nothing in another folder.
    warning: a line on entries of the state file that lie in another folder, or None.
  """

  path: str
  damaged: list[tuple[str, str]]
  kept: list[str]
  recorded: bool
  warning: str | None = None

  def describe_damage(self) -> list[str]:
    """Returns lines that name the damaged checkpoints and the lost steps."""
    lines = []
    for path, reason in self.damaged:
      lost = step_of(path) - step_of(self.path)
      steps = f', {lost:,} steps are lost' if lost > 0 else ''
      if first_file(path):
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
    if not self.recorded:
      state_file.write(os.path.dirname(self.path), self.kept)


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
  """Yields the latest checkpoint of a folder, then each later one that is seen.

  Prints a warning if the folder's state file names checkpoints of another folder.

  Args:
    folder: of a run; it need not be there yet.
    timeout_secs: end after so many seconds without a new one; None: never.
    has_ended: tells whether the run writes no more.
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


def newest_whole(folder: str,
                 damage_of: Callable[[str], str | None]) -> Newest | None:
  """Finds the checkpoint of a run to go on from; None if there is no run.

  Args:
    folder: the run's.
    damage_of: returns the damage of the checkpoint at a prefix, or None.

  Raises:
    UserError: there are only damaged ones, or only the state file is left.
  """
  if not holds_run(folder):
    return None
  damaged = []
  for path in newest_first(folder):
    reason = damage_of(path) if first_file(path) else 'its files are not there'
    if reason is None:
      return _newest(folder, path, damaged)
    damaged.append((path, reason))
  advice = ("put whole ones back, or name another --train_dir to begin anew")
  if not damaged:
    raise diagnostics.UserError(
        f"'{os.path.join(folder, state_file.STATE_FILE)}' is there, but no"
        f' checkpoint{_elsewhere(folder)}: {advice}, or remove that file')
  reasons = ', '.join(f'{os.path.basename(path)} ({reason})'
                      for path, reason in damaged[:3])
  more = f', and {len(damaged) - 3} more' if len(damaged) > 3 else ''
  raise diagnostics.UserError(
      f"no checkpoint in '{folder}' is whole: {reasons}{more}; {advice}")


def _newest(folder, path, damaged):
  recorded = _recorded(folder)
  bad = [other for other, _ in damaged]
  # Without a state file: the checkpoints that a saver would have kept.
  known = recorded or newest_first(folder)[:KEPT + len(bad)]
  checkpoints = sorted({path, *(other for other in known
                         if other not in bad and first_file(other))}, key=step_of)
  # The latest stands last in a state file.
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
  """Returns the prefixes that the state file names, [] if none of them has files."""
  paths = [os.path.join(folder, name) for name in state_file.names(folder)]
  return paths if any(map(first_file, paths)) else []
