"""slim-zoo export and export_inference_graph.py as their users meet them."""

import base64
import dataclasses
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import pytest
from PIL import Image

from slim_zoo import __main__, diagnostics
from slim_zoo.catalog import preprocessing_families
from slim_zoo.checkpoints import quantization
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import (
    exporting,
    formats,
    parity,
    pixel_graph,
    to_keras,
    to_onnx,
    to_saved_model,
)
from slim_zoo.files import owners
from slim_zoo.inference import inference_graph, quiet
from slim_zoo.input import image_samples, records
from slim_zoo.tf_compat import tf
from tests import records_for_tests, scripts
from tests.conftest import ROOT

LITE = [name for name in formats.FORMATS if name.startswith('tflite')]
NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')


@pytest.fixture(scope='module')
def exported(digits_dir, trained_dir, tmp_path_factory):
  """Returns the folder of all exports of LeNet, and what the script said."""
  folder = tmp_path_factory.mktemp('exports')
  labels = folder / 'names.txt'
  labels.write_text('\n'.join(NAMES))
  done = scripts.run(
      'export', checkpoint_path=trained_dir, export_dir=folder / 'out',
      format=','.join(['saved_model', 'frozen_graph', *LITE]), labels_file=labels,
      dataset_name='digits', dataset_dir=digits_dir, num_images=12,
      num_calibration_images=20)
  assert done.returncode == 0, done.stderr
  return folder / 'out', done.stdout


@pytest.fixture(scope='module')
def what(trained_dir):
  return TrainedNetwork(str(trained_dir / 'model.ckpt-60'), 'lenet', len(NAMES), 28, 1,
                        'lenet', class_names=NAMES)


@pytest.fixture(scope='module')
def digit_files(digits_dir):
  path = str(digits_dir / 'digits_test.tfrecord')
  return [sample.data for sample in image_samples.from_records([path], range(5))]


def test_every_format_is_written_and_says_what_the_checkpoint_says(exported):
  folder, output = exported
  for name in ('saved_model', 'frozen_graph', *LITE):
    assert (folder / formats.FORMATS[name].file).exists()
    assert f'wrote {folder / formats.FORMATS[name].file}' in output
  assert output.count('parity  right') == 3 + 1 + len(LITE)
  assert 'OFF' not in output
  assert output.count('of 12 images') == 3 + 1 + len(LITE)
  assert 'calibrating tflite_int8 with 20 images of 10 classes, 2 of each' in output
  assert not list(folder.rglob('*.unchecked'))


def test_weights_of_fewer_bits_take_less_room(exported):
  sizes = {name: (exported[0] / formats.FORMATS[name].file).stat().st_size
           for name in LITE}
  assert sizes['tflite_float16'] < 0.55 * sizes['tflite']
  assert sizes['tflite_dynamic_range'] < 0.3 * sizes['tflite']
  assert sizes['tflite_int8'] < 0.3 * sizes['tflite']


def test_labels_are_inside(exported):
  folder, _ = exported
  lines = [f'{number}:{name}' for number, name in enumerate(NAMES)]
  extra = folder / 'saved_model' / '1' / 'assets.extra' / 'labels.txt'
  assert extra.read_text().splitlines() == lines
  for name in LITE:
    with zipfile.ZipFile(folder / formats.FORMATS[name].file) as archive:
      assert archive.read('labels.txt').decode().splitlines() == lines
  graph_def = tf.GraphDef.FromString((folder / 'frozen_graph.pb').read_bytes())
  tf.import_graph_def(graph_def, name='')
  with tf.Session() as session:
    probabilities, classes, labels = session.run(
        [f'{name}:0' for name in pixel_graph.OUTPUTS],
        {'input:0': np.random.default_rng(1).uniform(0, 255, [3, 28, 28, 1])})
  assert classes.tolist() == probabilities.argmax(axis=1).tolist()
  assert [label.decode() for label in labels] == [NAMES[number] for number in classes]


