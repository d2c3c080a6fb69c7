"""Compares steps with other projects: forward, frozen forward, training step.

  python -m benchmarks.step_rates --output=steps.jsonl
  python -m benchmarks.step_rates --output=steps.jsonl --networks=mobilenet_v2 \\
      --what=forward,frozen --torch_python=PATH --docs=docs

This project, the tf_slim wheel, Keras 3's applications and PyTorch with timm run in
turn, each in a separate process. Runs in the output file are not repeated, so the same
command continues a stopped comparison.
"""

import os
import sys

from absl import flags

from benchmarks import paired_runs
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.drawing import charts
from slim_zoo.timing import machine

FLAGS = flags.FLAGS
OURS = 'this project'
NETWORKS = ('resnet_v2_50', 'vgg_16', 'inception_v3', 'mobilenet_v2')
WHATS = {'forward': 'forward', 'frozen': 'frozen forward', 'step': 'training step'}
_NOTES = """Each row compares the same thing: unfrozen with unfrozen networks, frozen
with frozen ones. For Keras these are `predict_on_batch`, a function with constant
weights, and `train_on_batch`. The tf_slim wheel has no frozen graph and no MobileNet
V2. PyTorch runs with channels last; its frozen network is a traced and frozen module.
Images are random and stay in memory. The optimizer is momentum; only this project and
the wheel have weight decay. A rate is that of the median batch, and the median of the
rounds. Ratios are computed within each round; above 1 this project is faster. The
control is this project a second time in each round."""

flags.DEFINE_list('networks', list(NETWORKS), 'Networks to compare.')
flags.DEFINE_list('what', list(WHATS), 'What to time: forward, frozen, step.')
flags.DEFINE_integer('batch_size', 16, 'Images at a time.', lower_bound=1)
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)
flags.DEFINE_integer('num_batches', 10, 'Timed batches of each run.', lower_bound=1)
flags.DEFINE_integer('num_batches_burn_in', 3, 'Batches before them, not timed.',
                     lower_bound=0)
flags.DEFINE_list('peers', ['wheel', 'keras', 'torch'],
                  'Projects to compare with. keras_xla is Keras that always uses XLA;'
                  ' otherwise Keras decides.')
path_flags.DEFINE_path('torch_python', sys.executable,
                       'Python interpreter that has torch and timm.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None,
                       'Folder to write step_rates.md and step_rates.png to; by'
                       ' default the table is printed only.')


def peers() -> dict[str, paired_runs.Contender]:
  """Returns all peers by their names in --peers."""
  keras = 'peers.keras_applications'
  return {
      'wheel': paired_runs.Contender(
          'tf_slim wheel', paired_runs.runner('peers.wheel')),
      'keras': paired_runs.Contender('Keras 3', paired_runs.runner(keras)),
      'keras_xla': paired_runs.Contender(
          'Keras 3, XLA', paired_runs.runner(keras, jit_compile=True)),
      'torch': paired_runs.Contender(
          'PyTorch, timm', paired_runs.runner('peers.torch_timm', FLAGS.torch_python)),
  }


def check_flags() -> None:
  """Raises UserError for wrong flags before the first run."""
  paired_runs.check_flags_set(FLAGS['output'])
  paired_runs.check_networks(FLAGS.networks)
  for kind, names, known in (('measurement', FLAGS.what, WHATS),
                             ('peer', FLAGS.peers, peers())):
    for name in names:
      if name not in known:
        raise diagnostics.unknown_name(kind, name, known)


def tasks() -> list[dict]:
  """Returns the tasks, with all measurements of a network in sequence."""
  return [{'network': name, 'what': what, 'batch_size': FLAGS.batch_size,
           'num_batches': FLAGS.num_batches, 'burn_in': FLAGS.num_batches_burn_in}
          for name in FLAGS.networks for what in FLAGS.what]


def cell(runs: paired_runs.Runs, task, contender: str) -> str:
  """Returns images per second, the median of the rounds, or '-'."""
  rates = sorted(task['batch_size'] / seconds
                 for seconds in runs.medians(task, contender).values())
  return f'{rates[len(rates) // 2]:,.1f}' if rates else '-'


def report(runs: paired_runs.Runs, rivals: list[str]) -> str:
  """Returns the Markdown page."""
  lines = [
      (paired_runs.label(task, WHATS), cell(runs, task, OURS),
       *(f'{cell(runs, task, rival)}: '
         f'{paired_runs.ratio_cell(runs.ratio(task, OURS, rival))}'
         for rival in rivals))
      for task in tasks()]
  head = ('', f'{OURS}, images/s', *(f'{rival}: ratio' for rival in rivals))
  parts = ['# Step rates of this project, tf_slim, Keras and PyTorch', _NOTES,
           f'{paired_runs.conditions(runs, ("tensorflow", "keras", "tf-slim"))}.',
           f'    {paired_runs.command_line("step_rates")}',
           paired_runs.table(head, lines),
           *paired_runs.not_run(
               runs, [(task, paired_runs.label(task, WHATS)) for task in tasks()],
               (OURS, *rivals))]
  return '\n\n'.join(parts) + '\n'


def draw(runs: paired_runs.Runs, rivals: list[str], path: str) -> bool:
  """Draws the ratios; returns whether there are any."""
  groups = {}
  for task in tasks():
    ratios = {rival: charts.Interval(ratio.median, ratio.low, ratio.high,
                                     ratio.text(), ratio.is_equal)
              for rival in rivals
              if (ratio := runs.ratio(task, OURS, rival)) is not None}
    if ratios:
      groups[f"{task['network']}\n{WHATS[task['what']]}"] = ratios
  if groups:
    charts.write_intervals(
        path, "This project's rate over that of", groups,
        'ratio of rates, above 1: this project is faster; empty circles: equal,'
        ' or undecided',
        paired_runs.conditions(runs), line_at=1.0)
  return bool(groups)


def main(_):
  """Runs missing runs, then prints or writes the table."""
  check_flags()
  if machine.busy_share() is None:
    print('note: the load of this machine cannot be measured', file=sys.stderr)
  rivals = [peers()[name] for name in FLAGS.peers]
  runs = paired_runs.Runs(FLAGS.output)
  ours = paired_runs.Contender(OURS, paired_runs.runner('peers.ours'))
  contenders = paired_runs.with_control([ours, *rivals])
  runs.compare(tasks(), contenders, FLAGS.rounds)
  names = [contender.name for contender in contenders[1:]]
  page = report(runs, names)
  if FLAGS.docs:
    os.makedirs(FLAGS.docs, exist_ok=True)
    if draw(runs, names, os.path.join(FLAGS.docs, 'step_rates.png')):
      page += '\n![ratios](step_rates.png)\n'
  paired_runs.write(page, 'step_rates', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
