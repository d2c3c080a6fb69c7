"""--mixed_precision, --xla and --data_format: they train, and refuse what cannot be."""

import json
import re

import numpy as np
import pytest

import diagnostics
from deployment import computation
from nets.nasnet import cell_stack, nasnet
from tests import recipe, scripts
from tests.conftest import on_digits
from tf_compat import slim, tf

STEPS = 60  # As those of `trained_dir`, in float32.
NEAR = 0.04  # Of 355 images and 60 steps, repeated runs differ by half of it.


def evaluated(checkpoint, digits_dir, eval_dir):
  """Returns the share of digits that eval_image_classifier.py finds right."""
  done = scripts.run(
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


@pytest.mark.parametrize(('dtype', 'flags'), [
    ('bfloat16', {}), ('float16', {'save_summaries_secs': 0})])
def test_digits_are_learned_as_in_float32(
    dtype, flags, digits_dir, trained_dir, tmp_path, usual_accuracy):
  done, card, found = learn(
      scripts.run, digits_dir, tmp_path, mixed_precision=dtype, **flags)
  assert f'in {dtype}' in done.stdout
  assert card['run']['computation']['mixed_precision'] == dtype
  stored, usual = stored_types(tmp_path), stored_types(trained_dir)
  scaled = {name for name in stored if name.startswith('loss_scaling/')}
  assert {name: stored[name] for name in stored.keys() - scaled} == usual
  if dtype == 'float16':
    told = card['results']['loss_scaling']
    assert told['scale'] == 2.0 ** (15 - told['skipped_updates'])
  else:
    assert not scaled
    assert evaluated(tmp_path, digits_dir, tmp_path) == pytest.approx(found, abs=1e-4)
  assert found == pytest.approx(usual_accuracy, abs=NEAR)


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
