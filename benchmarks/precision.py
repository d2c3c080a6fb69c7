"""Compares float32 with bfloat16: frozen networks and training steps.

  python -m benchmarks.precision --output=precision.jsonl --docs=docs
  python -m benchmarks.precision --output=precision.jsonl --networks=vgg_16 --casts

For each network and measurement one process runs the same graph, in turn, in float32,
in bfloat16, in the type that --precision=auto chooses, and in float32 again as a
control. Keras 3 with mixed_bfloat16 has another process, and PyTorch with autocast a
third one; both run float32 and bfloat16 in turn. Runs in the output file are not
repeated, so the same command continues a stopped comparison.
"""

import statistics
import sys

from absl import flags

from benchmarks import paired_runs
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.deployment import processor
from slim_zoo.timing import ratios

FLAGS = flags.FLAGS
OURS = 'this project'
NETWORKS = ('resnet_v1_50', 'resnet_v2_50', 'vgg_16', 'inception_v3', 'mobilenet_v2')
WHATS = {'frozen': 'frozen forward', 'step': 'training step'}
_NOTES = """The factor is the time of float32 divided by that of bfloat16; above 1,
bfloat16 is faster. Each factor is within one program, whose types run in turn in one
process; images/s is the rate of float32. Images are random and stay in memory. Frozen
networks have constant weights and, in this project, folded batch norm. The column auto
has the type that `--precision=auto` chooses, and the time of float32 divided by the
time in this type. The column control is the time of float32 divided by the time of a
second float32 run in the same round: two measurements of the same code differ so
much."""

flags.DEFINE_list('networks', list(NETWORKS), 'Networks to compare.')
flags.DEFINE_list('what', list(WHATS), 'What to time: frozen, step.')
flags.DEFINE_integer('batch_size', 8, 'Images at a time.', lower_bound=1)
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)
flags.DEFINE_integer('num_batches', 2, 'Timed batches of each round.', lower_bound=1)
flags.DEFINE_integer('num_batches_burn_in', 2, 'Batches before the first round.',
                     lower_bound=1)
flags.DEFINE_list('peers', ['keras', 'torch'], 'Programs to compare with.')
flags.DEFINE_boolean('casts', False, 'Also time training steps in'
                     ' bfloat16 with casts in the graph.')
path_flags.DEFINE_path('torch_python', sys.executable,
                       'Python interpreter that has torch and timm.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder for the page precision_rates.md.')


def contenders() -> list[paired_runs.Contender]:
  """Returns this project and the peers."""
  known = {
      'keras': ('Keras 3', paired_runs.runner('peers.keras_precisions')),
      'torch': ('PyTorch', paired_runs.runner(
          'peers.torch_precisions', FLAGS.torch_python))}
  for name in FLAGS.peers:
    if name not in known:
      raise diagnostics.unknown_name('peer', name, known)
  return [paired_runs.Contender(*pair) for pair in (
      (OURS, paired_runs.runner('peers.our_precisions')),
      *(known[name] for name in FLAGS.peers))]


def tasks() -> list[dict]:
  """Returns the tasks, with both measurements of a network in sequence."""
  for what in FLAGS.what:
    if what not in WHATS:
      raise diagnostics.unknown_name('measurement', what, WHATS)
  return [{'network': name, 'what': what, 'batch_size': FLAGS.batch_size,
           'rounds': FLAGS.rounds, 'num_batches': FLAGS.num_batches,
           'burn_in': FLAGS.num_batches_burn_in, 'casts': FLAGS.casts}
          for name in FLAGS.networks for what in FLAGS.what]


def factor(run: dict | None, dtype: str) -> ratios.Ratio | None:
  """Returns the time of float32 divided by that of another type; None without both."""
  if not run or dtype not in run.get('rounds', {}):
    return None
  return ratios.of_rounds(*[dict(enumerate(run['rounds'][name]))
                            for name in ('float32', dtype)])


def _cell(run, task):
  """Returns images per second of float32 and the factor of bfloat16, as one text."""
  ratio = factor(run, 'bfloat16')
  if ratio is None:
    return '-'
  rate = task['batch_size'] / statistics.median(run['rounds']['float32'])
  return f'{rate:,.1f}: {ratio.text()}'


def report(runs: paired_runs.Runs, rivals: list[str]) -> str:
  """Returns the Markdown page."""
  # One run of a task contains all rounds.
  runs_by_label = {(paired_runs.label(run['task'], WHATS), run['contender']): run
           for run in runs.done.values() if run['task'] in tasks()}
  head = ['', *(f'{name}: images/s, factor' for name in (OURS, *rivals)), 'auto',
          'control', *(['casts in the graph'] if FLAGS.casts else [])]
  lines = []
  for task in tasks():
    label = paired_runs.label(task, WHATS)
    own, *others = [runs_by_label.get((label, name)) for name in (OURS, *rivals)]
    auto = factor(own, 'auto')
    lines.append([
        label, *(_cell(run, task) for run in (own, *others)),
        '-' if auto is None else f"{own['chosen']}: {auto.text()}",
        *(paired_runs.ratio_cell(factor(own, name))
          for name in ('control', *(['casts'] if FLAGS.casts else [])))])
  return '\n\n'.join([
      '# Factors of bfloat16', _NOTES,
      f"{paired_runs.conditions(runs, ('tensorflow', 'keras'), FLAGS.rounds)}.",
      f"    {paired_runs.command_line('precision')}", paired_runs.table(head, lines),
      *paired_runs.not_run(
          runs, [(task, paired_runs.label(task, WHATS)) for task in tasks()],
          (OURS, *rivals))]) + '\n'


def main(_):
  """Runs missing runs, then prints or writes the table."""
  paired_runs.check_flags_set(FLAGS['output'])
  paired_runs.check_networks(FLAGS.networks)
  if not processor.has_bfloat16(processor.instructions()):
    print('note: this processor has no instructions for bfloat16', file=sys.stderr)
  runs, compared = paired_runs.Runs(FLAGS.output), contenders()
  runs.compare(tasks(), compared, rounds=1)
  page = report(runs, [contender.name for contender in compared[1:]])
  paired_runs.write(page, 'precision_rates', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
