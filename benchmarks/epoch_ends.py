"""Measures whether a step waits for shuffled records at the end of an epoch.

  python -m benchmarks.epoch_ends --work_dir=small_images

Small records are read for training over several epochs, and the batches are not used.
The longest batch is the one at the end of an epoch, unless the shuffle buffer of the
next epoch is already full. The records are first written to --work_dir.
"""

import os
import statistics

from absl import flags

from benchmarks import paired_runs, small_records
from slim_zoo.commands import path_flags, running

FLAGS = flags.FLAGS
READER = 'this project'
_EPOCHS, _IMAGES_PER_BATCH = 3, 100

flags.DEFINE_integer('num_records', 50_000, 'Records of the data set, in thousands.',
                     lower_bound=1000)
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)
path_flags.DEFINE_path('work_dir', None,
                       'Folder for the records; existing ones are reused.')


def report(runs: paired_runs.Runs, task: dict) -> str:
  """Returns a table in Markdown, in milliseconds."""
  lines = []
  for title, key in (('first batch', 'first_batch_seconds'),
                     ('median batch', 'median_seconds'),
                     ('longest batch after the first', 'longest_seconds')):
    seconds = list(runs.values(task, READER, key).values())
    if seconds:
      lines.append((title, *(f'{statistic(seconds) * 1e3:,.1f}'
                             for statistic in (min, statistics.median, max))))
  return paired_runs.table(
      ('milliseconds', 'minimum', 'median of the rounds', 'maximum'), lines)


def main(_):
  """Reads the records and prints the table."""
  paired_runs.check_flags_set(FLAGS['work_dir'])
  folder = os.path.abspath(os.path.join(FLAGS.work_dir, f'{FLAGS.num_records}_records'))
  small_records.make(folder, FLAGS.num_records)
  task = {'what': 'epoch ends', 'batch_size': _IMAGES_PER_BATCH, 'burn_in': 1,
          'num_batches': _EPOCHS * FLAGS.num_records // _IMAGES_PER_BATCH - 1}
  runs = paired_runs.Runs(os.path.join(FLAGS.work_dir, 'epoch_ends.jsonl'))
  runs.compare([task], [paired_runs.Contender(READER, paired_runs.runner(
      'peers.small_input', dataset_dir=folder))], FLAGS.rounds)
  print(f'{paired_runs.conditions(runs)}.\n\n{report(runs, task)}')


if __name__ == '__main__':
  running.run(main)
