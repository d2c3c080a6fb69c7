"""Trains with slim.learning.train and queue runners."""

from __future__ import print_function

import tensorflow as tf

import quadrants

slim = tf.contrib.slim

tf.app.flags.DEFINE_string('dataset_dir', None, 'Folder of the records.')
tf.app.flags.DEFINE_string('train_dir', '/tmp/quadrants', 'Folder of checkpoints.')
tf.app.flags.DEFINE_integer('max_number_of_steps', 40, 'Steps.')
tf.app.flags.DEFINE_float('learning_rate', 0.01, 'Learning rate.')
tf.app.flags.DEFINE_boolean('write_data', True, 'Whether to write the records.')
FLAGS = tf.app.flags.FLAGS


def main(_):
  if not FLAGS.dataset_dir:
    raise ValueError('You must supply the dataset directory with --dataset_dir')
  tf.logging.set_verbosity(tf.logging.WARN)
  if FLAGS.write_data:
    quadrants.write(FLAGS.dataset_dir)
  with tf.Graph().as_default():
    global_step = slim.get_or_create_global_step()
    images, labels = quadrants.load_batch('train', FLAGS.dataset_dir, 16, True)
    logits, end_points = quadrants.network(images)
    assert 'Quadrants/conv/conv_1' in end_points, sorted(end_points)
    one_hot = slim.one_hot_encoding(labels, quadrants.NUM_CLASSES)
    slim.losses.softmax_cross_entropy(logits, one_hot)
    total_loss = slim.losses.get_total_loss()
    tf.summary.scalar('losses/total', total_loss)
    for variable in slim.get_model_variables():
      tf.summary.histogram(variable.op.name, variable)
    rate = tf.train.exponential_decay(FLAGS.learning_rate, global_step, 100, 0.5,
                                      staircase=True)
    optimizer = tf.train.RMSPropOptimizer(rate, momentum=0.5)
    train_op = slim.learning.create_train_op(
        total_loss, optimizer, global_step=global_step, clip_gradient_norm=5.0)
    loss = slim.learning.train(
        train_op, FLAGS.train_dir, number_of_steps=FLAGS.max_number_of_steps,
        log_every_n_steps=10, save_summaries_secs=60, save_interval_secs=600)
    print('Finished training. Last batch loss: %.3f' % loss)


if __name__ == '__main__':
  tf.app.run()
