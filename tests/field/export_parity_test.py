"""What is compared before an export is kept: which images, by which measure."""

import io

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.checkpoints.trained_network import TrainedNetwork
from slim_zoo.exporting import exported_runtime, formats, parity, to_tflite
from slim_zoo.inference import inference_graph
from slim_zoo.input import image_samples
from slim_zoo.tf_compat import tf
from tests import scripts
from tests.field.freeze_graph_test import CLASSES, write_checkpoint

TOLERANCES = {name: one.tolerance for name, one in formats.FORMATS.items()}
NAMES = tuple('abcde')


def logits_of(num_images, num_classes, size=2.0, seed=1):
  return np.random.default_rng(seed).normal(0, size, [num_images, num_classes])


def softmax(logits):
  powers = np.exp(logits - logits.max(axis=1, keepdims=True))
  return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def compared(found, expected, tolerance, **kwargs):
  return parity.compare('input', softmax(found), softmax(expected), tolerance, **kwargs)


@pytest.mark.parametrize('size', [0.01, 2.0], ids=['unsure', 'sure'])
@pytest.mark.parametrize('num_classes', [2, 10, 1001])
@pytest.mark.parametrize('name', formats.FORMATS)
def test_wrong_exports_are_off_and_right_ones_are_not(name, num_classes, size):
  """However small the probabilities are, and however near to one another."""
  tolerance = TOLERANCES[name]
  logits = logits_of(32, num_classes, size)
  shifted = logits.copy()
  shifted[:, num_classes // 2] += 2 * size
  wrong = {
      'reversed': logits[:, ::-1], 'shifted': shifted, 'scaled': logits * 2,
      'flattened': logits * 0.2, 'turned round': -logits,
      'the same for all': np.tile(logits.mean(axis=0), [32, 1]),
      'of other images': np.roll(logits, 1, axis=0)}
  for kind, found in wrong.items():
    assert not compared(found, logits, tolerance).passed, kind
  noise = logits_of(32, num_classes, size * tolerance.difference / 3, seed=2)
  assert compared(logits, logits, tolerance).passed
  if tolerance.agreement < 1:
    assert compared(logits + noise, logits, tolerance).difference <= (
        tolerance.difference)


@pytest.mark.parametrize('name', formats.FORMATS)
def test_a_constant_for_all_classes_is_no_difference(name):
  logits = logits_of(8, 10)
  assert compared(logits + 3.0, logits, TOLERANCES[name]).passed


def test_several_classes_at_once_are_compared_one_by_one():
  probabilities = 1 / (1 + np.exp(-logits_of(16, 4)))
  tolerance = TOLERANCES['tflite_int8']
  compare = lambda found: parity.compare(
      'input', found, probabilities, tolerance, multi_label=True)
  assert compare(probabilities).passed
  assert not compare(probabilities[:, ::-1]).passed
  assert not compare(1 - probabilities).passed


def test_probabilities_of_8_bits_are_compared_by_their_logits():
  """All of a thousand small probabilities are rounded to nothing, or to 1/256."""
  logits = logits_of(16, 1001, 1.0)
  tolerance = TOLERANCES['tflite_int8']
  rounded = np.round(softmax(logits) * 256) / 256
  noisy = softmax(logits + logits_of(16, 1001, 0.1, seed=3))
  found = parity.compare('input', rounded, softmax(logits), tolerance, noisy)
  assert found.difference < tolerance.difference
  assert parity.compare('input', rounded, softmax(logits), tolerance,
                        noisy[:, ::-1]).difference > 1


@pytest.mark.parametrize('flips', range(9))
def test_the_line_agrees_with_the_decision(flips):
  """Of 32 images some have another class, by a near tie each or not."""
  tolerance = formats.Tolerance(10, 0.85)
  logits = logits_of(32, 2, 0.01)
  logits[:, 0] = np.where(np.arange(32) % 2, 8, -8)
  found = logits.copy()
  found[:flips] = found[:flips, ::-1]
  one = compared(found, logits, formats.Tolerance(tolerance.difference, 0.85))
  printed = float(str(one).partition('top-1 agreement ')[2].partition('%')[0]) / 100
  assert one.passed == (printed >= 0.85)


def test_the_top_1_that_is_lost_is_said():
  expected = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]] * 0.8 + 0.05
  found = expected[[0, 1, 3, 3]]
  one = parity.compare('input', found, expected, TOLERANCES['tflite_int8'],
                       classes=np.array([0, 1, 2, -1]))
  assert one.top_1 == (1, pytest.approx(2 / 3))
  assert 'top-1 100.0% to 66.7% of 3: 33.3 points lost' in str(one)


