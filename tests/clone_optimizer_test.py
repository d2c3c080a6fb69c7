"""The sum of the clones' gradients: deployment/clone_optimizer.py."""

import functools

import numpy as np
import pytest

from slim_zoo.deployment import model_deploy
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import slim, tf
from tests.clone_nets import (
  BATCH_NORM_UPDATES,
  IMAGES,
  cpu_config,
  cpu_session,
  dense_net,
  run_steps,
  split_net,
  whole_batch,
)

train = tf.train
OPTIMIZERS = {
    'adadelta': lambda: train.AdadeltaOptimizer(1.0, rho=0.95, epsilon=1e-3),
    'adagrad': lambda: train.AdagradOptimizer(0.1),
    'adam': lambda: train.AdamOptimizer(0.01),
    'ftrl': lambda: train.FtrlOptimizer(
        0.1, l1_regularization_strength=1e-3, l2_regularization_strength=1e-3),
    'momentum': lambda: train.MomentumOptimizer(0.1, 0.9),
    'nesterov': lambda: train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    'rmsprop': lambda: train.RMSPropOptimizer(0.01, momentum=0.9),
    'sgd': lambda: train.GradientDescentOptimizer(0.1),
}


def clones_and_optimizer(num_clones, make_optimizer=OPTIMIZERS['sgd'], **kwargs):
  clones = model_deploy.create_clones(
      cpu_config(num_clones), split_net(num_clones, **kwargs))
  with tf.device('/device:CPU:0'):
    return clones, model_deploy.CloneOptimizer(make_optimizer(), clones)


def create_train_op(optimizer, **kwargs):
  with tf.device('/device:CPU:0'):
    return slim.learning.create_train_op(optimizer.total_loss, optimizer, **kwargs)


def train_clones(num_clones, make_optimizer=OPTIMIZERS['sgd'], steps=4, **kwargs):
  """Trains clones that split the batch; returns what `run_steps` does."""
  with tf.Graph().as_default():
    _, optimizer = clones_and_optimizer(num_clones, make_optimizer)
    return run_steps(create_train_op(optimizer, **kwargs), steps)


def assert_same_training(one, other):
  """Compares to float32 rounding, relative to the largest entry of each variable."""
  for expected, actual in zip(one[:2], other[:2], strict=True):
    assert list(actual) == list(expected)
    for name, value in expected.items():
      np.testing.assert_allclose(
          actual[name], value, rtol=0, atol=3e-6 * np.abs(value).max(), err_msg=name)
  np.testing.assert_allclose(other[2], one[2], rtol=1e-6)


@functools.cache
def train_one_clone(name):
  return train_clones(1, OPTIMIZERS[name])


@pytest.mark.parametrize('num_clones', [2, 4])
@pytest.mark.parametrize('name', OPTIMIZERS)
def test_clones_that_split_a_batch_make_the_update_of_one(name, num_clones):
  one = train_one_clone(name)
  assert_same_training(one, train_clones(num_clones, OPTIMIZERS[name]))
  first, last, losses = one
  assert losses[-1] < losses[0] - 0.05
  for variable in ('hidden/weights', 'logits/biases'):
    assert np.abs(last[variable] - first[variable]).max() > 1e-2


def test_one_clone_trains_as_slim_does_without_clones():
  clones = train_clones(1, OPTIMIZERS['momentum'])
  with tf.Graph().as_default():
    dense_net(*whole_batch())
    train_op = slim.learning.create_train_op(
        tf.losses.get_total_loss(), OPTIMIZERS['momentum']())
    assert_same_training(clones, run_steps(train_op, 4))


def test_create_train_op_clips_the_summed_gradients():
  one, four = (train_clones(n, steps=2, clip_gradient_norm=0.01) for n in (1, 4))
  assert_same_training(one, four)
  first, last, _ = train_clones(4, steps=1, clip_gradient_norm=0.01)
  for name in ('hidden/weights', 'hidden/biases', 'logits/weights', 'logits/biases'):
    # Each norm is 0.01 times the learning rate, 0.1: all of them were clipped.
    assert np.linalg.norm(last[name] - first[name]) == pytest.approx(1e-3, rel=1e-3)


def test_create_train_op_multiplies_the_summed_gradients():
  multipliers = {'hidden/weights': 0.0, 'logits/weights': 3.0}
  one, four = (train_clones(n, gradient_multipliers=multipliers) for n in (1, 4))
  assert_same_training(one, four)
  first, plain, _ = train_clones(4, steps=1)
  _, last, _ = train_clones(4, steps=1, gradient_multipliers=multipliers)
  np.testing.assert_array_equal(last['hidden/weights'], first['hidden/weights'])
  np.testing.assert_allclose(
      last['logits/weights'] - first['logits/weights'],
      3 * (plain['logits/weights'] - first['logits/weights']), atol=1e-6)


