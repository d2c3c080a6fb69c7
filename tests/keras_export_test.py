"""Keras models say what the networks say, without this project."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.exporting import pixel_graph, to_keras
from slim_zoo.exporting.keras_model import operations
from slim_zoo.tf_compat import tf
from tests import evaluated_networks, keras_models, onnx_models

# Networks whose layers no other of these has, at about the smallest size they take.
FAMILIES = {
    'cifarnet': 24,            # without batch norm; each image has a scale of its own
    'inception_v2': 33,        # concatenations, a separable convolution
    'lenet': 28,               # gray
    'mobilenet_v3_small': 32,  # squeeze-and-excitation, hard swish
    'resnet_v2_50': 33,        # vgg preprocessing, padding
}
SMALLEST = {
    name: max(row.sizes.smallest, 33) for name, row in networks.NETWORKS.items()}
CLIPS = [name for name, row in networks.NETWORKS.items() if row.frames]
# Of the spread of the logits.
TOLERANCE = 1e-4


def planned(name, size):
  """Returns the layers up to the logits, pixels, and the logits in TensorFlow."""
  trained, network = onnx_models.trained(name, size), onnx_models.network(name, size)
  source = pixel_graph.build(trained, network.frozen)
  plan = to_keras.planned(source.images, source.logits, to_keras.scope_of(name))
  pixels = onnx_models.photos([3, size, size, trained.channels])
  with tf.Session(graph=source.graph) as session:
    return plan, pixels, session.run(source.logits, {source.images: pixels})


def compare(plans, inputs, expected, folder):
  found = keras_models.outputs_of(plans, inputs, folder)
  for name, values in expected.items():
    assert found[name].shape == values.shape, name
    assert onnx_models.off_by(found[name], values) < TOLERANCE, name


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """Returns plans, TensorFlow's values and those of Keras, by name: one process."""
  plans, inputs, expected = {}, {}, {}
  for name, size in FAMILIES.items():
    plans[name], inputs[name], expected[name] = planned(name, size)
  values = np.random.default_rng(2).normal(size=[3, 8, 8, 4]).astype(np.float32)
  with tf.Graph().as_default(), tf.Session() as session:
    for name, build in OPERATIONS.items():
      images = tf.placeholder(tf.float32, [None, 8, 8, 4])
      output = build(images)
      plans[name], inputs[name] = to_keras.planned(images, output), values
      expected[name] = session.run(output, {images: values})
  return plans, expected, keras_models.outputs_of(
      plans, inputs, tmp_path_factory.mktemp('keras'))


@pytest.mark.parametrize('name', FAMILIES)
def test_a_network_of_each_family(name, made):
  _, expected, found = made
  assert found[name].shape == expected[name].shape
  assert onnx_models.off_by(found[name], expected[name]) < TOLERANCE


def test_layers_have_the_names_of_the_network(made):
  plans = {name: made[0][name] for name in FAMILIES}
  names = [layer.name for layer in plans['inception_v2'].layers]
  assert names[0] == to_keras.INPUT
  assert names[-1] == operations.LOGITS
  assert {'Conv2d_1a_7x7_depthwise', 'Conv2d_2b_1x1', 'Conv2d_2b_1x1_BatchNorm',
          'Mixed_3b_concat', 'MaxPool_2a_3x3', 'Logits_Conv2d_1c_1x1'} <= set(names)
  kinds = [layer.kind for plan in plans.values() for layer in plan.layers]
  # Of cifarnet: the scale of each image, and the norm over neighbouring channels.
  assert {kind for kind in kinds if kind.startswith('ops.')} == {
      'ops.divide', 'ops.maximum', 'ops.mean', 'ops.power', 'ops.sqrt', 'ops.square'}


@pytest.mark.parametrize('name', [
    name for name in networks.NETWORKS if name not in FAMILIES and name not in CLIPS])
def test_every_other_network(name, tmp_path):
  evaluated_networks.skip_unless_every_network()
  plan, pixels, expected = planned(name, SMALLEST[name])
  compare({name: plan}, {name: pixels}, {name: expected}, tmp_path)


