"""Checks that time per image and memory do not grow with the size of the work.

  python -m benchmarks.growth --output=growth.jsonl --work_dir=small_images

* a training step of 16 and of 64 images: time per image;
* clones on logical CPU devices, and one clone with the same images per step: time;
* a training step of this project and of the tf_slim wheel: peak memory;
* the training input on a thousand and on a million records: time and peak memory.

The runs are separate processes, in turn. The records (380 MB for a million) are first
written to --work_dir.
"""

import dataclasses
import os
import statistics

from absl import flags

from benchmarks import paired_runs, small_records
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.timing import ratios

FLAGS = flags.FLAGS
WHEEL = 'tf_slim wheel'
_PARTS = ('steps', 'records')
# A batch of 100 records is too fast to be timed alone, so many are timed.
_READING = {'what': 'records', 'batch_size': 100, 'num_batches': 500, 'burn_in': 50}

flags.DEFINE_list('what', list(_PARTS), 'What to measure: steps, records.')
flags.DEFINE_string('network', 'resnet_v2_50', 'The network of the training steps.')
flags.DEFINE_list('batch_sizes', ['16', '64'], 'Images of a small and a large step.')
flags.DEFINE_list('num_clones', ['2', '4'],
                  'Numbers of clones that share the images of the small step.')
flags.DEFINE_integer('num_batches', 5,
                     'Timed small steps of each run, after one that is not timed. Large'
                     ' steps process as many images, in at least two steps.',
                     lower_bound=1)
flags.DEFINE_list('num_records', ['1000', '1000000'],
                  'Records of a small and a large data set, in thousands.')
