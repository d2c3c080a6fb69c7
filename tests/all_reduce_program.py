"""A process that trains a small network on its part of a batch, for tests.

Without TF_CONFIG it trains on the whole batch. It writes its variables to a file. No
dropout: the parts together make the same updates as the whole.

  all_reduce_program.py FOLDER NETWORK STEPS CLIP_NORM CLONES SYNC_BATCH_NORM COPIES
"""

import itertools
import os
import sys
import types

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from slim_zoo.deployment import agreement, cluster, collectives, model_deploy, servers
from slim_zoo.nets import lenet, normalization
from slim_zoo.nets.quantization import fake_quantization
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import graph, loop_options, losses, sessions, whole_run
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.updates import learning_rates, updates
from tests import constant_batches

IMAGES, SIZE, CLASSES = 12, 28, 10
# Seconds that workers wait for each other; only what hangs takes so long.
TIMEOUT = 600


def small_lenet(images):
  with slim.arg_scope(lenet.lenet_arg_scope(0.01)):
    return lenet.lenet(images, CLASSES, is_training=True, dropout_keep_prob=1.0)


def normalized(images):
  """Two convolutions with batch norm."""
  with slim.arg_scope([slim.conv2d], normalizer_fn=normalization.batch_norm,
                      normalizer_params={'decay': 0.9, 'scale': True}):
    features = slim.conv2d(images, 6, 3, stride=2, scope='one')
    features = slim.conv2d(features, 8, 3, stride=2, scope='two')
  return slim.fully_connected(
      tf.reduce_mean(features, [1, 2]), CLASSES, activation_fn=None, scope='logits'), {}


def smooth(images):
  """Six batch norms, and activations without a kink: well-conditioned."""
  with slim.arg_scope([slim.conv2d], normalizer_fn=normalization.batch_norm,
                      normalizer_params={'decay': 0.9, 'scale': True},
                      activation_fn=tf.nn.tanh):
    features = slim.conv2d(images, 8, 3, scope='first')
    for index, stride in enumerate((2, 1, 2, 1, 1)):
      features = slim.conv2d(features, 16, 3, stride=stride, scope=f'conv{index}')
  return slim.fully_connected(
      tf.reduce_mean(features, [1, 2]), CLASSES, activation_fn=None, scope='logits'), {}


def quantized(images):
  return fake_quantization.build(
      normalized, images, True, fake_quantization.Quantization(delay=2))


NETWORKS = {'lenet': small_lenet, 'normalized': normalized, 'quantized': quantized,
            'smooth': smooth}
# At a small rate, differences of rounding do not grow from step to step.
RATES = {'smooth': 1e-3}


class Keep(Callback):
  """Writes all variables, and the losses of the steps, to a file in the end."""

  def __init__(self, path):
    self._path, self._losses = path, []

  def measured(self, step, loss, waited):
    self._losses.append(loss)

  def end(self, session, step):
    variables = tf.global_variables()
    values = session.run(variables)
    np.savez(self._path, losses=self._losses, **{
        variable.op.name.replace('/', '|'): value
        for variable, value in zip(variables, values, strict=True)})


def batch_of(part, parts):
  """Returns a part of the batch."""
  random = np.random.default_rng(3)
  images = random.normal(size=[IMAGES, SIZE, SIZE, 1]).astype(np.float32)
  labels = random.integers(0, CLASSES, IMAGES)
  some = slice(part * IMAGES // parts, (part + 1) * IMAGES // parts)
  return constant_batches.batch(images[some], labels[some])


def main(folder, network, steps, clip, clones, sync, copies):
  own = cluster.from_tf_config(os.environ.get('TF_CONFIG'))
  workers = own and agreement.Workers(own, TIMEOUT)
  task, count = (own.task, workers.count) if own else (0, 1)
  server = own and servers.start(own, clones)
  if workers:
    workers.meet(server.target, [task])
  # Other workers begin with other weights: the chief's replace them.
  tf.set_random_seed(5 + task)
  parts = itertools.count(task * clones)
  devices = [f'/device:CPU:{index}' for index in range(clones)]
  built = graph.build(
      model_deploy.DeploymentConfig(
          clones, clone_devices=devices, variables_on_clones=copies),
      lambda: batch_of(next(parts), count * clones), NETWORKS[network],
      losses.Recipe(CLASSES).add,
      learning_rates.Schedule('fixed', RATES.get(network, 0.05)),
      lambda rate: tf.train.MomentumOptimizer(rate, 0.9),
      updates.UpdateOptions(clip_gradient_norm=clip), workers=workers,
      batch_norm_replicas=[
          collectives.Replica(collectives.BATCH_NORM, count * clones, device, TIMEOUT)
          for device in devices] if sync else ())
  log = types.SimpleNamespace(deliver=lambda numbers: None, take_lost=lambda: [])
  images = types.SimpleNamespace(
      initializer=tf.no_op(), log=log, failure=lambda error: None,
      make_ender=tf.no_op)
  whole_run.run(
      built, loop_options.LoopOptions(
          os.path.join(folder, 'train'), steps, 0, 0, 0, IMAGES,
          sessions.Place(server.target if server else '', is_chief=task == 0,
                         num_cpus=clones)), images,
      callbacks=[Keep(os.path.join(folder, f'worker_{task}.npz'))])


if __name__ == '__main__':
  main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]),
       int(sys.argv[5]), sys.argv[6] == 'True', sys.argv[7] == 'True')
