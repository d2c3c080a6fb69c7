"""Compares the input of this project, slim's queues, and reading with decoding only.

  python -m benchmarks.input_rates --output=input.jsonl --dataset_dir=photographs

The records are 500 x 375 JPEGs, first written to --dataset_dir; the batches are not
used. The decoded images of --cache_dir, 8 GB for 4,096 images, are written to a folder
below it. Processor time is the sum of all threads: unlike a rate, it depends little on
other processes on the same cores.
"""

import os
import statistics

from absl import flags

from benchmarks import paired_runs, photo_records
from slim_zoo.commands import path_flags, running

FLAGS = flags.FLAGS
OURS, CACHED = 'this project', 'this project, cached'
QUEUES, DECODING = 'queues', 'decoding alone'
_SIZES = {'inception': 299, 'vgg': 224}
_IMAGES_PER_BATCH = 32
_BURN_IN = 20

flags.DEFINE_integer('num_images', 4096,
                     'Photographs in the records. Evaluation reads each once.',
                     lower_bound=1024)
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)
path_flags.DEFINE_path('dataset_dir', None,
                       'Folder for the records; existing ones are reused.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write input_rates.md to.')


def task_of(family: str, is_training: bool) -> dict:
  """Returns the task: almost as many batches as an evaluation has."""
  # A tenth of the images is the validation split.
  batches = FLAGS.num_images * 8 // 10 // _IMAGES_PER_BATCH - _BURN_IN
  return {'family': family, 'is_training': is_training, 'image_size': _SIZES[family],
          'batch_size': _IMAGES_PER_BATCH, 'dataset_dir': FLAGS.dataset_dir,
          'num_batches': batches, 'burn_in': _BURN_IN}


def line(runs: paired_runs.Runs, task: dict, own: str, rival: str
         ) -> tuple[str, ...]:
  """Returns a line of the table."""
  what = 'training' if task['is_training'] else 'evaluation'
  what += ', cached' if own == CACHED else ''
  cells = []
  for name in (own, rival):
    seconds = runs.medians(task, name).values()
    if not seconds:
      cells += [str(runs.skipped(task, name)), '-']
      continue
    busy = [run['processor_seconds'] for run in runs.done.values()
            if run['task'] == task and run['contender'] == name]
    cells += [f"{task['batch_size'] / statistics.median(seconds):,.0f}",
              f"{statistics.median(busy) / task['batch_size'] * 1e3:.2f}"]
  ratio = runs.ratio(task, own, rival)
  return (f"{task['family']}, {what}, compared with {rival}", *cells,
          paired_runs.ratio_cell(ratio))


def report(runs: paired_runs.Runs, pairs: list[tuple[dict, str]]) -> str:
  """Returns the Markdown page."""
  return '\n\n'.join([
      '# Input rates',
      f'Images per second that are read from {FLAGS.num_images:,} records of 500 x 375'
      ' JPEGs, decoded, preprocessed (299 or 224 pixels) and put in batches of'
      f' {_IMAGES_PER_BATCH}, and milliseconds of processor time per image. The queues'
      " are slim's `DatasetDataProvider` and `tf.train.batch` with the preprocessing of"
      ' the old scripts. Decoding alone reads the same records and does not use the'
      ' images. Cached images are those of `--cache_dir`, written before and read from'
      ' the page cache. A ratio of rates is computed within each round; above 1 this'
      ' project is faster.',
      f'{paired_runs.conditions(runs)}.',
      f'    {paired_runs.command_line("input_rates")}',
      paired_runs.table(
          ('', 'images/s', 'ms of processor', 'the other, images/s',
           'ms of processor', 'ratio'),
          [line(runs, task, own, other) for task, rival in pairs
           for own, other in ((OURS, rival), (CACHED, rival),
                               (OURS, paired_runs.CONTROL))])]) + '\n'


def main(_):
  """Runs missing runs, then prints or writes the table."""
  paired_runs.check_flags_set(FLAGS['output'], FLAGS['dataset_dir'])
  photo_records.make(FLAGS.dataset_dir, FLAGS.num_images)
  runs = paired_runs.Runs(FLAGS.output)
  contenders = {
      OURS: paired_runs.runner('peers.our_input'),
      CACHED: paired_runs.runner(
          'peers.our_input', cache_dir=os.path.join(FLAGS.dataset_dir, 'decoded')),
      QUEUES: paired_runs.runner('peers.queue_input'),
      DECODING: paired_runs.runner('peers.decoding')}
  pairs = [(task_of(family, is_training), QUEUES if is_training else DECODING)
           for is_training in (True, False) for family in _SIZES]
  for task, rival in pairs:
    runs.compare([task], paired_runs.with_control(
        [paired_runs.Contender(name, contenders[name])
         for name in (OURS, rival, CACHED)]), FLAGS.rounds)
  paired_runs.write(report(runs, pairs), 'input_rates', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
