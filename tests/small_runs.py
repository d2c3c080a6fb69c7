"""Runs of a small graph through the training loop, for tests of the loop."""

import types

import numpy as np

from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import graph, loop_options, losses, whole_run
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.updates import learning_rates, numerics
from tests import constant_batches

STEPS = 4


class Recorder(Callback):
  """Notes what is called of it, and may fail once.

  Args:
    place: the method that fails, or None.
    step: of the call that fails.
    fail: what it then does.
  """

  def __init__(self, place=None, step=None, fail=None):
    self.calls, self._place, self._step, self._fail = [], place, step, fail

  def _call(self, method, step):
    self.calls.append((method, step))
    if (method, step) == (self._place, self._step):
      self._fail()

  def begin(self, session, step, writer):
    self._call('begin', step)

  def measured(self, step, loss, waited):
    self._call('measured', step)

  def after_step(self, session, step):
    self._call('after_step', step)

  def before_save(self, session, step):
    self._call('before_save', step)

  def after_save(self, session, step, path):
    self._call('after_save', step)

  def end(self, session, step):
    self._call('end', step)


def small_graph():
  """Returns a training graph of one layer, and the input that it needs."""
  batch = constant_batches.batch(np.ones([2, 3], np.float32), [0, 1])
  built = graph.build(
      model_deploy.DeploymentConfig(clone_on_cpu=True), lambda: batch,
      lambda images: (slim.fully_connected(images, 2, activation_fn=None), {}),
      losses.Recipe(2).add, learning_rates.Schedule('fixed', 0.1),
      tf.train.GradientDescentOptimizer,
      cross_entropy_fn=losses.Recipe(2).cross_entropy)
  log = types.SimpleNamespace(deliver=lambda numbers: None, take_lost=lambda: [])
  return built, types.SimpleNamespace(
      initializer=tf.no_op(), log=log, failure=lambda error: None)


def run(folder, callbacks, steps=STEPS, **options):
  """Trains the small graph; returns the loop."""
  built, images = small_graph()
  callbacks = [numerics.CheckpointGuard(built.finite_check), *callbacks]
  return whole_run.run(built, loop_options.LoopOptions(
      str(folder), steps, **{'log_every_n_steps': 0, 'save_summaries_secs': 600,
                             'save_interval_secs': 0, 'images_per_step': 2, **options}),
                  images, callbacks=callbacks)


def saved_step(folder):
  """Returns the step of the newest checkpoint, which is read whole; None without."""
  latest = tf.train.latest_checkpoint(str(folder))
  if latest is None:
    return None
  reader = tf.train.load_checkpoint(latest)
  for name in reader.get_variable_to_shape_map():
    reader.get_tensor(name)
  assert latest.endswith(f'-{int(reader.get_tensor("global_step"))}')
  return int(reader.get_tensor('global_step'))
