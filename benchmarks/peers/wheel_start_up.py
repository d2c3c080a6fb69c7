"""Runs one step of a network of the tf_slim wheel, and nothing else.

  python -m benchmarks.peers.wheel_start_up NETWORK BATCH_SIZE

It prints a line after the step. TensorFlow and the wheel are imported without changes;
then the project's tf_compat, without which no network can be built. This is the
smallest possible start-up time. It supports the ResNets.
"""

import importlib
import os
import sys

os.environ['TF_CPP_MIN_LOG_LEVEL'] = '2'
# tf_compat itself would not import all of their parts.
for package in ('tensorflow.compat.v1', 'tf_slim'):
  importlib.import_module(package)

from slim_zoo.tf_compat import slim, tf  # noqa: E402, after these imports


def run_step(name: str, batch_size: int) -> None:
  """Builds the wheel's train op on random images, and runs it once."""
  module = importlib.import_module(f"tf_slim.nets.{name.rpartition('_')[0]}")
  with slim.arg_scope(module.resnet_arg_scope()):
    logits, _ = getattr(module, name)(
        tf.random.uniform([batch_size, 224, 224, 3]), 1001, is_training=True)
  tf.losses.sparse_softmax_cross_entropy(
      tf.zeros([batch_size], tf.int32), tf.reshape(logits, [batch_size, 1001]))
  train_op = slim.learning.create_train_op(
      tf.losses.get_total_loss(), tf.train.RMSPropOptimizer(1e-4))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(train_op)


if __name__ == '__main__':
  run_step(sys.argv[1], int(sys.argv[2]))
  print('step 1', flush=True)
