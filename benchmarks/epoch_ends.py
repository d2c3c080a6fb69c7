"""Whether a step waits at the end of an epoch, while records are shuffled anew.

  python -m benchmarks.epoch_ends --work_dir=small_images

Small records are read for training through several epochs, and nothing is done with the
batches. The longest batch is that at the end of an epoch, unless the shuffle buffer of
the next epoch is full by then. The records are first written to --work_dir.
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
flags.DEFINE_integer('rounds', 5, 'How often they are read.', lower_bound=1)
path_flags.DEFINE_path('work_dir', None,
                       'Folder for the records; existing ones are reused.')


def report(runs: paired_runs.Runs, task: dict) -> str:
  """Returns a table in Markdown, in milliseconds."""
  lines = [(title, *(f'{kind(found) * 1e3:,.1f}' for kind in (
                min, statistics.median, max)))
           for title, noted in (('first batch', 'first_batch_seconds'),
                                ('median batch', 'median_seconds'),
                                ('longest batch after the first', 'longest_seconds'))
           if (found := list(runs.noted(task, READER, noted).values()))]
  return paired_runs.table(
      ('milliseconds', 'least', 'median of the rounds', 'most'), lines)


def main(_):
  """Reads, and prints the table."""
  paired_runs.check_given(FLAGS['work_dir'])
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
