"""Optimizers, and rates by scope for each of them."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.tf_compat import tf
from slim_zoo.training.updates import optimizers
from tests.small_updates import (
  BOWLS,
  OPTIONS,
  bowls,
  build,
  gradient,
  make,
  take,
  trained,
  values,
)

# --- Optimizers.

def test_options_are_all_known():
  assert {option for name in optimizers.NAMES
          for option in optimizers.options_of(name)} == set(OPTIONS)


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_every_optimizer_lowers_a_loss(name):
  update = build(make(name))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    losses = take(session, update, 20)
  assert losses[-1] < losses[0]


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_every_option_reaches_its_optimizer(name):
  """Each option, changed alone, changes the second update."""
  plain = trained(3, make(name))['a/weights']
  for option in optimizers.options_of(name):
    changed = -0.4 if option == 'ftrl_learning_rate_power' else (
        OPTIONS[option] * 0.5 + 0.1)
    other = trained(3, make(name, **{option: changed}))['a/weights']
    assert np.abs(other - plain).max() > 1e-6, option


def test_nesterov_equals_its_formula():
  weights, speed = np.float64(BOWLS['a/weights']), 0.0
  for _ in range(4):
    slope = gradient(weights)
    speed = 0.9 * speed + slope
    weights = weights - 0.1 * (slope + 0.9 * speed)
  np.testing.assert_allclose(
      trained(4, make('nesterov'))['a/weights'], weights, rtol=1e-5)


@pytest.mark.parametrize(('name', 'decay'), [('a/weights', 0.02), ('b/biases', 0.0)])
def test_adamw_equals_its_formula_and_spares_biases(name, decay):
  weights, mean, square = np.float64(BOWLS[name]), 0.0, 0.0
  for step in range(1, 5):
    slope = gradient(weights)
    mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope ** 2
    # As in tf.train.AdamOptimizer, epsilon is added before the bias is corrected.
    step_size = 0.1 * np.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step)
    weights = weights * (1 - 0.1 * decay) - step_size * mean / (np.sqrt(square) + 1e-8)
  np.testing.assert_allclose(
      trained(4, make('adamw', opt_epsilon=1e-8))[name], weights, rtol=1e-5)


@pytest.mark.parametrize(
    ('name', 'adapted'), [('a/weights', True), ('b/biases', False)])
def test_lars_equals_its_formula_and_spares_biases(name, adapted):
  weights, speed = np.float64(BOWLS[name]), 0.0
  for _ in range(4):
    slope, rate = gradient(weights), 0.1
    if adapted:
      size = np.linalg.norm(weights)
      rate *= 0.1 * size / (np.linalg.norm(slope) + 0.02 * size)
      slope = slope + 0.02 * weights
    speed = 0.9 * speed + rate * slope
    weights = weights - speed
  np.testing.assert_allclose(trained(4, make('lars'))[name], weights, rtol=1e-5)


@pytest.mark.parametrize(
    ('name', 'adapted'), [('a/weights', True), ('b/biases', False)])
def test_lamb_equals_its_formula_and_spares_biases(name, adapted):
  weights, mean, square = np.float64(BOWLS[name]), 0.0, 0.0
  for step in range(1, 5):
    slope = gradient(weights)
    mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope ** 2
    change = mean / (1 - 0.9 ** step) / (
        np.sqrt(square / (1 - 0.999 ** step)) + 1e-6)
    if adapted:
      change = change + 0.02 * weights
      change = change * np.linalg.norm(weights) / np.linalg.norm(change)
    weights = weights - 0.1 * change
  np.testing.assert_allclose(
      trained(4, make('lamb', opt_epsilon=1e-6))[name], weights, rtol=1e-4)


def test_lamb_moves_weights_that_are_all_zero():
  moved = trained(1, make('lamb'), lambda: bowls(scale=0.0))
  assert np.abs(moved['a/weights']).min() > 1e-3


def test_lars_moves_weights_that_are_all_zero():
  moved = trained(1, make('lars'), lambda: bowls(scale=0.0))
  np.testing.assert_allclose(moved['a/weights'], [[0.05, 0.05]], rtol=1e-5)


# --- Rates by scope.

@pytest.mark.parametrize('name', optimizers.NAMES)
def test_a_factor_trains_a_scope_like_a_run_with_that_rate(name):
  both = trained(3, make(name), learning_rate_multipliers={'b': 0.5, 'b/biases': 3.0})
  for scope, factor in (('a/', 1), ('b/weights', 0.5), ('b/biases', 3.0)):
    alone = trained(3, make(name), rate=0.1 * factor)
    variables = {variable for variable in alone if variable.startswith(scope)}
    assert variables == {
        variable for variable in both if variable.startswith(scope)}
    for variable in variables:  # The slots too.
      np.testing.assert_allclose(
          both[variable], alone[variable], rtol=1e-5, atol=1e-7)
  assert both['global_step'] == 3


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_a_factor_scales_the_first_step(name):
  # FTRL takes its own step from 0, wherever the weights begin.
  scale = 0.0 if name == 'ftrl' else 1.0
  model_fn = lambda: bowls(scale=scale)
  plain = trained(1, make(name), model_fn)
  scaled = trained(1, make(name), model_fn, learning_rate_multipliers={'b': 0.25})
  for variable, start in BOWLS.items():
    start = np.float32(start) * scale
    factor = 0.25 if variable.startswith('b') else 1
    np.testing.assert_allclose(
        scaled[variable] - start, factor * (plain[variable] - start), rtol=1e-3)
    assert np.abs(plain[variable] - start).min() > 1e-5


def test_a_factor_of_0_leaves_variables_and_makes_no_slots():
  after = trained(3, make('adam'), learning_rate_multipliers={'b': 0, 'b/biases': 1})
  np.testing.assert_array_equal(after['b/weights'], np.float32(BOWLS['b/weights']))
  assert np.abs(after['b/biases'] - BOWLS['b/biases']).max() > 0
  assert set(after) == {
      'global_step', 'beta1_power', 'beta2_power', *BOWLS, 'a/weights/Adam',
      'a/weights/Adam_1', 'b/biases/Adam', 'b/biases/Adam_1'}


def test_learning_rates_of_groups_are_told():
  update = build(make('sgd'), rate=0.5, learning_rate_multipliers={'a': 10.0, 'b': 0})
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert session.run(update.group_rates) == {'a': 5.0}


@pytest.mark.parametrize(('options', 'words'), [
    ({'learning_rate_multipliers': {'b/wieghts': 2.0}},
     ["--learning_rate_multipliers: scope 'b/wieghts' matches no variable"]),
    ({'learning_rate_multipliers': {'a': 0, 'b': 0}}, ['nothing is left to train']),
    ({'learning_rate_multipliers': {'a': 2.0}, 'trainable_scopes': ('b',)},
     ["scope 'a' is trained"]),
])
def test_mistaken_multipliers(options, words):
  with pytest.raises(diagnostics.UserError) as refusal:
    build(make('sgd'), **options)
  for word in words:
    assert word in str(refusal.value)


# --- Resuming.

@pytest.mark.parametrize('name', optimizers.NAMES)
def test_a_resumed_run_equals_one_that_was_not_stopped(name, tmp_path):
  options = {'learning_rate_multipliers': {'b': 0.5}, 'moving_average_decay': 0.9,
             'clip_gradient_norm': 2.0, 'accumulate_steps': 2}
  whole = trained(4, make(name), **options)
  tf.reset_default_graph()
  update = build(make(name), **options)
  saver = tf.train.Saver()
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    take(session, update, 2, 2)
    path = saver.save(session, str(tmp_path / 'model'))
  with tf.Session() as session:
    session.run(tf.local_variables_initializer())
    saver.restore(session, path)
    take(session, update, 2, 2)
    resumed = values(session)
  assert set(resumed) == set(whole)
  for variable, value in whole.items():
    np.testing.assert_array_equal(resumed[variable], value, variable)
