"""ONNX models say in onnxruntime what the networks say."""

import numpy as np
import onnx
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.exporting import pixel_graph, to_onnx
from slim_zoo.exporting.onnx_graph import builder
from slim_zoo.tf_compat import tf
from tests import evaluated_networks, onnx_models

# Small networks of most kinds of operations, at about the smallest size that they take.
# `test_an_operation` has concatenations and groups.
FAMILIES = {
    'cifarnet': 24,            # without batch norm; each image has a scale of its own
    'lenet': 28,               # gray
    'mobilenet_v1_025': 33,    # depthwise, inception preprocessing
    'mobilenet_v3_small': 32,  # squeeze-and-excitation, hard swish
    'resnet_v2_50': 33,        # vgg preprocessing, batch norm that is not folded
}
SMALLEST = {
    name: max(row.sizes.smallest, 32) for name, row in networks.NETWORKS.items()}
CLIPS = [name for name, row in networks.NETWORKS.items() if row.frames]


@pytest.mark.parametrize('name', [
    name for name in networks.NETWORKS if name not in CLIPS])
def test_a_network(name, tmp_path):
  if name not in FAMILIES:
    evaluated_networks.skip_unless_every_network()
  size = FAMILIES.get(name, SMALLEST[name])
  network, trained = onnx_models.network(name, size), onnx_models.trained(name, size)
  to_onnx.write(str(tmp_path / 'model.onnx'), trained, network.folded)
  pixels = onnx_models.photos([5, size, size, trained.channels])
  with tf.Graph().as_default(), tf.Session() as session:
    scaled = pixel_graph.scaled(tf.constant(pixels), trained)
    expected = session.run(network.frozen.attach(scaled)[0])
  found = onnx_models.run(str(tmp_path / 'model.onnx'), pixels)
  assert found.shape == (5, onnx_models.CLASSES)
  assert onnx_models.off_by(found, expected) < 1e-4
  model = onnx.load(tmp_path / 'model.onnx')
  # Of the images; and of the features that a layer reads flattened.
  assert onnx_models.count(model, 'Transpose') <= 2
  images, (probabilities, logits) = model.graph.input[0], model.graph.output
  assert images.type.tensor_type.shape.dim[0].dim_param == 'batch'
  assert [images.name, probabilities.name, logits.name] == [
      'input:0', 'probabilities:0', 'logits:0']
  if name in FAMILIES:
    onnx_models.check(model)


@pytest.mark.parametrize('name', CLIPS)
def test_a_network_of_clips(name):
  if name != 's3dg':
    evaluated_networks.skip_unless_every_network()
  network = onnx_models.network(name, 33)
  model = to_onnx.translated(network.folded.images, {
      to_onnx.LOGITS: network.folded.logits})
  clips = onnx_models.photos([16, 33, 33, 3]).reshape([2, 8, 33, 33, 3]) / 128 - 1
  with network.frozen.session() as session:
    expected = session.run(network.frozen.logits, {network.frozen.images: clips})
  assert onnx_models.off_by(onnx_models.run(model, clips, (1,)), expected) < 1e-4
  onnx_models.check(model)


def model_of(build, shape=(None, 9, 9, 4)):
  """Returns a ModelProto of layers, and their values for three images."""
  images = tf.placeholder(tf.float32, shape, 'images')
  output = build(images)
  values = np.random.default_rng(2).normal(size=[3, *shape[1:]]).astype(np.float32)
  with tf.Session() as session:
    expected = session.run(output, {images: values})
  output.set_shape(expected.shape if shape[0] else [None, *expected.shape[1:]])
  return to_onnx.translated(images, {to_onnx.LOGITS: output}), values, expected


def filters(*shape):
  return tf.constant(np.random.default_rng(1).normal(size=shape).astype(np.float32))


SAME = [(size, window, stride) for size in (8, 9) for window in (2, 3)
        for stride in (1, 2, 3)]


