"""Measures networks on a GPU: types, XLA, and clones on parts of the GPU.

  python -m benchmarks.gpu --docs=docs
  python -m benchmarks.gpu --networks=lenet --batch_size=8 --rounds=5 --num_batches=5

One command for a machine with a GPU: the forward pass and the train step of each
network, in float32 and in 16 bits, with and without XLA, with one clone and with two.
If there is one GPU only, it is divided into two logical ones. Without a GPU everything
runs on the CPU. Beside it, `python -m pytest -q tests/gpu_test.py` runs the tests that
need a GPU.
"""

from absl import flags

from benchmarks import paired_runs
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.config.benchmark import COMPARED, BenchmarkConfig
from slim_zoo.tasks import comparison
from slim_zoo.timing import machine

FLAGS = flags.FLAGS
NETWORKS = ('resnet_v1_50', 'inception_v3', 'mobilenet_v2')

flags.DEFINE_list('networks', list(NETWORKS), 'Networks to measure.')
flags.DEFINE_integer('batch_size', 64, 'Images of each clone.', lower_bound=1)
flags.DEFINE_integer('image_size', None, 'Height and width of the images; by default'
                     ' those of the network.', lower_bound=1)
flags.DEFINE_list('precisions', list(COMPARED['precision']), 'Types to compare.')
flags.DEFINE_list('num_clones', ['1', '2'], 'Numbers of clones to compare.')
flags.DEFINE_integer('rounds', 7, 'Number of rounds.', lower_bound=5)
flags.DEFINE_integer('num_batches', 70, 'Batches of each combination, of all rounds.',
                     lower_bound=1)
path_flags.DEFINE_path('docs', None, 'Folder to write gpu_rates.md to.')


def check_values() -> None:
  """Raises UserError for an unknown type or an invalid number of clones."""
  for name in FLAGS.precisions:
    if name not in COMPARED['precision']:
      raise diagnostics.unknown_name('precision', name, COMPARED['precision'])
  for count in FLAGS.num_clones:
    if not diagnostics.whole_number(count):
      raise diagnostics.UserError(
          f"--num_clones: '{count}' is not a whole number of 1 or more; set for"
          ' example --num_clones=1,2')


def page(rows: list[comparison.Row], gpus: list[str], busy: float | None) -> str:
  """Returns the Markdown page."""
  where = 'GPU rates' if gpus else 'Rates of the command for GPUs, on a CPU'
  return '\n\n'.join([
      f'# {where}',
      'Forward passes of evaluation and train steps on random images in memory. The'
      ' combinations of one network run in turn in each round. The ratio is the rate'
      ' in images per second relative to the first combination: the median of the'
      ' rounds. The line "again" is the first combination a second time.',
      f'{comparison.conditions(gpus)}; '
      + ('load unknown' if busy is None else
         f'{busy:.0%} busy with other processes before the first run')
      + f'; {paired_runs.rounds_text(FLAGS.rounds, busy)}.',
      f'    {paired_runs.command_line("gpu")}', comparison.table(rows)]) + '\n'


def main(_):
  """Measures everything, then prints or writes the table."""
  image_size = {} if FLAGS.image_size is None else {'image_size': FLAGS.image_size}
  config = BenchmarkConfig.from_options({
      'networks': FLAGS.networks, 'batch_sizes': [str(FLAGS.batch_size)],
      'num_batches': FLAGS.num_batches, 'rounds': FLAGS.rounds,
      'compare': ['precision', 'xla'], **image_size})
  config.check()
  check_values()
  busy = machine.busy_share()
  rows, gpus = comparison.measure(config, {
      'precision': FLAGS.precisions, 'xla': COMPARED['xla'],
      'num_clones': [int(count) for count in FLAGS.num_clones]})
  paired_runs.write(page(rows, gpus, busy), 'gpu_rates', FLAGS.docs)
  comparison.check_any(rows)


if __name__ == '__main__':
  running.run(main)
