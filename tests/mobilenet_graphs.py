"""Short MobileNets, and what tests read off a graph."""

import functools

import numpy as np

from slim_zoo.nets.mobilenet import mobilenet_v2, mobilenet_v3
from slim_zoo.tf_compat import tf


def shortened(table):
  """Returns a table with only its first and last three layers."""
  return dict(table, spec=[*table['spec'][:3], *table['spec'][-3:]])


short_v2 = functools.partial(
    mobilenet_v2.mobilenet, conv_defs=shortened(mobilenet_v2.V2_DEF))
short_v3 = functools.partial(
    mobilenet_v3.mobilenet, conv_defs=shortened(mobilenet_v3.V3_SMALL))


def images(size=64, batch=1, channels=3):
  return tf.placeholder(tf.float32, (batch, size, size, channels))


def random_images(*shape):
  return np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


def find_ops(kind):
  return [operation for operation in tf.get_default_graph().get_operations()
          if operation.type == kind]


def conv_depths():
  return [operation.outputs[0].get_shape().as_list()[-1]
          for operation in find_ops('Conv2D')]


def shape(tensor):
  return tensor.get_shape().as_list()


def run(fetches, feed=None):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(fetches, feed)
