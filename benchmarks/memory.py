"""Peak memory of training and evaluation, beside the peers.

  python -m benchmarks.memory --output=memory.jsonl
  python -m benchmarks.memory --output=memory.jsonl --networks=vgg_16 --batch_size=32 \\
      --torch_python=PATH --docs=docs

Each run is a fresh process of a few batches of random images; its largest resident set
is what counts. The plain graph is the same network with TensorFlow's own loss and
optimizer; for 'frozen', TensorFlow's own function converts its variables to constants.
Memory hardly depends on what else runs, so few batches are enough.
"""

import statistics
import sys

from absl import flags

from benchmarks import paired_runs
from slim_zoo.commands import path_flags, running
from slim_zoo.timing import ratios

FLAGS = flags.FLAGS
OURS, PLAIN, WHEEL = 'this project', 'plain graph', 'tf_slim wheel'
KERAS, TORCH = 'Keras 3', 'PyTorch, timm'
NETWORKS = ('resnet_v2_50', 'inception_v3', 'mobilenet_v2', 'vgg_16', 'resnet_v2_152')
WHATS = {'step': 'train step', 'forward': 'forward', 'frozen': 'frozen forward'}
MOST = 1.1

flags.DEFINE_list('networks', list(NETWORKS), 'Networks to compare.')
flags.DEFINE_list('what', list(WHATS), 'What to run: step, forward, frozen.')
flags.DEFINE_integer('batch_size', 16, 'Images at a time.', lower_bound=1)
flags.DEFINE_integer('rounds', 5, 'How often each contender runs.', lower_bound=1)
flags.DEFINE_integer('num_batches', 3, 'Batches of a run.', lower_bound=1)
path_flags.DEFINE_path('torch_python', sys.executable,
                       'Python interpreter that has torch and timm.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write memory.md to.')


def tasks() -> list[dict]:
  """Returns what is compared."""
  return [{'network': name, 'what': what, 'batch_size': FLAGS.batch_size,
           'num_batches': FLAGS.num_batches, 'burn_in': 1}
          for name in FLAGS.networks for what in FLAGS.what]


def contenders() -> list[paired_runs.Contender]:
  """Returns who runs, with a control."""
  return paired_runs.with_control([
      paired_runs.Contender(OURS, paired_runs.runner('peers.ours')),
      paired_runs.Contender(PLAIN, paired_runs.runner('peers.plain_graph')),
      paired_runs.Contender(WHEEL, paired_runs.runner('peers.wheel')),
      paired_runs.Contender(KERAS, paired_runs.runner('peers.keras_applications')),
      paired_runs.Contender(TORCH, paired_runs.runner(
          'peers.torch_timm', FLAGS.torch_python))])


def line(runs: paired_runs.Runs, task: dict, names: list[str]) -> tuple[str, ...]:
  """Returns a line of the table."""
  ours = runs.values(task, OURS, 'peak_mib')
  cells = [f'{statistics.median(ours.values()):,.0f}' if ours
           else str(runs.skipped(task, OURS))]
  for name in names:
    theirs = runs.values(task, name, 'peak_mib')
    ratio = ratios.of_rounds(ours, theirs)
    cells.append('-' if ratio is None else
                 f'{statistics.median(theirs.values()):,.0f}: {ratio.text()}')
  return (paired_runs.label(task, WHATS), *cells)


def report(runs: paired_runs.Runs, names: list[str]) -> str:
  """Returns the Markdown page."""
  packages = ('tensorflow', 'keras', 'tf-slim')
  return '\n\n'.join([
      '# Memory',
      'Peak memory in MiB (the largest resident set of the process) of'
      f' {FLAGS.batch_size} random images at a time, and the ratio of ours to theirs'
      ' within each round; below 1 this project needs less. The aim is at most'
      f' {MOST} times the plain graph.',
      f'{paired_runs.conditions(runs, packages)}.',
      f'    {paired_runs.command_line("memory")}',
      paired_runs.table(('', OURS, *(f'{name}: ratio' for name in names)),
                        [line(runs, task, names) for task in tasks()]),
      # The table has the reason of this project; the control is the same code.
      *paired_runs.not_run(
          runs, [(task, paired_runs.label(task, WHATS)) for task in tasks()],
          [name for name in names if name != paired_runs.CONTROL])]) + '\n'


def main(_):
  """Runs what is missing, then prints or writes the table."""
  from slim_zoo.diagnostics import unknown_name
  paired_runs.check_flags_set(FLAGS['output'])
  paired_runs.check_networks(FLAGS.networks)
  for what in FLAGS.what:
    if what not in WHATS:
      raise unknown_name('measurement', what, WHATS)
  runs = paired_runs.Runs(FLAGS.output)
  runs.compare(tasks(), contenders(), FLAGS.rounds)
  paired_runs.write(
      report(runs, [contender.name for contender in contenders()[1:]]), 'memory',
      FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
