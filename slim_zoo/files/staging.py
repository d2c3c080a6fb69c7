"""Files that replace others together: all of them, or none.

They are made in a hidden folder beside the place they go to, whose name begins with
.unfinished- and which its process holds by a lock. One that a killed process left is
held by nobody: the next run removes it, or goes on with it.
"""

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator

from slim_zoo import diagnostics

try:
  import fcntl
except ImportError:  # Not on Windows: nothing is known to be left, or held.
  fcntl = None

_HIDDEN = '.unfinished-'
_LOCK = 'lock'
PARTIAL = '.partial'  # The suffix of files that are being written.


@contextlib.contextmanager
def _held(folder: str) -> Iterator[bool]:
  """Holds a hidden folder; yields whether no other process holds it."""
  if fcntl is None:
    yield True
    return
  descriptor = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_CREAT, 0o666)
  try:
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      free = True
    except BlockingIOError:
      free = False
    except OSError:  # Some network file systems know no locks.
      free = True
    yield free
  finally:
    os.close(descriptor)


def remove_abandoned(folder: str, last: str = '', but: str | None = None) -> None:
  """Removes the hidden folders of processes that were killed.

  Where one was killed while it replaced files, the old ones come back first.

  Args:
    folder: where they lie.
    last: of the files that come back this one is the last, see `replacing`.
    but: the path of one that stays.
  """
  if fcntl is None:
    return
  for hidden in glob.glob(os.path.join(glob.escape(folder), f'{_HIDDEN}*')):
    if hidden != but and os.path.isdir(hidden):
      with _held(hidden) as free:
        if free:
          _bring_old_back(folder, hidden, last)
          shutil.rmtree(hidden, ignore_errors=True)


def _bring_old_back(folder, hidden, last):
  """Undoes a `_replace` that did not come to its end."""
  new, old = (os.path.join(hidden, name) for name in ('new', 'old'))
  if not (os.path.isdir(old) and os.path.isdir(new) and os.listdir(new)):
    return
  # A new file that says that all are there would come last: it is not there yet.
  for name in sorted(os.listdir(old), key=lambda name: (name == last, name)):
    os.replace(os.path.join(old, name), os.path.join(folder, name))


@contextlib.contextmanager
def _made(folder: str) -> Iterator[None]:
  """Makes a folder; removes it again if the block fails and leaves nothing in it."""
  existed = os.path.isdir(folder)
  os.makedirs(folder, exist_ok=True)
  try:
    yield
  except BaseException:
    if not existed:
      with contextlib.suppress(OSError):
        os.rmdir(folder)
    raise


@contextlib.contextmanager
def replacing(folder: str, last: str, obsolete: Iterable[str] = ()) -> Iterator[str]:
  """Yields a hidden folder; at the end its files move to `folder`.

  If the block fails, `folder` stays as it was (and is removed where this made it).

  Args:
    folder: where the files go; made where it does not exist.
    last: the name of the file that says that all are there: it is the first of the
      old files to go and the last of the new ones to come, so that not even a
      killed process leaves a mixture that looks whole.
    obsolete: names of old files that are removed in the end.

  Raises:
    OSError: the folder cannot be written.
  """
  with _made(folder):
    remove_abandoned(folder, last)
    # Known before it is made, so that a signal at any moment finds it to remove.
    hidden = os.path.join(folder, f'{_HIDDEN}{secrets.token_hex(4)}')
    try:
      os.mkdir(hidden)
      with _held(hidden):
        new = os.path.join(hidden, 'new')
        old = os.path.join(hidden, 'old')
        os.mkdir(new)
        os.mkdir(old)
        yield new
        _replace(folder, new, old, last, obsolete)
    finally:
      _remove(hidden)


class Unfinished:
  """The hidden folder of work that is gone on with after a kill.

  Attributes:
    new: a folder whose files move to the target when the work is done.
    notes: a folder for the state of the work.
    fetched: a folder for downloads.
    scratch: a folder for temporary files.
  """

  def __init__(self, target: str, hidden: str):
    self._target, self._hidden = target, hidden
    self.new, self.notes, self.fetched, self.scratch, self._old = (
        os.path.join(hidden, name)
        for name in ('new', 'notes', 'fetched', 'scratch', 'old'))
    for folder in (self.new, self.notes, self._old):
      os.makedirs(folder, exist_ok=True)

  def forget(self) -> None:
    """Removes the files of other work; downloads stay."""
    for folder in (self.new, self.notes):
      shutil.rmtree(folder)
      os.mkdir(folder)

  def remove_partial(self) -> None:
    """Removes the files that a killed process was writing: *.partial."""
    for folder in (self.new, self.notes):
      for path in glob.glob(os.path.join(glob.escape(folder), f'*{PARTIAL}')):
        os.remove(path)

  def bring_back(self, name: str) -> None:
    """Moves a file back that had moved when the process was killed."""
    with contextlib.suppress(FileNotFoundError):
      os.rename(os.path.join(self._target, name), os.path.join(self.new, name))

  def publish(self, last: str, obsolete: Iterable[str] = ()) -> None:
    """Moves the files to the target and removes the hidden folder.

    Arguments are those of `replacing`.
    """
    _replace(self._target, self.new, self._old, last, obsolete)
    _remove(self._hidden)


@contextlib.contextmanager
def resumable(folder: str, name: str) -> Iterator[Unfinished]:
  """Yields the unfinished work called `name` in `folder`, new or of a killed run.

  If the block fails, what was made so far stays for the next run; where that is
  nothing, no trace is left.

  Raises:
    UserError: another process is at it.
    OSError: the folder cannot be written.
  """
  with _made(folder):
    hidden = os.path.join(folder, f'{_HIDDEN}{name}')
    remove_abandoned(folder, but=hidden)
    os.makedirs(hidden, exist_ok=True)
    with _held(hidden) as free:
      if not free:
        raise diagnostics.UserError(
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
  """Removes a hidden folder, also where a signal ends the program meanwhile."""
  try:
    shutil.rmtree(hidden, ignore_errors=True)
  except BaseException:
    shutil.rmtree(hidden, ignore_errors=True)
    raise


def _remove_if_empty(hidden: str) -> None:
  """Removes a hidden folder in which nothing but the lock was made."""
  if not any(name != _LOCK for _, _, names in os.walk(hidden) for name in names):
    shutil.rmtree(hidden, ignore_errors=True)


def _replace(folder, new, old, last, obsolete):
  """Moves old files out and new ones in; undoes it all if a move fails."""
  # A process that outlives its killed parent for a moment may just begin to write.
  arriving = sorted((name for name in os.listdir(new) if not name.endswith(PARTIAL)),
                    key=lambda name: (name == last, name))
  leaving = sorted({*arriving, *obsolete}, key=lambda name: (name != last, name))
  moves = [(os.path.join(folder, name), os.path.join(old, name))
           for name in leaving if os.path.lexists(os.path.join(folder, name))]
  moves += [(os.path.join(new, name), os.path.join(folder, name))
            for name in arriving]
  done = []
  try:
    for source, target in moves:
      os.rename(source, target)
      done.append((source, target))
  except BaseException:
    for source, target in reversed(done):
      os.rename(target, source)
    raise