flags.DEFINE_integer('rounds', 5, 'Number of rounds.', lower_bound=1)
path_flags.DEFINE_path('work_dir', None,
                       'Folder for the records; existing ones are reused.')
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write growth.md to.')


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of the table: a value that must not grow from one contender to another.

  Attributes:
    title: the value, with its unit.
    before: the name of the first contender.
    after: the name of the second contender.
    key: key of the value in a run; 'seconds' for the median time.
    scales: factors of both values.
    most: the largest allowed ratio; None: no limit.
  """

  title: str
  before: str
  after: str
  key: str
  scales: tuple[float, float] = (1, 1)
  most: float | None = None


def whole_numbers(name: str, multiple_of: int = 1) -> list[int]:
  """Returns the positive integers of a list flag, or raises UserError."""
  try:
    numbers = [int(text) for text in FLAGS[name].value]
    if any(number < 1 or number % multiple_of for number in numbers):
      raise ValueError
  except ValueError:
    raise diagnostics.UserError(
        f"--{name}={','.join(FLAGS[name].value)}: expected whole numbers,"
        f' multiples of {multiple_of}') from None
  return numbers


def two_numbers(name: str, multiple_of: int = 1) -> tuple[int, int]:
  """Returns the two integers of a list flag, the smaller one first."""
  numbers = whole_numbers(name, multiple_of)
  if len(numbers) != 2 or numbers[0] >= numbers[1]:
    raise diagnostics.UserError(
        f"--{name}={','.join(FLAGS[name].value)}: expected two numbers, the smaller"
        ' one first')
  return numbers[0], numbers[1]


def steps() -> tuple[dict, list[paired_runs.Contender], list[Line]]:
  """Returns the task of the training steps, the contenders and the lines."""
  small, large = two_numbers('batch_sizes')
  clones = whole_numbers('num_clones')
  for count in clones:
    if small % count:
      raise diagnostics.UserError(
          f'--num_clones={count}: it must divide --batch_sizes={small}')
  module, title = 'peers.ours', f'training step of {FLAGS.network}'
  contenders = [
      paired_runs.Contender(f'{small} images', paired_runs.runner(
          module, batch_size=small)),
      paired_runs.Contender(WHEEL, paired_runs.runner(
          'peers.wheel', batch_size=small)),
      *[paired_runs.Contender(f'{count} clones', paired_runs.runner(
          module, batch_size=small // count, num_clones=count)) for count in clones],
      paired_runs.Contender(f'{large} images', paired_runs.runner(
          module, batch_size=large,
          num_batches=max(2, FLAGS.num_batches * small // large)))]
  lines = [
      Line(f'{title}, ms per image', f'{small} images', f'{large} images', 'seconds',
           (1e3 / small, 1e3 / large), 1.10),
      Line(f'{title}, ms per image', f'{small} images', paired_runs.CONTROL, 'seconds',
           (1e3 / small, 1e3 / small)),
      *[Line(f'{title}, ms per image', f'{small} images', f'{count} clones', 'seconds',
             (1e3 / small, 1e3 / small), 1.05) for count in clones],
      Line(f'{title}, peak memory, MiB', WHEEL, f'{small} images', 'peak_mib',
           most=1.05)]
  task = {'network': FLAGS.network, 'what': 'step', 'burn_in': 1,
          'num_batches': FLAGS.num_batches}
  return task, contenders, lines


def records() -> tuple[dict, list[paired_runs.Contender], list[Line]]:
  """Returns the task of the input, the contenders and the lines."""
  counts = two_numbers('num_records', multiple_of=1000)
  small, large = [f'{count:,} records' for count in counts]
  contenders = [
      paired_runs.Contender(name, paired_runs.runner(
          'peers.small_input', dataset_dir=folder_of(count)))
      for name, count in zip((small, large), counts, strict=True)]
  lines = [
      Line('training input, ms per record', small, large, 'seconds',
           (1e3 / _READING['batch_size'],) * 2, 1.10),
      Line('training input, ms per record', small, paired_runs.CONTROL, 'seconds',
           (1e3 / _READING['batch_size'],) * 2),
      Line('training input, peak memory, MiB', small, large, 'peak_mib', most=1.05),
      Line('training input, s to the first batch', small, large,
           'first_batch_seconds')]
  return _READING, contenders, lines


def folder_of(count: int) -> str:
  """Returns the folder of `count` records."""
  return os.path.abspath(os.path.join(FLAGS.work_dir, f'{count}_records'))


def cells(runs: paired_runs.Runs, task: dict, line: Line) -> tuple[str, ...]:
  """Returns the cells of a line."""
  def values(contender):
    return (runs.medians(task, contender) if line.key == 'seconds' else
            runs.values(task, contender, line.key))

  texts = []
  for contender, scale in zip((line.before, line.after), line.scales, strict=True):
    numbers = values(contender).values()
    texts.append(f'{contender}: {statistics.median(numbers) * scale:,.4g}'
                 if numbers else f'{contender}: {runs.skipped(task, contender)}')
  ratio = ratios.of_rounds(values(line.after), values(line.before))
  if ratio is not None:
    ratio = ratio.times(line.scales[1] / line.scales[0])
  return (line.title, *texts, paired_runs.ratio_cell(ratio, 3),
          '-' if line.most is None else f'{line.most:.2f}')


def report(runs: paired_runs.Runs, parts: list[tuple[dict, list[Line]]]) -> str:
  """Returns the Markdown page."""
  return '\n\n'.join([
      '# Growth',
      'These costs must not grow with the size of the work. Each run is a separate'
      ' process; ratios are computed within each round. Each clone has its own logical'
      ' CPU device, and the clones share the images of the step. Peak memory is the'
      ' largest resident set of the process. Records are gray PNGs of 12 x 12 pixels,'
      ' shuffled, decoded and preprocessed as for LeNet.',
      f'{paired_runs.conditions(runs, ("tensorflow", "tf-slim"))}.',
      f'    {paired_runs.command_line("growth")}',
      paired_runs.table(
          ('', 'from', 'to', 'ratio', 'limit'),
          [cells(runs, task, line) for task, lines in parts for line in lines],
          texts=3)]) + '\n'


def main(_):
  """Runs missing runs, then prints or writes the table."""
  paired_runs.check_networks([FLAGS.network])
  paired_runs.check_flags_set(FLAGS['output'], FLAGS['work_dir'])
  for name in FLAGS.what:
    if name not in _PARTS:
      raise diagnostics.unknown_name('measurement', name, _PARTS)
  parts = [{'steps': steps, 'records': records}[name]() for name in FLAGS.what]
  if 'records' in FLAGS.what:
    for count in whole_numbers('num_records'):
      small_records.make(folder_of(count), count)
  runs = paired_runs.Runs(FLAGS.output)
  for task, contenders, _ in parts:
    runs.compare([task], paired_runs.with_control(contenders), FLAGS.rounds)
  paired_runs.write(report(runs, [(task, lines) for task, _, lines in parts]), 'growth',
                    FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
