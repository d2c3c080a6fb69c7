"""Evaluates with slim.evaluation, once and in a loop."""

from __future__ import print_function

import math

import tensorflow as tf
import tensorflow.contrib.slim as slim
from tensorflow.contrib.metrics import streaming_accuracy

import quadrants

flags = tf.flags
flags.DEFINE_string('dataset_dir', '', 'Folder of the records.')
flags.DEFINE_string('checkpoint_dir', '', 'Folder of checkpoints.')
flags.DEFINE_string('eval_dir', '', 'Folder of summaries.')
FLAGS = flags.FLAGS


def main(unused_argv):
  with tf.Graph().as_default():
    slim.get_or_create_global_step()
    images, labels = quadrants.load_batch('test', FLAGS.dataset_dir, 8, False)
    logits, _ = quadrants.network(images, is_training=False)
    predictions = tf.argmax(logits, 1)
    names_to_values, names_to_updates = slim.metrics.aggregate_metric_map({
        'accuracy': streaming_accuracy(predictions, labels),
        'loss': slim.metrics.streaming_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=labels, logits=logits)),
    })
    summaries = [tf.summary.scalar('eval/' + name, value)
                 for name, value in names_to_values.items()]
    num_evals = int(math.ceil(24 / 8.0))
    values = slim.evaluation.evaluate_once(
        master='', checkpoint_path=tf.train.latest_checkpoint(FLAGS.checkpoint_dir),
        logdir=FLAGS.eval_dir, num_evals=num_evals,
        eval_op=list(names_to_updates.values()),
        final_op=[names_to_values['accuracy'], names_to_values['loss']],
        summary_op=tf.summary.merge(summaries))
    print('accuracy %.3f loss %.3f' % tuple(values))
    last = slim.evaluation.evaluation_loop(
        '', FLAGS.checkpoint_dir, FLAGS.eval_dir, num_evals=num_evals,
        eval_op=list(names_to_updates.values()),
        final_op=names_to_values['accuracy'], eval_interval_secs=1,
        max_number_of_evaluations=1, timeout=1)
    print('loop accuracy %.3f' % last)


if __name__ == '__main__':
  tf.app.run(main)
