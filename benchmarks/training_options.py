"""The effect of training options on accuracy, on few images of digits.

  python -m benchmarks.training_options --output=options.jsonl --docs=docs

Each row trains small networks on scikit-learn's digits, with and without an option,
from the same first weights and on the same images. A seed decides on both. Each pair of
runs is stored when it ends, so a stopped command continues where it stopped.
--split=validation is for the choice of settings: the table is of the test split.
"""

import os

from absl import flags

from benchmarks import option_rows, paired_runs
from benchmarks.differences import Difference, difference
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.drawing import charts
from slim_zoo.timing import machine

FLAGS = flags.FLAGS
PAIR = 'pair'

flags.DEFINE_list('options', list(option_rows.ROWS),
                  'Options to train with, of those in benchmarks/option_rows.py.')
flags.DEFINE_integer('seeds', 5, 'Pairs of runs of each option.', lower_bound=2)
flags.DEFINE_enum('split', 'test', ['validation', 'test'], 'Split to evaluate on.')
flags.DEFINE_bool('report_only', False, 'Run nothing: report the pairs in --output.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each pair.')
path_flags.DEFINE_path(
    'starts', None, 'Folder for networks that runs begin with or learn from; by default'
    ' beside --output.')
path_flags.DEFINE_path(
    'docs', None, 'Folder to write training_options.md and training_options.png to.')


def found(runs: paired_runs.Runs, name: str) -> Difference | None:
  """Returns the effect of an option; None with fewer than two pairs."""
  pairs = [run for seed in range(FLAGS.seeds) for run in runs.done.values()
           if run['task'] == task_of(name, seed) and 'without' in run]
  if len(pairs) < 2:
    return None
  return difference([run['without'] for run in pairs], [run['with'] for run in pairs])


def task_of(name: str, seed: int) -> dict:
  """Returns the task of a pair of runs."""
  return {'row': name, 'seed': seed, 'split': FLAGS.split}


def _images(row) -> str:
  fewest, most = min(row.counts), max(row.counts)
  each = f'{fewest}' if fewest == most else f'{fewest} to {most}'
  return f'{sum(row.counts)}, {each} of a class'


def line(name: str, effect: Difference | None) -> tuple[str, ...]:
  """Returns a line of the table."""
  row = option_rows.ROWS[name]
  start = (row.title, row.train['model_name'], _images(row))
  if effect is None:
    return (*start, '-', '-', 'was not run', '-')
  return (*start, f'{effect.without:.1f}', f'{effect.with_option:.1f}', effect.text(),
          str(effect.pairs))


def draw(path: str, effects: dict[str, Difference]) -> None:
  """Draws the differences with their intervals."""
  charts.write_intervals(
      path, 'What training options change on few digits',
      {option_rows.ROWS[name].title.replace('`', ''): {
          'difference of the pairs': charts.Interval(
              effect.mean, effect.low, effect.high, effect.text(), effect.is_equal)}
       for name, effect in effects.items()},
      'points of test accuracy, with intervals of 95%', line_at=0.0)


def report(effects: dict[str, Difference | None]) -> str:
  """Returns the Markdown page."""
  return '\n\n'.join([
      '# What training options change',
      'Top-1 accuracy in percent on the 355 test images of scikit-learn\'s digits. Each'
      ' option is tested on small networks: one run with the option and one without it,'
      ' a few seconds each, on few training images. The two runs of a pair have the'
      ' same initial weights and the same images; each pair has another seed. Where'
      ' settings were chosen, they were chosen on other images of the training split.',
      '*Difference* is the mean over the pairs, in percentage points, with its 95%'
      " interval (Student's t). A difference whose interval contains 0 is *equal*. A"
      ' figure holds for its row only: an option that changes nothing here may help a'
      ' large network on photographs, and an option that helps here may not help'
      ' there.',
      '![differences with intervals](training_options.png)',
      paired_runs.table(
          ('option', 'network', 'training images', 'without', 'with', 'difference',
           'pairs'), [line(name, effect) for name, effect in effects.items()], texts=3),
      ' '.join([
          'Statistics of batch norm are estimated again before each evaluation.',
          *filter(None, (option_rows.ROWS[name].note for name in effects)),
          '`benchmarks/option_rows.py` has all flags.']),
      f'{machine.description(machine.describe(("tensorflow",)))}.',
      f'    {paired_runs.command_line("training_options")}']) + '\n'


def main(_):
  """Runs missing pairs, then prints or writes the page."""
  paired_runs.check_flags_set(FLAGS['output'])
  for name in FLAGS.options:
    if name not in option_rows.ROWS:
      raise diagnostics.unknown_name('option', name, option_rows.ROWS)
  if FLAGS.docs and FLAGS.split != 'test':
    raise diagnostics.UserError(
        f'--split={FLAGS.split} with --docs: the page is of the test split; leave out'
        ' one of them')
  starts = os.path.abspath(FLAGS.starts or f'{FLAGS.output}.starts')
  runs = paired_runs.Runs(FLAGS.output)
  # All options of a seed before the next seed: a stopped command has some of each.
  tasks = [] if FLAGS.report_only else [
      task_of(name, seed) for seed in range(FLAGS.seeds) for name in FLAGS.options]
  runs.compare(tasks, [paired_runs.Contender(PAIR, paired_runs.runner(
      'peers.training_option', starts=starts))], rounds=1)
  effects = {name: found(runs, name) for name in FLAGS.options}
  paired_runs.write(report(effects), 'training_options', FLAGS.docs)
  if FLAGS.docs:
    draw(os.path.join(FLAGS.docs, 'training_options.png'), {
        name: effect for name, effect in effects.items() if effect})


if __name__ == '__main__':
  running.run(main)
