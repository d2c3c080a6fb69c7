"""Accuracy with real weights: photographs, a fine-tuning, 8 and 16 bits.

  python -m benchmarks.accuracy --weights=mobilenet_v1_0.25_128_quant.tflite \\
      --photographs=photographs/classes.csv --dataset_dir=data/digits \\
      --output=accuracy.jsonl --docs=docs

* Each file of --weights classifies crops of photographs: as it is, and as a checkpoint
  of this project in float32, in bfloat16 and with its rounding to 8 bits. The published
  accuracy is printed beside it; it is that of other images.
* The smallest of them is fine-tuned for scikit-learn's digits and measured in float32,
  bfloat16 and 8 bits.

Each run is a process of its own and is stored when it ends, so the same command
continues a stopped one.
"""

import os

from absl import flags

from benchmarks import paired_runs, shares
from slim_zoo import diagnostics
from slim_zoo.catalog import published
from slim_zoo.commands import path_flags, running
from slim_zoo.timing import machine

FLAGS = flags.FLAGS
NAME = 'this project'
PHOTOGRAPHS, FINE_TUNING = 'photographs', 'fine-tuning'
_NOTES = """Intervals are of 95%. Crops of the same photograph are similar. So the
first table compares kinds of computation; it does not measure the accuracy on other
photographs."""

flags.DEFINE_list('weights', [], 'Published 8-bit files: NAME.tflite, with a NAME of'
                  ' `slim-zoo weights --list`.')
path_flags.DEFINE_path('photographs', None,
                       'CSV file of lines FILE,CLASS[;CLASS]: a photograph in the same'
                       ' folder, and the numbers of its right classes; 0 is the'
                       ' background.')
flags.DEFINE_integer('crops', 50, 'Crops of each photograph.', lower_bound=1)
path_flags.DEFINE_path('dataset_dir', None, 'Folder of the digits data set.')
flags.DEFINE_integer('steps', 800, 'Training steps.', lower_bound=1)
flags.DEFINE_integer('seeds', 3, 'Runs of each training, each with another seed.',
                     lower_bound=1)
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each run.')
path_flags.DEFINE_path('docs', None, 'Folder to write accuracy.md to.')


def row_of(path: str) -> published.Published:
  """Returns the published facts of a file, or else of its network in float32.

  Raises:
    UserError: no such name is published.
  """
  name = os.path.splitext(os.path.basename(path))[0]
  if name not in published.PUBLISHED:
    name = name.removesuffix('_quant')
  return published.get(name)


def photograph_tasks() -> list[dict]:
  """Returns a task for each file."""
  return [{'what': PHOTOGRAPHS, 'weights': path, 'network': row_of(path).network,
           'photographs': FLAGS.photographs, 'crops': FLAGS.crops}
          for path in FLAGS.weights]


def training_tasks() -> list[dict]:
  """Returns the fine-tunings of the network with the smallest published accuracy."""
  path = min(FLAGS.weights, key=lambda path: row_of(path).top_1)
  return [{'what': FINE_TUNING, 'weights': path, 'network': row_of(path).network,
           'dataset_dir': FLAGS.dataset_dir, 'steps': FLAGS.steps, 'seed': seed}
          for seed in range(FLAGS.seeds)]


def results(runs: paired_runs.Runs, tasks: list[dict]) -> list[dict[str, str]]:
  """Returns the answers of the tasks that ran: '1' or '0' for each image, by column."""
  return [run['right'] for run in runs.done.values()
          if run['task'] in tasks and 'right' in run]


def photographs_table(runs: paired_runs.Runs, tasks: list[dict]) -> str:
  """Returns the table of real weights on photographs."""
  lines = []
  for task in tasks:
    row = row_of(task['weights'])
    for right in results(runs, [task]):
      lines.append((
          f'`{row.name}`',
          f'{row.top_1} ({"8 bits" if row.is_quantized else "float32"})',
          str(len(right['float32'])),
          *(shares.cell(shares.of_answers(right[name]))
            for name in ('file', 'rounded', 'float32', 'bfloat16'))))
  return paired_runs.table(
      ('published checkpoint', 'published top-1, 50,000 images', 'crops',
       'its 8-bit file', 'checkpoint, rounded', 'checkpoint, float32',
       'checkpoint, bfloat16'), lines)


def training_table(runs: paired_runs.Runs, tasks: list[dict]) -> str:
  """Returns the table of the fine-tuning."""
  lines, found = [], results(runs, tasks)
  if found:
    right = shares.joined(found)
    lines.append((
        f"`{row_of(tasks[0]['weights']).name}`", str(len(found)),
        shares.cell(shares.of_answers(right['float32'])),
        *(shares.cell(shares.lost(right['float32'], right[name]))
          for name in ('bfloat16', '8 bits'))))
  return paired_runs.table(
      ('fine-tuned from', 'runs', 'top-1 in float32', 'points lost in bfloat16',
       'points lost in 8 bits'), lines)


def report(runs: paired_runs.Runs, shown: list[dict], trained: list[dict]) -> str:
  """Returns the Markdown page."""
  network = trained[0]['network']
  return '\n\n'.join([
      '# Accuracy with real weights',
      f'{machine.description(machine.describe(("tensorflow",)))}.',
      f'    {paired_runs.command_line("accuracy")}', _NOTES,
      '## Photographs',
      f'Top-1 accuracy in percent on {FLAGS.crops} crops of each photograph, each of at'
      ' least 30% of its area. The photographs are not those of ImageNet, so the'
      ' published figure cannot be compared with the others; it is that of the float32'
      ' network if none is published for 8 bits. `slim-zoo convert-weights'
      ' --from=tflite` made the checkpoints. *Rounded* means that the graph of the'
      ' checkpoint rounds to 8 bits as in quantization-aware training.',
      photographs_table(runs, shown),
      '## Fine-tuning',
      f'{network} is trained for {FLAGS.steps} steps on the 1,442 training images of'
      " scikit-learn's digits, from the published weights with a new head and frozen"
      ' batch norm. It is measured on the 355 test images. The 8-bit file is calibrated'
      ' with training images. Negative numbers are gains.',
      training_table(runs, trained)]) + '\n'


def main(_):
  """Runs missing runs, then prints or writes the page."""
  paired_runs.check_flags_set(FLAGS['output'], FLAGS['photographs'],
                              FLAGS['dataset_dir'])
  if not FLAGS.weights:
    raise diagnostics.UserError(f'--weights is missing: {FLAGS["weights"].help}')
  shown, trained = photograph_tasks(), training_tasks()
  runs = paired_runs.Runs(FLAGS.output)
  runs.compare([*shown, *trained], [paired_runs.Contender(
      NAME, paired_runs.runner('peers.real_accuracy'))], rounds=1)
  paired_runs.write(report(runs, shown, trained), 'accuracy', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
