"""Learning-rate schedules: their tensors, their words, and the flags that make them."""

import math
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from slim_zoo import diagnostics
from slim_zoo.tf_compat import tf
from slim_zoo.training import learning_rates
from slim_zoo.training.learning_rates import Schedule


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


KINDS = [
    (Schedule('fixed', 0.1), lambda step: 0.1),
    (Schedule('exponential', 0.1, 30, 0.9), exponential),
    (Schedule('polynomial', 0.1, 90, end=0.001), polynomial),
    (Schedule('cosine', 0.1, 90, end=0.001), cosine),
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


# --- The flags. 1000 images in batches of 10 make 100 steps an epoch.

@pytest.fixture(scope='module')
def training_script():
  """Defines the flags of the training script, and those of no other script.

  Tests of other scripts import them into this process too, with flags of the same
  names.
  """
  for name in list(sys.modules):
    if name.startswith('slim_zoo.commands.'):
      del sys.modules[name]
  others = flags.FlagValues()
  others.append_flag_values(flags.FLAGS)
  flags.FLAGS.remove_flag_values(others)
  from slim_zoo.commands import train as train_image_classifier
  assert train_image_classifier.GROUPS
  flags.FLAGS.mark_as_parsed()
  yield
  own = flags.FlagValues()
  own.append_flag_values(flags.FLAGS)
  flags.FLAGS.remove_flag_values(own)
  flags.FLAGS.append_flag_values(others)


@pytest.fixture
def group(training_script):
  """Returns the module of the flags, with the script's flags at their defaults."""
  from slim_zoo.commands.train_flags import learning_rate
  with flagsaver.flagsaver():
    give(batch_size=10)
    yield learning_rate


def give(**values):
  for name, value in values.items():
    flag = flags.FLAGS[name]
    flag.parse(str(value))
    flag.present = 1


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
def test_epochs_in_steps(group, given, steps):
  give(warmup_epochs=2, **given)
  schedule = group.schedule(1000)
  assert (schedule.decay_steps, schedule.warmup_steps) == (steps, steps)
  banner = ' '.join(text for _, text in group.rows(schedule, 1000))
  assert f'every {steps:,} steps' in banner
  if given.get('num_clones', 1) > 1:
    assert f'an epoch of these is {steps // 2} steps' in banner


def test_a_cosine_ends_with_the_run_or_after_its_epochs(group):
  give(learning_rate_decay_type='cosine', max_number_of_steps=777)
  group.check()
  assert group.schedule(1000).decay_steps == 777
  give(num_epochs_per_decay=3)
  assert group.schedule(1000).decay_steps == 300


def test_piecewise_rates_by_epoch(group):
  give(learning_rate_decay_type='piecewise', learning_rate=0.1,
       learning_rate_at_epochs='0.5:0.05, 30:1e-2')
  group.check()
  assert group.schedule(1000).changes == ((50, 0.05), (3000, 0.01))
  assert group.notes() == []


def test_flags_without_effect_are_said(group):
  give(learning_rate_decay_type='fixed', end_learning_rate=0.1, num_epochs_per_decay=1,
       epochs_are='global')
  assert len(group.notes()) == 3
  give(learning_rate_decay_type='cosine')
  assert group.notes() == ['--epochs_are=global has no effect with one clone']


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
def test_mistaken_flags(group, given, words):
  give(**given)
  with pytest.raises(diagnostics.UserError) as refusal:
    group.check()
  for word in words:
    assert word in str(refusal.value)


# --- The flags of the optimizer.

def test_who_decays_the_weights_and_with_which_epsilon(group):
  from slim_zoo.commands.train_flags import optimization
  give(weight_decay=0.5)
  banner = lambda: dict(optimization.rows())
  for name, in_loss, words in (
      ('adam', 0.5, 'an L2 penalty in the loss'),
      ('adamw', 0.0, 'by adamw itself'), ('lars', 0.0, 'by lars itself')):
    give(optimizer=name)
    assert optimization.loss_weight_decay() == in_loss
    assert words in banner()['weight decay']
  give(optimizer='adamw')
  assert banner()['optimizer'] == 'adamw, epsilon 1e-08'
  give(opt_epsilon=0.125)
  assert banner()['optimizer'] == 'adamw, epsilon 0.125'
  give(weight_decay=0, clip_gradient_norm=5)
  assert banner() == {
      'optimizer': 'adamw, epsilon 0.125, gradients of a norm up to 5, all together',
      'weight decay': 'none'}


def test_what_a_new_optimizer_is_told_about_established_defaults(group):
  from slim_zoo.commands.train_flags import optimization
  give(optimizer='adam')
  assert ['1e-8 is usual' in line for line in optimization.notes()] == [True]
  give(optimizer='adamw')
  assert ['0.01 to 0.1 is usual' in line for line in optimization.notes()] == [True]
  give(optimizer='nesterov', lars_trust_coefficient=0.1, momentum=0.8)
  assert optimization.notes() == [
      '--lars_trust_coefficient=0.1 has no effect with --optimizer=nesterov']


def test_a_norm_to_clip_by_is_wanted(group):
  from slim_zoo.commands.train_flags import optimization
  give(clip_gradients_by='variable')
  with pytest.raises(diagnostics.UserError, match='needs a --clip_gradient_norm'):
    optimization.check()
  give(clip_gradient_norm=1, accumulate_steps=3, optimizer='lars')
  optimization.check()
  options = optimization.update_options()
  assert (options.clip_gradient_norm, options.clip_by_variable) == (1, True)
  assert options.accumulate_steps == 3