@pytest.mark.parametrize('name', CLIPS)
def test_a_network_of_clips(name, tmp_path):
  evaluated_networks.skip_unless_every_network()
  network = onnx_models.network(name, 33).frozen
  clips = onnx_models.photos([16, 33, 33, 3]).reshape([2, 8, 33, 33, 3]) / 128 - 1
  with network.session() as session:
    expected = session.run(network.logits, {network.images: clips})
  compare({name: to_keras.planned(network.images, network.logits)}, {name: clips},
          {name: expected}, tmp_path)


def filters(*shape):
  return tf.constant(np.random.default_rng(1).normal(size=shape).astype(np.float32))


OPERATIONS = {
    'groups': lambda net: tf.nn.conv2d(net, filters(3, 3, 2, 6), 1, 'SAME'),
    'atrous': lambda net: tf.nn.conv2d(
        net, filters(3, 3, 4, 6), 1, 'SAME', dilations=2),
    'strides': lambda net: tf.nn.conv2d(net, filters(3, 2, 4, 6), [2, 1], 'VALID'),
    'odd padding': lambda net: tf.nn.conv2d(net, filters(3, 3, 4, 6), 2, 'SAME'),
    'explicit padding': lambda net: tf.nn.conv2d(
        net, filters(3, 3, 4, 6), 2, [[0, 0], [2, 1], [0, 3], [0, 0]]),
    'multiplier': lambda net: tf.nn.depthwise_conv2d(
        net, filters(3, 3, 4, 2), [1, 2, 2, 1], 'SAME'),
    'bias of what others read': lambda net: (
        layer := tf.nn.conv2d(net, filters(1, 1, 4, 4), 1, 'SAME'))
        + tf.nn.bias_add(layer, filters(4)),
    'average': lambda net: tf.nn.avg_pool2d(net, 3, 2, 'SAME'),
    'largest': lambda net: tf.nn.max_pool2d(net, 3, 2, 'SAME'),
    'padding and part': lambda net: tf.slice(
        tf.pad(net, [[0, 0], [0, 1], [2, 1], [0, 0]]), [0, 1, 1, 0], [-1, -1, 7, -1]),
    'LRN': lambda net: tf.nn.lrn(net, 2, bias=0.7, alpha=0.3, beta=0.6),
    'constants': lambda net: (net * filters(4) - 3.0) * -0.5 + filters(4),
    'means': lambda net: tf.reduce_mean(net, [1, 2], keepdims=True)
        - tf.reduce_mean(net, [3], keepdims=True),
    'gates': lambda net: tf.reshape(
        tf.sigmoid(tf.reduce_mean(net, [1, 2])), [-1, 1, 1, 4]) * tf.nn.relu6(net),
    'product': lambda net: tf.reshape(net, [-1, 256]) @ filters(256, 5) + filters(5),
}


@pytest.mark.parametrize('name', OPERATIONS)
def test_an_operation(name, made):
  _, expected, found = made
  np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_a_product_is_a_dense_layer(made):
  assert [layer.kind for layer in made[0]['product'].layers] == [
      'Input', 'Flatten', 'Dense']


@pytest.mark.parametrize(('build', 'words'), [
    (lambda net: tf.nn.elu(net, name='block1/curve'),
     "no translation of the layer 'block1/curve': Elu is not in its table"),
    (lambda net: tf.nn.conv2d(
        net, tf.reshape(tf.reduce_mean(net, [0, 1, 2]), [1, 1, 4, 1]), 1, 'SAME'),
     'with weights that are not constant'),
    (lambda net: tf.pad(net, [[0, 0], [0, 0], [0, 0], [1, 0]]), 'Pad of'),
    (lambda net: 2.0 - net, 'Sub from a constant'),
], ids=['unknown', 'weights', 'channels', 'constant'])
def test_what_is_not_translated_is_named_in_one_line(build, words):
  images = tf.placeholder(tf.float32, [None, 9, 9, 4])
  with pytest.raises(diagnostics.UserError) as raised:
    to_keras.planned(images, build(images))
  assert words in str(raised.value)
  assert 'use --format=saved_model' in str(raised.value)
  assert '\n' not in str(raised.value)