def test_create_train_op_trains_only_the_variables_asked_for():
  _, optimizer = clones_and_optimizer(2)
  train_op = create_train_op(
      optimizer, variables_to_train=slim.get_trainable_variables('logits'),
      summarize_gradients=True)
  first, last, _ = run_steps(train_op, 1)
  assert {name for name in first if (first[name] != last[name]).any()} == {
      'logits/weights', 'logits/biases', 'global_step'}
  gradients = [summary.op.name for summary in tf.get_collection('summaries')
               if 'gradient' in summary.op.name]
  assert len(gradients) == 4  # A histogram and a norm of either.


def test_create_train_op_runs_the_update_ops_of_the_first_clone_only():
  clones, optimizer = clones_and_optimizer(2, batch_norm=True)
  collection = tf.GraphKeys.UPDATE_OPS
  outside = tf.no_op(name='outside_of_the_clones')
  tf.add_to_collection(collection, outside)
  assert len(tf.get_collection(collection)) == 2 * BATCH_NORM_UPDATES + 1
  kept = model_deploy.keep_first_clone_items(clones, collection)
  assert kept == tf.get_collection(collection)
  assert kept == [*tf.get_collection(collection, 'clone_0/'), outside]
  _, last, _ = run_steps(create_train_op(optimizer), 1)
  np.testing.assert_allclose(
      last['norm/moving_mean'], IMAGES[:8].mean(axis=0), rtol=1e-5)


def test_total_loss_is_the_mean_of_the_clones_plus_one_regularization():
  _, optimizer = clones_and_optimizer(4)
  with cpu_session() as session:
    losses, penalties, total = session.run([
        tf.losses.get_losses(), tf.losses.get_regularization_losses(),
        optimizer.total_loss])
  assert (len(losses), len(penalties)) == (4, 2)
  assert total == pytest.approx(np.mean(losses) + np.sum(penalties), rel=1e-6)


def test_losses_are_built_once():
  _, optimizer = clones_and_optimizer(4)
  create_train_op(optimizer)
  names = [op.name for op in tf.get_default_graph().get_operations()]
  for ending, count in (('/sum_losses', 4), ('/loss_share', 4),
                        ('/loss_to_minimize', 4), ('/sum_regularization_losses', 1)):
    assert len([name for name in names if name.endswith(ending)]) == count
  assert [name for name in names if 'total_loss' in name] == ['total_loss']


def test_regularization_losses_can_be_given():
  optimizer = train.GradientDescentOptimizer(1.0)
  clones = model_deploy.create_clones(cpu_config(2), split_net(2))
  penalty = tf.constant(5.0)
  plain, _ = model_deploy.optimize_clones(clones, optimizer, [])
  fined, _ = model_deploy.optimize_clones(clones, optimizer, [penalty])
  with cpu_session() as session:
    losses, plain, fined = session.run([tf.losses.get_losses(), plain, fined])
  assert plain == pytest.approx(np.mean(losses), rel=1e-6)
  assert fined == pytest.approx(plain + 5, rel=1e-6)


def test_optimize_clones_hands_its_arguments_to_the_optimizer():
  clones = model_deploy.create_clones(cpu_config(2), split_net(2))
  biases = slim.get_variables_by_name('biases')
  total_loss, gradients = model_deploy.optimize_clones(
      clones, train.GradientDescentOptimizer(1.0), var_list=biases,
      grad_loss=tf.constant(2.0))
  _, plain = model_deploy.optimize_clones(
      clones, train.GradientDescentOptimizer(1.0), var_list=biases)
  assert total_loss.op.name == 'total_loss'
  assert [variable for _, variable in gradients] == biases
  with cpu_session() as session:
    doubled, plain = session.run(
        [[gradient for gradient, _ in pairs] for pairs in (gradients, plain)])
  for twice, once in zip(doubled, plain, strict=True):
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


def test_gradients_are_built_and_run_on_the_devices_of_their_clones():
  _, optimizer = clones_and_optimizer(4)
  train_op = create_train_op(optimizer)
  operations = tf.get_default_graph().get_operations()
  for index in range(4):
    gradients = [op for op in operations
                 if op.name.startswith(f'clone_{index}/gradients/')]
    assert {op.device for op in gradients} == {f'/device:CPU:{index}'}
  sums = [op for op in operations if op.name.startswith('sum_clone_gradients/')]
  assert [op.type for op in sums] == ['AddN'] * 4  # One for each variable.
  assert {op.device for op in sums} == {'/device:CPU:0'}
  trace = tf.RunMetadata()
  with cpu_session() as session:
    session.run(train_op, run_metadata=trace, options=tf.RunOptions(
        trace_level=tf.RunOptions.FULL_TRACE))
  used = {node.node_name: stats.device for stats in trace.step_stats.dev_stats
          for node in stats.node_stats}
  for index in range(4):
    forward = f'clone_{index}/logits/BiasAdd'
    for name in (forward, f'clone_{index}/gradients/{forward}_grad/BiasAddGrad'):
      assert used[name].endswith(f'CPU:{index}'), name


