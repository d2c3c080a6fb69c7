"""Learning-rate schedules and optimizers."""

import numpy as np
import pytest

from tf_compat import tf
from training import learning_rates, optimizers
from training.learning_rates import Schedule


def rates(schedule, steps):
  step = tf.placeholder(tf.int64, [])
  rate = schedule.at(step)
  with tf.Session() as session:
    return [float(session.run(rate, {step: value})) for value in steps]


def test_fixed_stays():
  assert rates(Schedule('fixed', 0.5), [0, 1000]) == [0.5, 0.5]


def test_exponential_equals_the_established_staircase():
  steps = [0, 1, 9, 10, 11, 35, 1000]
  ours = rates(Schedule('exponential', 0.1, 10, 0.9), steps)
  step = tf.placeholder(tf.int64, [])
  theirs = tf.train.exponential_decay(0.1, step, 10, 0.9, staircase=True)
  with tf.Session() as session:
    np.testing.assert_allclose(
        ours, [session.run(theirs, {step: value}) for value in steps], rtol=1e-6)


def test_polynomial_equals_the_established_line():
  steps = [0, 1, 50, 99, 100, 500]
  ours = rates(Schedule('polynomial', 0.1, 100, end=0.001), steps)
  step = tf.placeholder(tf.int64, [])
  theirs = tf.train.polynomial_decay(0.1, step, 100, 0.001)
  with tf.Session() as session:
    np.testing.assert_allclose(
        ours, [session.run(theirs, {step: value}) for value in steps], rtol=1e-5)


def test_warm_up_never_is_zero_and_ends_at_the_start_rate():
  values = rates(Schedule('fixed', 0.8, warmup_steps=4), range(6))
  np.testing.assert_allclose(values, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rtol=1e-6)


def test_description_is_in_steps():
  assert Schedule('exponential', 0.01, 2500, 0.94, warmup_steps=10).describe() == (
      '0.01, times 0.94 every 2,500 steps, after a warm-up of 10 steps')
  assert 'step 300' in Schedule('polynomial', 0.01, 300).describe()


def test_steps_of_epochs():
  assert learning_rates.steps_of_epochs(2.0, 1281167, 32) == 80072
  assert learning_rates.steps_of_epochs(0.001, 100, 32) == 1


OPTIONS = {
    'adadelta_rho': 0.95, 'adagrad_initial_accumulator_value': 0.1, 'adam_beta1': 0.9,
    'adam_beta2': 0.999, 'opt_epsilon': 1.0, 'ftrl_learning_rate_power': -0.5,
    'ftrl_initial_accumulator_value': 0.1, 'ftrl_l1': 0.0, 'ftrl_l2': 0.0,
    'momentum': 0.9, 'rmsprop_momentum': 0.9, 'rmsprop_decay': 0.9}


def test_options_are_all_known():
  assert set(optimizers.all_options()) == set(OPTIONS)


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_every_optimizer_lowers_a_loss(name):
  weights = tf.get_variable('weights', initializer=[3.0, -2.0])
  loss = tf.reduce_sum(tf.square(weights))
  train_op = optimizers.get_optimizer(name, tf.constant(0.1), **OPTIONS).minimize(loss)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    before = session.run(loss)
    for _ in range(20):
      session.run(train_op)
    assert session.run(loss) < before


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_every_option_reaches_its_optimizer(name):
  """Each option, changed alone, changes the second update."""
  def update(**changed):
    tf.reset_default_graph()
    weights = tf.get_variable('weights', initializer=[3.0, -2.0])
    train_op = optimizers.get_optimizer(
        name, tf.constant(0.1), **{**OPTIONS, **changed}).minimize(
            tf.reduce_sum(tf.square(weights)))
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      for _ in range(3):
        session.run(train_op)
      return session.run(weights)

  plain = update()
  for option in optimizers.options_of(name):
    changed = -0.4 if option == 'ftrl_learning_rate_power' else (
        OPTIONS[option] * 0.5 + 0.1)
    assert np.abs(update(**{option: changed}) - plain).max() > 1e-6, option