# --- Which images.


@pytest.mark.parametrize('groups', [[200], [66, 66], [3, 500], [1] * 300, [132]])
def test_no_image_is_for_both_and_every_class_is_in_either(groups):
  places = image_samples.choose(groups, 32, 100)
  assert len(places.compared) == 32
  assert len(places.calibration) == 100
  assert not set(places.compared) & set(places.calibration)
  assert not places.note
  assert max(places.compared + places.calibration) < sum(groups)
  if len(groups) == 2:
    for part in (places.compared, places.calibration):
      assert {place < groups[0] for place in part} == {True, False}
  if len(groups) == 300:
    assert max(places.compared) > 250


@pytest.mark.parametrize(('total', 'numbers'), [
    (66, (16, 50)), (4, (1, 3)), (2, (1, 1))])
def test_few_images_are_shared_out(total, numbers):
  places = image_samples.choose([total], 32, 100)
  assert (len(places.compared), len(places.calibration)) == numbers
  assert f'{numbers[0]} compare' in places.note
  assert f'{numbers[1]} others' in places.note


def test_one_image_does_not_do_for_both():
  with pytest.raises(diagnostics.UserError, match='1 images are too few'):
    image_samples.choose([1], 32, 100)
  assert image_samples.choose([1], 32).compared == (0,)


# --- The uint8 input.


def picture(random, brightest, channels=3):
  pixels = random.integers(0, brightest + 1, [7, 7, channels], np.uint8)
  data = io.BytesIO()
  Image.fromarray(pixels.squeeze()).resize((28, 28), Image.NEAREST).save(data, 'PNG')
  return data.getvalue()


@pytest.mark.parametrize(('family', 'channels'), [
    ('inception', 3), ('vgg', 3), ('lenet', 1), ('cifarnet', 1)])
def test_the_uint8_input_is_pixels_whatever_it_is_calibrated_with(
    family, channels, tmp_path):
  random = np.random.default_rng(4)
  checkpoint = write_checkpoint(tmp_path, 'lenet', channels)
  what = TrainedNetwork(checkpoint, 'lenet', CLASSES, 28, channels, family,
                        class_names=tuple(NAMES))
  assert len(NAMES) == CLASSES
  dark = parity.read_pixels(what, [picture(random, 90, channels) for _ in range(12)])
  path = str(tmp_path / 'model.tflite')
  to_tflite.write(path, 'tflite_int8', what, inference_graph.of_network(what), dark)
  interpreter = tf.lite.Interpreter(path)
  (given,) = interpreter.get_input_details()
  assert given['dtype'] == np.uint8
  assert given['quantization'] == (1.0, 0)
  assert dark.max() <= 92
  # Raw pixels as bright as those that it is calibrated with say what they should.
  reference = parity.reference(what, [picture(random, 90, channels) for _ in range(12)])
  found = exported_runtime.run_tflite(path, reference.inputs)
  one = parity.compare('input', found['input'], reference.of_pixels,
                       TOLERANCES['tflite_int8'], found['input/unrounded'])
  assert one.passed, one


def test_images_of_folders_are_typed(tmp_path, trained_dir):
  """Two class folders of few dark images: the line says how they are shared out."""
  random = np.random.default_rng(5)
  for folder in ('first', 'second'):
    (tmp_path / 'images' / folder).mkdir(parents=True)
    for number in range(6):
      (tmp_path / 'images' / folder / f'{number}.png').write_bytes(
          picture(random, 120, 1))
  done = scripts.run(
      'export', checkpoint_path=trained_dir, images=tmp_path / 'images',
      export_dir=tmp_path / 'out', format='tflite_int8')
  assert ('12 images are fewer than the 132 asked for: 3 compare the export and 9'
          ' others calibrate it') in done.stdout + done.stderr
  assert 'of 3 images (at least 85%)' in done.stdout
