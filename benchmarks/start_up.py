"""Measures the time from the command to the first step, and to an error message.

  python -m benchmarks.start_up --output=start.jsonl --dataset_dir=demo/data

Compares the training command on records with a program that imports TensorFlow, builds
the tf_slim wheel's network with its train op and runs one step on random images.
"""

import statistics
import tempfile

from absl import flags

from benchmarks import paired_runs
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running

FLAGS = flags.FLAGS
SCRIPT, WHEEL = 'train_image_classifier.py', 'tf_slim wheel'
# Commands that end without TensorFlow.
_ANSWERS = {'--help': ['--help'],
            'a mistyped flag': ['--modelname=resnet_v2_50'],
            'a mistyped name': ['--model_name=resnet_v2_5']}

flags.DEFINE_enum('network', 'resnet_v2_50', [
    f'resnet_v{version}_{depth}' for version in (1, 2) for depth in (50, 101, 152)],
    'The network.')
flags.DEFINE_integer('batch_size', 2, 'Images of the step.', lower_bound=1)
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)
path_flags.DEFINE_path('dataset_dir', 'demo/data', 'Folder of the digits data set.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write start_up.md to.')


def _first_step(command) -> dict:
  output = paired_runs.line_times(command, lambda line: line.startswith('step 1'))
  if output['returncode'] or not output['lines']:
    return {'skipped': f"failed: {output['error']}", 'failed': True}
  return {'seconds': [output['lines'][0][0]]}


def run_script(task) -> dict:
  """Returns the seconds from the command to the line of the first step."""
  with tempfile.TemporaryDirectory() as folder:
    return _first_step([
        SCRIPT, '--dataset_name=digits', f'--dataset_dir={FLAGS.dataset_dir}',
        f"--model_name={task['network']}", f"--batch_size={task['batch_size']}",
        '--max_number_of_steps=1', '--log_every_n_steps=1', f'--train_dir={folder}'])


def run_wheel(task) -> dict:
  """Returns the same for the wheel."""
  return _first_step(['-m', 'benchmarks.peers.wheel_start_up', task['network'],
                      str(task['batch_size'])])


def run_answer(task) -> dict:
  """Returns the seconds of a command that needs no TensorFlow."""
  output = paired_runs.line_times([SCRIPT, *_ANSWERS[task['answer']]], lambda _: False)
  return {'seconds': [output['whole']]}


def report(runs: paired_runs.Runs, task: dict, answers: list[dict]) -> str:
  """Returns the Markdown page."""
  def seconds(task, name):
    values = runs.medians(task, name).values()
    return f'{statistics.median(values):.2f}' if values else str(
        runs.skipped(task, name))

  what = f"{task['network']}, first step of {task['batch_size']} images"
  # The ratio of the rates is the inverse ratio of the times.
  lines = [(f'{what}, compared with {other}', seconds(task, SCRIPT),
            seconds(task, other),
            paired_runs.ratio_cell(runs.ratio(task, other, SCRIPT)))
           for other in (WHEEL, paired_runs.CONTROL)]
  lines += [(answer['answer'], seconds(answer, SCRIPT), '-', '-') for answer in answers]
  return '\n\n'.join([
      '# Start-up',
      'Seconds from the command to the progress line of the first step of'
      ' `slim-zoo train` on digits, and of a program that imports TensorFlow, builds'
      ' the network of the tf_slim wheel with its train op, and runs one step. The'
      ' lower rows are the seconds of commands that end without TensorFlow.',
      f'{paired_runs.conditions(runs)}.',
      f'    {paired_runs.command_line("start_up")}',
      paired_runs.table(('', 'this project, s', 'the other, s', 'ratio of times'),
                        lines)]) + '\n'


def main(_):
  """Runs missing runs, then prints or writes the table."""
  from slim_zoo.catalog import datasets
  if not FLAGS.output:
    raise diagnostics.UserError('--output is missing: give the file of the runs')
  datasets.split_files(datasets.find_dataset('digits'), 'train', FLAGS.dataset_dir)
  runs = paired_runs.Runs(FLAGS.output)
  task = {'network': FLAGS.network, 'batch_size': FLAGS.batch_size}
  answers = [{'answer': name} for name in _ANSWERS]
  runs.compare([task], paired_runs.with_control(
      [paired_runs.Contender(SCRIPT, run_script),
       paired_runs.Contender(WHEEL, run_wheel)]), FLAGS.rounds)
  runs.compare(answers, [paired_runs.Contender(SCRIPT, run_answer)], FLAGS.rounds)
  paired_runs.write(report(runs, task, answers), 'start_up', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
