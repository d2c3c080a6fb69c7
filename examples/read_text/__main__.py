"""Reads handwritten digits in pictures, and trains and evaluates the network that does.

  python -m examples.read_text train
  python -m examples.read_text evaluate
  python -m examples.read_text image.png

`train` composes lines of the bundled digits and trains on them; a second call continues
from the last checkpoint. `evaluate` reads lines of digits that are in no training line.

Exit codes of the third form: 0, all pictures were read; 1, none, or an error; 3, some
were skipped, each with a line that says why.
"""

import os
import sys

from absl import flags

from examples import command_flags
from slim_zoo import diagnostics, start_up
from slim_zoo.commands import running
from slim_zoo.deployment import session_settings
from slim_zoo.files import atomic

FLAGS = flags.FLAGS
flags.DEFINE_string('train_dir', 'demo/read_text', 'Folder of the network.')
flags.DEFINE_string('backbone', 'inception_v1', 'Network of the zoo.')
flags.DEFINE_list('strides', ['4', '8'], 'Strides of its feature maps.')
flags.DEFINE_integer('enlarged', 1, 'How often larger the backbone sees the lines.',
                     lower_bound=1, upper_bound=8)
flags.DEFINE_integer('steps', 3000, 'Steps of the run.', lower_bound=1)
flags.DEFINE_integer('batch_size', 32, 'Lines of a clone.', lower_bound=1)
flags.DEFINE_integer('num_clones', 1, 'Clones, on logical CPU devices.', lower_bound=1)
flags.DEFINE_float('learning_rate', 0.002, 'Learning rate at the begin.',
                   lower_bound=0)
flags.DEFINE_integer('train_lines', 30_000, 'Lines to train on.', lower_bound=1)
flags.DEFINE_integer('test_lines', 2000, 'Lines to evaluate on.', lower_bound=1)
flags.DEFINE_integer('seed', 0, 'Seed of lines and weights.', lower_bound=0)
flags.DEFINE_string('digits', None, 'Evaluate on lines of these digits: an .npz file'
                    ' with images, uint8 [count, height, width], bright on black, and'
                    ' labels, int [count].')
flags.DEFINE_string('output', None, 'Where to write a picture of what is read.')
# The lines of training and of evaluation do not share a seed.
_TEST_SEED = 1_000_000
_SHOWN = 10
# The flags that have an effect on a command.
_USED = {
    'train': ('train_dir', 'backbone', 'strides', 'enlarged', 'steps', 'batch_size',
              'num_clones', 'learning_rate', 'train_lines', 'seed'),
    'evaluate': ('train_dir', 'test_lines', 'seed', 'digits', 'output'),
    'pictures': ('train_dir', 'output'),
}
_SOME_SKIPPED, _NONE_READ = 3, 1


def train():
  """Composes the lines, then trains."""
  from examples.read_text import network, records, training
  architecture = network.Architecture(
      FLAGS.backbone, tuple(map(_stride, FLAGS.strides)), FLAGS.enlarged)
  network.backbone_of(architecture)    # A wrong name is refused at once.
  folder = os.path.join(FLAGS.train_dir, 'data')
  paths = [records.write_once(folder, split, count, seed) for split, count, seed in (
      ('train', FLAGS.train_lines, FLAGS.seed), ('test', 64, _TEST_SEED + FLAGS.seed))]
  training.train(training.Options(
      FLAGS.train_dir, *paths, architecture, FLAGS.steps, FLAGS.batch_size,
      FLAGS.num_clones, FLAGS.learning_rate, FLAGS.seed))


def _stride(text):
  if not text.isdigit() or not int(text):
    raise diagnostics.UserError(
        f"--strides has '{text}': expected numbers, such as --strides=8,16,32")
  return int(text)


def evaluate():
  """Composes lines of unseen digits, and prints how many are read."""
  from examples.read_text import evaluation, reading, records
  seed = _TEST_SEED + FLAGS.seed
  source = records.digits_of('test') if FLAGS.digits is None else (
      records.digits_of_file(FLAGS.digits))
  composed = records.compose(source, FLAGS.test_lines, seed)
  reader = reading.Reader(FLAGS.train_dir)
  read = reader.read([line.image for line in composed])
  print(evaluation.compare([line.text for line in composed],
                           [entry.text for entry in read]))
  if FLAGS.output:
    shown = composed[:_SHOWN]
    _save(reader.sheet([line.image for line in shown], [line.text for line in shown],
                       'lines of unseen digits'))


def read(paths):
  """Prints the text of each picture; returns the exit code."""
  from examples.read_text import picture_files, reading
  reader = reading.Reader(FLAGS.train_dir)
  pictures = []
  for picture in picture_files.read(reader, paths, _print_skipped):
    print(picture, flush=True)
    pictures.append(picture)
  if not pictures:
    return _NONE_READ
  if FLAGS.output:
    _save(reader.sheet(
        [picture.image for picture in pictures], [None] * len(pictures),
        'pictures', [picture.path for picture in pictures]))
  return _SOME_SKIPPED if len(pictures) < len(paths) else 0


def _print_skipped(error):
  print(f'{sys.argv[0]}: {diagnostics.printable(str(error))}', file=sys.stderr,
        flush=True)


def _save(picture):
  with atomic.replacing(FLAGS.output) as unfinished:
    picture.save(unfinished, 'PNG')
  print(f'written: {FLAGS.output}')


def main(argv):
  """Runs the command that the first argument names, or reads pictures."""
  arguments = argv[1:]
  if not arguments or (arguments[0] in _COMMANDS and len(arguments) > 1):
    raise diagnostics.UserError(
        "expected 'train', 'evaluate' or pictures, such as image.png"
        + (f', and not both: {arguments}' if arguments else ''))
  command_flags.check(
      arguments[0] if arguments[0] in _COMMANDS else 'pictures', _USED)
  start_up.load_tensorflow(session_settings.DEFAULTS)
  if arguments[0] in _COMMANDS:
    return _COMMANDS[arguments[0]]()
  return read(arguments)


_COMMANDS = {'train': train, 'evaluate': evaluate}

if __name__ == '__main__':
  # The name of the program in messages.
  sys.argv[0] = 'read_text'
  running.run(main, takes_arguments=True,
              when_stopped='train continues from the last checkpoint')
