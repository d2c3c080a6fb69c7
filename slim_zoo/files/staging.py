"""Replaces several files together: all of them, or none.

New files are written to a hidden folder, .unfinished-*, in the target folder. Its
process locks it. The hidden folder of a killed process has no lock: the next run
removes or continues it.
"""

import contextlib
import glob
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator

from slim_zoo import diagnostics
from slim_zoo.files import owners

try:
  import fcntl
except ImportError:  # Windows: hidden folders of killed processes stay.
  fcntl = None

class BusyError(diagnostics.UserError):
  """Another process does the same work now."""


_HIDDEN = '.unfinished-'
_LOCK = 'lock'
_ABANDONED_SECONDS = 24 * 3600
PARTIAL = '.partial'  # Suffix of unfinished files.


@contextlib.contextmanager
def _locked(folder: str, is_new: bool = False) -> Iterator[bool]:
  """Locks a hidden folder; yields False if another process has the lock.

  Args:
    folder: the hidden folder.
    is_new: whether this process has just made it.
  """
  if fcntl is None:
    yield True
    return
  path = os.path.join(folder, _LOCK)
  owner = owners.read(path)
  descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
  try:
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      free = True
    except BlockingIOError:
      free = False
    except OSError:  # Some network file systems have no locks.
      free = is_new or _is_abandoned(folder, owner)
    if free:
      _write_owner(descriptor, owners.this_process())
    try:
      yield free
    finally:
      if free:
        _write_owner(descriptor, {})
  finally:
    os.close(descriptor)


def _write_owner(descriptor, owner):
  os.ftruncate(descriptor, 0)
  os.pwrite(descriptor, json.dumps(owner).encode(), 0)


def _is_abandoned(folder, owner):
  """Tells whether the process of a hidden folder is gone, where locks do not tell.

  A process of another machine counts as gone when nothing was written for a day.
  """
  if owner == {}:
    return True  # It was left in order.
  alive = owners.is_alive(owner) if owner else None
  if alive is not None:
    return not alive
  newest = max(os.path.getmtime(path) for path, _, _ in os.walk(folder))
  return time.time() - newest > _ABANDONED_SECONDS


def remove_abandoned(folder: str, last: str = '', but: str | None = None) -> None:
  """Removes the hidden folders of killed processes.

  If one was killed while it replaced files, the old files are restored first.

  Args:
    folder: the target folder.
    last: name of the file that is restored last, see `replacing`.
    but: path of a hidden folder to keep.
  """
  if fcntl is None:
    return
  for hidden in glob.glob(os.path.join(glob.escape(folder), f'{_HIDDEN}*')):
    if hidden != but and os.path.isdir(hidden):
      with _locked(hidden) as free:
        if free:
          _restore_old(folder, hidden, last)
          shutil.rmtree(hidden, ignore_errors=True)


def _restore_old(folder, hidden, last):
  """Undoes an unfinished `_replace`."""
  new, old = (os.path.join(hidden, name) for name in ('new', 'old'))
  if not (os.path.isdir(old) and os.path.isdir(new) and os.listdir(new)):
    return
  # The new `last` file is moved last, so it is not in the folder yet.
  for name in sorted(os.listdir(old), key=lambda name: (name == last, name)):
    os.replace(os.path.join(old, name), os.path.join(folder, name))


@contextlib.contextmanager
def created(*folders: str) -> Iterator[None]:
  """Creates folders; if the block fails, removes those of them that are empty.

  Folders above them are created and removed, too.

  Raises:
    OSError: one cannot be created.
  """
  made = []
  try:
    for folder in folders:
      made = [*_missing(folder), *made]
      os.makedirs(folder, exist_ok=True)
    yield
  except BaseException:
    for folder in made:
      with contextlib.suppress(OSError):
        os.rmdir(folder)
    raise


def _missing(folder: str) -> list[str]:
  """Returns a folder and those above it that are not there, the deepest first."""
  missing, folder = [], os.path.abspath(folder)
  while not os.path.lexists(folder):
    missing.append(folder)
    folder = os.path.dirname(folder)
  return missing


@contextlib.contextmanager
def replacing(folder: str, last: str, obsolete: Iterable[str] = ()) -> Iterator[str]:
  """Yields a hidden folder; its files move to `folder` at the end.

  If the block fails, `folder` is unchanged (a new one is removed).

  Args:
    folder: the target folder; created if missing.
    last: name of the file that marks complete files: the first of the old files to be
      removed and the last of the new ones to be moved, so that a killed process leaves
      no mixture that looks complete.
    obsolete: names of old files to remove.

  Raises:
    OSError: the folder cannot be written.
  """
  with scratch(folder, last) as hidden:
    new = os.path.join(hidden, 'new')
    old = os.path.join(hidden, 'old')
    os.mkdir(new)
    os.mkdir(old)
    yield new
    _replace(folder, new, old, last, obsolete)


