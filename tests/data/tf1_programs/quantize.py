"""Trains a few steps with tf.contrib.quantize, then builds the evaluation graph."""

from __future__ import print_function

import sys

import numpy as np
import tensorflow as tf
from tensorflow.contrib import quantize as contrib_quantize

import quadrants

slim = tf.contrib.slim


def build(is_training):
  images = tf.random_uniform([8, 16, 16, 1], -1, 1, seed=1)
  labels = tf.constant(np.arange(8) % 4)
  logits, _ = quadrants.network(images, is_training=is_training)
  return logits, tf.losses.sparse_softmax_cross_entropy(labels, logits)


def main(train_dir):
  with tf.Graph().as_default() as graph:
    _, loss = build(True)
    contrib_quantize.create_training_graph(input_graph=graph, quant_delay=2)
    train_op = slim.learning.create_train_op(loss, tf.train.GradientDescentOptimizer(.1))
    slim.learning.train(train_op, train_dir, number_of_steps=4, save_summaries_secs=0)
  with tf.Graph().as_default():
    logits, _ = build(False)
    tf.contrib.quantize.create_eval_graph()
    with tf.Session() as sess:
      tf.train.Saver().restore(sess, tf.train.latest_checkpoint(train_dir))
      ranges = [variable.op.name for variable in tf.global_variables()
                if variable.op.name.endswith('act_quant/max')]
      print('ranges', len(ranges), 'finite', np.isfinite(sess.run(logits)).all())


if __name__ == '__main__':
  main(sys.argv[1])
