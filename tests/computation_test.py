"""--precision, --xla and --data_format: they train, and refuse what cannot be."""

import json
import re

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.deployment import computation
from slim_zoo.nets.nasnet import cell_stack, nasnet
from slim_zoo.tf_compat import slim, tf
from tests import recipe, scripts
from tests.conftest import on_digits

STEPS = 60  # As those of `trained_dir`, in float32.
NEAR = 0.04  # Of 355 images and 60 steps, repeated runs differ by half of it.


def evaluated(checkpoint, digits_dir, eval_dir):
  """Returns the share of digits that eval_image_classifier.py finds right."""
  done = scripts.run_for_numbers(
      'eval_image_classifier', checkpoint_path=checkpoint, eval_dir=eval_dir,
      dataset_name='digits', dataset_dir=digits_dir, model_name='lenet')
  assert done.returncode == 0, done.stderr
  return float(re.search(r'accuracy +([\d.]+)%', done.stdout)[1]) / 100


@pytest.fixture(scope='module')
def usual_accuracy(digits_dir, trained_dir, tmp_path_factory):
  """Returns the accuracy of training in float32."""
  return evaluated(trained_dir, digits_dir, tmp_path_factory.mktemp('eval'))


def learn(run, digits_dir, folder, **flags):
  """Trains on digits; returns the process, the run card and the test accuracy."""
  done = run('train_image_classifier', train_dir=folder, max_number_of_steps=STEPS,
             validation_split_name='test', validate_every_steps=STEPS,
             **on_digits(digits_dir), **flags)
  assert (done.returncode, done.stderr) == (0, '')
  card = json.loads((folder / 'run_card.json').read_text())
  return done, card, card['results']['validation']['best']['score']


def stored_types(folder):
  """Returns the type of each variable in a folder's newest checkpoint."""
  reader = tf.train.load_checkpoint(str(folder))
  return {name: dtype.name
          for name, dtype in reader.get_variable_to_dtype_map().items()}


def trained_in(dtype, digits_dir, folder):
  """Trains for two steps in a type; returns the process.

  Skips the test, for a reason that is checked, where the machine is refused: that the
  steps themselves are right is tested on smaller layers in precision_test.py.
  """
  done = scripts.run('train_image_classifier', train_dir=folder, batch_size=4,
                     max_number_of_steps=2, log_every_n_steps=1, save_summaries_secs=0,
                     mixed_precision=dtype, **on_digits(digits_dir))
  if done.returncode and 'times as long' in done.stderr:
    pytest.skip(scripts.answer(done, f'--precision={dtype}', 'leave the flag'))
  assert (done.returncode, done.stderr) == (0, '')
  return done


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_checkpoints_of_16_bits_are_those_of_float32(
    dtype, digits_dir, trained_dir, tmp_path):
  done = trained_in(dtype, digits_dir, tmp_path)
  assert f'in {dtype}' in done.stdout
  card = json.loads((tmp_path / 'run_card.json').read_text())
  assert card['run']['computation']['precision'] == dtype
  stored, usual = stored_types(tmp_path), stored_types(trained_dir)
  scaled = {name for name in stored if name.startswith('loss_scaling/')}
  assert {name: stored[name] for name in stored.keys() - scaled} == usual
  if dtype == 'float16':
    told = card['results']['loss_scaling']
    assert told['scale'] == 2.0 ** (15 - told['skipped_updates'])
  else:
    assert not scaled
  assert 0 <= evaluated(tmp_path, digits_dir, tmp_path / 'eval') <= 1


# --- The trial of a type's speed.

def step_times(usual, seconds):
  """Returns a `measure` of `check_speed` that finds these seconds."""
  return lambda dtypes, device: [usual, seconds]


@pytest.mark.parametrize(('dtype', 'seconds', 'words'), [
    (tf.bfloat16, 0.004, None), (tf.bfloat16, 0.014, None), (tf.float16, 0.002, None),
    (tf.float16, 0.08, ['8 times as long', '0.08 s, not 0.01 s']),
    (tf.bfloat16, 0.016, ['--precision=bfloat16: the', '1.6 times as long'])])
def test_a_type_that_is_slower_than_float32_is_noted(dtype, seconds, words):
  note = computation.check_speed(dtype, measure=step_times(0.01, seconds))
  assert (note is None) == (words is None)
  for word in words or ():
    assert word in note