def test_requests_of_tensorflow_serving_are_answered(exported, digits_dir, digit_files,
                                                     tmp_path):
  del digits_dir
  request = tmp_path / 'request.json'
  request.write_text(json.dumps({'instances': [
      {'b64': base64.b64encode(digit_files[0]).decode()},
      {to_saved_model.BYTES_INPUT: {
          'b64': base64.b64encode(digit_files[1]).decode()}}]}))
  done = subprocess.run(
      [sys.executable, str(ROOT / 'tests' / 'serving_request.py'),
       str(exported[0] / 'saved_model' / '1'), str(request)],
      capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  answers = json.loads(done.stdout)['predictions']
  assert len(answers) == 2
  for answer in answers:
    assert set(answer) == {'probabilities', 'classes', 'labels'}
    assert sum(answer['probabilities']) == pytest.approx(1, abs=1e-5)
    assert answer['classes'] == int(np.argmax(answer['probabilities']))
    assert answer['labels'] == NAMES[answer['classes']]


def test_an_export_that_is_off_is_removed(what, digit_files, tmp_path):
  right = parity.reference(what, digit_files)
  wrong = dataclasses.replace(right, of_pixels=np.roll(right.of_pixels, 1, axis=1))
  (found,) = exporting.export(
      'frozen_graph', str(tmp_path), what, inference_graph.of_network(what),
      reference=wrong)
  assert not found.passed
  assert found.agreement < 0.5
  assert 'scores differ by' in str(found)
  assert not list(tmp_path.iterdir())


def test_an_export_replaces_nothing_but_an_export(what, tmp_path):
  network = inference_graph.of_network(what)
  (tmp_path / 'frozen_graph.pb').mkdir()
  (tmp_path / 'saved_model' / '1').mkdir(parents=True)
  notes = tmp_path / 'saved_model' / '1' / 'notes.txt'
  notes.write_text('mine')
  for name in ('frozen_graph', 'saved_model'):
    with pytest.raises(diagnostics.UserError, match='is left as it is'):
      exporting.export(name, str(tmp_path), what, network)
  assert notes.read_text() == 'mine'
  notes.unlink()
  (tmp_path / 'notes.txt').write_text('mine')
  for _ in range(2):
    exporting.export('saved_model', str(tmp_path), what, network)
  assert (tmp_path / 'saved_model' / '1' / 'saved_model.pb').exists()
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      'frozen_graph.pb', 'notes.txt', 'saved_model']


def test_a_second_export_of_the_same_file_is_refused(what, tmp_path):
  network = inference_graph.of_network(what)
  for name in ('frozen_graph', 'saved_model'):
    path = os.path.join(tmp_path, formats.FORMATS[name].file)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with owners.writing(path, '--export_dir'):
      with pytest.raises(diagnostics.UserError, match='now: wait for its end'):
        exporting.export(name, str(tmp_path), what, network)
      assert not os.path.exists(path)
    exporting.export(name, str(tmp_path), what, network)
    assert os.path.exists(path)
    assert not os.path.exists(f'{path}.lock')


@pytest.mark.parametrize(('found', 'passed'), [
    ([[0.6, 0.4], [0.1, 0.9]], True),
    ([[0.6, 0.4], [0.9, 0.1]], False),
    ([[0.6, 0.4], [0.1, 0.85]], False),
    ([[np.nan, 0.4], [0.1, 0.9]], False),
], ids=['equal', 'another class', 'too far', 'NaN'])
def test_parity(found, passed):
  expected = np.array([[0.6, 0.4], [0.1, 0.9]])
  assert parity.compare('it', np.array(found), expected,
                        formats.Tolerance(0.01, 1.0)).passed == passed


def test_a_near_tie_agrees_with_either():
  """Beside images that are told apart: the tie alone would be all of the spread."""
  others = [[0.01, 0.99], [0.99, 0.01]]
  found = parity.compare('it', np.array([[0.499, 0.501], *others]),
                         np.array([[0.501, 0.499], *others]),
                         formats.Tolerance(0.01, 1.0))
  assert found.passed
  assert found.agreement == pytest.approx(2 / 3)
  assert found.agreement_but_for_ties == 1


@pytest.mark.parametrize('family', ['cifarnet', 'inception', 'lenet', 'vgg'])
@pytest.mark.parametrize('channels', [1, 3])
def test_pixels_and_scale_are_what_preprocessing_does(family, channels):
  """Of an image that crops and sizes leave alone, but for rounding."""
  size = 32
  shape = [size, size, 3] if channels == 3 else [size, size]
  image = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
  data = io.BytesIO()
  Image.fromarray(image).save(data, 'PNG')
  what = TrainedNetwork('', 'lenet', len(NAMES), size, channels, family)
  given = tf.constant(data.getvalue())
  cropped = pixel_graph.cropped(given, what)
  with tf.Session() as session:
    prepared, scaled, seen = session.run([
        pixel_graph.prepared(given[tf.newaxis], what),
        pixel_graph.scaled(cropped[tf.newaxis], what), cropped])
  assert seen.dtype == np.uint8
  assert seen.shape == (size, size, channels)
  half = {'cifarnet': 1e-4, 'inception': 0.5 / 127, 'lenet': 1e-6, 'vgg': 0.51}[family]
  np.testing.assert_allclose(scaled, prepared, atol=half)


