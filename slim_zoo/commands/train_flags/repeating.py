"""Repeating a run: its seed, bit for bit or nearly, and the card that says how."""

import dataclasses
import os
import shlex
import sys

from absl import flags

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.commands import running
from slim_zoo.commands.train_flags import machines, optimization

FLAGS = flags.FLAGS

_SHOWN_CHANGES = 8
_PROJECT_DIR = os.path.dirname(os.path.dirname(os.path.abspath(slim_zoo.__file__)))


def define() -> None:
  """Defines the flags of this group."""
  flags.DEFINE_integer('seed', None,
                       'Makes the order of images, augmentation and initial weights'
                       ' repeatable; by default each run draws its own, and keeps it'
                       ' in its run_card.json.')
  flags.DEFINE_boolean('deterministic', False,
                       'Repeat a run bit for bit: the same seed, flags and machine give'
                       ' the same losses and weights, interrupted or not. Measured on'
                       ' two CPU cores, a step takes 1.1 (LeNet) to 1.6 times (a small'
                       ' MobileNet) as long; see docs/repeating.md.')


def check() -> None:
  """Refuses flags that make no sense."""
  if FLAGS.deterministic:
    for name, cause in (
        ('num_ps_tasks', 'the updates of several workers come in any order'),
        ('sync_replicas', 'the gradients of several workers come in any order'),
        ('master', 'a server in another process decides how it computes')):
      if FLAGS[name].value:
        raise diagnostics.UserError(
            f'--deterministic with --{name}={FLAGS[name].value}: {cause}; leave one of'
            ' them out')


def notes() -> list[str]:
  """Returns a line for every flag that changes nothing."""
  return []


def begin(start):
  """Seeds the run, before its graph is built; returns `determinism.Seeds`.

  A resumed run goes on with the seed of its card.
  """
  from slim_zoo import tf_compat
  from slim_zoo.training import determinism, run_card
  card = run_card.read(FLAGS.train_dir) if start.resumed else None
  if FLAGS.seed is not None:
    seed, origin = FLAGS.seed, 'given'
  elif card:
    seed, origin = card['seeds']['seed'], 'of the run card'
  else:
    seed, origin = int.from_bytes(os.urandom(3), 'big'), 'drawn'
  first_record = None
  if FLAGS.deterministic:
    tf_compat.make_deterministic()
    first_record = _records_before(start.step, card)
  seeds = determinism.seeds_of(seed, origin, start.step, FLAGS.task, first_record)
  tf_compat.tf.set_random_seed(seeds.graph)
  return seeds


def _records_before(step: int, card: dict | None) -> int:
  """Returns how many records the steps before took, unreadable ones included."""
  noted = (card or {}).get('input') or {}
  if noted.get('step') == step and noted.get('records_read') is not None:
    return noted['records_read']
  return step * machines.images_per_step()


def rows(seeds, card) -> list[tuple[str, str]]:
  """Returns the lines of the banner that are of this group."""
  exactly = ', bit for bit' if FLAGS.deterministic else ''
  changed = [f'{name}: {before} before, now {now}'
             for name, (before, now) in card.changed.items()]
  if len(changed) > _SHOWN_CHANGES:
    changed[_SHOWN_CHANGES - 1:] = [
        f'and {len(changed) - _SHOWN_CHANGES + 1} more, see run_card.md']
  return [('seed', f'{seeds.seed}, {seeds.origin}{exactly}'),
          *[('changed', line) for line in changed]]


def watchers(training_graph) -> list:
  """Returns what puts a resumed deterministic run where it was."""
  from slim_zoo.training import determinism
  if not FLAGS.deterministic:
    return []
  return [determinism.Winder(
      training_graph.train_op, training_graph.accumulate_steps)]


