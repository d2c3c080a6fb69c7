"""Published 8-bit TensorFlow Lite files become quantized checkpoints."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.checkpoints import identified_network
from slim_zoo.exporting import to_tflite
from slim_zoo.inference import inference_graph
from slim_zoo.weight_conversion import from_tflite
from tests import quantized_networks, scripts

FILES = pathlib.Path(__file__).parent / 'data' / 'tflite'


def photographs(size, channels):
  """Returns uint8 images [6, size, size, channels]: whole ones and parts of them."""
  images = []
  for path in sorted(FILES.glob('*.bmp')):
    image = Image.open(path).convert('L' if channels == 1 else 'RGB')
    for box in (None, (0, 0, 64, 64), (24, 24, 88, 88)):
      part = image.resize((size, size), Image.Resampling.BILINEAR, box)
      images.append(np.asarray(part, np.uint8).reshape(size, size, channels))
  return np.stack(images)


@pytest.mark.parametrize(('name', 'size', 'channels', 'classes', 'per_channel'), [
    ('mobilenet_v1_0.25_128_quant', 128, 3, 1001, False),
    ('person_detect', 96, 1, 2, True)])
def test_a_published_file_becomes_a_checkpoint(
    name, size, channels, classes, per_channel, tmp_path, capfd):
  file, target = str(FILES / f'{name}.tflite'), str(tmp_path / 'model.ckpt')
  lines = from_tflite.convert(None, file, target)
  assert f'{classes} classes, images of {size} x {size} x {channels}' in lines[0]
  assert 'XNNPACK' not in capfd.readouterr().err

  network = identified_network.find(target)
  assert (network.model_name, network.num_classes) == ('mobilenet_v1_025', classes)
  # From the card beside it.
  assert (network.image_size, network.channels, network.use_grayscale) == (
      size, channels, channels == 1)
  assert network.quantized.per_channel == per_channel
  images = photographs(size, channels)
  graph = inference_graph.of_network(network)
  with graph.session() as session:
    logits = session.run(graph.logits, {graph.images: images / 127.5 - 1})
  expected = from_tflite._File(file).logits(images)
  step = np.diff(np.unique(np.round(logits, 4))).min()
  steps = np.abs(logits - expected) / step
  # Where a value is near the middle of two steps, the next layers may make more of it.
  assert steps.max() <= 3.01
  assert np.mean(steps <= 2.01) >= 0.9
  # The file's class is the checkpoint's, but for classes a step apart.
  best = np.take_along_axis(logits, expected.argmax(1)[:, None], 1)[:, 0]
  assert (best >= logits.max(1) - 1.01 * step).all()


def test_an_exported_file_with_a_dense_layer_becomes_its_checkpoint(tmp_path):
  trained, pixels = quantized_networks.make(tmp_path, 'lenet', 28, per_channel=True)
  file, target = str(tmp_path / 'model.tflite'), str(tmp_path / 'back.ckpt')
  to_tflite.write(
      file, 'tflite_int8', trained, inference_graph.of_network(trained))
  from_tflite.convert('lenet', file, target)
  back = dataclasses.replace(trained, checkpoint=target)
  images = pixels / 128 - 1
  logits = []
  for network in (trained, back):
    graph = inference_graph.of_network(network)
    with graph.session() as session:
      logits.append(session.run(graph.logits, {graph.images: images}))
  np.testing.assert_allclose(*logits, atol=0.05 * np.ptp(logits[0]))


@pytest.mark.parametrize(('model_name', 'message'), [
    ('mobilenet_v1', 'check --model_name'), ('mobilenet_v2', 'check --model_name'),
    ('mobilenet_v3_small', 'does not keep'), ('resnet_v1_50', 'vgg preprocessing')])
def test_another_network(model_name, message, tmp_path):
  with pytest.raises(diagnostics.UserError, match=message):
    from_tflite.convert(model_name, str(FILES / 'person_detect.tflite'),
                        str(tmp_path / 'model.ckpt'))


WHOLE = (FILES / 'person_detect.tflite').read_bytes()


@pytest.mark.parametrize(('content', 'message'), [
    (b'text', r'it has 4 bytes, and not TFL3 in bytes 4 to 7; name another --source'),
    (b'', 'it has 0 bytes'),
    (WHOLE[:8], 'is damaged: .* 8 bytes are cut off or changed; copy it again'),
    (WHOLE[:1000], 'is damaged'), (WHOLE[:len(WHOLE) // 2], 'is damaged')])
def test_what_is_no_file(content, message, tmp_path):
  (tmp_path / 'text.tflite').write_bytes(content)
  with pytest.raises(diagnostics.UserError, match=message):
    from_tflite.convert('mobilenet_v1_025', str(tmp_path / 'text.tflite'),
                        str(tmp_path / 'model.ckpt'))


def test_a_card_of_an_earlier_checkpoint_is_refused(tmp_path):
  (tmp_path / 'model.ckpt.card.json').write_text('{}')
  done = scripts.run(
      'convert-weights', model_name='mobilenet_v1_025',
      source=FILES / 'person_detect.tflite', target=tmp_path / 'model.ckpt')
  assert done.returncode != 0
  assert "model.ckpt.card.json' exists already: remove it" in done.stderr
