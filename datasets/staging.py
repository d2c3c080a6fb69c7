"""Files that replace others together: all of them, or none."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def replacing(folder: str, last: str, obsolete: Iterable[str] = ()) -> Iterator[str]:
  """Yields a hidden folder; what is in it at the end moves to `folder`.

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
  existed = os.path.isdir(folder)
  os.makedirs(folder, exist_ok=True)
  try:
    with tempfile.TemporaryDirectory(prefix='.unfinished-', dir=folder) as hidden:
      new = os.path.join(hidden, 'new')
      old = os.path.join(hidden, 'old')
      os.mkdir(new)
      os.mkdir(old)
      yield new
      _replace(folder, new, old, last, obsolete)
  except BaseException:
    if not existed:
      with contextlib.suppress(OSError):
        os.rmdir(folder)
    raise


def _replace(folder, new, old, last, obsolete):
  """Moves old files out and new ones in; undoes it all if a move fails."""
  arriving = sorted(os.listdir(new), key=lambda name: (name == last, name))
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
