"""Quantized networks as their users meet them: train, resume, evaluate, export."""

import dataclasses
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.checkpoints import quantization
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.config.training import TrainConfig
from slim_zoo.exporting import parity, pixel_graph, to_tflite
from slim_zoo.inference import inference_graph, quiet
from slim_zoo.input import image_samples
from slim_zoo.tf_compat import tf
from tests import onnx_quantized_test, quantized_networks, scripts
from tests.conftest import ROOT, on_digits

OF_AUTO = ('--precision=auto: float32, because a quantized network rounds its values in'
           ' float32')


def train(digits_dir, run, steps, **options):
  return slim_zoo.train(**{
      **on_digits(digits_dir), 'dataset_split_name': 'train', 'train_dir': run,
      'max_number_of_steps': steps, **options})


def evaluate(digits_dir, run, **options):
  return slim_zoo.evaluate(
      checkpoint_path=run, dataset_name='digits', dataset_dir=digits_dir,
      eval_dir=run / 'eval', **options)


@pytest.fixture(scope='module')
def quantized_run(digits_dir, tmp_path_factory):
  """Returns the folder in which the recipe trained LeNet on digits for 300 steps."""
  run = tmp_path_factory.mktemp('quantized')
  done = scripts.run(
      'train', flagfile=ROOT / 'recipes' / 'digits_lenet_quantized.flags',
      dataset_dir=digits_dir, train_dir=run, validation_split_name='test',
      validate_every_steps=300)
  assert done.returncode == 0, done.stderr
  return run


def test_a_checkpoint_is_evaluated_as_it_was_trained(
    digits_dir, quantized_run, capsys):
  result = evaluate(digits_dir, quantized_run)
  assert 'the checkpoint is quantized: 8 bits' in capsys.readouterr().out
  insisting = evaluate(digits_dir, quantized_run, quantize=True)
  assert result.values['cross_entropy'] == insisting.values['cross_entropy']
  assert result.num_images == 355
  assert result.accuracy > 0.97
  floats = evaluate(digits_dir, quantized_run, quantize=False)
  assert 'its ranges are not used' in capsys.readouterr().out
  assert floats.values['cross_entropy'] != result.values['cross_entropy']


def test_inspection_tells_of_the_ranges(quantized_run):
  facts = slim_zoo.inspect(checkpoint_path=quantized_run)
  assert (facts.network, facts.num_classes, facts.variables) == ('lenet', 10, 8)
  assert facts.quantized == {'num_ranges': 9, 'per_channel': False, 'weight_bits': 8,
                             'activation_bits': 8}
  assert '  quantized  8 bits, 9 ranges' in facts.description


def test_a_run_resumes(digits_dir, quantized_run, tmp_path, capsys):
  run = tmp_path / 'run'
  shutil.copytree(quantized_run, run)
  train(digits_dir, run, 301, quantize_delay=100)
  assert 'resumes step 300' in capsys.readouterr().out
  reader = tf.train.load_checkpoint(str(run / 'model.ckpt-301'))
  assert reader.get_tensor('fake_quantization_step') == 301
  steps = [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
           if name.endswith('/local_step')]
  assert steps
  assert set(steps) == {301.0}


def test_dropped_ranges_are_said(digits_dir, quantized_run, tmp_path, capsys):
  run = tmp_path / 'run'
  shutil.copytree(quantized_run, run)
  train(digits_dir, run, 301)
  assert ('the ranges of the checkpoint are dropped: --quantize_delay=100 keeps them'
          in capsys.readouterr().out)
  train(digits_dir, run, 302)
  assert 'are dropped' not in capsys.readouterr().out


def test_training_begins_from_floats(digits_dir, trained_dir, tmp_path, capsys):
  train(digits_dir, tmp_path, 2, checkpoint_path=trained_dir, quantize_delay=0,
        quantize_per_channel=True, quantize_activation_bits=6, precision='auto')
  shown = capsys.readouterr().out
  assert OF_AUTO in shown
  assert 'rounded to 8 bits, activations to 6 from the first step on' in shown
  shapes = tf.train.load_checkpoint(
      str(tmp_path / 'model.ckpt-2')).get_variable_to_shape_map()
  assert shapes['LeNet/conv1/weights_quant/max'] == [32]
  assert 'fake_quantization_step' not in shapes
  result = evaluate(digits_dir, tmp_path, precision='auto')
  shown = capsys.readouterr().out
  assert '8 bits for weights and 6 for activations, weights by channel' in shown
  assert OF_AUTO in shown
  assert result.accuracy > 0.6


