"""Updates: clipped, accumulated over batches, of variables of any kind."""

import numpy as np
import pytest

from slim_zoo.tf_compat import slim, tf
from tests.small_updates import (
  BOWLS,
  build,
  gradient,
  make,
  outputs,
  take,
  trained,
  values,
)

# --- Clipping.

@pytest.mark.parametrize('num_clones', [1, 2])
@pytest.mark.parametrize('largest', [0.5, 100.0])
@pytest.mark.parametrize('by_variable', [False, True])
def test_gradients_are_clipped_after_their_sum(num_clones, largest, by_variable):
  update = trained(1, make('sgd'), rate=1.0, num_clones=num_clones,
                   clip_gradient_norm=largest, clip_by_variable=by_variable)
  slopes = {name: gradient(np.float64(start)) for name, start in BOWLS.items()}
  norms = {name: np.linalg.norm(slope) for name, slope in slopes.items()}
  if not by_variable:
    norms = dict.fromkeys(norms, np.linalg.norm(list(norms.values())))
  for name, start in BOWLS.items():
    wanted = np.float64(start) - slopes[name] * min(1, largest / norms[name])
    np.testing.assert_allclose(update[name], wanted, rtol=1e-5)


# --- Accumulation.

def regression(batch_size, normalize=False):
  """Returns a model function that fits a layer to the next images of a fixed list."""
  images = np.random.RandomState(3).normal(size=(48, 5)).astype(np.float32)
  labels = np.arange(48) % 3
  rows = tf.data.Dataset.from_tensor_slices((images, labels)).batch(batch_size)
  iterator = tf.data.make_one_shot_iterator(rows)

  def model_fn():
    inputs, targets = iterator.get_next()
    if normalize:
      inputs = slim.batch_norm(inputs, decay=0.5, is_training=True, scope='norm')
    logits = slim.fully_connected(
        inputs, 3, activation_fn=None, weights_regularizer=slim.l2_regularizer(0.1),
        weights_initializer=tf.constant_initializer(0.1), scope='layer')
    tf.losses.sparse_softmax_cross_entropy(targets, logits)
    return outputs(logits, inputs)

  return model_fn


def accumulated(name, batch_size, steps, **options):
  tf.reset_default_graph()
  update = build(make(name, opt_epsilon=1e-3), regression(batch_size), **options)
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    losses = take(session, update, steps, options.get('accumulate_steps', 1))
    return losses, values(session)


@pytest.mark.parametrize('num_clones', [1, 2])
@pytest.mark.parametrize('name', ['sgd', 'adam'])
def test_small_batches_accumulated_equal_a_large_one(name, num_clones):
  options = {'num_clones': num_clones, 'clip_gradient_norm': 0.3,
             'moving_average_decay': 0.9}
  losses, small = accumulated(name, 4, 2, accumulate_steps=3, **options)
  large_losses, large = accumulated(name, 12, 2, **options)
  assert small['global_step'] == 2
  # The sums of the gradients are in no checkpoint.
  assert set(small) == set(large)
  np.testing.assert_allclose(losses, large_losses, rtol=1e-5)
  for variable, value in large.items():
    np.testing.assert_allclose(small[variable], value, rtol=1e-5, atol=1e-6)
  assert np.abs(large['layer/weights'] - 0.1).max() > 1e-3


def test_batch_norm_sees_every_batch_that_is_accumulated():
  model_fn = regression(4, normalize=True)
  update = build(make('sgd'), model_fn, accumulate_steps=3)
  images = np.random.RandomState(3).normal(size=(48, 5)).astype(np.float32)
  mean = 0
  for batch in range(3):
    mean = 0.5 * mean + 0.5 * images[4 * batch:4 * batch + 4].mean(0)
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    take(session, update, 1, 3)
    np.testing.assert_allclose(
        values(session)['norm/moving_mean'], mean, rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_not_finite_is_seen_in_every_batch():
  def model_fn():
    weights = slim.model_variable('weights', initializer=np.float32([[-1.0]]))
    tf.losses.add_loss(tf.reduce_sum(tf.math.log(weights)))
    return outputs(weights)

  update = build(make('sgd'), model_fn, accumulate_steps=2)
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    for operation in (update.accumulate_op, update.train_op):
      with pytest.raises(tf.errors.InvalidArgumentError, match='not finite'):
        session.run(operation)
    assert values(session)['global_step'] == 0
    assert values(session)['weights'] == -1


# --- Variables and gradients of other kinds.

@pytest.mark.parametrize('name', ['adamw', 'lars', 'momentum'])
@pytest.mark.parametrize('use_resource', [True, False])
@pytest.mark.parametrize('options', [
    {}, {'accumulate_steps': 2, 'learning_rate_multipliers': {'rows': 0.5}}])
def test_sparse_gradients_and_old_variables_train_alike(name, use_resource, options):
  def model_fn(rows):
    with tf.variable_scope('', use_resource=use_resource):
      table = tf.get_variable('rows', initializer=np.float32([[3, 1], [2, -1]]))
    # Row 0 twice, row 1 never.
    picked = (tf.gather(table, [0, 0]) if rows
              else tf.matmul(np.float32([[1, 0], [1, 0]]), table))
    tf.losses.add_loss(tf.reduce_sum(tf.square(picked)))
    return outputs(picked)

  sparse, dense = (
      trained(3, make(name), lambda rows=rows: model_fn(rows), **options)
      for rows in (True, False))
  assert set(sparse) == set(dense)
  for variable, value in dense.items():
    np.testing.assert_allclose(sparse[variable], value, rtol=1e-5, err_msg=variable)
