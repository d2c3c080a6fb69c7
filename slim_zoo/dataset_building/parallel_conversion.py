"""Writes the records of a data set in several processes, and continues after a kill.

A plan is split into parts, so that the bytes do not depend on the number of processes.
Each finished part has a note beside it; parts without a note, or that differ from their
note, are written again. Needs no TensorFlow.
"""

import collections
import concurrent.futures
import dataclasses
import glob
import json
import multiprocessing
import os
import shutil
from concurrent.futures.process import BrokenProcessPool

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.dataset_building import folder_conversion, part_writer
from slim_zoo.dataset_building.conversion_plan import Plan
from slim_zoo.dataset_building.conversion_report import REFUSED_FILENAME, Report
from slim_zoo.datasets import labels
from slim_zoo.files import staging
from slim_zoo.progress import Progress

_PLAN_FILENAME = 'plan.json'
_LOOK_SECONDS = 0.2


def convert(plan: Plan, dataset_dir: str, work: staging.Unfinished,
            num_workers: int = 0) -> Report:
  """Writes a plan to `dataset_dir`, where all files appear together.

  Besides the records it writes labels.txt, refused.txt (only if an image could not be
  used) and last dataset.json, which contains the number of images.

  Args:
    plan: what to write.
    dataset_dir: final folder of the files.
    work: its unfinished work, from `staging.resumable(dataset_dir, ...)`.
    num_workers: number of processes; 0: one per CPU core.

  Raises:
    UserError: a split or class is empty, the folder contains another data set, or a
      process was ended from outside.
    OSError: a file cannot be read or written, such as on a full disk.
  """
  _check(plan)
  obsolete = _obsolete_files(plan, dataset_dir)
  parts = _open_work(plan, work)
  outcomes = {part.path: outcome for part in parts
              if (outcome := _finished(part, work)) is not None}
  notes = _resumed_notes(outcomes)
  outcomes |= _run([part for part in parts if part.path not in outcomes], plan,
                   num_workers or _cores())
  _join_parts(plan, parts, work)
  spec = _written_spec(plan, parts, outcomes)
  refused = sorted(tuple(refusal) for outcome in outcomes.values()
                   for refusal in outcome.refused)
  folder_conversion.write_texts(
      work.new, plan.class_names, refused, catalog.description(spec, established=True))
  work.publish(catalog.DESCRIPTION_FILENAME, obsolete)
  changes = sum((collections.Counter(outcome.changes)
                 for outcome in outcomes.values()), collections.Counter())
  stored = sum(outcome.records for outcome in outcomes.values()) - changes.total()
  notes += [*plan.notes, *_count_notes(plan.spec, spec)]
  return Report(
      dataset_dir, spec, (), tuple(notes), stored, changes, 0, 0, refused, ())


def _cores() -> int:
  try:
    return len(os.sched_getaffinity(0))
  except AttributeError:  # Exists only on Linux.
    return os.cpu_count() or 1


def _check(plan):
  for name, split in plan.splits.items():
    if not split.items:
      raise diagnostics.UserError(
          f'there is no image for the split {name} of {plan.spec.name}: is the'
          ' source complete?')


def check_folder(spec: catalog.DatasetSpec,
                 dataset_dir: str) -> catalog.DatasetSpec | None:
  """Returns the description of an earlier conversion in a folder, or None.

  Raises:
    UserError: the folder contains another data set.
  """
  try:
    described = catalog.read_description(dataset_dir)
  except diagnostics.UserError:
    return None  # A new description replaces a damaged one.
  if described is not None and described.name != spec.name:
    raise diagnostics.UserError(
        f"'{dataset_dir}' holds the data set '{described.name}': name an empty or"
        f' new folder for {spec.name}')
  return described


def _obsolete_files(plan, dataset_dir):
  """Returns the names of earlier files; raises UserError for another data set's."""
  described = check_folder(plan.spec, dataset_dir)
  labels.check_not_others(dataset_dir, plan.class_names)
  if described is None:
    return [REFUSED_FILENAME]
  return [REFUSED_FILENAME, *(
      os.path.basename(path) for split in described.splits for path in glob.glob(
          os.path.join(glob.escape(dataset_dir), described.pattern(split))))]