def test_floats_have_no_ranges(digits_dir, trained_dir):
  with pytest.raises(diagnostics.UserError, match='has no ranges'):
    evaluate(digits_dir, trained_dir, quantize=True)


@pytest.mark.parametrize(('options', 'message'), [
    ({'mixed_precision': 'bfloat16'}, 'use --precision=float32'),
    ({'data_format': 'NCHW'}, 'use --data_format=NHWC'),
    ({'sync_batch_norm': True}, 'cannot be folded')])
def test_options_that_do_not_fit(options, message):
  config = TrainConfig.from_options({'quantize_delay': 0, **options})
  with pytest.raises(diagnostics.UserError, match=message):
    config.quantization.check(config.precision, config.distribution)


@pytest.mark.parametrize(('name', 'is_range', 'is_state'), [
    ('MobilenetV1/MobilenetV1/Conv2d_0/weights_quant/min', True, False),
    ('MobilenetV3/act_quant_1/max', True, False),
    ('A/mul_1/activation_Mul_quant/max', True, False),
    ('act_quant/min', True, False),
    ('fake_quantization_step', False, True),
    ('A/act_quant/A/act_quant/min/biased', False, True),
    ('A/act_quant_1/A/act_quant_1/max/local_step', False, True),
    ('A/BatchNorm/moving_mean/biased', False, False),
    ('A/minimum/min', False, False)])
def test_names(name, is_range, is_state):
  assert quantization.is_range(name) == is_range
  assert quantization.is_state(name) == is_state
  assert (quantization.find({name: []}) is not None) == ('weights_quant' in name)


def test_the_classifier_rounds(quantized_run, tmp_path, capsys):
  Image.new('L', (28, 28), 90).save(tmp_path / 'image.png')
  answers = {}
  for options, words in (({}, 'the checkpoint is quantized: 8 bits'),
                         ({'quantize': True}, 'the checkpoint is quantized: 8 bits'),
                         ({'quantize': False}, 'its ranges are not used')):
    answers[options.get('quantize')], = slim_zoo.classify(
        [tmp_path / 'image.png'], checkpoint_path=quantized_run, **options)
    assert words in capsys.readouterr().err
  assert answers[None] == answers[True] != answers[False]


def test_a_classifier_without_ranges_cannot_round(trained_dir, tmp_path):
  Image.new('L', (28, 28), 90).save(tmp_path / 'image.png')
  with pytest.raises(diagnostics.UserError, match=r'--quantize, but .* has no ranges'):
    slim_zoo.classify(
        [tmp_path / 'image.png'], checkpoint_path=trained_dir, quantize=True)


def test_a_quantized_checkpoint_is_exported_without_its_ranges(quantized_run, tmp_path):
  result = slim_zoo.export(
      checkpoint_path=quantized_run, export_dir=tmp_path, format=['onnx'],
      quantize=False, check=False)
  model, = result.files
  assert result.network.quantized is None
  assert b'QuantizeLinear' not in pathlib.Path(model.path).read_bytes()


def test_an_8_bit_export_has_the_ranges_of_training(
    quantized_run, digits_dir, tmp_path):
  result = slim_zoo.export(
      checkpoint_path=quantized_run, export_dir=tmp_path,
      format=['tflite_int8', 'onnx'], dataset_name='digits', dataset_dir=digits_dir,
      dataset_split_name='test', num_images=100)
  file, onnx_file = result.files
  assert file.passed
  assert onnx_file.passed
  images, labels = digits(digits_dir)
  check_steps(file.path, result.network, images, least_agreement=0.99)
  onnx_quantized_test.check_steps(onnx_file.path, result.network, images)
  floats = evaluate(digits_dir, quantized_run, quantize=False)
  logits, *_ = run_tflite(file.path, images)
  assert np.mean(logits.argmax(1) == labels) >= floats.accuracy - 0.005


