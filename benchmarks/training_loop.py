"""The training script's loop beside the bare rate of its steps.

  python -m benchmarks.training_loop --output=loop.jsonl --dataset_dir=demo/data

The script runs as users run it, with progress, summaries and checkpoints, and is timed
from outside, by when its lines of progress come. Beside it, in turn, a session runs the
same train op of the same graph on the same records, and does nothing else.
"""

import re
import statistics
import tempfile

from absl import flags

import diagnostics
from benchmarks import paired_runs

FLAGS = flags.FLAGS
SCRIPT, BARE = 'train_image_classifier.py', 'bare steps'
_STEP = re.compile(r'step (\d+)[/ ]')
# Network, images a step, steps that are timed: half a minute to a minute of each.
_RUNS = {'lenet': (32, 4000), 'resnet_v2_50': (16, 40)}
_EVERY = 10

flags.DEFINE_list('networks', list(_RUNS), 'Networks to train.')
flags.DEFINE_integer('steps', None, 'Steps that are timed, a multiple of 10; by default'
                     ' 4000 of lenet, 40 of others.', lower_bound=10)
flags.DEFINE_integer('batch_size', None, 'Images a step; by default 32 of lenet, 16 of'
                     ' others.', lower_bound=1)
flags.DEFINE_integer('save_interval_secs', 60, 'Seconds between checkpoints, and'
                     ' between summaries; the script saves every 600 by default.',
                     lower_bound=1)
flags.DEFINE_integer('rounds', 5, 'How often each of both runs.', lower_bound=1)
flags.DEFINE_string('dataset_dir', 'demo/data', 'Folder of the digits data set.')
flags.DEFINE_string('output', None, 'File of JSON lines: one for each run.')
flags.DEFINE_string('docs', None, 'Folder to write training_loop.md to.')


def task_of(name: str) -> dict:
  """Returns what both run for a network."""
  batch_size, steps = _RUNS.get(name, _RUNS['resnet_v2_50'])
  batch_size, steps = FLAGS.batch_size or batch_size, FLAGS.steps or steps
  burn_in = _EVERY * max(1, steps // 100)
  return {
      'network': name, 'batch_size': batch_size, 'steps': steps, 'burn_in': burn_in,
      'flags': [
          '--dataset_name=digits', f'--dataset_dir={FLAGS.dataset_dir}',
          f'--model_name={name}', f'--batch_size={batch_size}', '--learning_rate=1e-4',
          f'--max_number_of_steps={steps + burn_in}',
          f'--log_every_n_steps={_EVERY}', '--seed=1',
          f'--save_interval_secs={FLAGS.save_interval_secs}',
          f'--save_summaries_secs={FLAGS.save_interval_secs}']}


def run_script(task) -> dict:
  """Returns the seconds a step of the script, by its lines of progress."""
  with tempfile.TemporaryDirectory() as folder:
    done = paired_runs.line_times(
        [SCRIPT, *task['flags'], f'--train_dir={folder}'],
        lambda line: _STEP.match(line) and 'loss' in line)
  if done['returncode']:
    return {'skipped': f"failed: {done['error']}", 'failed': True}
  at = {int(_STEP.match(line)[1]): seconds for seconds, line in done['lines']}
  last = task['burn_in'] + task['steps']
  return {'seconds': [(at[last] - at[task['burn_in']]) / task['steps']],
          'last_line': done['lines'][-1][1]}


def run_bare(task) -> dict:
  """Returns the seconds a step of a session that does nothing else."""
  with tempfile.TemporaryDirectory() as folder:
    with_folder = {**task, 'flags': [*task['flags'], f'--train_dir={folder}']}
    return paired_runs.runner('peers.bare_steps')(with_folder)


def report(runs: paired_runs.Runs, tasks: list[dict]) -> str:
  """Returns the Markdown page."""
  lines = []
  for task in tasks:
    rates = [f'{1 / statistics.median(seconds.values()):,.2f}'
             for name in (SCRIPT, BARE) if (seconds := runs.medians(task, name))]
    ratio = runs.ratio(task, SCRIPT, BARE)
    if ratio is None:
      why = runs.skipped(task, SCRIPT) or runs.skipped(task, BARE)
      lines.append((task['network'], str(task['batch_size']), '-', '-', str(why)))
      continue
    lines.append(
        (task['network'], str(task['batch_size']), *rates, f'{ratio:.3f}'))
  return '\n\n'.join([
      '# The training loop beside its bare steps',
      'Steps a second of `train_image_classifier.py` on digits, with a line of progress'
      f' every {_EVERY} steps, summaries and checkpoints every'
      f' {FLAGS.save_interval_secs} s; and of a session that runs the same train op on'
      ' the same records and does nothing else. Ratios are taken within each round.',
      f'{paired_runs.conditions(runs)}.',
      f'    {paired_runs.command_line("training_loop")}',
      paired_runs.table(('network', 'batch', 'the script, steps/s',
                         'bare steps, steps/s', 'ratio'), lines)]) + '\n'


def main(_):
  """Runs what is missing, then prints or writes the table."""
  from catalog import datasets, networks
  if not FLAGS.output:
    raise diagnostics.UserError('--output is missing: name the file of the runs')
  for name in FLAGS.networks:
    networks.get_image_network(name)
  datasets.split_files(datasets.find_dataset('digits'), 'train', FLAGS.dataset_dir)
  if FLAGS.steps and FLAGS.steps % _EVERY:
    raise diagnostics.UserError(
        f'--steps={FLAGS.steps}: a multiple of {_EVERY} is expected, as lines of'
        ' progress come')
  tasks = [task_of(name) for name in FLAGS.networks]
  runs = paired_runs.Runs(FLAGS.output)
  runs.compare(tasks, [paired_runs.Contender(SCRIPT, run_script),
                       paired_runs.Contender(BARE, run_bare)], FLAGS.rounds)
  paired_runs.write(report(runs, tasks), 'training_loop', FLAGS.docs)


if __name__ == '__main__':
  diagnostics.run_script(main)
