"""Exports to PyTorch say what the networks say, and their source can be read."""

import ast
import dataclasses
import itertools
import json
import struct

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.exporting import pixel_graph, to_torch
from slim_zoo.inference import inference_graph
from slim_zoo.tf_compat import tf
from tests import evaluated_networks, onnx_models, quantized_networks, torch_models

# One network of each kind, at about the smallest size that it takes.
FAMILIES = {
    'inception_v1': 33,        # branches
    'lenet': 28,               # gray, flattened features
    'mobilenet_v1_025': 33,    # depthwise, SAME with strides
    'mobilenet_v3_small': 32,  # squeeze-and-excitation, hard swish
    'resnet_v2_50': 33,        # vgg preprocessing, batch norm that is not folded
}
SMALLEST = {
    name: max(row.sizes.smallest, 32) for name, row in networks.NETWORKS.items()}
CHOSEN = [name for name, row in networks.NETWORKS.items() if not row.frames and (
    name in FAMILIES or evaluated_networks.EVERY_NETWORK in
    evaluated_networks.os.environ)]


def filters(*shape):
  return tf.constant(np.random.default_rng(1).normal(size=shape).astype(np.float32))


def at_the_end(net):
  """Returns [batch, classes], as a network does."""
  return tf.reshape(net, [-1, int(np.prod(net.shape[1:]))])


WINDOWS = {
    'convolution': lambda net, window, stride: tf.nn.conv2d(
        net, filters(window, window, 4, 6), stride, 'SAME'),
    'depthwise': lambda net, window, stride: tf.nn.depthwise_conv2d(
        net, filters(window, window, 4, 2), [1, stride, stride, 1], 'SAME'),
    'largest': lambda net, window, stride: tf.nn.max_pool2d(
        net, window, stride, 'SAME'),
    'average': lambda net, window, stride: tf.nn.avg_pool2d(
        net, window, stride, 'SAME'),
}
OPERATIONS = {
    'groups': lambda net: tf.nn.conv2d(net, filters(3, 3, 2, 6), 1, 'SAME'),
    'atrous': lambda net: tf.nn.conv2d(
        net, filters(3, 3, 4, 6), 1, 'SAME', dilations=2),
    'strides': lambda net: tf.nn.conv2d(net, filters(3, 2, 4, 6), [2, 1], 'VALID'),
    'explicit padding': lambda net: tf.nn.conv2d(
        net, filters(3, 3, 4, 6), 2, [[0, 0], [2, 1], [0, 3], [0, 0]]),
    'padding before': lambda net: tf.nn.conv2d(
        tf.pad(net, [[0, 0], [2, 2], [1, 1], [0, 0]]), filters(3, 3, 4, 6), 2, 'VALID'),
    'padding for two': lambda net: tf.concat([
        tf.nn.conv2d(padded := tf.pad(net, [[0, 0], [1, 1], [1, 1], [0, 0]]),
                     filters(3, 3, 4, 6), 2, 'VALID'), padded[:, ::2, ::2][:, :-1, :-1]
    ], 3),
    'bias': lambda net: tf.nn.bias_add(
        tf.nn.conv2d(net, filters(1, 1, 4, 6), 1, 'SAME'), filters(6)),
    'bias of what others read': lambda net: (
        layer := tf.nn.conv2d(net, filters(1, 1, 4, 4), 1, 'SAME'))
        + tf.nn.bias_add(layer, filters(4)),
    'padding': lambda net: tf.pad(
        net, [[0, 0], [1, 2], [0, 3], [0, 0]], constant_values=-5.0),
    'steps': lambda net: net[:, 1:, :-2:2, 1:3],
    'slice': lambda net: tf.slice(net, [0, 1, 0, 2], [-1, 3, 9, 2]),
    'constants': lambda net: net * filters(4) + filters(1, 9, 1, 1) + 2.0,
    'hard swish': lambda net: net * tf.nn.relu6(net + 3.0) * (1 / 6),
    'hard sigmoid': lambda net: tf.nn.relu6(net + 3.0) * (1 / 6),
    'nearly hard swish': lambda net: net * tf.nn.relu6(net + 2.0) * (1 / 6),
    'LRN': lambda net: tf.nn.lrn(net, 2, bias=0.7, alpha=0.3, beta=0.6),
    'mean over space': lambda net: tf.reduce_mean(net, [1, 2]),
    'mean over channels': lambda net: tf.reduce_mean(net, [3], keepdims=True),
    'flattened': lambda net: tf.matmul(tf.reshape(net, [-1, 324]), filters(324, 5)),
    'flattened for two': lambda net: tf.concat([
        flat := tf.reshape(net, [-1, 324]), flat @ filters(324, 5)], 1),
    'reshaped': lambda net: tf.reshape(net, [-1, 3, 3, 36]),
    'gates': lambda net: tf.reshape(
        tf.reduce_mean(net, [1, 2]), [-1, 1, 1, 4]) * net,
    'product with a bias behind': lambda net: tf.nn.bias_add(tf.reshape(
        tf.reduce_mean(net, [1, 2]) @ filters(4, 6), [-1, 1, 1, 6]), filters(6)),
    'a sum in a mean': lambda net: tf.reduce_mean(net + tf.nn.relu(net), [1, 2]),
    'a value that is read later': lambda net: tf.nn.relu(
        first := tf.nn.relu(net) * 2.0) + tf.sigmoid(first) + net + first,
    'names of Python': lambda net: tf.nn.relu(
        tf.nn.conv2d(net, filters(1, 1, 4, 4), 1, 'SAME', name='lambda/1x1/Conv2D'),
        name='net/forward'),
}
CASES = {**{f'{name} {size} {window} {stride}': (
    lambda net, build=build, window=window, stride=stride: build(net, window, stride),
    size) for name, build in WINDOWS.items()
            for size, window, stride in itertools.product((8, 9), (2, 3), (1, 2, 3))},
         **{name: (build, 9) for name, build in OPERATIONS.items()}}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """Returns the folder of all exports, and the logits of TensorFlow by name."""
  folder, expected = tmp_path_factory.mktemp('torch'), {}
  for name, (build, size) in CASES.items():
    values = np.random.default_rng(2).normal(size=[3, size, size, 4])
    with tf.Graph().as_default(), tf.Session() as session:
      images = tf.placeholder(tf.float32, [None, size, size, 4], 'images')
      logits = at_the_end(build(images))
      expected[name] = session.run(logits, {images: values})
      torch_models.write(folder / name, images, logits)
    np.save(folder / name / 'images.npy', values.astype(np.float32))
  for name in CHOSEN:
    size = FAMILIES.get(name, SMALLEST[name])
    network, trained = onnx_models.network(name, size), onnx_models.trained(name, size)
    trained = dataclasses.replace(trained, multi_label=name == 'lenet')
    to_torch.write(str(folder / name), trained, network.frozen)
    pixels = onnx_models.photos([3, size, size, trained.channels])
    with tf.Graph().as_default(), tf.Session() as session:
      scaled = pixel_graph.scaled(tf.constant(pixels), trained)
      expected[name] = session.run(network.frozen.attach(scaled)[0])
    np.save(folder / name / 'images.npy', pixels.astype(np.float32))
  return folder, expected


