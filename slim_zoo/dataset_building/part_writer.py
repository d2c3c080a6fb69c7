"""The work of each process of a conversion: it writes parts of the records, and notes.

A part is a row of images that no other part depends on. Its file gets its name when
it is whole, and its note after that: a killed process leaves no note. Needs no
TensorFlow.
"""

import collections
import json
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from slim_zoo.dataset_building import archives
from slim_zoo.files import atomic, staging
from slim_zoo.images import image_check
from slim_zoo.input import plain_records


class Part(NamedTuple):
  """Items that one process writes to `path`; `note` says that it did."""

  path: str
  note: str
  split: str
  items: Sequence[Any]


class Outcome(NamedTuple):
  """The result of a part; kept as JSON in its note."""

  size: int
  records: int
  refused: list[tuple[str, str]]
  changes: dict[str, int]


class Work(NamedTuple):
  """The common settings of the parts of a conversion.

  Attributes:
    make_record: see `conversion_plan.Plan`.
    stop: an Event: when set, no more images are begun.
    done: a Value that counts images, of all processes.
  """

  make_record: Callable[[Any], Any]
  stop: Any
  done: Any


# The work of a process of a pool: passed once, not with each part.
_work = None


def begin_process(*work) -> None:
  """Prepares a process of a pool; takes what `Work` is made of."""
  global _work
  if not multiprocessing.parent_process().is_alive():
    # Killed while this process started: the next run must not meet its files.
    os._exit(1)
  _work = Work(*work)
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides.
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
  """Ends this process as soon as its parent was killed."""
  multiprocessing.parent_process().join()
  os._exit(1)


def convert_in_process(part: Part) -> Outcome | None:
  """Runs `convert_part` in a process of a pool."""
  return convert_part(part, _work)


def convert_part(part: Part, work: Work) -> Outcome | None:
  """Writes a part and its note; returns None if the work was stopped before.

  Raises:
    OSError: an image's file cannot be read, or the part cannot be written.
  """
  with atomic.replacing(part.path, _partial(part.path)) as partial:
    outcome = _write_records(part, work, partial)
    if outcome is None:
      os.remove(partial)  # So that it does not become the part.
      return None
  write_json(part.note, outcome._asdict())
  return outcome


def _partial(path):
  # `staging` leaves files of this suffix out. A killed process may still be writing.
  return f'{path}.{os.getpid()}{staging.PARTIAL}'


def _write_records(part, work, path):
  """Writes the records of a part to a file; returns None if the work was stopped."""
  refused, changes, records = [], collections.Counter(), 0
  with warnings.catch_warnings(), open(path, 'wb') as file:
    # Of odd metadata and of very large images: no reason to refuse one.
    warnings.simplefilter('ignore')
    for item in part.items:
      if work.stop.is_set():
        return None
      try:
        record = work.make_record(item)
      except (image_check.RefusedError, archives.DamagedMemberError) as error:
        refused.append((item.name, str(error)))
      else:
        file.write(plain_records.framed(record.data))
        records += 1
        if record.change:
          changes[record.change] += 1
      with work.done.get_lock():
        work.done.value += 1
    return Outcome(file.tell(), records, refused, dict(changes))


def write_json(path: str, value: Any) -> None:
  """Writes a JSON file, see `atomic.replacing`."""
  atomic.write_text(path, json.dumps(value), partial=_partial(path))
