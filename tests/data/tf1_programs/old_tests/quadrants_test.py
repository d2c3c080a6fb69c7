"""Tests of a network as they were then; run by pytest or as a program."""

import numpy as np
import tensorflow as tf

import quadrants

slim = tf.contrib.slim


class QuadrantsTest(tf.test.TestCase):

  def testBuild(self):
    with self.test_session():
      images = tf.random_uniform((2, 16, 16, 1))
      logits, end_points = quadrants.network(images)
      self.assertEqual(logits.op.name, 'Quadrants/logits/BiasAdd')
      self.assertListEqual(logits.get_shape().as_list(), [2, 4])
      self.assertTrue('Quadrants/conv/conv_2' in end_points)

  def testRuns(self):
    with self.test_session() as sess:
      logits, _ = quadrants.network(tf.zeros((1, 16, 16, 1)), is_training=False)
      sess.run(tf.global_variables_initializer())
      self.assertAllClose(logits.eval(), np.zeros((1, 4)))

  def testRegularizer(self):
    quadrants.network(tf.zeros((1, 16, 16, 1)))
    self.assertEqual(len(slim.losses.get_regularization_losses()), 3)


if __name__ == '__main__':
  tf.test.main()