def command(seed: int) -> str:
  """Returns the command that repeats the run: the given flags, and the seed."""
  given = [flag.serialize() for flag in _flags_of_the_run()
           if flag.present and flag.name != 'seed']
  line = running.command_line([sys.argv[0], *given, f'--seed={seed}'])
  return shlex.join(line)


def _flags_of_the_run():
  """Returns the flags that our own modules define, in the order of --help."""
  return [flag for module, flags_of_it in FLAGS.flags_by_module_dict().items()
          if module.startswith(('common_flags', 'train_flags')) for flag in flags_of_it]


def run_card(start, seeds, training_graph, batches, dataset, schedule, facts,
             reports=()):
  """Returns the run's card, ready to be used as a context manager and a watcher.

  Args:
    start: what the run begins from.
    seeds: of `begin`.
    training_graph: what runs.
    batches: its input.
    dataset: what it reads.
    schedule: its learning rate.
    facts: more of what runs, by name: {'network': ..., 'loss': ...}.
    reports: functions that return more results.
  """
  from slim_zoo.training import provenance
  from slim_zoo.training import run_card as cards
  is_chief = FLAGS.task == 0
  return cards.RunCard(
      FLAGS.train_dir if is_chief else None, {
          'command': command(seeds.seed),
          'run': {**_what_runs(training_graph, dataset, schedule), **facts},
          'flags': {flag.name: {'value': flag.value, 'given': bool(flag.present)}
                    for flag in _flags_of_the_run()},
          'versions': provenance.versions(_PROJECT_DIR),
          'data': _fingerprints(batches, dataset) if is_chief else {},
          'seeds': _seed_facts(seeds)},
      start.step, start.resumed, machines.images_per_step(),
      batches.log.records_read, reports)


def _fingerprints(batches, dataset) -> dict:
  """Returns the fingerprint of each split that the run reads, by its name."""
  from slim_zoo.datasets import fingerprint
  found = {FLAGS.dataset_split_name: fingerprint.fingerprint(
      batches.files, dataset.described_samples, FLAGS.dataset_dir)}
  split = FLAGS.validation_split_name
  if split:
    spec = dataset_catalog.find_dataset(FLAGS.dataset_name, FLAGS.dataset_dir)
    found[split] = fingerprint.fingerprint(
        dataset_catalog.split_files(spec, split, FLAGS.dataset_dir),
        spec.splits[split], FLAGS.dataset_dir)
  return found


def _what_runs(training_graph, dataset, schedule) -> dict:
  from slim_zoo.training import banner
  batch = machines.images_per_step()
  last = FLAGS.max_number_of_steps
  return {
      'title': f'{FLAGS.model_name} on {FLAGS.dataset_name}',
      'network': FLAGS.model_name,
      'parameters': banner.parameter_counts(optimization.trained_variables()),
      'batch': {'images_per_step': batch, 'batch_size': FLAGS.batch_size,
                'clones': FLAGS.num_clones, 'workers': FLAGS.worker_replicas,
                'accumulated_batches': training_graph.accumulate_steps},
      'images': dataset.num_samples,
      'steps_per_epoch': max(1, dataset.num_samples // batch),
      'last_step': last,
      'epochs': last * batch / dataset.num_samples if last else None,
      'schedule': {'in_words': schedule.describe(), **dataclasses.asdict(schedule)},
      'deterministic': FLAGS.deterministic}


def _seed_facts(seeds) -> dict:
  words = {'given': 'The seed was given.',
           'drawn': 'No seed was given: this one was drawn.',
           'of the run card': 'The seed is the one of the first session.'}[seeds.origin]
  words += (' Deterministic: on the same machine the losses and weights are the same,'
            ' bit for bit.' if FLAGS.deterministic else
            ' Threads may add up in another order, so the last digits may differ;'
            ' --deterministic repeats them too.')
  return {'seed': seeds.seed, 'origin': seeds.origin, 'graph': seeds.graph,
          'input': seeds.input, 'first_record': seeds.first_record, 'words': words}
