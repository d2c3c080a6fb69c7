"""Compares the training loop with the rate of its bare steps.

  python -m benchmarks.training_loop --output=loop.jsonl --dataset_dir=demo/data

The training command runs as usual, with progress, summaries and checkpoints, and is
timed by its progress lines. In turn with it, a session runs only the train op of the
same graph on the same records.

By default summaries and checkpoints come every ten minutes, longer than these runs.
Here they come every few seconds, and their time is the time that the run takes beyond
its median steps.
"""

import itertools
import re
import statistics
import tempfile

from absl import flags

from benchmarks import paired_runs
from slim_zoo.commands import path_flags, running

FLAGS = flags.FLAGS
SCRIPT, BARE = 'train_image_classifier.py', 'bare steps'
_STEP = re.compile(r'step (\d+)[/ ]')
# Network, images per step, steps, and steps between two progress lines.
_RUNS = {'lenet': (32, 3000, 10), 'resnet_v2_50': (8, 40, 1)}
# Default seconds between checkpoints, and between summaries.
_USUAL_INTERVAL = 600

flags.DEFINE_list('networks', list(_RUNS), 'Networks to train.')
flags.DEFINE_integer('steps', None,
                     'Steps of a run; by default 3000 for lenet, 40 for others.',
                     lower_bound=1)
flags.DEFINE_integer('batch_size', None,
                     'Images per step; by default 32 for lenet, 8 for others.',
                     lower_bound=1)
flags.DEFINE_integer('interval_secs', 8,
                     'Seconds between checkpoints, and between summaries. Steps before'
                     ' the second ones are not counted.', lower_bound=1)
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)
path_flags.DEFINE_path('dataset_dir', 'demo/data', 'Folder of the digits data set.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write training_loop.md to.')


def task_of(name: str) -> dict:
  """Returns the task of a network."""
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
  """Returns the seconds per step of the command, by its progress lines."""
  with tempfile.TemporaryDirectory() as folder:
    output = paired_runs.line_times(
        [SCRIPT, *task['flags'], f'--train_dir={folder}'],
        lambda line: _STEP.match(line) and 'loss' in line)
  if output['returncode']:
    return {'skipped': f"failed: {output['error']}", 'failed': True}
  return {**step_times([seconds for seconds, _ in output['lines']], task),
          'last_line': output['lines'][-1][1]}


def step_times(times: list[float], task) -> dict:
  """Returns the seconds per step, and the time of summaries and a checkpoint.

  Args:
    times: times of the progress lines, in seconds.
    task: from `task_of`.

  Returns:
    {'seconds': [per step, between two lines], 'extra_seconds': of summaries and a
    checkpoint}; or {'skipped': reason}.
  """
  # The graphs of summaries and checkpoints are compiled at their first use.
  times = [time for time in times if time >= times[0] + 1.5 * task['interval']]
  intervals = (times[-1] - times[0]) / task['interval'] if times else 0
  if intervals < 1:
    return {'skipped': f"{task['steps']} steps end before the second checkpoint: give"
                       ' more --steps', 'failed': True}
  between = [after - before for before, after in itertools.pairwise(times)]
  typical = statistics.median(between)
  extra = times[-1] - times[0] - len(between) * typical
  return {'seconds': [seconds / task['every'] for seconds in between],
          'extra_seconds': max(0.0, extra) / intervals}


def run_bare(task) -> dict:
  """Returns the seconds per step of a session that only runs the train op."""
  with tempfile.TemporaryDirectory() as folder:
    with_folder = {**task, 'flags': [*task['flags'], f'--train_dir={folder}']}
    return paired_runs.runner('peers.bare_steps')(with_folder)


def line(runs: paired_runs.Runs, task: dict, other: str) -> tuple[str, ...]:
  """Returns a line of the table: the command compared with `other`."""
  name = f"{task['network']}, compared with {other}"
  ratio = runs.ratio(task, SCRIPT, other)
  if ratio is None:
    why = runs.skipped(task, SCRIPT) or runs.skipped(task, other)
    return (name, str(task['batch_size']), *'----', str(why))
  rates = (f'{1 / statistics.median(runs.medians(task, contender).values()):,.2f}'
           for contender in (SCRIPT, other))
  extra = statistics.median(runs.values(task, SCRIPT, 'extra_seconds').values())
  with_extra = ratio.times(_USUAL_INTERVAL / (_USUAL_INTERVAL + extra))
  return (name, str(task['batch_size']), *rates, ratio.text(3), f'{extra:.2f}',
          with_extra.text(3) if other == BARE else '-')


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
  """Runs missing runs, then prints or writes the table."""
  from slim_zoo.catalog import datasets
  paired_runs.check_flags_set(FLAGS['output'])
  paired_runs.check_networks(FLAGS.networks)
  datasets.split_files(datasets.find_dataset('digits'), 'train', FLAGS.dataset_dir)
  tasks = [task_of(name) for name in FLAGS.networks]
  runs = paired_runs.Runs(FLAGS.output)
  runs.compare(tasks, paired_runs.with_control(
      [paired_runs.Contender(SCRIPT, run_script),
       paired_runs.Contender(BARE, run_bare)]), FLAGS.rounds)
  paired_runs.write(report(runs, tasks), 'training_loop', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
