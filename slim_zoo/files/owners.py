"""Which process works in a folder: a file names it, also where no lock is known."""

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from typing import Any

from slim_zoo import diagnostics

LOCK_NAME = 'run.lock'
# The owner on another machine is alive if it touches its file within this time.
_SECONDS_BETWEEN_TOUCHES, _SECONDS_TO_WATCH = 5.0, 16.0
# A file without content may be one that is being written.
_SECONDS_UNTIL_TORN = 2.0
_in_this_process = set()


def this_process() -> dict[str, Any]:
  """Returns what tells this process from all others, ready for JSON."""
  return {'host': platform.node(), 'process': os.getpid(),
          'started': _state_and_start(os.getpid())[1], 'machine': machine()}


def is_alive(owner: dict[str, Any]) -> bool | None:
  """Tells whether a process runs; None: it is of another machine or container."""
  if owner.get('machine') != machine():
    return None
  number = owner.get('process')
  if not has_process(number):
    return False
  state, started = _state_and_start(number)
  return state not in ('Z', 'X') and started == owner.get('started')


def has_process(number: int) -> bool:
  """Returns whether a process of this number runs on this machine."""
  try:
    os.kill(number, 0)
  except PermissionError:
    pass  # Of another user.
  except (OSError, TypeError, OverflowError):
    return False
  return True


def describe(owner: dict[str, Any]) -> str:
  """Returns words for a message: process 12 on host."""
  return f'process {owner.get("process")} on {owner.get("host")}'


def read(path: str) -> dict[str, Any] | None:
  """Returns the owner that a file names; None if there is none."""
  try:
    with open(path, encoding='utf-8') as file:
      owner = json.load(file)
  except (OSError, ValueError):
    return None
  return owner if isinstance(owner, dict) else None


@contextlib.contextmanager
def working_in(folder: str) -> Iterator[None]:
  """Keeps a second process out of a folder while the block runs.

  The file of a killed process does not keep anybody out.

  Args:
    folder: that is written to.

  Raises:
    UserError: another process works there.
    OSError: it cannot be written.
  """
  with holding(os.path.join(folder, LOCK_NAME),
               f"trains in '{folder}' now: end it, or name another --train_dir"):
    yield


@contextlib.contextmanager
def holding(path: str, occupied: str) -> Iterator[None]:
  """Keeps a second process from the same work while the block runs.

  The file of a killed process does not keep anybody out.

  Args:
    path: of the file that names the process; its folder is there.
    occupied: the message about another process that holds it, without its subject.

  Raises:
    UserError: another process holds it.
    OSError: it cannot be written.
  """
  while not _take(path):
    _check_abandoned(path, occupied)
  key, ended = os.path.realpath(path), threading.Event()
  _in_this_process.add(key)
  threading.Thread(target=_touch, args=(path, ended), daemon=True).start()
  try:
    yield
  finally:
    ended.set()
    _in_this_process.discard(key)
    if read(path) == this_process():
      with contextlib.suppress(OSError):
        os.remove(path)


def writing(path: str, option: str) -> contextlib.AbstractContextManager[None]:
  """Keeps a second process from writing a file or folder while the block runs.

  Args:
    path: of the file or folder, which need not be there.
    option: that names it, for the message.

  Raises:
    UserError, OSError: see `holding`.
  """
  return holding(f'{path}.lock', f"writes '{path}' now: wait for its end, or name"
                 f' another {option}')


def _take(path):
  """Writes the file of this process; returns whether there was none."""
  try:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
  except FileExistsError:
    return False
  with open(descriptor, 'w', encoding='utf-8') as file:
    json.dump(this_process(), file)
  return True


def _check_abandoned(path, occupied):
  """Removes the file of a process that is gone.

  Raises:
    UserError: it is not gone.
  """
  owner = read(path)
  if owner is None:
    time.sleep(_SECONDS_UNTIL_TORN)
    if read(path) is not None:
      return
  else:
    if os.path.realpath(path) in _in_this_process:
      alive = True
    elif owner == this_process():
      alive = False  # Of an earlier process with the same number.
    else:
      alive = is_alive(owner)
    if alive or (alive is None and _is_touched(path, owner)):
      raise diagnostics.UserError(f'{describe(owner)} {occupied}')
  # Of several processes that find it abandoned, one renames it.
  aside = f'{path}.{os.getpid()}'
  with contextlib.suppress(FileNotFoundError):
    os.rename(path, aside)
    os.remove(aside)


def _is_touched(path, owner):
  """Tells whether the owner of a file touches it, by watching for a while."""
  print(f'looking whether {describe(owner)} still runs ({path})', flush=True)
  before, end = _touched_at(path), time.monotonic() + _SECONDS_TO_WATCH
  while time.monotonic() < end:
    time.sleep(0.5)
    if _touched_at(path) != before:
      return os.path.exists(path)
  return False


def _touched_at(path):
  try:
    # Opened, since network file systems then ask their server.
    with open(path, encoding='utf-8') as file:
      return os.fstat(file.fileno()).st_mtime_ns
  except FileNotFoundError:
    return None


def _touch(path, ended):
  while not ended.wait(_SECONDS_BETWEEN_TOUCHES):
    with contextlib.suppress(OSError):
      os.utime(path)


def machine() -> str:
  """Returns what two processes share that see the same process numbers."""
  parts = [platform.node()]
  with contextlib.suppress(OSError):
    with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
      parts.append(file.read().strip())
    parts.append(os.readlink('/proc/self/ns/pid'))
  return ' '.join(parts)


def _state_and_start(process):
  """Returns the state and the start time of a process; None where it is not known."""
  try:
    with open(f'/proc/{process}/stat', encoding='utf-8', errors='replace') as file:
      # The name before the bracket may hold anything.
      fields = file.read().rpartition(')')[2].split()
  except OSError:
    return None, None
  return fields[0], fields[19]
