"""Compares a training step on records with the same step on images in memory.

  python -m benchmarks.records_cost --output=cost.jsonl --dataset_dir=photographs

Both run in turn, each in a separate process. The records of 500 x 375 JPEGs are first
written to --dataset_dir. The table also has the share of a step that waits for images,
as in the progress lines of training.
"""

import statistics

from absl import flags

from benchmarks import paired_runs, photo_records
from slim_zoo.commands import path_flags, running
from slim_zoo.timing import ratios

FLAGS = flags.FLAGS
RECORDS, SYNTHETIC = 'on records', 'on images in memory'

flags.DEFINE_list('networks', ['resnet_v2_50'], 'Networks to train.')
flags.DEFINE_integer('batch_size', 8, 'Images per step.', lower_bound=1)
flags.DEFINE_integer('num_batches', 25, 'Timed steps of each run.', lower_bound=1)
flags.DEFINE_integer('num_batches_burn_in', 5, 'Steps before them that are not timed.',
                     lower_bound=0)
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)
flags.DEFINE_integer('num_images', 4096, 'Photographs in the records.',
                     lower_bound=1024)
path_flags.DEFINE_path('dataset_dir', None,
                       'Folder for the records; existing ones are reused.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write records_cost.md to.')


def task_of(name: str) -> dict:
  """Returns the task of a network."""
  return {'network': name, 'batch_size': FLAGS.batch_size,
          'dataset_dir': FLAGS.dataset_dir, 'num_batches': FLAGS.num_batches,
          'burn_in': FLAGS.num_batches_burn_in}


def line(runs: paired_runs.Runs, task: dict, other: str) -> tuple[str, ...]:
  """Returns a line of the table: steps on records compared with `other`."""
  seconds = [runs.medians(task, name) for name in (RECORDS, other)]
  if not all(seconds):
    why = runs.skipped(task, RECORDS) or runs.skipped(task, other)
    return (task['network'], str(task['batch_size']), *'---', str(why))
  waited = runs.values(task, RECORDS, 'waited_share').values()
  label = f"{task['network']}, compared with {other.removeprefix('on ')}"
  return (label, str(task['batch_size']),
          *(f'{statistics.median(values.values()) * 1e3:,.1f}' for values in seconds),
          paired_runs.ratio_cell(ratios.of_rounds(*seconds), 3),
          f'{statistics.median(waited):.1%}')


def report(runs: paired_runs.Runs, tasks: list[dict]) -> str:
  """Returns the Markdown page."""
  return '\n\n'.join([
      '# Cost of records',
      'Milliseconds of a training step on records of 500 x 375 JPEGs, and of the same'
      ' step on random images in memory: medians, and the ratio within each round.'
      ' The last column is the share of a step that waits for its images, as the'
      ' progress lines of training show it. Only the first figure includes the'
      ' processor time that the input uses while the network computes.',
      f'{paired_runs.conditions(runs)}.',
      f'    {paired_runs.command_line("records_cost")}',
      paired_runs.table(
          ('network', 'batch', 'on records, ms', 'the other, ms', 'ratio', 'waits'),
          [line(runs, task, other) for task in tasks
           for other in (SYNTHETIC, paired_runs.CONTROL)])]) + '\n'


def main(_):
  """Runs missing runs, then prints or writes the table."""
  paired_runs.check_flags_set(FLAGS['output'], FLAGS['dataset_dir'])
  paired_runs.check_networks(FLAGS.networks)
  photo_records.make(FLAGS.dataset_dir, FLAGS.num_images)
  tasks = [task_of(name) for name in FLAGS.networks]
  runs, peer = paired_runs.Runs(FLAGS.output), 'peers.our_steps'
  runs.compare(tasks, paired_runs.with_control([
      paired_runs.Contender(RECORDS, paired_runs.runner(peer)),
      paired_runs.Contender(SYNTHETIC, paired_runs.runner(peer, synthetic=True))]),
               FLAGS.rounds)
  paired_runs.write(report(runs, tasks), 'records_cost', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
