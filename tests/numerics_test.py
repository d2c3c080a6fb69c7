"""A run whose numbers go bad says what did, and spoils nothing."""

import collections
import shutil

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.deployment import model_deploy
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import graph
from slim_zoo.training.updates import learning_rates, numerics
from tests import scripts
from tests.conftest import on_digits

Batch = collections.namedtuple('Batch', ('images', 'labels', 'waited', 'numbers'))


def build(images, spoil=lambda net: net, num_clones=1):
  """Returns the training graph of two layers; `spoil` changes what is between."""
  def network_fn(images):
    first = slim.fully_connected(images, 4, scope='first')
    between = spoil(first)
    logits = slim.fully_connected(between, 3, activation_fn=None, scope='second')
    return logits, {'first': first, 'between': between, 'count': tf.shape(logits)[0]}

  def next_batch():
    return Batch(images, tf.constant([0, 1]), tf.constant(0.0, tf.float64),
                 tf.constant([0, 1], tf.int64))

  return graph.build(
      model_deploy.DeploymentConfig(num_clones, clone_on_cpu=True), next_batch,
      network_fn, lambda logits, end_points, labels:
      tf.losses.sparse_softmax_cross_entropy(labels, logits),
      learning_rates.Schedule('fixed', 0.1), tf.train.GradientDescentOptimizer)


@pytest.mark.parametrize('num_clones', [1, 2])
def test_the_first_end_point_that_went_bad_is_named_and_weights_stay(num_clones):
  spoiled = tf.placeholder_with_default(False, [])
  training_graph = build(
      tf.ones([2, 5]), lambda net: net * tf.where(spoiled, np.nan, 1.0),
      num_clones)
  variables = tf.trainable_variables()
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(training_graph.train_op)
    before = session.run(variables)
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
      session.run(training_graph.train_op, {spoiled: True})
    answer = numerics.explain(raised.value, session, training_graph.finite_check, 1)
    after = session.run([*variables, tf.train.get_global_step()])
  assert 'after step 1' in str(answer)
  assert "end point 'between' went bad first" in str(answer)
  assert after[-1] == 1
  for old, new in zip(before, after, strict=False):
    np.testing.assert_array_equal(old, new)


def test_only_what_a_gradient_waits_for_stays_in_memory():
  images = tf.ones([2, numerics._SMALL])
  weights = tf.get_variable('weights', [])
  product = images * weights
  total = product + 1.0
  logits = tf.reduce_sum(total * total, 1, keepdims=True)
  loss = tf.reduce_sum(logits)
  guard = numerics.Guard([model_deploy.Clone(
      (Batch(images, None, None, None), logits, {'product': product, 'sum': total}),
      '', '')], loss)
  tf.gradients(loss, weights)
  assert guard.op
  held = {tensor.op.name for op in tf.get_default_graph().get_operations()
          if 'numerics_guard' in op.name for tensor in op.inputs}
  assert {images.op.name, total.op.name, logits.op.name} <= held
  assert product.op.name not in held


def test_images_and_weights_that_are_bad_are_told_from_end_points():
  images = tf.placeholder_with_default(np.ones([2, 5], np.float32), [2, 5])
  # A rectifier may turn NaN to 0.
  training_graph = build(images, lambda net: net + tf.reduce_sum(images))
  check = training_graph.finite_check
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
      session.run(training_graph.train_op, {images: np.full([2, 5], np.nan)})
    assert 'images of its batch' in str(
        numerics.explain(raised.value, session, check, None))

    weights = slim.get_variables_by_name('second/weights')[0]
    session.run(weights.assign(tf.fill([4, 3], np.inf)))
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
      session.run(training_graph.train_op)
    assert "variable 'second/weights'" in str(
        numerics.explain(raised.value, session, check, 3))
    with pytest.raises(numerics.BadNumbers, match=r"'second/weights'.*step 4.*no"):
      numerics.CheckpointGuard(check).before_save(session, 4)
    session.run(weights.initializer)
    numerics.CheckpointGuard(check).before_save(session, 4)


def test_other_errors_are_not_explained():
  error = tf.errors.InvalidArgumentError(None, None, 'assertion failed: [x] [y]')
  assert numerics.explain(error, None, None, 3) is None


def test_a_loss_that_grows_out_of_all_bounds_stops_the_run():
  callback = numerics.ExplosionGuard(100)
  callback.measured(1, 2.0, 0.0)
  for loss in (201, 199, 201, 201, 199):  # Single batches may be odd.
    callback.measured(11, loss, 0.0)
  callback.measured(12, 300, 0.0)
  callback.measured(13, 300, 0.0)
  with pytest.raises(diagnostics.UserError, match='exploded: 301 at step 14'):
    callback.measured(14, 301, 0.0)
  unbounded = numerics.ExplosionGuard(0)
  for step in range(20):
    unbounded.measured(step, 10.0 ** step, 0.0)


def test_an_explosion_names_the_last_good_checkpoint(
    digits_dir, trained_dir, tmp_path):
  run = shutil.copytree(trained_dir, tmp_path / 'run')
  done = scripts.run('train_image_classifier', **dict(
      on_digits(digits_dir), train_dir=run, batch_size=8, max_number_of_steps=500,
      learning_rate=1e3, max_loss_growth=10))
  scripts.answer(done, 'the loss has exploded', 'model.ckpt-60')
  assert tf.train.latest_checkpoint(str(run)).endswith('model.ckpt-60')