@contextlib.contextmanager
def scratch(folder: str, last: str) -> Iterator[str]:
  """Yields a hidden folder for files that are not needed after the block.

  That of a killed process is removed by the next run.

  Args:
    folder: the folder that it is in; created if missing.
    last: see `replacing`.

  Raises:
    OSError: the folder cannot be written.
  """
  with created(folder):
    remove_abandoned(folder, last)
    # The name is chosen before the `try`, so that any later signal removes the folder.
    hidden = os.path.join(folder, f'{_HIDDEN}{secrets.token_hex(4)}')
    try:
      os.mkdir(hidden)
      with _locked(hidden, is_new=True):
        yield hidden
    finally:
      _remove(hidden)


class Unfinished:
  """The hidden folder of work that can be continued after a kill.

  Attributes:
    new: folder of files that move to the target when the work is done.
    notes: folder of files about the progress of the work.
    fetched: folder of downloads.
    scratch: folder of files that can be quickly rewritten.
  """

  def __init__(self, target: str, hidden: str):
    self._target, self._hidden = target, hidden
    self.new, self.notes, self.fetched, self.scratch, self._old = (
        os.path.join(hidden, name)
        for name in ('new', 'notes', 'fetched', 'scratch', 'old'))
    for folder in (self.new, self.notes, self._old):
      os.makedirs(folder, exist_ok=True)

  def discard(self) -> None:
    """Removes the files of other work; keeps downloads."""
    for folder in (self.new, self.notes):
      shutil.rmtree(folder)
      os.mkdir(folder)

  def remove_partial(self) -> None:
    """Removes unfinished files of a killed process: *.partial."""
    for folder in (self.new, self.notes):
      for path in glob.glob(os.path.join(glob.escape(folder), f'*{PARTIAL}')):
        os.remove(path)

  def restore_moved_file(self, name: str) -> None:
    """Moves a file back that had been moved when the process was killed."""
    with contextlib.suppress(FileNotFoundError):
      os.rename(os.path.join(self._target, name), os.path.join(self.new, name))

  def drop(self) -> None:
    """Removes the hidden folder: the work is not needed."""
    _remove(self._hidden)

  def publish(self, last: str, obsolete: Iterable[str] = ()) -> None:
    """Moves the files to the target and removes the hidden folder.

    Arguments are those of `replacing`.
    """
    _replace(self._target, self.new, self._old, last, obsolete)
    _remove(self._hidden)


@contextlib.contextmanager
def resumable(folder: str, name: str) -> Iterator[Unfinished]:
  """Yields the unfinished work `name` in `folder`: new, or of a killed run.

  If the block fails, its files stay for the next run; without files the folder is
  removed.

  Raises:
    BusyError: another process does the same work; it is a UserError.
    OSError: the folder cannot be written.
  """
  with created(folder):
    hidden = os.path.join(folder, f'{_HIDDEN}{name}')
    remove_abandoned(folder, but=hidden)
    is_new = not os.path.isdir(hidden)
    os.makedirs(hidden, exist_ok=True)
    with _locked(hidden, is_new) as free:
      if not free:
        raise BusyError(
            f"another process is writing {name} to '{folder}' now: wait for it, or"
            ' name another folder')
      work = Unfinished(folder, hidden)
      try:
        yield work
      except BaseException:
        shutil.rmtree(work.scratch, ignore_errors=True)
        _remove_if_empty(hidden)
        raise


def _remove(hidden: str) -> None:
  """Removes a hidden folder, even if a signal ends the program meanwhile."""
  try:
    shutil.rmtree(hidden, ignore_errors=True)
  except BaseException:
    shutil.rmtree(hidden, ignore_errors=True)
    raise


def _remove_if_empty(hidden: str) -> None:
  """Removes a hidden folder that contains only the lock."""
  if not any(name != _LOCK for _, _, names in os.walk(hidden) for name in names):
    shutil.rmtree(hidden, ignore_errors=True)


def _replace(folder, new, old, last, obsolete):
  """Moves old files out and new ones in; undoes all moves if one fails."""
  # A worker process of a killed parent may still write for a moment.
  new_names = sorted((name for name in os.listdir(new) if not name.endswith(PARTIAL)),
                     key=lambda name: (name == last, name))
  old_names = sorted({*new_names, *obsolete}, key=lambda name: (name != last, name))
  moves = [(os.path.join(folder, name), os.path.join(old, name))
           for name in old_names if os.path.lexists(os.path.join(folder, name))]
  moves += [(os.path.join(new, name), os.path.join(folder, name))
            for name in new_names]
  done = []
  try:
    for source, target in moves:
      os.rename(source, target)
      done.append((source, target))
  except BaseException:
    for source, target in reversed(done):
      os.rename(target, source)
    raise
