"""Trains like train_image_classifier.py, but with a wrong weight, for tests."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from slim_zoo.commands import train
from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks import weights_comparison


class FaultyComparison(weights_comparison.WeightsComparison):
  """Changes a weight by a rounding error, as a broken machine may."""

  def begin(self, session, step, writer):
    super().begin(session, step, writer)
    weights = tf.trainable_variables()[0]
    value = session.run(weights)
    value.flat[0] += abs(value.flat[0]) * 1e-3
    weights.load(value, session)


if __name__ == '__main__':
  from slim_zoo.training import whole_run
  whole_run.WeightsComparison = FaultyComparison
  train.run_command()
