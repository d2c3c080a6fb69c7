"""Fake-quantized networks beyond their contracts: options, sharing, refusals."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.nets import mobilenet_v1, nets_factory
from slim_zoo.tf_compat import tf
from tests import recipe
from tests.quantization_contract_test import load

IMAGES = recipe.images([4, 32, 32, 3], 0)
# Two layers of each kind: enough for every place of MobileNet V1.
LAYERS = [mobilenet_v1.Conv([3, 3], 2, 16), mobilenet_v1.DepthSepConv([3, 3], 2, 24)]


def build(is_training=False, images=IMAGES, delay=0, **options):
  network_fn = nets_factory.get_network_fn(
      'mobilenet_v1_025', 3, is_training=is_training, quantize=True,
      quantize_delay=delay, quantize_options=options)
  return network_fn(tf.constant(images), conv_defs=LAYERS, final_endpoint=None,
                    dropout_keep_prob=1.0)[0]


def fake_quantizations(kind=''):
  return [operation for operation in tf.get_default_graph().get_operations()
          if operation.type.startswith('FakeQuant') and kind in operation.name]


@pytest.mark.parametrize('bits', [2, 4, 8])
def test_values_have_as_many_levels_as_bits(bits):
  build(weight_bits=bits, activation_bits=bits)
  weights = [operation.outputs[0] for operation in fake_quantizations('weights_quant')]
  activations = [operation.outputs[0] for operation in fake_quantizations('act_quant')]
  with tf.Session() as session:
    load(session, 0)
    weights, activations = session.run([weights, activations])
  # The range of weights is narrow: one level less, so that it can be symmetric.
  assert max(len(np.unique(value)) for value in weights) <= 2 ** bits - 1
  assert 2 < max(len(np.unique(value)) for value in activations) <= 2 ** bits


def test_channels_have_ranges_of_their_own():
  build(is_training=True, per_channel=True)
  quantized = fake_quantizations('weights_quant')
  assert {operation.type for operation in quantized} == {
      'FakeQuantWithMinMaxVarsPerChannel'}
  with tf.Session() as session:
    load(session, 0)
    for operation in quantized:
      weights, lowest, highest, rounded = session.run(
          [*operation.inputs, *operation.outputs])
      np.testing.assert_allclose(highest, np.abs(weights).max((0, 1, 2)), rtol=1e-6)
      np.testing.assert_array_equal(lowest, -highest)
      assert (np.abs(rounded - weights).max((0, 1, 2)) <= highest / 254 * 1.001).all()
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    stored = session.run(tf.global_variables('.*/weights_quant/max'))
  assert [value.shape for value in stored] == [
      tuple(operation.inputs[2].shape) for operation in quantized]


def test_symmetric_ranges():
  build(is_training=True, symmetric=True)
  with tf.Session() as session:
    load(session, 0)
    for operation in fake_quantizations('weights_quant'):
      lowest, highest = session.run(list(operation.inputs[1:]))
      assert lowest == -highest


def test_the_network_is_that_of_floats_before_the_delay():
  logits = build(is_training=True, delay=2)
  network_fn = nets_factory.get_network_fn('mobilenet_v1_025', 3, is_training=True)
  floats, _ = network_fn(tf.constant(IMAGES), conv_defs=LAYERS, final_endpoint=None,
                         dropout_keep_prob=1.0, reuse=True)
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  with tf.Session() as session:
    load(session, 0)
    first, expected = session.run([logits, floats])
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-5)
    session.run(updates)  # One step, with ranges learned.
    second, expected = session.run([logits, floats])
  assert np.abs(second - expected).max() > 1e-3


def test_batch_norm_freezes_after_its_delay():
  logits = build(is_training=True, batch_norm_freeze_delay=2)
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  moving = tf.global_variables('.*/moving_')
  with tf.Session() as session:
    load(session, 0)
    states = [session.run(moving)]
    for _ in range(3):
      session.run(updates)
      states.append(session.run(moving))
    trained = session.run(logits)
    weights = session.run({variable.op.name: variable
                           for variable in tf.global_variables()})
  assert not np.allclose(states[0][0], states[1][0], rtol=0, atol=1e-7)
  for before, after in zip(states[1], states[3], strict=True):
    np.testing.assert_array_equal(before, after)

  # Frozen, training computes as evaluation does, but for the ranges that it learns.
  tf.reset_default_graph()
  logits = build()
  with tf.Session() as session:
    session.run([variable.initializer for variable in tf.global_variables()],
                {variable.initializer.inputs[1]: weights[variable.op.name]
                 for variable in tf.global_variables()})
    evaluated = session.run(logits)
  step = np.diff(np.unique(evaluated)).min()
  assert np.abs(trained - evaluated).max() <= 3 * step


def test_clones_share_ranges():
  with tf.name_scope('clone_0'):
    build(is_training=True)
  alone = [variable.op.name for variable in tf.global_variables()]
  with (tf.name_scope('clone_1'),
        tf.variable_scope(tf.get_variable_scope(), reuse=True)):
    build(is_training=True)
  assert [variable.op.name for variable in tf.global_variables()] == alone
  assert 'MobilenetV1/MobilenetV1/Conv2d_0/act_quant/max' in alone
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  assert {update.name.split('/')[0] for update in updates} == {'clone_0', 'clone_1'}


def test_names_do_not_depend_on_an_earlier_network():
  build()
  alone = [variable.op.name for variable in tf.global_variables()]
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    build()
  assert [variable.op.name for variable in tf.global_variables()] == alone


@pytest.mark.parametrize(('name', 'options', 'message'), [
    ('lenet', {'compute_dtype': tf.float16}, 'computes in float32, not float16'),
    ('nasnet_mobile', {'data_format': 'NCHW'}, "'NHWC', not 'NCHW'"),
    ('lenet', {'quantize_delay': -1}, '-1 steps, it must be 0 or more'),
    ('lenet', {'quantize_options': {'weight_bits': 1}}, 'weight_bits is 1'),
])
def test_refusals(name, options, message):
  with pytest.raises(diagnostics.UserError, match=message):
    nets_factory.get_network_fn(name, 10, quantize=True, **options)