@pytest.mark.parametrize(('size', 'window', 'stride'), SAME)
@pytest.mark.parametrize('build', [
    lambda net, window, stride: tf.nn.conv2d(
        net, filters(window, window, 4, 6), stride, 'SAME'),
    lambda net, window, stride: tf.nn.depthwise_conv2d(
        net, filters(window, window, 4, 2), [1, stride, stride, 1], 'SAME'),
    lambda net, window, stride: tf.nn.max_pool2d(net, window, stride, 'SAME'),
    lambda net, window, stride: tf.nn.avg_pool2d(net, window, stride, 'SAME'),
], ids=['convolution', 'depthwise', 'largest', 'average'])
def test_padding_depends_on_the_size(build, size, window, stride):
  model, values, expected = model_of(
      lambda net: build(net, window, stride), (None, size, size, 4))
  np.testing.assert_allclose(
      onnx_models.run(model, values, (1,)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('build', [
    lambda net: tf.nn.conv2d(net, filters(3, 3, 2, 6), 1, 'SAME'),
    lambda net: tf.nn.conv2d(net, filters(3, 3, 4, 6), 1, 'SAME', dilations=2),
    lambda net: tf.nn.conv2d(net, filters(3, 2, 4, 6), [2, 1], 'VALID'),
    lambda net: tf.nn.conv2d(
        net, filters(3, 3, 4, 6), 2, [[0, 0], [2, 1], [0, 3], [0, 0]]),
    lambda net: tf.nn.bias_add(tf.nn.conv2d(net, filters(1, 1, 4, 6), 1, 'SAME'),
                               filters(6)),
    lambda net: (layer := tf.nn.conv2d(net, filters(1, 1, 4, 4), 1, 'SAME'))
                + tf.nn.bias_add(layer, filters(4)),
    lambda net: tf.pad(net, [[0, 0], [1, 2], [0, 3], [0, 0]], constant_values=-5.0),
    lambda net: net[:, 1:, :-2:2, 1:3],
    lambda net: tf.slice(net, [0, 1, 0, 2], [-1, 3, 9, 2]),
    lambda net: tf.concat([net, filters(1, 9, 9, 2) * tf.reduce_mean(
        net, [1, 2, 3], keepdims=True)], axis=-1),
    lambda net: net * filters(4) + filters(1, 9, 1, 1) - 2.0,
    lambda net: tf.nn.lrn(net, 2, bias=0.7, alpha=0.3, beta=0.6),
    lambda net: tf.nn.softmax(net),
    lambda net: tf.reduce_mean(net, [1, 2]),
    lambda net: tf.reduce_mean(net, [3], keepdims=True),
    lambda net: tf.reduce_mean(net, [1]),
    lambda net: tf.reshape(net, [-1, 9 * 9 * 4]),
    lambda net: tf.reshape(net, [tf.shape(net)[0], 3, 3, 36]),
    lambda net: tf.reshape(tf.reduce_mean(net, [1, 2]), [-1, 1, 1, 4]) * net,
    lambda net: tf.squeeze(net[:, :1, :1], [1, 2]) @ filters(4, 5),
], ids=['groups', 'atrous', 'strides', 'explicit padding', 'bias',
        'bias of what others read', 'padding', 'steps', 'slice', 'concatenation',
        'constants', 'LRN', 'softmax', 'mean over space', 'mean over channels',
        'mean over height', 'flattened', 'reshaped', 'gates', 'product'])
def test_an_operation(build):
  model, values, expected = model_of(build)
  onnx_models.check(model)
  np.testing.assert_allclose(
      onnx_models.run(model, values, (1,)), expected, rtol=1e-4, atol=1e-5)


def test_a_bias_is_part_of_its_layer():
  model, *_ = model_of(lambda net: tf.nn.relu(tf.nn.bias_add(
      tf.nn.conv2d(net, filters(1, 1, 4, 6), 1, 'SAME'), filters(6))))
  assert [node.op_type for node in model.graph.node] == [
      'Transpose', 'Conv', 'Relu', 'Transpose']


@pytest.mark.parametrize(('build', 'words'), [
    (lambda net: tf.nn.elu(net, name='block1/curve'),
     "layer 'block1/curve': Elu is not in its table"),
    (lambda net: net[:, tf.newaxis], 'StridedSlice with new_axis_mask'),
    (lambda net: net @ filters(3, 9, 4, 4), 'BatchMatMul'),
    (lambda net: tf.nn.conv2d(net, tf.ones([1, 1, 4, 1]) * tf.reduce_mean(net), 1,
                              'SAME'), 'with weights that are not constant'),
], ids=['unknown', 'argument', 'product', 'weights'])
def test_what_is_not_translated_is_named_in_one_line(build, words):
  images = tf.placeholder(tf.float32, [None, 9, 9, 4])
  with pytest.raises(diagnostics.UserError) as raised:
    to_onnx.translated(images, {to_onnx.LOGITS: build(images)})
  assert words in str(raised.value)
  assert 'use --format=saved_model' in str(raised.value)
  assert '\n' not in str(raised.value)


def test_versions():
  model, *_ = model_of(tf.nn.relu)
  assert [(one.domain, one.version) for one in model.opset_import] == [
      ('', builder.OPSET)]
  # onnxruntime 1.12 reads no later one.
  assert model.ir_version == 8
