"""The commands of the well-known person-detector tutorial, typed unchanged.

A gray MobileNet V1 of a quarter of the width learns Visual Wake Words at 96 x 96 and
ends as a TensorFlow Lite model of 8 bits. Only the number of steps is smaller here, and
the records are made up: photographs of noise, and a bright column for each person.
"""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from slim_zoo.tf_compat import tf
from tests import checkpoint_files, random_weights, scripts
from tests.conftest import ROOT
from tests.evaluated_networks import on_demand
from tests.records_for_tests import feature

STEPS = 4
OUTPUT = 'MobilenetV1/Predictions/Reshape_1'
TRAIN = f"""train_image_classifier.py
    --train_dir=vww_96_grayscale --dataset_name=visualwakewords
    --dataset_split_name=train --dataset_dir=visualwakewords_data
    --model_name=mobilenet_v1_025 --preprocessing_name=mobilenet_v1
    --train_image_size=96 --use_grayscale=True --save_summaries_secs=300
    --learning_rate=0.045 --label_smoothing=0.1 --learning_rate_decay_factor=0.98
    --num_epochs_per_decay=2.5 --moving_average_decay=0.9999 --batch_size=96
    --max_number_of_steps={STEPS} --alsologtostderr"""
EVALUATE = f"""eval_image_classifier.py
    --alsologtostderr --checkpoint_path=vww_96_grayscale/model.ckpt-{STEPS}
    --dataset_dir=visualwakewords_data --dataset_name=visualwakewords
    --dataset_split_name=val --model_name=mobilenet_v1_025
    --preprocessing_name=mobilenet_v1 --use_grayscale=True"""
EXPORT = """export_inference_graph.py
    --alsologtostderr --dataset_name=visualwakewords --image_size=96
    --model_name=mobilenet_v1_025 --use_grayscale=True
    --output_file=vww_96_grayscale_graph.pb"""
FREEZE = f"""-m tensorflow.python.tools.freeze_graph
    --input_graph=vww_96_grayscale_graph.pb
    --input_checkpoint=vww_96_grayscale/model.ckpt-{STEPS} --input_binary=true
    --output_graph=vww_96_grayscale_frozen.pb --output_node_names={OUTPUT}"""
# Those who follow the tutorial type either.
EVALUATIONS = [
    pytest.param('--train_image_size=96', marks=on_demand, id='train size'),
    pytest.param('--eval_image_size=96 --train_dir=vww_96_grayscale', id='eval size')]


def photograph(random, has_person):
  """Returns a JPEG of dark noise of some size about 96, with a person or without."""
  height, width = random.integers(80, 120, 2)
  pixels = random.integers(0, 120, [height, width, 3], np.uint8)
  if has_person:
    pixels[height // 5:, width // 3:width // 2] = 240
  data = io.BytesIO()
  Image.fromarray(pixels).save(data, 'JPEG')
  return data.getvalue()


def write_records(path, count, seed):
  random = np.random.default_rng(seed)
  with tf.io.TFRecordWriter(str(path)) as writer:
    for number in range(count):
      label = number % 2
      writer.write(tf.train.Example(features=tf.train.Features(feature={
          'image/encoded': feature(photograph(random, label)),
          'image/format': feature(b'jpeg'),
          'image/class/label': feature(label)})).SerializeToString())


def type_in(folder, command):
  """Runs a command as it is typed in a folder; returns what it prints."""
  program, *arguments = command.split()
  if program.endswith('.py'):
    done = scripts.run_in(folder, [sys.executable, str(ROOT / program), *arguments])
  else:  # A program of TensorFlow, where nothing of this project is loaded.
    done = subprocess.run(
        [sys.executable, program, *arguments], cwd=folder, capture_output=True,
        text=True, check=False, timeout=scripts.TIMEOUT_SECS,
        env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '2'})
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """Returns the folder in which a network was trained, and what training printed."""
  folder = tmp_path_factory.mktemp('tutorial')
  data = folder / 'visualwakewords_data'
  data.mkdir()
  for number in range(2):
    write_records(data / f'train.record-{number:05}-of-00100', 50, number)
  write_records(data / 'val.record-00000-of-00010', 24, 5)
  output = type_in(folder, TRAIN)
  type_in(folder, EXPORT)
  return folder, output


def test_training_does_what_the_flags_say(trained):
  folder, output = trained
  assert '96 x 96, mobilenet_v1 preprocessing, gray' in output
  assert 'label smoothing 0.1' in output
  shapes = dict(tf.train.list_variables(
      str(folder / 'vww_96_grayscale' / f'model.ckpt-{STEPS}')))
  assert shapes['MobilenetV1/Conv2d_0/weights'] == [3, 3, 1, 8]
  assert shapes['MobilenetV1/Logits/Conv2d_1c_1x1/biases'] == [2]
  assert 'MobilenetV1/Conv2d_0/weights/ExponentialMovingAverage' in shapes


