"""Quantized checkpoints as TF-Slim wrote them in TensorFlow 1: used without a change.

They have every variable of the training graph: ranges, the sums behind their moving
averages, slots of the optimizer, steps, and moving averages of all weights but none of
ranges.
"""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from tests import checkpoint_files, quantization_contract_test
from tests.conftest import on_digits

STEP, CLASSES = 500, 10
AVERAGE = 'ExponentialMovingAverage'
# Of each network: the size of its images, and the file's names of the values that the
# contract of TensorFlow 1 has; None: those of the graph.
NETWORKS = [('lenet', 28, None), pytest.param(
    'mobilenet_v1_025', 32, 'mobilenet_v1_025', marks=pytest.mark.skipif(
        not os.environ.get('EVERY_NETWORK'), reason='on demand: EVERY_NETWORK=1'))]


def variables_of(name, size, contract, classes):
  """Returns (shape, is it trained, is it part of the network) by name."""
  if contract:
    facts = quantization_contract_test.FACTS[contract]['train']
    return {variable: (
        [classes if length == 1001 else length for length in shape], is_trained,
        not variable.endswith(('/biased', '/local_step', '_step')))
            for variable, shape, _, is_trained in facts}
  channels = 1 if name == 'lenet' else 3
  with tf.Graph().as_default():
    nets_factory.get_network_fn(
        name, classes, is_training=True, quantize=True, quantize_delay=9)(
            tf.zeros([1, size, size, channels]))
    trained = {variable.op.name for variable in tf.trainable_variables()}
    of_network = {variable.op.name for variable in slim.get_model_variables()}
    return {variable.op.name: (
        variable.shape.as_list(), variable.op.name in trained,
        variable.op.name in of_network) for variable in tf.global_variables()}


def write(folder, name, size, contract=None, classes=CLASSES):
  """Writes a folder of a run as TensorFlow 1 left it; returns the checkpoint."""
  values = {}
  for variable, (shape, is_trained, is_of_network) in variables_of(
      name, size, contract, classes).items():
    value = quantization_contract_test.values(variable, shape, 0)
    if variable.endswith('_step'):
      kind = np.float32 if variable.endswith('/local_step') else np.int64
      value = np.full(shape, STEP, kind)
    elif variable.endswith('/biased'):
      # Behind the scope is the name of the range.
      parts = variable.removesuffix('/biased').split('/')
      range_ = next(name for name in (
          '/'.join(parts[start:]) for start in range(len(parts))) if name in values)
      value = values[range_] * np.float32(1 - 0.999 ** STEP)
    values[variable] = value
    if is_trained:
      values[f'{variable}/RMSProp'] = np.ones(shape, np.float32)
      values[f'{variable}/RMSProp_1'] = np.zeros(shape, np.float32)
    if is_of_network and not variable.endswith(('/min', '/max')):
      values[f'{variable}/{AVERAGE}'] = np.asarray(value * np.float32(0.9))
  values['global_step'] = np.int64(STEP)
  folder.mkdir()
  path = checkpoint_files.write_quickly(folder / f'model.ckpt-{STEP}', values)
  (folder / 'checkpoint').write_text(
      f'model_checkpoint_path: "model.ckpt-{STEP}"\n'
      f'all_model_checkpoint_paths: "model.ckpt-{STEP}"\n')
  return path, values


def train(digits_dir, run, steps, name, size, **options):
  return slim_zoo.train(**{
      **on_digits(digits_dir), 'dataset_split_name': 'train', 'train_dir': run,
      'max_number_of_steps': steps, 'model_name': name, 'train_image_size': size,
      'batch_size': 4, 'optimizer': 'rmsprop', 'opt_epsilon': 1.0,
      'learning_rate': 1e-6, 'quantize_delay': 100, **options})


