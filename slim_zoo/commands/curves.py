"""Draws how runs learned, from what they wrote for TensorBoard.

  slim-zoo curves runs/pets runs/pets/eval
  slim-zoo curves runs/slow runs/fast --output=compared.png

An argument is a folder that --train_dir or --eval_dir named: of the first kind are the
loss, the accuracy and the learning rate of steps and of validations, of the second the
accuracy of evaluations.
"""

import os

from absl import flags

from slim_zoo import diagnostics
from slim_zoo.commands import path_flags, running
from slim_zoo.config import options

FLAGS = flags.FLAGS

path_flags.DEFINE_path('output', 'learning_curves.png', 'PNG file to write.')


def check(folders) -> None:
  """Refuses what makes no sense, before TensorFlow is imported.

  Raises:
    UserError: the first thing that is wrong.
  """
  if not folders:
    raise diagnostics.UserError(
        'no folders: name those that --train_dir and --eval_dir named')
  for folder in folders:
    if not os.path.isdir(folder):
      raise diagnostics.UserError(f"no folder '{folder}': name a --train_dir or an"
                                  ' --eval_dir of a run')
  if not FLAGS.output or os.path.isdir(FLAGS.output):
    raise diagnostics.UserError(
        f"--output='{FLAGS.output}' is no file: name a PNG file to write")
  options.check_png(FLAGS.output, 'output')
  os.makedirs(os.path.dirname(FLAGS.output) or '.', exist_ok=True)


def main(argv):
  """Checks the command line, then draws."""
  folders = options.expanded_paths(argv[1:])
  check(folders)
  from slim_zoo.evaluation import learning_curves
  learning_curves.draw(FLAGS.output, {
      os.path.normpath(folder): learning_curves.read(folder) for folder in folders})
  print(f'wrote {FLAGS.output}')


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, takes_arguments=True)
