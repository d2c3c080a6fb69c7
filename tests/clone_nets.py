"""A small net, its batch and its clones on logical CPUs, for the tests of clones."""

import functools

import numpy as np

from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import slim, tf

IMAGES = np.random.RandomState(0).normal(size=(16, 5)).astype(np.float32)
LABELS = IMAGES[:, :3].argmax(axis=1)  # So there is something to learn.
BATCH_NORM_UPDATES = 2  # The moving mean and the moving variance.


def dense_net(images, labels, batch_norm=False):
  """Adds a small regularized classifier and its loss; returns the logits."""
  dense = functools.partial(
      slim.fully_connected, weights_regularizer=slim.l2_regularizer(0.01),
      weights_initializer=tf.random_normal_initializer(stddev=0.5, seed=1))
  if batch_norm:
    images = slim.batch_norm(images, decay=0.0, scope='norm')
  net = dense(images, 4, activation_fn=tf.tanh, scope='hidden')
  logits = dense(net, 3, activation_fn=None, scope='logits')
  slim.losses.sparse_softmax_cross_entropy(logits, labels)
  return logits


def split_net(num_clones, **kwargs):
  """Returns a model function that gives each clone its part of the batch."""
  parts = zip(np.split(IMAGES, num_clones), np.split(LABELS, num_clones), strict=True)
  return lambda: dense_net(*map(tf.constant, next(parts)), **kwargs)


def whole_batch():
  return tf.constant(IMAGES), tf.constant(LABELS)


def cpu_config(num_clones):
  """Returns clones on logical CPUs, which need a `cpu_session`."""
  return model_deploy.DeploymentConfig(
      num_clones,
      clone_devices=[f'/device:CPU:{index}' for index in range(num_clones)])


def cpu_session():
  session = tf.Session(config=tf.ConfigProto(
      device_count={'CPU': 4}, inter_op_parallelism_threads=2,
      intra_op_parallelism_threads=1))
  session.run(tf.global_variables_initializer())
  return session


def run_steps(train_op, steps):
  """Returns the values of all variables at first and at last, and the losses."""
  variables = tf.global_variables()
  with cpu_session() as session:
    def values():
      return dict(zip([variable.op.name for variable in variables],
                      session.run(variables), strict=True))
    first = values()
    losses = [session.run(train_op) for _ in range(steps)]
    return first, values(), losses
