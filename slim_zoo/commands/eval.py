"""Evaluates an image classification network on every image of a split, once.

  slim-zoo eval --dataset_name=digits --dataset_dir=data/digits \\
      --dataset_split_name=test --model_name=lenet --checkpoint_path=runs/lenet \\
      --eval_dir=runs/lenet/eval

Prints the accuracy and writes a report: numbers, tables and pictures.
"""

import os
import shlex
import sys

from slim_zoo import start_up
from slim_zoo.commands import option_flags, running
from slim_zoo.config.clusters import adopt_evaluation_cluster
from slim_zoo.config.evaluation import EvaluateConfig

option_flags.define(EvaluateConfig)


def main(unused_argv):
  """Reads the flags into a config, checks it, and evaluates."""
  config = EvaluateConfig.from_options(option_flags.given_options(EvaluateConfig))
  config = adopt_evaluation_cluster(config, os.environ)
  config.check()
  config.check_folders()
  config.server.set_environment()
  # Takes seconds: only now, when the flags are right.
  start_up.load_tensorflow(config.devices.settings)
  from slim_zoo.tasks import evaluate
  evaluate.evaluate(config, shlex.join(running.command_line(sys.argv)))


def run_command() -> None:
  """Runs the command with the flags of the command line."""
  running.run(main)