def _open_work(plan, work) -> list[part_writer.Part]:
  """Returns the parts of the plan; discards work for another plan."""
  path = os.path.join(work.notes, _PLAN_FILENAME)
  fingerprint = plan.fingerprint()
  try:
    with open(path, encoding='utf-8') as file:
      same = json.load(file) == fingerprint
  except (OSError, ValueError):
    same = False
  if same:
    work.remove_partial()
  else:
    work.discard()
    part_writer.write_json(path, fingerprint)
  parts = []
  for split_name, split in plan.splits.items():
    for filename, (first, end) in split.shard_ranges().items():
      step = plan.part_items or end - first
      for start in range(first, end, step):
        is_whole = start == first and start + step >= end
        # A file of one part needs no copy: it is written to its final name.
        part_path = (os.path.join(work.new, filename) if is_whole else
                     os.path.join(work.notes, f'{filename}.{start:08d}'))
        note = os.path.join(work.notes, f'{filename}.{start:08d}.json')
        parts.append(part_writer.Part(
            part_path, note, split_name, split.items[start:min(start + step, end)]))
  return parts


def _finished(part, work) -> part_writer.Outcome | None:
  """Returns the outcome of a part in an earlier run; None if unfinished."""
  try:
    with open(part.note, encoding='utf-8') as file:
      outcome = part_writer.Outcome(**json.load(file))
    if not os.path.exists(part.path) and os.path.dirname(part.path) == work.new:
      work.restore_moved_file(os.path.basename(part.path))
    return outcome if os.path.getsize(part.path) == outcome.size else None
  except (OSError, ValueError, TypeError):
    return None


def _run(parts, plan, num_workers) -> dict[str, part_writer.Outcome]:
  """Writes parts; returns their outcomes by path."""
  total = sum(len(part.items) for part in parts)
  workers = min(num_workers, len(parts))
  context = multiprocessing.get_context('spawn')
  stop, counter = context.Event(), context.Value('q', 0)
  with Progress(f'converting {plan.spec.name}', total, 'images') as progress:
    if workers <= 1:
      work = part_writer.Work(
          _with_progress(plan.make_record, counter, progress), stop, counter)
      outcomes = {part.path: part_writer.convert_part(part, work) for part in parts}
      progress.update(counter.value)
      return outcomes
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, context, part_writer.begin_process, (plan.make_record, stop, counter))
    try:
      return _collect(pool, parts, counter, progress)
    except BrokenProcessPool as error:
      raise diagnostics.UserError(
          'a worker process was ended from outside, maybe for lack of memory: run the'
          ' same command again to continue, with fewer --num_workers') from error
    finally:
      stop.set()
      pool.shutdown(cancel_futures=True)


def _with_progress(make_record, counter, progress):
  def make(item):
    progress.update(counter.value)
    return make_record(item)
  return make


def _collect(pool, parts, counter, progress):
  futures = {pool.submit(part_writer.convert_in_process, part): part for part in parts}
  waiting = set(futures)
  while waiting:
    finished, waiting = concurrent.futures.wait(
        waiting, _LOOK_SECONDS, concurrent.futures.FIRST_EXCEPTION)
    for future in finished:
      future.result()  # Raises errors of the process.
    progress.update(counter.value)
  return {part.path: future.result() for future, part in futures.items()}


def _join_parts(plan, parts, work):
  """Joins the parts of files that have several."""
  part_paths = collections.defaultdict(list)
  for part in parts:
    if os.path.dirname(part.path) != work.new:
      name = os.path.basename(part.path).rsplit('.', 1)[0]
      part_paths[name].append(part.path)
  for name, paths in part_paths.items():
    with open(os.path.join(work.new, name), 'wb') as file:
      for path in paths:
        with open(path, 'rb') as part:
          shutil.copyfileobj(part, file, 1 << 20)
      file.flush()
      os.fsync(file.fileno())


def _written_spec(plan, parts, outcomes) -> catalog.DatasetSpec:
  """Returns the description of the written data set."""
  counts = dict.fromkeys(plan.splits, 0)
  for part in parts:
    counts[part.split] += outcomes[part.path].records
  for name, count in counts.items():
    if not count:
      reasons = [refusal for part in parts if part.split == name
                 for refusal in outcomes[part.path].refused]
      path, reason = reasons[0]
      raise diagnostics.UserError(
          f'no image of the split {name} of {plan.spec.name} can be used (the first:'
          f' {path}: {reason})')
  return dataclasses.replace(
      plan.spec, splits=counts, made_with=dict(plan.made_with),
      file_pattern={name: split.pattern() for name, split in plan.splits.items()})


def _resumed_notes(outcomes):
  """Returns a note about images of an earlier run, or nothing."""
  done = sum(outcome.records + len(outcome.refused) for outcome in outcomes.values())
  return [f'continued an earlier run, which had converted {done} images'][:done]


def _count_notes(published, written):
  """Yields notes about differences from the published data set."""
  for name, count in published.splits.items():
    if name not in written.splits:
      yield f'the split {name} was not written: its archive is not in the source'
    elif written.splits[name] != count:
      yield (f'{name} has {written.splits[name]} images, the published {published.name}'
             f' has {count}: readers take the number from'
             f' {catalog.DESCRIPTION_FILENAME}')