@pytest.mark.parametrize(('name', 'size', 'contract'), NETWORKS)
def test_a_run_goes_on(name, size, contract, digits_dir, tmp_path, capsys):
  run = tmp_path / 'run'
  _, values = write(run, name, size, contract)
  train(digits_dir, run, STEP + 2, name, size, moving_average_decay=0.9999)
  assert f'resumes step {STEP}' in capsys.readouterr().out
  found = checkpoint_files.values_of(run / f'model.ckpt-{STEP + 2}')
  assert found.keys() == values.keys()
  assert found['fake_quantization_step'] == STEP + 2
  ranges = [variable for variable in values
            if variable.endswith('/act_quant/max') and variable in found]
  assert ranges
  for variable in ranges:
    # Two steps move an average of 500 by a small part, whatever their batches are.
    assert found[variable] != values[variable]
    assert found[variable] == pytest.approx(values[variable], abs=0.05)
  steps = [value for variable, value in found.items()
           if variable.endswith('/local_step')]
  assert set(steps) == {STEP + 2.0}


@pytest.mark.parametrize(('name', 'size', 'contract'), NETWORKS)
def test_it_is_evaluated_classified_and_inspected(
    name, size, contract, digits_dir, tmp_path, capsys):
  path, _ = write(tmp_path / 'run', name, size, contract)
  results = [slim_zoo.evaluate(
      checkpoint_path=path, dataset_name='digits', dataset_dir=digits_dir,
      model_name=name, eval_image_size=size, max_num_batches=1, batch_size=8,
      eval_dir=tmp_path / 'eval', moving_average_decay=decay)
             for decay in (None, 0.9999)]
  shown = capsys.readouterr().out
  assert shown.count('the checkpoint is quantized: 8 bits') == 2
  # The averages are other weights; the ranges are the same.
  losses = [result.values['cross_entropy'] for result in results]
  assert losses[0] != losses[1]
  Image.new('L', (size, size), 90).save(tmp_path / 'image.png')
  answer, = slim_zoo.classify([tmp_path / 'image.png'], checkpoint_path=path)
  assert answer.classes
  facts = slim_zoo.inspect(checkpoint_path=path)
  assert (facts.network, facts.num_classes) == (name, CLASSES)
  assert facts.quantized['num_ranges']


@pytest.mark.parametrize(('name', 'size', 'contract'), NETWORKS)
def test_training_with_other_classes_goes_on_from_its_ranges(
    name, size, contract, digits_dir, tmp_path, capsys):
  path, values = write(tmp_path / 'old', name, size, contract, classes=7)
  with pytest.raises(diagnostics.UserError, match='has 7 classes'):
    train(digits_dir, tmp_path / 'new', 1, name, size, checkpoint_path=path)
  capsys.readouterr()
  shutil.rmtree(tmp_path / 'new', ignore_errors=True)
  train(digits_dir, tmp_path / 'new', 1, name, size, checkpoint_path=path,
        checkpoint_exclude_scopes='auto', quantize_per_channel=True)
  shown = capsys.readouterr().out
  assert 'continue from the ranges of the checkpoint' in shown
  assert 'excluded' in shown
  found = checkpoint_files.values_of(tmp_path / 'new' / 'model.ckpt-1')
  scope = 'LeNet/conv1' if name == 'lenet' else 'MobilenetV1/MobilenetV1/Conv2d_0'
  range_ = f'{scope}/act_quant/max'
  assert found[range_] != values[range_]
  assert found[range_] == pytest.approx(values[range_], abs=0.05)
  assert found[f'{scope}/weights_quant/max'].ndim == 1


def test_averages_of_a_quantized_run_have_no_ranges(digits_dir, tmp_path):
  train(digits_dir, tmp_path, 2, 'lenet', 28, moving_average_decay=0.5,
        quantize_delay=0)
  found = checkpoint_files.values_of(tmp_path / 'model.ckpt-2')
  averaged = [name for name in found if name.endswith(AVERAGE)]
  assert f'LeNet/conv1/weights/{AVERAGE}' in averaged
  assert not [name for name in averaged if '_quant/' in name]


def test_a_delay_counts_steps_not_batches(digits_dir, tmp_path):
  """The first step, of two batches, does not round: the delay is two steps."""
  found = []
  for delay in (2, 1000):
    run = tmp_path / str(delay)
    train(digits_dir, run, 1, 'lenet', 28, accumulate_steps=2, quantize_delay=delay,
          quantize_weight_bits=2, learning_rate=0.1, deterministic=True, seed=1)
    found.append(checkpoint_files.values_of(run / 'model.ckpt-1'))
  np.testing.assert_array_equal(*(
      values['LeNet/conv1/weights'] for values in found))