def test_samples_are_spread_over_the_records(digits_dir):
  path = str(digits_dir / 'digits_test.tfrecord')
  total = image_samples.count([path, path])
  places = image_samples.choose([total], 10, 10)
  assert total == 710
  assert not places.note
  compared, calibration = (
      image_samples.from_records([path, path], chosen)
      for chosen in (places.compared, places.calibration))
  for samples in (compared, calibration):
    assert len(samples) == 10
    assert len({sample.label for sample in samples}) >= 5
  assert not set(places.compared) & set(places.calibration)
  (first,) = image_samples.from_records([path], [0])
  features = records.read_features([path], 0, 0)
  assert first.data == features['image/encoded'][0]
  assert first.label == features['image/class/label'][0]
  assert len(image_samples.choose([355], 10_000).compared) == 355


def test_each_class_has_its_part_of_a_calibration(tmp_path):
  labels = [0] * 90 + [1] * 4 + [2] * 16
  path = records_for_tests.write(
      tmp_path / 'some.tfrecord', [records_for_tests.png(9)] * len(labels), labels)
  places = image_samples.choose([len(labels)], 5, 20)
  spread = image_samples.spread_over_classes([path], places)
  assert spread == image_samples.spread_over_classes([path], places)
  assert spread.compared == places.compared
  assert not set(spread.compared) & set(spread.calibration)
  numbers = np.bincount([labels[place] for place in spread.calibration])
  rare = 4 - sum(labels[place] == 1 for place in places.compared)
  assert numbers[1] == rare
  assert abs(numbers[0] - numbers[2]) <= 1
  assert spread.spread == (
      f'20 images of 3 classes, {numbers.min()} to {numbers.max()} of each')


def test_a_calibration_without_classes_is_at_random(tmp_path):
  path = records_for_tests.write(
      tmp_path / 'some.tfrecord', [records_for_tests.png(9)] * 9, [0, None, 1] * 3)
  places = image_samples.choose([9], 2, 4)
  spread = image_samples.spread_over_classes([path], places)
  assert spread.calibration == places.calibration
  assert 'not every record has one label' in spread.spread


def test_onnx(what, digit_files, tmp_path):
  (found,) = exporting.export(
      'onnx', str(tmp_path), what, inference_graph.of_network(what),
      reference=parity.reference(what, digit_files))
  assert found.passed
  assert found.num_images == 5
  (labels,) = onnx.load(tmp_path / 'model.onnx').metadata_props
  assert json.loads(labels.value) == list(NAMES)


def test_keras(what, digit_files, tmp_path):
  (found,) = exporting.export(
      'keras', str(tmp_path), what, inference_graph.of_network(what),
      reference=parity.reference(what, digit_files))
  assert found.passed
  assert found.num_images == 5
  with zipfile.ZipFile(tmp_path / 'model.keras') as archive:
    assert archive.read('labels.txt').decode().splitlines() == [
        f'{number}:{name}' for number, name in enumerate(NAMES)]
  card = (tmp_path / 'model.keras.md').read_text()
  assert '[batch, 28, 28, 1], gray pixels 0 to 255' in card
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      'model.keras', 'model.keras.md']


def test_a_quantized_checkpoint_is_no_keras_model(what, tmp_path):
  quantized = dataclasses.replace(what, quantized=quantization.Quantized(4))
  with pytest.raises(diagnostics.UserError, match='is a quantized checkpoint') as said:
    to_keras.write(str(tmp_path / 'model.keras'), quantized, None)
  assert '\n' not in str(said.value)
  assert not list(tmp_path.iterdir())


def test_the_list_of_commands_names_every_format():
  told = __main__.usage().lower()
  for name in formats.FORMATS:
    assert {'saved_model': 'savedmodel', 'frozen_graph': 'graphdef'}.get(
        name, name.split('_')[0]) in told
  assert 'python -m slim_zoo.contrib' in told


def test_missing_packages_are_named(monkeypatch):
  monkeypatch.setattr(to_onnx.importlib.util, 'find_spec',
                      lambda name: None if name == 'onnx' else name)
  with pytest.raises(diagnostics.UserError, match='needs onnx, not installed here'):
    to_onnx.check_installed()
  monkeypatch.setattr(to_keras.importlib.metadata, 'version', lambda name: '2.15.0')
  with pytest.raises(diagnostics.UserError, match='needs Keras 3, and Keras 2'):
    to_keras.check_installed()


def test_what_converters_say_is_held_back(capfd):
  with quiet.captured_output() as told:
    os.write(1, b'inside')
    os.write(2, b' and out')
  assert capfd.readouterr() == ('', '')
  assert told == ['inside and out']
  assert quiet.first_line(ValueError('a\nan error: b'), []) == 'an error: b'


