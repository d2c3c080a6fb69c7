"""Continues with new classes from a checkpoint; plain sessions and queue runners."""

from __future__ import print_function

import argparse
import os

import numpy as np
import tensorflow as tf
from tensorflow.contrib.framework.python.ops import variables
from tensorflow.contrib.framework.python.ops.variables import get_variables_to_restore

import quadrants

slim = tf.contrib.slim


def get_init_fn(checkpoint_dir):
  """Restores all but the logits."""
  checkpoint_path = tf.train.latest_checkpoint(checkpoint_dir)
  to_restore = get_variables_to_restore(
      exclude=['Quadrants/logits', 'global_step'])
  reader = tf.train.NewCheckpointReader(checkpoint_path)
  in_file = reader.get_variable_to_shape_map()
  assert all(variable.op.name in in_file for variable in to_restore)
  return slim.assign_from_checkpoint_fn(
      checkpoint_path, to_restore, ignore_missing_vars=True)


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--dataset_dir', required=True)
  parser.add_argument('--checkpoint_dir', required=True)
  parser.add_argument('--train_dir', required=True)
  args = parser.parse_args()
  images, labels = quadrants.load_batch('train', args.dataset_dir, 16, True)
  labels = tf.cast(labels >= 2, tf.int64)  # The upper or the lower half.
  train_phase = tf.placeholder_with_default(True, [], name='train_phase')
  logits, _ = quadrants.network(images, num_classes=2)
  init_fn = get_init_fn(args.checkpoint_dir)
  scale = tf.cond(train_phase, lambda: tf.constant(1.0), lambda: tf.constant(0.5))
  loss = tf.losses.sparse_softmax_cross_entropy(labels, logits) * scale
  tf.losses.add_loss(loss)
  variables_to_train = variables.get_trainable_variables('Quadrants/logits')
  assert len(variables_to_train) == 2
  train_op = slim.learning.create_train_op(
      tf.losses.get_total_loss(), tf.train.AdamOptimizer(0.02),
      variables_to_train=variables_to_train)
  saver = tf.train.Saver(max_to_keep=2)
  config = tf.ConfigProto(allow_soft_placement=True)
  with tf.Session(config=config) as sess:
    sess.run(tf.group(tf.global_variables_initializer(),
                      tf.local_variables_initializer()))
    init_fn(sess)
    weights = tf.get_default_graph().get_tensor_by_name(
        'Quadrants/conv/conv_1/weights:0')
    before = sess.run(weights)
    assert np.abs(before).max() > 0
    coord = tf.train.Coordinator()
    threads = tf.train.start_queue_runners(sess=sess, coord=coord)
    losses = [sess.run(train_op, {train_phase: True}) for _ in range(30)]
    np.testing.assert_array_equal(before, sess.run(weights))
    saver.save(sess, os.path.join(args.train_dir, 'tuned.ckpt'), global_step=30)
    coord.request_stop()
    coord.join(threads)
  print('loss falls: %s' % (np.mean(losses[-5:]) < np.mean(losses[:5])))


if __name__ == '__main__':
  main()
