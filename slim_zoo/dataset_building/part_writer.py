"""Writes parts of the records, in each process of a conversion.

A part is a sequence of images. Its file gets its final name when it is complete, and
after that a note is written: a killed process leaves no note. Needs no TensorFlow.
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
  """Items that one process writes to `path`; the file `note` marks a finished part."""

  path: str
  note: str
  split: str
  items: Sequence[Any]


class Outcome(NamedTuple):
  """The result of a part, stored as JSON in its note."""

  size: int
  records: int
  refused: list[tuple[str, str]]
  changes: dict[str, int]


class Work(NamedTuple):
  """The common arguments of all parts.

  Attributes:
    make_record: see `conversion_plan.Plan`.
    stop: an Event: when set, processes start no more images.
    done: a Value: number of images done by all processes.
  """

  make_record: Callable[[Any], Any]
  stop: Any
  done: Any


# Set once per process of a pool, not passed with each part.
_work = None


def begin_process(*work) -> None:
  """Initializes a process of a pool. Arguments are the fields of `Work`."""
  global _work
  if not multiprocessing.parent_process().is_alive():
    # The parent was killed during this start: write nothing beside its next run.
    os._exit(1)
  _work = Work(*work)
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C.
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
  """Ends this process when its parent ends."""
  multiprocessing.parent_process().join()
  os._exit(1)


def convert_in_process(part: Part) -> Outcome | None:
  """Runs `convert_part` in a process of a pool."""
  return convert_part(part, _work)


def convert_part(part: Part, work: Work) -> Outcome | None:
  """Writes a part and its note; returns None if the work was stopped.

  Raises:
    OSError: an image's file cannot be read, or the part cannot be written.
  """
  with atomic.replacing(part.path, _partial(part.path)) as partial:
    outcome = _write_records(part, work, partial)
    if outcome is None:
      os.remove(partial)  # So `replacing` does not rename it.
      return None
  write_json(part.note, outcome._asdict())
  return outcome


def _partial(path):
  # `staging` does not publish this suffix. A killed process may still be writing.
  return f'{path}.{os.getpid()}{staging.PARTIAL}'


def _write_records(part, work, path):
  """Writes the records of a part to a file; returns None if the work was stopped."""
  refused, changes, records = [], collections.Counter(), 0
  with warnings.catch_warnings(), open(path, 'wb') as file:
    # Warnings about unusual metadata and very large images are no reason to refuse one.
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