@pytest.mark.parametrize(('changed', 'words'), [
    ({'format': 'saved_modle'}, ("no format 'saved_modle'", "'saved_model'")),
    ({'checkpoint_path': '/nowhere'}, ('no checkpoint',)),
    ({'dataset_name': ''}, ('--dataset_dir has no effect',)),
    ({'dataset_name': '', 'dataset_dir': ''}, ('no images to check',)),
    ({'labels_file': '{tmp}/11.txt'}, ('names 11 classes', 'has 10')),
    ({'model_name': 'cifarnet'}, ('not of cifarnet', 'lenet')),
    ({'moving_average_decay': 0.9}, ('has no moving averages',)),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else '')
def test_mistakes_are_answered_in_one_line(digits_dir, trained_dir, tmp_path, changed,
                                           words):
  (tmp_path / '11.txt').write_text('\n'.join(map(str, range(11))))
  changed = {name: value.format(tmp=tmp_path) if isinstance(value, str) else value
             for name, value in changed.items()}
  done = scripts.run('export', **{
      'checkpoint_path': trained_dir, 'export_dir': tmp_path / 'out', 'num_images': 2,
      'dataset_name': 'digits', 'dataset_dir': digits_dir, **changed})
  scripts.answer(done, *words, code=1)


def test_a_graph_without_weights(trained_dir, tmp_path):
  path = tmp_path / 'lenet.pb'
  done = scripts.run('export_inference_graph', model_name='lenet',
                     dataset_name='mnist', output_file=path)
  assert done.returncode == 0, done.stderr
  assert path.stat().st_size < 100_000
  graph_def = tf.GraphDef.FromString(path.read_bytes())
  nodes = {node.name: node for node in graph_def.node}
  assert nodes['input'].op == 'Placeholder'
  assert [dim.size for dim in nodes['input'].attr['shape'].shape.dim] == [-1, 28, 28, 1]
  weights = [name for name, _ in tf.train.list_variables(str(trained_dir))
             if name.startswith('LeNet/') and '/Adam' not in name]
  assert len(weights) == 8
  assert set(weights) <= set(nodes)
  assert not [name for name in nodes if 'dropout' in name and 'random' in name]


def test_a_graph_of_training_in_gray_as_text(tmp_path):
  done = scripts.run(
      'export_inference_graph', model_name='cifarnet', dataset_name='cifar10',
      batch_size=4, image_size=24, use_grayscale=True, is_training=True,
      write_text_graphdef=True, output_file=tmp_path / 'graph.pbtxt')
  assert done.returncode == 0, done.stderr
  from google.protobuf import text_format
  graph_def = text_format.Parse((tmp_path / 'graph.pbtxt').read_text(), tf.GraphDef())
  nodes = {node.name: node for node in graph_def.node}
  assert [dim.size for dim in nodes['input'].attr['shape'].shape.dim] == [4, 24, 24, 1]
  assert any(node.op == 'RandomUniform' for node in graph_def.node)


@pytest.mark.parametrize(('flags', 'words'), [
    ({}, ('no --output_file',)),
    ({'output_file': 'x.pb', 'model_name': 'i3d'}, ('video', '--num_frames=64')),
    ({'output_file': 'x.pb', 'is_video_model': True}, ('needs --num_frames',)),
    ({'output_file': 'x.pb', 'model_name': 'lenett'}, ("'lenet'",)),
], ids=lambda value: ' '.join(map(str, value)) if isinstance(value, dict) else '')
def test_mistaken_flags_of_graphs(flags, words):
  scripts.answer(scripts.run('export_inference_graph', **flags), *words, code=1)


@pytest.mark.parametrize(('name', 'difference', 'agreement'), [
    ('saved_model', 0.05, 0.98), ('frozen_graph', 0.05, 0.98), ('torch', 0.05, 0.98),
    ('keras', 0.05, 0.98), ('tflite', 0.2, 0.98), ('tflite_float16', 0.2, 0.98),
    ('onnx', 0.2, 0.98), ('openvino', 0.2, 0.98), ('tflite_dynamic_range', 0.5, 0.9),
    ('tflite_int8', 0.6, 0.85)])
def test_only_other_programs_may_round_a_quantized_network_otherwise(
    name, difference, agreement):
  assert formats.tolerance_of(name, is_quantized=True) == formats.Tolerance(
      difference, agreement)
  assert formats.tolerance_of(name, is_quantized=False) == (
      formats.FORMATS[name].tolerance)


def test_the_page_says_how_each_family_crops():
  page = ' '.join((ROOT / 'docs' / 'exporting.md').read_text(encoding='utf-8').split())
  for family, crop in preprocessing_families.CROPS.items():
    assert family in page
    assert crop in page
