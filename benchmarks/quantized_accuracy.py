"""The accuracy that 8 bits cost, with and without training for them.

  python -m benchmarks.quantized_accuracy --output=quantized.jsonl --docs=docs

Each network is trained on scikit-learn's digits, in floats; its 8-bit file is
calibrated with training images. Then the training continues for some steps that round
to 8 bits, and a second file has the ranges of this training. All are measured on the
same test images. Each network is a process of its own. It is stored when it ends, so a
stopped command continues where it stopped.
"""

import dataclasses

from absl import flags

from benchmarks import paired_runs, shares
from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.timing import machine

FLAGS = flags.FLAGS
NAME = '8 bits'


@dataclasses.dataclass(frozen=True)
class Row:
  """How a network is trained.

  Attributes:
    network: its name.
    image_size: height and width of the images.
    steps: in floats.
    quantized_steps: that round, after these.
    batch_size: images of a step.
    learning_rate: of the first step.
  """

  network: str
  image_size: int
  steps: int
  quantized_steps: int
  batch_size: int = 32
  learning_rate: float = 1e-3


# One or two networks of a family. An accuracy below 90% in floats says little about 8
# bits: ResNeXt-50 had 73.8% after 150 steps, MobileNet V1 0.25 33% after 200.
ROWS = (
    Row('lenet', 28, 400, 150),
    Row('cifarnet', 32, 400, 150),
    Row('inception_v1', 32, 200, 60),
    Row('inception_v2', 32, 200, 60),
    Row('resnet_v1_50', 32, 400, 60, 16),
    Row('resnet_v2_50', 32, 400, 60, 16),
    Row('resnext_50', 32, 400, 60, 16),
    Row('se_resnet_v1_50', 32, 400, 60, 16),
    Row('mobilenet_v1_025', 48, 600, 200, learning_rate=4e-3),
    Row('mobilenet_v2_035', 48, 600, 200, learning_rate=4e-3),
    Row('mobilenet_v3_small', 48, 600, 200, learning_rate=4e-3),
    Row('nasnet_mobile', 80, 300, 40, 16),
)

flags.DEFINE_list('networks', [row.network for row in ROWS],
                  'Networks to train, of those in the table of this program.')
flags.DEFINE_integer('seeds', 1, 'Runs of each network, each with another seed.',
                     lower_bound=1)
path_flags.DEFINE_path('output', None, 'File of JSON lines: one for each network.')
path_flags.DEFINE_path('docs', None, 'Folder to write quantized_accuracy.md to.')


def rows(names: list[str]) -> list[Row]:
  """Returns the rows of networks; UserError for an unknown one."""
  by_name = {row.network: row for row in ROWS}
  for name in names:
    if name not in by_name:
      raise diagnostics.unknown_name('network', name, by_name)
  return [by_name[name] for name in names]


def line(row: Row, found: list[dict]) -> tuple[str, ...]:
  """Returns a line of the table; `found` are the runs of the network."""
  right = shares.joined([run['right'] for run in found])
  floats = right['floats']
  return (row.network, str(row.image_size),
          shares.cell(shares.of_answers(floats)),
          shares.cell(shares.lost(floats, right['after'])),
          shares.cell(shares.lost(floats, right['aware'])),
          f"{min(run['agreement'] for run in found):.1%}",
          f"{max(run['steps'][0] for run in found):.1f}")


def task_of(row: Row, seed: int) -> dict:
  """Returns the task of a run."""
  return {**dataclasses.asdict(row), 'seed': seed}


def report(runs: paired_runs.Runs, wanted: list[Row]) -> str:
  """Returns the Markdown page."""
  lines = []
  for row in wanted:
    found = [run for seed in range(FLAGS.seeds) for run in runs.done.values()
             if run['task'] == task_of(row, seed)]
    whole = [run for run in found if 'right' in run]
    lines.append(line(row, whole) if whole else (
        row.network, str(row.image_size), *'-----'[:4],
        found[0].get('skipped', '-') if found else 'was not run'))
  return '\n\n'.join([
      '# Accuracy that 8 bits cost',
      'Top-1 accuracy in percent, with intervals of 95%, on the 355 test images of'
      " scikit-learn's digits. Two 8-bit files are compared with the float32 network"
      ' ([quantization](quantization.md) explains the words). *After training*: the'
      ' network is trained in float32, and `slim-zoo export --format=tflite_int8`'
      ' calibrates its ranges with 100 training images, 10 of each class.'
      ' *Quantization-aware*: the training continues for some steps with'
      ' `--quantize_delay=0`, and the file has the ranges of this training. The two'
      ' *lost* columns show how many points of accuracy each file loses compared with'
      ' float32 on the same images; negative numbers are gains.',
      'The last two columns compare the quantization-aware file with its checkpoint:'
      ' the share of images with the same top-1 class, and the largest difference of a'
      ' logit in steps of the 8-bit output. TensorFlow Lite rounds the result of an'
      ' average pool to the step of its input; the checkpoint does not round it.',
      'Each network is trained for a few hundred steps on small images. This is enough'
      ' for these digits, but not for photographs. So compare the columns of a row, not'
      ' the networks.',
      f'{machine.description(machine.describe(("tensorflow",)))}.',
      f'    {paired_runs.command_line("quantized_accuracy")}',
      paired_runs.table(
          ('network', 'image size', 'float32', 'lost after training',
           'lost quantization-aware', 'same top-1', 'largest difference'),
          lines)]) + '\n'


def main(_):
  """Runs missing runs, then prints or writes the table."""
  paired_runs.check_flags_set(FLAGS['output'])
  wanted = rows(FLAGS.networks)
  tasks = [task_of(row, seed) for row in wanted for seed in range(FLAGS.seeds)]
  runs = paired_runs.Runs(FLAGS.output)
  runs.compare(tasks, [paired_runs.Contender(
      NAME, paired_runs.runner('peers.quantized_network'))], rounds=1)
  paired_runs.write(report(runs, wanted), 'quantized_accuracy', FLAGS.docs)


if __name__ == '__main__':
  running.run(main)