def digits(digits_dir):
  """Returns uint8 images [355, 28, 28, 1] of the test split, and their labels."""
  files = sorted(str(path) for path in digits_dir.glob('*test*'))
  samples = image_samples.from_records(files, range(355), 'image/class/label')
  trained = TrainedNetwork('', 'lenet', 10, 28, 1, 'lenet')
  return (parity.read_pixels(trained, [sample.data for sample in samples]),
          [sample.label for sample in samples])


def check_steps(path, trained, images, most=2, least_agreement=0.0):
  """Compares a uint8 model with the network that rounds, before the probabilities."""
  logits, step, input_ = run_tflite(path, images)
  assert input_['dtype'] == np.uint8
  network = inference_graph.of_network(trained)
  with tf.Graph().as_default(), tf.Session() as session:
    pixels = tf.constant(images)
    expected = session.run(network.attach(pixel_graph.scaled(pixels, trained))[0])
  steps = np.abs(logits - expected) / step
  assert steps.max() <= most + 0.01
  assert np.mean(steps <= 2.01) >= 0.97
  # The best class of one is among those within two steps of the other's best.
  best = np.take_along_axis(expected, logits.argmax(1)[:, None], 1)[:, 0]
  assert np.mean(best >= expected.max(1) - 2.01 * step) >= 0.99
  assert np.mean(logits.argmax(1) == expected.argmax(1)) >= least_agreement


def run_tflite(path, images):
  """Returns the logits of a model for uint8 images, their step, and its input."""
  interpreter = tf.lite.Interpreter(path, experimental_preserve_all_tensors=True)
  interpreter.allocate_tensors()
  (input_,) = interpreter.get_input_details()
  softmax, = (operation for operation in interpreter._get_ops_details()
              if operation['op_name'] == 'SOFTMAX')
  details = next(details for details in interpreter.get_tensor_details()
                 if details['index'] == softmax['inputs'][0])
  scale, zero_point = details['quantization']
  outputs = []
  for image in images:
    interpreter.set_tensor(input_['index'], image[np.newaxis])
    interpreter.invoke()
    outputs.append(interpreter.get_tensor(details['index']).astype(float))
  return (np.concatenate(outputs) - zero_point) * scale, scale, input_


_ON_DEMAND = pytest.mark.skipif(
    not os.environ.get('EVERY_NETWORK'), reason='on demand: EVERY_NETWORK=1')


@pytest.mark.parametrize(('name', 'size', 'per_channel'), [
    ('mobilenet_v1_025', 64, True), ('lenet', 28, True),
    pytest.param('mobilenet_v1_025', 64, False, marks=_ON_DEMAND),
    pytest.param('cifarnet', 32, True, marks=_ON_DEMAND)])
def test_an_8_bit_file_rounds_as_its_checkpoint(name, size, per_channel, tmp_path):
  """With the shift of inception preprocessing, which no zero point has.

  LeNet and CifarNet have fully connected layers.
  """
  trained, pixels = quantized_networks.make(tmp_path, name, size, per_channel)
  if name == 'cifarnet':
    trained = dataclasses.replace(trained, preprocessing_name='lenet')
  file = str(tmp_path / 'model.tflite')
  to_tflite.write(file, 'tflite_int8', trained, inference_graph.of_network(trained))
  # Without training the logits of all images are nearly the same.
  check_steps(file, trained, pixels, most=4)


def test_what_the_converter_refuses_is_named_in_plain_words():
  error = RuntimeError(
      '<unknown>:0: error: loc(fused["MatMul:", "frozen/LeNet/fc3/MatMul"]):'
      " 'tfl.transpose' op has mismatched quantized axes of input and output\n"
      '<unknown>:0: note: loc(fused["MatMul:", "frozen/LeNet/fc3/MatMul"]): more')
  assert quiet.first_line(error, []) == (
      'the layer LeNet/fc3/MatMul is refused ("\'tfl.transpose\' op has mismatched'
      ' quantized axes of input and output")')
