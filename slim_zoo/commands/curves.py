"""Draws how runs learned, from what they wrote for TensorBoard.

  slim-zoo curves runs/pets runs/pets/eval
  slim-zoo curves runs/slow runs/fast --output=compared.png

An argument is a folder that --train_dir or --eval_dir named: of the first kind are the
loss, the accuracy and the learning rate of steps and of validations, of the second the
accuracy of evaluations.
"""

import os

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.listing import CurvesConfig
from slim_zoo.config.options import expanded_paths
from slim_zoo.files import staging

option_flags.define(CurvesConfig)


def main(argv):
  """Reads the flags into a config, checks it, and draws."""
  config = CurvesConfig.from_options(option_flags.given_options(CurvesConfig))
  folders, output = expanded_paths(argv[1:]), config.picture.output
  config.check(folders)
  config.check_folders()
  start_up.load_tensorflow()
  from slim_zoo.evaluation import learning_curves
  curves = {
      os.path.normpath(folder): learning_curves.read(folder) for folder in folders}
  with staging.created(*config.folders):
    learning_curves.draw(output, curves)
  print(f'wrote {output}')


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main, takes_arguments=True)