@pytest.mark.parametrize(('dtype', 'advice'), [
    (tf.float16, 'leave the flag out, or try bfloat16'),
    (tf.bfloat16, 'leave the flag out')])
def test_a_type_that_is_far_slower_than_float32_is_refused(dtype, advice):
  measure = step_times(0.024, 6.3)
  with pytest.raises(diagnostics.UserError) as refusal:
    computation.check_speed(dtype, measure=measure)
  assert str(refusal.value).endswith(advice)
  for words in (f'--precision={dtype.name}', '262 times', '6.3 s, not 0.024 s'):
    assert words in str(refusal.value)
  # What a benchmark says, and measures all the same.
  note = computation.check_speed(dtype, is_refused=False, measure=measure)
  assert '262 times' in note


def train_where_steps_take(seconds, folder, script, **flags):
  """Runs a script where the trial finds that steps in 16 bits take so long."""
  line = scripts.command(script, **flags)
  program = folder / 'where_steps_take_long.py'
  program.write_text(f"""
import runpy, sys
sys.path.insert(0, {str(scripts.ROOT)!r})
from slim_zoo.deployment import computation
computation.seconds_of_steps = lambda dtypes, device: [0.01, {seconds}]
sys.argv = {line[1:]}
runpy.run_path(sys.argv[0], run_name='__main__')
""")
  return scripts.run_in(scripts.ROOT, [line[0], str(program)])


@pytest.mark.parametrize(('seconds', 'words'), [
    (0.05, '5 times as long'), (4, '400 times as long')])
def test_training_says_or_refuses_what_is_slow(seconds, words, digits_dir, tmp_path):
  done = train_where_steps_take(
      seconds, tmp_path, 'train_image_classifier', train_dir=tmp_path / 'run',
      mixed_precision='bfloat16', max_number_of_steps=1, batch_size=1,
      save_summaries_secs=0, **on_digits(digits_dir))
  if seconds == 4:
    scripts.answer(done, words, 'leave the flag out', code=1)
    return
  assert (done.returncode, done.stderr) == (0, '')
  assert re.search(f'note +--precision=bfloat16: .*{words}', done.stdout)


def test_a_benchmark_says_what_is_slow_and_measures_it(tmp_path):
  done = train_where_steps_take(
      4, tmp_path, 'benchmark_nets', networks='lenet', batch_sizes=1, num_batches=1,
      num_batches_burn_in=0, mode='forward', mixed_precision='bfloat16')
  assert done.returncode == 0, done.stderr
  assert 'note: --precision=bfloat16' in done.stdout
  assert '400 times as long' in done.stdout
  assert 'lenet: batch 1' in done.stdout


class Clock:
  """Says how much time functions take that take none."""

  def __init__(self):
    self.now, self.calls = 0.0, []

  def taking(self, name, seconds):
    """Returns a function that takes the seconds in turn, the last ones again."""
    left = list(seconds)

    def function():
      self.calls.append(name)
      self.now += left.pop(0) if len(left) > 1 else left[0]

    return function


def test_the_shortest_of_several_times_counts_and_not_the_first_call():
  clock = Clock()
  functions = [clock.taking('usual', [9, 0.03, 0.01, 0.02]),
               clock.taking('other', [0.001, 0.5, 0.04])]
  assert computation.shortest_seconds(functions, lambda: clock.now) == pytest.approx(
      [0.01, 0.04])
  assert clock.calls == ['usual', 'other'] * 6


def test_a_trial_of_a_slow_type_ends_after_one_round():
  clock = Clock()
  functions = [clock.taking('usual', [0.02]), clock.taking('other', [6])]
  assert computation.shortest_seconds(functions, lambda: clock.now) == pytest.approx(
      [0.02, 6])
  assert clock.calls == ['usual', 'other'] * 2


@pytest.mark.parametrize('dtype', [tf.bfloat16, tf.float16])
def test_both_passes_of_a_small_network_are_what_is_timed(dtype):
  usual, seconds = computation.seconds_of_steps([tf.float32, dtype])
  assert 0 < usual < float('inf')
  assert 0 < seconds < float('inf')
  ran = {node.op for node in computation._ran(computation._small_training_step(dtype))}
  for words in ('Conv2DBackpropInput', 'Conv2DBackpropFilter', 'MaxPoolGrad', 'MatMul'):
    assert any(words in op for op in ran), ran


