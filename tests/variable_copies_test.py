"""Clones that have their own variables, compared with one clone on the whole batch."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.config.optimizer import Optimizer
from slim_zoo.config.options import options_of
from slim_zoo.deployment import model_deploy
from slim_zoo.nets import normalization
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import graph, losses
from slim_zoo.training.updates import learning_rates, optimizers, updates
from tests import constant_batches

CLONES, STEPS, CLASSES = 2, 3, 4
OF_OPTIMIZERS = {
    name: option.default for name, option in options_of(Optimizer).items()} | {
        'weight_decay': 0.01}
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=[8, 6, 6, 2]).astype(np.float32)
LABELS = RANDOM.integers(0, CLASSES, 8)


def network(images):
  images = slim.conv2d(images, 3, 3, scope='net/conv',
                       weights_initializer=tf.random_normal_initializer(0, 0.3, seed=1),
                       weights_regularizer=slim.l2_regularizer(0.01))
  # Frozen statistics: those of parts of the batch are others than those of the whole.
  images = normalization.batch_norm(images, is_training=False, scope='net/norm')
  return slim.fully_connected(
      slim.flatten(images), CLASSES, activation_fn=None, scope='net/logits',
      weights_initializer=tf.random_normal_initializer(0, 0.3, seed=2)), {}


def build(num_clones, optimizer, **options):
  return graph.build(
      model_deploy.DeploymentConfig(
          num_clones, variables_on_clones=True,
          clone_devices=[f'/device:CPU:{index}' for index in range(num_clones)]),
      constant_batches.parts(IMAGES, LABELS, num_clones), network,
      losses.Recipe(CLASSES).add,
      learning_rates.Schedule('fixed', 0.1),
      lambda rate: optimizers.get_optimizer(optimizer, rate, **OF_OPTIMIZERS),
      updates.UpdateOptions(**options))


def run(built):
  """Returns the losses, and the variables of checkpoints by name."""
  config = tf.ConfigProto(device_count={'CPU': CLONES})
  variables = {variable.op.name: variable for variable in tf.global_variables()}
  with tf.Session(config=config) as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    if built.copies:
      built.copies.broadcast(session)
      built.copies.compare(session, 0)
    found = []
    for _ in range(STEPS):
      for _ in range(built.accumulate_steps - 1):
        session.run(built.accumulate_op)
      found.append(session.run(built.train_op))
    if built.copies:
      built.copies.compare(session, STEPS)
    return found, session.run(variables)


@pytest.mark.parametrize(('optimizer', 'options'), [
    ('sgd', {'clip_gradient_norm': 0.05}),
    ('momentum', {'accumulate_steps': 2}),
    ('adam', {'learning_rate_multipliers': {'net/conv': 0.5, 'net/logits/biases': 0}}),
    ('rmsprop', {'scales_loss': True, 'moving_average_decay': 0.9}),
    ('lars', {'trainable_scopes': ('net/logits',)}),
])
def test_copies_make_the_updates_of_one_clone_on_the_whole_batch(optimizer, options):
  expected_losses, expected = run(build(1, optimizer, **options))
  tf.reset_default_graph()
  found_losses, found = run(build(CLONES, optimizer, **options))
  assert found.keys() == expected.keys()
  np.testing.assert_allclose(found_losses, expected_losses, rtol=1e-4)
  for name, value in found.items():
    np.testing.assert_allclose(value, expected[name], rtol=2e-4, atol=2e-6,
                               err_msg=name)


def test_each_clone_reads_its_own_variables():
  build(CLONES, 'momentum')
  assert [variable.op.name for variable in tf.trainable_variables()] == [
      'net/conv/weights', 'net/conv/biases', 'net/norm/beta', 'net/logits/weights',
      'net/logits/biases']
  assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == 1
  devices = {variable.op.name: variable.device for variable in (
      *tf.global_variables(), *tf.local_variables())}
  for name in ('net/conv/weights', 'net/norm/moving_mean', 'net/conv/weights/Momentum'):
    copy = name.replace('/Momentum', '')
    copy = f'{copy}/copy_1' + ('/Momentum' if name.endswith('Momentum') else '')
    assert (devices[name], devices[copy]) == ('/device:CPU:0', '/device:CPU:1')


def test_a_copy_that_differs_is_named():
  built = build(CLONES, 'sgd')
  weights, = [variable for variable in tf.local_variables()
              if variable.op.name == 'net/conv/weights/copy_1']
  with tf.Session(config=tf.ConfigProto(device_count={'CPU': CLONES})) as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    built.copies.broadcast(session)
    value = session.run(weights)
    value.flat[0] = np.nextafter(value.flat[0], np.float32(1))
    weights.load(value, session)
    with pytest.raises(diagnostics.UserError, match="'net/conv/weights' of clone 1"):
      built.copies.compare(session, 5)