def test_a_clone_without_losses_adds_nothing():
  losses = iter([None, 3.0])
  def weight_times():
    weight = slim.model_variable('weight', [], initializer=tf.ones_initializer())
    unused = slim.model_variable('unused', [])
    slope = next(losses)
    if slope:
      tf.losses.add_loss(slope * weight)
    return unused

  clones = model_deploy.create_clones(cpu_config(2), weight_times)
  assert [clone.scope for clone, _ in model_deploy.clone_losses(clones)] == [
      'clone_1/']
  total_loss, gradients = model_deploy.optimize_clones(
      clones, train.GradientDescentOptimizer(1.0))
  (gradient, variable), = gradients  # None for `unused`, so left out.
  assert variable.op.name == 'weight'
  with cpu_session() as session:
    assert session.run([total_loss, gradient]) == [1.5, 1.5]


@pytest.mark.parametrize('dense_clones', [0, 1])
def test_gradients_of_embeddings_are_summed(dense_clones):
  rows = iter([[0, 1], [1, 2]])
  def embed():
    table = slim.model_variable('table', [4, 2], initializer=tf.ones_initializer())
    row = next(rows)
    tf.losses.add_loss(tf.reduce_sum(tf.nn.embedding_lookup(table, row)))
    if row == [0, 1] and dense_clones:
      tf.losses.add_loss(tf.reduce_sum(table * 2))

  clones = model_deploy.create_clones(cpu_config(2), embed)
  optimizer = train.GradientDescentOptimizer(1.0)
  _, gradients = model_deploy.optimize_clones(clones, optimizer)
  assert isinstance(gradients[0][0], tf.IndexedSlices) == (not dense_clones)
  update = optimizer.apply_gradients(gradients)
  with cpu_session() as session:
    session.run(update)
    table, = session.run(slim.get_model_variables())
  # Each row loses half its count of appearances, and 1 in the dense clone.
  np.testing.assert_allclose(
      table[:, 0], np.array([0.5, 0.0, 0.5, 1.0]) - dense_clones)


def test_another_loss_is_refused():
  _, optimizer = clones_and_optimizer(2)
  with pytest.raises(ValueError, match='pass `total_loss`'):
    optimizer.compute_gradients(tf.losses.get_total_loss())
  assert optimizer.compute_gradients(tf.identity(optimizer.total_loss))


def test_a_loss_apart_from_the_variables_is_refused():
  def apart():
    slim.model_variable('weight', [])
    tf.losses.add_loss(tf.constant(1.0))

  clones = model_deploy.create_clones(cpu_config(2), apart)
  with pytest.raises(UserError, match='none of the variables'):
    model_deploy.optimize_clones(clones, train.GradientDescentOptimizer(1.0))


def test_everything_else_is_the_wrapped_optimizers():
  clones = model_deploy.create_clones(cpu_config(2), split_net(2))
  wrapped = train.AdamOptimizer(name='my_adam')
  optimizer = model_deploy.CloneOptimizer(wrapped, clones)
  optimizer.minimize(optimizer.total_loss)
  weights = slim.get_trainable_variables()[0]
  assert optimizer.get_name() == 'my_adam'
  assert optimizer.get_slot_names() == ['m', 'v']
  assert optimizer.get_slot(weights, 'm') is wrapped.get_slot(weights, 'm')
  assert optimizer.variables() == wrapped.variables() != []


def test_replicas_may_synchronize_the_clones():
  plain = train_clones(2, OPTIMIZERS['momentum'])
  synchronized = train.SyncReplicasOptimizer(
      OPTIMIZERS['momentum'](), replicas_to_aggregate=1)
  _, optimizer = clones_and_optimizer(2, lambda: synchronized)
  train_op = create_train_op(optimizer)
  names = [variable.op.name for variable in tf.global_variables()]
  # In place of the chief's thread: the step waits for the token of this op.
  release, = synchronized.get_chief_queue_runner().enqueue_ops
  synchronized.ready_for_local_init_op.mark_used()
  with cpu_session() as session:
    session.run(tf.local_variables_initializer())
    session.run(synchronized.chief_init_op)
    limit = tf.RunOptions(timeout_in_ms=30_000)
    losses = [session.run([train_op, release], options=limit)[0] for _ in range(4)]
    values = dict(zip(names, session.run(tf.global_variables()), strict=True))
  assert_same_training(plain, (plain[0], values, losses))
