"""Averages the weights of the last checkpoints of a run.

  slim-zoo average --checkpoint_path=runs/pets
  slim-zoo average --checkpoint_path=runs/pets --last=3
  slim-zoo average --checkpoint_path=runs/a/model.ckpt-500,runs/b/model.ckpt-500 \\
      --dataset_name=pets --dataset_dir=data/pets

The mean of the weights along the path of training is often better than the last
weights, above all if the learning rate is not small in the end. The statistics of batch
norm are of other weights, so they are estimated again over training images.

The result is beside the last checkpoint. Its name is that of this checkpoint, with
-averaged at the end, or -averaged-recalibrated with new statistics.
"""

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.averaging import AverageConfig

option_flags.define(AverageConfig)


def main(unused_argv):
  """Reads the flags into a config, checks it, and averages."""
  config = AverageConfig.from_options(option_flags.given_options(AverageConfig))
  config.check()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(config.devices.settings)
  from slim_zoo.tasks import average
  print(f'checkpoint {average.average(config)}')


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
