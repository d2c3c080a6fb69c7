"""Shared layers of networks: matrix products in the place of convolutions."""

import numpy as np
import pytest

from slim_zoo.nets import layers
from slim_zoo.tf_compat import slim, tf
from tests import recipe


def outputs_and_gradients(size, kernel, **arguments):
  """Returns the layer's operation types, and output and gradients beside expected."""
  tf.reset_default_graph()
  random = np.random.default_rng(3)
  inputs = tf.constant(random.normal(size=[2, *size, 3]).astype(np.float32))
  net = layers.conv2d_or_product(inputs, 5, kernel, scope='conv', **arguments)
  (weights,) = slim.get_variables_by_name('weights')
  values = random.normal(size=weights.shape).astype(np.float32)
  copy = tf.constant(values)
  expected = tf.nn.relu(tf.nn.conv2d(
      inputs, copy, arguments.get('stride', 1), arguments.get('padding', 'SAME')))
  types = [operation.type for operation in tf.get_default_graph().get_operations()]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    weights.load(values, session)
    return types, *session.run([
        [net, *tf.gradients(net * net, [inputs, weights])],
        [expected, *tf.gradients(expected * expected, [inputs, copy])]])


@pytest.mark.parametrize(('size', 'kernel', 'arguments', 'is_product'), [
    ((7, 7), 7, {'padding': 'VALID'}, True),
    ((2, 3), [2, 3], {'padding': 'VALID', 'stride': 2}, True),
    ((1, 1), 1, {}, True),
    ((7, 7), 7, {}, False),
    ((8, 7), 7, {'padding': 'VALID'}, False),
    ((2, 2), 1, {}, False),
])
def test_a_large_kernel_that_covers_the_map_is_a_matrix_product(
    monkeypatch, size, kernel, arguments, is_product):
  monkeypatch.setattr(layers, '_MANY_WEIGHTS', 15)
  types, found, expected = outputs_and_gradients(size, kernel, **arguments)
  assert types.count('MatMul') == is_product
  assert types.count('Conv2D') == 2 - is_product
  for value, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-4)


def test_a_small_kernel_stays_a_convolution():
  types, *_ = outputs_and_gradients((7, 7), 7, padding='VALID')
  assert 'MatMul' not in types


def test_a_product_takes_batches_of_any_size(monkeypatch):
  monkeypatch.setattr(layers, '_MANY_WEIGHTS', 1)
  images = tf.placeholder(tf.float32, [None, 4, 4, 3])
  net = layers.conv2d_or_product(images, 5, 4, padding='VALID')
  assert net.shape.as_list() == [None, 1, 1, 5]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for count in (0, 1, 6):
      assert session.run(net, {images: np.zeros([count, 4, 4, 3])}).shape == (
          count, 1, 1, 5)


def test_a_product_has_the_variables_names_and_penalties_of_the_convolution(
    monkeypatch):
  graphs = []
  for many_weights in (1, 10 ** 9):
    monkeypatch.setattr(layers, '_MANY_WEIGHTS', many_weights)
    tf.reset_default_graph()
    with slim.arg_scope(
        [slim.conv2d], activation_fn=tf.nn.elu, padding='VALID',
        weights_regularizer=slim.l2_regularizer(0.5), outputs_collections='ends',
        weights_initializer=tf.constant_initializer(2.0),
        biases_initializer=tf.constant_initializer(1.0)):
      net = layers.conv2d_or_product(tf.ones([1, 2, 3, 4]), 5, [2, 3], scope='fc')
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      graphs.append((
          net.op.name, net.shape.as_list(), session.run(net).tolist(),
          list(slim.utils.convert_collection_to_dict('ends')),
          [(variable.op.name, variable.shape.as_list())
           for variable in slim.get_model_variables()],
          [variable.op.name for variable in tf.trainable_variables()],
          session.run(tf.losses.get_regularization_losses())))
  assert graphs[0] == graphs[1]
  assert graphs[0][1:4] == ([1, 1, 1, 5], [[[[49.0] * 5]]], ['fc'])


@pytest.mark.parametrize('arguments', [
    {'normalizer_fn': slim.batch_norm}, {'biases_initializer': None}, {'rate': 2},
    {'data_format': 'NHWC'}])
def test_other_layers_stay_convolutions(monkeypatch, arguments):
  monkeypatch.setattr(layers, '_MANY_WEIGHTS', 1)
  with slim.arg_scope([slim.conv2d], **arguments):
    layers.conv2d_or_product(tf.ones([1, 1, 1, 4]), 5, 1)
  assert 'MatMul' not in [
      operation.type for operation in tf.get_default_graph().get_operations()]


@pytest.mark.parametrize(('activation', 'pad'), [
    (tf.nn.relu, 'Pad'), (tf.identity, 'PadV2')])
def test_symmetric_pool_pads_with_what_is_never_the_maximum(activation, pad):
  """With zeros after a ReLU, else with the lowest number, which 8 bits cannot hold."""
  images = activation(tf.constant(recipe.images([2, 7, 8, 3], 0)))
  pooled = layers.max_pool2d_symmetric(images, 3, 2)
  types = [operation.type for operation in tf.get_default_graph().get_operations()]
  assert [name for name in types if name.startswith('Pad')] == [pad]
  lowest = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]],
                  constant_values=tf.float32.min)
  expected = tf.nn.max_pool2d(lowest, 3, 2, 'VALID')
  with tf.Session() as session:
    np.testing.assert_array_equal(*session.run([pooled, expected]))