def test_xla_compiles_what_learns_digits(
    digits_dir, tmp_path, usual_accuracy, monkeypatch):
  # XLA itself writes down what it compiled.
  monkeypatch.setenv(
      'XLA_FLAGS', f'--xla_dump_to={tmp_path / "xla"} --xla_dump_hlo_as_text')
  done, card, found = learn(
      scripts.run_anew, digits_dir, tmp_path, xla=True, save_summaries_secs=0)
  assert 'compiled by XLA' in done.stdout
  assert card['run']['computation']['xla'] is True
  compiled = '\n'.join(path.read_text() for path in (tmp_path / 'xla').glob(
      '*cluster*before_optimizations.txt'))
  for place in ('LeNet/conv1/Conv2D', 'gradients/LeNet/conv1/Conv2D_grad'):
    assert re.search(f'convolution.*{place}', compiled), place
  assert found == pytest.approx(usual_accuracy, abs=NEAR)


def test_xla_that_cannot_take_effect_is_refused(digits_dir, tmp_path):
  """The scripts' server has TensorFlow loaded already."""
  done = scripts.run('train_image_classifier', train_dir=tmp_path, xla=True,
                     max_number_of_steps=1, **on_digits(digits_dir))
  scripts.answer(done, '--xla: XLA compiles nothing here', 'loaded before')


# --- Channels first.

def losses_of_a_searched_cell(data_format, steps=10):
  """Trains a cell of NASNet; returns the loss of each step."""
  tf.reset_default_graph()
  config = nasnet.cifar_config()
  for name, value in {'num_cells': 1, 'num_reduction_layers': 0, 'use_aux_head': 0,
                      'num_conv_filters': 4, 'drop_path_keep_prob': 1.0,
                      'data_format': data_format}.items():
    config.set_hparam(name, value)
  with slim.arg_scope(nasnet.nasnet_cifar_arg_scope()):
    logits, _ = cell_stack.build(
        nasnet.FAMILY, 'cifar', tf.constant(recipe.images([8, 16, 16, 3])), 4, True,
        config)
  loss = tf.losses.sparse_softmax_cross_entropy([0, 1, 2, 3] * 2, logits)
  train_op = slim.learning.create_train_op(
      loss, tf.train.MomentumOptimizer(0.2, 0.9))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer(), {
        variable.initializer.inputs[1]: recipe.fill(variable.op.name, variable.shape)
        for variable in slim.get_model_variables()})
    return [session.run(train_op) for _ in range(steps)]


def test_channels_first_learn_as_channels_last():
  try:
    computation.check_data_format('NCHW', 'nasnet_cifar', True)
  except diagnostics.UserError as refusal:
    pytest.skip(str(refusal))
  usual, first = map(losses_of_a_searched_cell, ('NHWC', 'NCHW'))
  np.testing.assert_allclose(first, usual, rtol=0.02)
  assert usual[-1] < 0.9 * usual[0]


def test_channels_first_are_refused_where_nothing_computes_them(
    digits_dir, tmp_path, monkeypatch):
  if not tf.config.list_physical_devices('GPU'):
    done = scripts.run('train_image_classifier', train_dir=tmp_path,
                       data_format='NCHW', max_number_of_steps=1,
                       **on_digits(digits_dir))
    scripts.answer(done, '--data_format=NCHW', 'lenet is built for NHWC', 'the CPU')

  def no_kernel(dtype, data_format, device):
    raise tf.errors.UnimplementedError(None, None, 'no kernel')

  computation.check_data_format('NHWC', 'lenet', True)
  monkeypatch.setattr(computation, '_convolve', no_kernel)
  with pytest.raises(diagnostics.UserError, match=r'=NCHW: the .* has no'):
    computation.check_data_format('NCHW', 'nasnet_cifar', True)
  with pytest.raises(diagnostics.UserError, match=r'=float16: the CPU .* has no'):
    computation.check_dtype(tf.float16, '/device:CPU:0')


def test_networks_that_tensorflow_lays_out_are_taken(monkeypatch):
  """As on GPUs, for networks that are built with channels last."""
  monkeypatch.setattr(computation, '_convolve', lambda *_: {'NCHW'})
  computation.check_data_format('NCHW', 'lenet', False)
