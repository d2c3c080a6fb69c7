"""The training script's loop beside the bare rate of its steps.

  python -m benchmarks.training_loop --output=loop.jsonl --dataset_dir=demo/data

The script runs as users run it, with progress, summaries and checkpoints, and is timed
from outside, by when its lines of progress come. Beside it, in turn, a session runs the
same train op of the same graph on the same records, and does nothing else.

A minute holds none of the summaries and checkpoints that come every ten minutes. So
they come every few seconds here, and what they take is counted once each: what the run
took beyond its median steps.
"""

import itertools
import re
import statistics
import tempfile

from absl import flags

from benchmarks import paired_runs
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running

FLAGS = flags.FLAGS
SCRIPT, BARE = 'train_image_classifier.py', 'bare steps'
_STEP = re.compile(r'step (\d+)[/ ]')
# Network, images a step, steps, and steps between two lines of progress.
_RUNS = {'lenet': (32, 3000, 10), 'resnet_v2_50': (8, 40, 1)}
# Seconds between checkpoints, and between summaries, that users get by default.
_USUAL_INTERVAL = 600

flags.DEFINE_list('networks', list(_RUNS), 'Networks to train.')
flags.DEFINE_integer('steps', None, 'Steps of a run; by default 3000 of lenet, 40 of'
                     ' others.', lower_bound=1)
flags.DEFINE_integer('batch_size', None, 'Images a step; by default 32 of lenet, 8 of'
                     ' others.', lower_bound=1)
flags.DEFINE_integer('interval_secs', 8, 'Seconds between checkpoints, and between'
                     ' summaries. What comes before the second ones does not count.',
                     lower_bound=1)
flags.DEFINE_integer('rounds', 5, 'How often each of both runs.', lower_bound=1)
path_flags.DEFINE_path('dataset_dir', 'demo/data', 'Folder of the digits data set.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write training_loop.md to.')


def task_of(name: str) -> dict:
  """Returns what both run for a network."""
  batch_size, steps, every = _RUNS.get(name, _RUNS['resnet_v2_50'])
  batch_size, steps = FLAGS.batch_size or batch_size, FLAGS.steps or steps
  return {
      'network': name, 'batch_size': batch_size, 'steps': steps, 'every': every,
      'interval': FLAGS.interval_secs,
      'flags': [
          '--dataset_name=digits', f'--dataset_dir={FLAGS.dataset_dir}',
          f'--model_name={name}', f'--batch_size={batch_size}', '--learning_rate=1e-4',
          f'--max_number_of_steps={steps}', f'--log_every_n_steps={every}', '--seed=1',
          f'--save_interval_secs={FLAGS.interval_secs}',
          f'--save_summaries_secs={FLAGS.interval_secs}']}


def run_script(task) -> dict:
  """Returns the seconds a step of the script, by its lines of progress."""
  with tempfile.TemporaryDirectory() as folder:
    done = paired_runs.line_times(
        [SCRIPT, *task['flags'], f'--train_dir={folder}'],
        lambda line: _STEP.match(line) and 'loss' in line)
  if done['returncode']:
    return {'skipped': f"failed: {done['error']}", 'failed': True}
  return {**found_in([seconds for seconds, _ in done['lines']], task),
          'last_line': done['lines'][-1][1]}


def found_in(times: list[float], task) -> dict:
  """Returns the seconds a step, and what summaries and a checkpoint take beside.

  Args:
    times: when lines of progress came, in seconds.
    task: of `task_of`.

  Returns:
    {'seconds': [a step's, between each two lines], 'extra_seconds': of summaries and
    a checkpoint}; or {'skipped': why}.
  """
  # The graphs of summaries and checkpoints are compiled when they first come.
  times = [time for time in times if time >= times[0] + 1.5 * task['interval']]
  often = (times[-1] - times[0]) / task['interval'] if times else 0
  if often < 1:
    return {'skipped': f"{task['steps']} steps end before the second checkpoint: take"
                       ' more --steps', 'failed': True}
  between = [after - before for before, after in itertools.pairwise(times)]
  typical = statistics.median(between)
  extra = times[-1] - times[0] - len(between) * typical
  return {'seconds': [seconds / task['every'] for seconds in between],
          'extra_seconds': max(0.0, extra) / often}


def run_bare(task) -> dict:
  """Returns the seconds a step of a session that does nothing else."""
  with tempfile.TemporaryDirectory() as folder:
    with_folder = {**task, 'flags': [*task['flags'], f'--train_dir={folder}']}
    return paired_runs.runner('peers.bare_steps')(with_folder)


def line(runs: paired_runs.Runs, task: dict, other: str) -> tuple[str, ...]:
  """Returns a line of the table: the script compared with the other one."""
  name = f"{task['network']}, compared with {other}"
  ratio = runs.ratio(task, SCRIPT, other)
  if ratio is None:
    why = runs.skipped(task, SCRIPT) or runs.skipped(task, other)
    return (name, str(task['batch_size']), *'----', str(why))
  rates = (f'{1 / statistics.median(runs.medians(task, contender).values()):,.2f}'
           for contender in (SCRIPT, other))
  extra = statistics.median(runs.noted(task, SCRIPT, 'extra_seconds').values())
  with_extra = ratio.times(_USUAL_INTERVAL / (_USUAL_INTERVAL + extra))
  return (name, str(task['batch_size']), *rates, ratio.in_words(3), f'{extra:.2f}',
          with_extra.in_words(3) if other == BARE else '-')


def report(runs: paired_runs.Runs, tasks: list[dict]) -> str:
  """Returns the Markdown page."""
  lines = [line(runs, task, other) for task in tasks
           for other in (BARE, paired_runs.CONTROL)]
  return '\n\n'.join([
      '# Cost of the training loop',
      'Steps per second of `slim-zoo train` on digits with progress lines, and of a'
      ' session that only runs the same train op on the same records: medians, and'
      ' ratios within each round. The last columns are the time of summaries and a'
      ' checkpoint together, and the ratio with both every'
      f' {_USUAL_INTERVAL} s, the default.',
      f'{paired_runs.conditions(runs)}.',
      f'    {paired_runs.command_line("training_loop")}',
      paired_runs.table(
          ('network', 'batch', 'the script, steps/s', 'the other, steps/s', 'ratio',
           'summaries and checkpoint, s', 'ratio with them'), lines)]) + '\n'


def main(_):
  """Runs what is missing, then prints or writes the table."""
  from slim_zoo.catalog import datasets, networks
  if not FLAGS.output:
    raise diagnostics.UserError('--output is missing: name the file of the runs')
  for name in FLAGS.networks:
    networks.get_image_network(name)
  datasets.split_files(datasets.find_dataset('digits'), 'train', FLAGS.dataset_dir)
  tasks = [task_of(name) for name in FLAGS.networks]
  runs = paired_runs.Runs(FLAGS.output)
  runs.compare(tasks, paired_runs.with_control(
      [paired_runs.Contender(SCRIPT, run_script),
       paired_runs.Contender(BARE, run_bare)]), FLAGS.rounds)
  paired_runs.write(report(runs, tasks), 'training_loop', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