@pytest.fixture(scope='module')
def logits(written):
  """Returns the logits of PyTorch by name."""
  if not torch_models.has_torch():
    pytest.skip(torch_models.NO_TORCH)
  return torch_models.run(written[0])


@pytest.mark.parametrize('name', CASES)
def test_an_operation(name, written, logits):
  # TensorFlow has channels last where the flattened values of PyTorch have them too.
  np.testing.assert_allclose(logits[name], written[1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', CHOSEN)
def test_a_network(name, written, logits):
  assert onnx_models.off_by(logits[name], written[1][name]) < 1e-4


# --- Without PyTorch.


def header(path):
  """Returns the header of a safetensors file."""
  with open(path, 'rb') as file:
    (length,) = struct.unpack('<Q', file.read(8))
    return json.loads(file.read(length))


@pytest.mark.parametrize('name', CHOSEN)
def test_the_source_has_the_tensors_of_the_file(name, written):
  found = header(written[0] / name / to_torch.WEIGHTS)
  facts = found.pop('__metadata__')
  assert torch_models.names(written[0] / name) == {
      tensor: tuple(one['shape']) for tensor, one in found.items()}
  assert json.loads(facts['labels']) == [
      f'class {number}' for number in range(onnx_models.CLASSES)]
  assert (written[0] / name / to_torch.CARD).read_text().startswith(f'# {name} for')


@pytest.mark.parametrize('name', CHOSEN)
def test_the_source_needs_nothing_else_and_has_short_lines(name, written):
  text = (written[0] / name / to_torch.SOURCE).read_text()
  assert ('return logits.sigmoid()' in text) == (name == 'lenet')
  imported = set()
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.Import):
      imported |= {one.name.split('.')[0] for one in node.names}
    elif isinstance(node, ast.ImportFrom):
      imported.add(node.module.split('.')[0])
  assert imported <= {
      'collections', 'json', 'math', 'pathlib', 'safetensors', 'torch'}
  assert max(map(len, text.splitlines())) <= 88


def test_modules_have_the_names_of_the_scopes(written):
  text = (written[0] / 'resnet_v2_50' / to_torch.SOURCE).read_text()
  assert 'self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)' in text
  assert 'self.block1 = nn.Sequential(OrderedDict(' in text
  assert text.count('class BottleneckV2') <= 3
  assert len(text.splitlines()) < 250
  names = torch_models.names(written[0] / 'resnet_v2_50')
  assert names['block2.unit_1.conv2.weight'] == (128, 128, 3, 3)


@pytest.mark.parametrize(('build', 'words'), [
    (lambda net: tf.nn.elu(net, name='block1/curve'),
     "layer 'block1/curve': Elu is not in its table"),
    (lambda net: net[:, tf.newaxis], 'StridedSlice with new_axis_mask'),
    (lambda net: tf.nn.conv2d(net, tf.reshape(net[:1, :1, :1], [1, 1, 4, 1]), 1,
                              'SAME'), 'with weights that are not constant'),
], ids=['unknown', 'argument', 'weights'])
def test_what_is_not_translated_is_named_in_one_line(build, words):
  images = tf.placeholder(tf.float32, [None, 9, 9, 4])
  with pytest.raises(diagnostics.UserError) as raised:
    to_torch.translated(images, build(images), 'layers')
  assert words in str(raised.value)
  assert 'use --format=saved_model' in str(raised.value)
  assert '\n' not in str(raised.value)


def test_a_quantized_checkpoint_is_refused_in_one_line(tmp_path):
  trained, _ = quantized_networks.make(tmp_path, 'lenet', 28)
  network = inference_graph.of_network(trained)
  with pytest.raises(diagnostics.UserError, match=r'8-bit values.*--noquantize'):
    to_torch.write(str(tmp_path / 'model'), trained, network)