@pytest.mark.parametrize('size', EVALUATIONS)
def test_evaluation(trained, size):
  folder, _ = trained
  output = type_in(folder, f'{EVALUATE} {size} --eval_dir={folder / "eval"}')
  assert re.search(r'accuracy +[0-9.]+%, \d+ of 24 images', output), output
  report = json.loads((folder / 'eval' / 'report' / 'report.json').read_text())
  assert report['run']['image size'] == 96
  # It says of each flag that has no effect that it has none.
  assert ('--train_dir=vww_96_grayscale is not used' in output) == (
      'train_dir' in size)


def gray_pixels(record):
  """Returns the image of a record, uint8 [96, 96, 1]."""
  features = tf.train.Example.FromString(record).features.feature
  with Image.open(io.BytesIO(features['image/encoded'].bytes_list.value[0])) as image:
    return np.asarray(image.resize((96, 96)).convert('L'))[..., np.newaxis]


def learned(checkpoint):
  """Writes a checkpoint whose values are as far from the initial ones as after weeks.

  After a few steps the moving averages of batch norm are still the initial ones, and
  the network says the same of every image.
  """
  shapes = {name: shape for name, shape in tf.train.list_variables(checkpoint)
            if name.startswith('MobilenetV1/') and name.count('/') < 4}
  values = random_weights.values(shapes, seed=3)
  values['global_step'] = np.int64(1_000_000)
  return checkpoint_files.write_quickly(
      checkpoint.replace(f'-{STEPS}', '-1000000'), values)


@pytest.mark.parametrize('is_learned', [
    pytest.param(False, marks=on_demand, id='typed'),
    pytest.param(True, id='after weeks')])
def test_export_freezing_and_conversion_in_8_bits(trained, is_learned):
  folder, _ = trained
  checkpoint = str(folder / 'vww_96_grayscale' / f'model.ckpt-{STEPS}')
  if is_learned:
    checkpoint = learned(checkpoint)
  type_in(folder, FREEZE.replace(f'model.ckpt-{STEPS}', os.path.basename(checkpoint)))
  path = str(folder / 'visualwakewords_data' / 'val.record-00000-of-00010')
  pixels = [gray_pixels(record) for record in tf.io.tf_record_iterator(path)]
  images = np.stack(pixels).astype(np.float32) / 127.5 - 1.0

  frozen = str(folder / 'vww_96_grayscale_frozen.pb')
  converter = tf.lite.TFLiteConverter.from_frozen_graph(frozen, ['input'], [OUTPUT])
  converter.optimizations = [tf.lite.Optimize.DEFAULT]
  converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
  converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
  converter.inference_input_type = tf.int8
  converter.inference_output_type = tf.int8
  found = invoke(converter.convert(), images)
  expected = of_checkpoint(checkpoint, images)
  np.testing.assert_allclose(found, expected, atol=0.03)
  if is_learned:
    assert np.corrcoef(found[:, 1], expected[:, 1])[0, 1] > 0.8


def invoke(model, images):
  """Returns the probabilities that a model of whole numbers gives."""
  interpreter = tf.lite.Interpreter(model_content=model)
  interpreter.allocate_tensors()
  (given,) = interpreter.get_input_details()
  (output,) = interpreter.get_output_details()
  assert given['shape'].tolist() == [1, 96, 96, 1]
  assert given['dtype'] == output['dtype'] == np.int8
  scale, zero_point = given['quantization']
  output_scale, output_zero_point = output['quantization']
  probabilities = []
  for image in images:
    values = np.clip(np.round(image / scale + zero_point), -128, 127).astype(np.int8)
    interpreter.set_tensor(given['index'], values[np.newaxis])
    interpreter.invoke()
    probabilities.append((interpreter.get_tensor(output['index'])[0].astype(
        np.float32) - output_zero_point) * output_scale)
  return np.stack(probabilities)


def of_checkpoint(checkpoint, images):
  """Returns the probabilities that the network gives with the checkpoint's weights."""
  from slim_zoo.nets import nets_factory
  from slim_zoo.tf_compat import slim
  with tf.Graph().as_default(), tf.Session() as session:
    _, end_points = nets_factory.get_network_fn('mobilenet_v1_025', 2)(
        tf.constant(images))
    assert end_points['Predictions'].op.name == OUTPUT
    tf.train.Saver(slim.get_model_variables()).restore(session, checkpoint)
    return session.run(end_points['Predictions'])
