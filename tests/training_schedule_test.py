"""Learning-rate schedules: their tensors, their words, and the flags that make them."""

import math

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.config import optimizer
from slim_zoo.config.training import TrainConfig
from slim_zoo.tasks import training_report, training_updates
from slim_zoo.tf_compat import tf
from slim_zoo.training.updates import learning_rates, optimizers
from slim_zoo.training.updates.learning_rates import Schedule


def rates(schedule, steps):
  step = tf.placeholder(tf.int64, [])
  rate = schedule.at(step)
  assert rate.dtype == tf.float32
  with tf.Session() as session:
    return [float(session.run(rate, {step: value})) for value in steps]


def exponential(step):
  return 0.1 * 0.9 ** (step // 30)


def polynomial(step):
  return 0.1 - (0.1 - 0.001) * min(step, 90) / 90


def cosine(step):
  return 0.001 + (0.1 - 0.001) * math.cos(math.pi / 2 * min(step, 90) / 90) ** 2


def piecewise(step):
  return 0.02 if step < 40 else 0.5 if step < 70 else 0.003


def cosine_restarts(step):
  """Cosines of 30, 60, 120 steps and so on, each from half the rate."""
  length, start = 30, 0.1
  while step >= length:
    step, length, start = step - length, 2 * length, start / 2
  return 0.001 + (start - 0.001) * math.cos(math.pi / 2 * step / length) ** 2


KINDS = [
    (Schedule('fixed', 0.1), lambda step: 0.1),
    (Schedule('exponential', 0.1, 30, 0.9), exponential),
    (Schedule('polynomial', 0.1, 90, end=0.001), polynomial),
    (Schedule('cosine', 0.1, 90, end=0.001), cosine),
    (Schedule('cosine_restarts', 0.1, 30, end=0.001, period_growth=2,
              restart_factor=0.5), cosine_restarts),
    (Schedule('piecewise', 0.02, changes=((40, 0.5), (70, 0.003))), piecewise),
]


@pytest.mark.parametrize('warmup', [0, 1, 8, 60])
@pytest.mark.parametrize(('schedule', 'formula'), KINDS, ids=learning_rates.KINDS)
def test_rates_equal_the_formula_in_every_phase_and_beyond(schedule, formula, warmup):
  schedule = Schedule(**{**vars(schedule), 'warmup_steps': warmup})
  steps = [*range(0, 100, 3), 39, 40, 69, 70, 89, 90, 91, 1000, 20_000_001]
  wanted = [min(schedule.start * (step + 1) / warmup, formula(step))
            if step < warmup else formula(step) for step in steps]
  taken = rates(schedule, steps)
  np.testing.assert_allclose(taken, wanted, rtol=1e-6)
  assert taken[0] > 0


def test_every_kind_is_tested():
  assert tuple(schedule.kind for schedule, _ in KINDS) == learning_rates.KINDS


@pytest.mark.parametrize(('growth', 'restarts'), [
    (1.0, [0, 7, 14, 7000]), (1.5, [0, 7, 17.5, 33.25]), (3.0, [0, 7, 28, 91])])
def test_restarts_come_at_their_steps(growth, restarts):
  schedule = Schedule('cosine_restarts', 0.1, 7, end=0.0, period_growth=growth)
  at = rates(schedule, [math.ceil(step) for step in restarts])
  before = rates(schedule, [math.ceil(step) - 1 for step in restarts[1:]])
  for step, rate in zip(restarts, at, strict=True):
    assert rate == pytest.approx(0.1, rel=1e-6 if step == int(step) else 0.01)
  assert max(before) < 0.006
  words = schedule.describe()
  assert 'the first after 7 steps' in words
  assert (f'each {growth:g} times as long' in words) == (growth != 1)


def test_exponential_equals_the_established_staircase():
  steps = [0, 1, 9, 10, 11, 35, 1000]
  ours = rates(Schedule('exponential', 0.1, 10, 0.9), steps)
  step = tf.placeholder(tf.int64, [])
  theirs = tf.train.exponential_decay(0.1, step, 10, 0.9, staircase=True)
  with tf.Session() as session:
    np.testing.assert_allclose(
        ours, [session.run(theirs, {step: value}) for value in steps], rtol=1e-5)


def test_polynomial_equals_the_established_line():
  steps = [0, 1, 50, 99, 100, 500]
  ours = rates(Schedule('polynomial', 0.1, 100, end=0.001), steps)
  step = tf.placeholder(tf.int64, [])
  theirs = tf.train.polynomial_decay(0.1, step, 100, 0.001)
  with tf.Session() as session:
    np.testing.assert_allclose(
        ours, [session.run(theirs, {step: value}) for value in steps], rtol=1e-5)


def test_a_decay_late_in_a_long_run_comes_at_its_step():
  """float32 would count 2 ** 24 and 2 ** 24 + 1 as one step."""
  late = 2 ** 24 + 1
  schedule = Schedule('exponential', 1.0, late, 0.5)
  assert rates(schedule, [late - 1, late]) == [1.0, 0.5]


def test_warm_up_never_is_zero_and_ends_at_the_start_rate():
  values = rates(Schedule('fixed', 0.8, warmup_steps=4), range(6))
  np.testing.assert_allclose(values, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rtol=1e-6)


def test_description_is_in_steps():
  assert Schedule('exponential', 0.01, 2500, 0.94, warmup_steps=10).describe() == (
      '0.01, times 0.94 every 2,500 steps, after a warm-up of 10 steps')
  assert 'step 300' in Schedule('polynomial', 0.01, 300).describe()
  assert Schedule('cosine', 0.01, 4000).describe() == (
      '0.01, along a cosine to 0.0001 at step 4,000')
  assert Schedule('piecewise', 0.1, changes=((1000, 0.01),)).describe() == (
      '0.1, 0.01 from step 1,000')


def test_steps_of_epochs():
  assert learning_rates.steps_of_epochs(2.0, 1281167, 32) == 80072
  assert learning_rates.steps_of_epochs(0.001, 100, 32) == 1


# --- The config. 1000 images in batches of 10 make 100 steps an epoch.

def config_of(**options):
  return TrainConfig.from_options({'batch_size': 10, **options})


def banner_of(rows):
  return {name: '\n'.join([text] if isinstance(text, str) else text)
          for name, text in rows}


@pytest.mark.parametrize(('given', 'steps'), [
    ({}, 200),
    ({'num_clones': 4}, 200),
    ({'num_clones': 4, 'epochs_are': 'global'}, 50),
    ({'accumulate_steps': 2}, 100),
    ({'num_clones': 2, 'epochs_are': 'global', 'accumulate_steps': 4}, 25),
    ({'sync_replicas': True, 'replicas_to_aggregate': 5}, 40),
    ({'sync_replicas': True, 'replicas_to_aggregate': 5, 'num_clones': 2,
      'epochs_are': 'global'}, 20),
])
def test_epochs_in_steps(given, steps):
  config = config_of(warmup_epochs=2, **given)
  schedule = training_updates.schedule(config, 1000)
  assert (schedule.decay_steps, schedule.warmup_steps) == (steps, steps)
  banner = banner_of(training_report._learning_rate_rows(config, schedule, 1000))
  assert f'every {steps:,} steps' in banner['learning rate']
  if given.get('num_clones', 1) > 1:
    assert f'an epoch of these is {steps // 2} steps' in banner['learning rate']


def test_a_cosine_ends_with_the_run_or_after_its_epochs():
  given = {'learning_rate_decay_type': 'cosine', 'max_number_of_steps': 777}
  for more, steps in (({}, 777), ({'num_epochs_per_decay': 3}, 300)):
    config = config_of(**given, **more)
    config.learning_rate.check(777, config.user_options)
    assert training_updates.schedule(config, 1000).decay_steps == steps


def test_piecewise_rates_by_epoch():
  config = config_of(
      learning_rate_decay_type='piecewise', learning_rate=0.1,
      learning_rate_at_epochs='0.5:0.05, 30:1e-2')
  config.learning_rate.check(None, config.user_options)
  assert training_updates.schedule(config, 1000).changes == ((50, 0.05), (3000, 0.01))
  assert config.notes() == []


def test_options_without_effect_are_named():
  given = {'end_learning_rate': 0.1, 'num_epochs_per_decay': 1, 'epochs_are': 'global'}
  assert len(config_of(learning_rate_decay_type='fixed', **given).notes()) == 3
  assert config_of(learning_rate_decay_type='cosine', **given).notes() == [
      '--epochs_are=global has no effect with one clone']


@pytest.mark.parametrize(('given', 'words'), [
    ({'learning_rate_decay_type': 'cosine'}, ['needs an end', '--max_number_of_steps']),
    ({'learning_rate_decay_type': 'piecewise'}, ['--learning_rate_at_epochs']),
    ({'learning_rate_at_epochs': '3:0.1'}, ['piecewise', 'exponential']),
    ({'learning_rate_decay_type': 'piecewise', 'learning_rate_at_epochs': '3:1,2:1'},
     ["'2' is out of order"]),
    ({'learning_rate_decay_type': 'piecewise', 'learning_rate_at_epochs': '3:-1'},
     ["'3:-1'", 'EPOCH:RATE']),
    ({'learning_rate_multipliers': 'LeNet/fc4'}, ["'LeNet/fc4'", 'SCOPE:FACTOR']),
    ({'learning_rate_multipliers': 'LeNet:nan'}, ["'LeNet:nan'", 'SCOPE:FACTOR']),
    ({'learning_rate_multipliers': 'LeNet:2,LeNet:3'}, ["'LeNet' twice"]),
])
def test_mistaken_options(given, words):
  config = config_of(**given)
  with pytest.raises(diagnostics.UserError) as refusal:
    config.learning_rate.check(None, config.user_options)
  for word in words:
    assert word in str(refusal.value)


# --- The optimizer.

def optimizer_rows(**options):
  return banner_of(training_report._optimizer_rows(config_of(**options)))


def test_which_optimizer_decays_the_weights_and_with_which_epsilon():
  for name, in_loss, words in (
      ('adam', 0.5, 'an L2 penalty in the loss'),
      ('adamw', 0.0, 'by adamw itself'), ('lars', 0.0, 'by lars itself')):
    options = {'weight_decay': 0.5, 'optimizer': name}
    assert config_of(**options).loss_weight_decay == in_loss
    assert words in optimizer_rows(**options)['weight decay']
  assert optimizer_rows(optimizer='adamw')['optimizer'] == 'adamw, epsilon 1e-08'
  assert optimizer_rows(
      optimizer='adamw', opt_epsilon=0.125)['optimizer'] == 'adamw, epsilon 0.125'
  assert optimizer_rows(
      optimizer='adamw', opt_epsilon=0.125, weight_decay=0, clip_gradient_norm=5
      ) == {'optimizer': 'adamw, epsilon 0.125, gradients of a norm up to 5, all'
                         ' together', 'weight decay': 'none'}


def test_notes_on_established_defaults_of_optimizers():
  assert ['1e-8 is usual' in line for line in config_of(optimizer='adam').notes()] == [
      True]
  assert ['0.01 to 0.1 is usual' in line
          for line in config_of(optimizer='adamw').notes()] == [True]
  assert config_of(
      optimizer='nesterov', lars_trust_coefficient=0.1, momentum=0.8).notes() == [
          '--lars_trust_coefficient=0.1 has no effect with --optimizer=nesterov']


def test_optimizers_read_the_options_that_the_config_says():
  for name, options in optimizer.OPTIONS.items():
    assert sorted(optimizers.options_of(name)) == sorted(options)


def test_clipping_needs_a_norm():
  config = config_of(clip_gradients_by='variable')
  with pytest.raises(diagnostics.UserError, match='needs a --clip_gradient_norm'):
    config.optimizer.check(config.user_options)
  config = config_of(clip_gradients_by='variable', clip_gradient_norm=1,
                     accumulate_steps=3, optimizer='lars')
  config.optimizer.check(config.user_options)
  options = training_updates.update_options(config)
  assert (options.clip_gradient_norm, options.clip_by_variable) == (1, True)
  assert options.accumulate_steps == 3
