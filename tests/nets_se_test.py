"""ResNeXt and squeeze-and-excitation: timm's logits, published sizes, every unit."""

import json
import pathlib

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.nets import (
  inception_blocks,
  inception_resnet_v2,
  inception_v2,
  nets_factory,
  resnet_utils,
  resnet_v1,
  resnet_v2,
  resnext,
  rows,
)
from slim_zoo.nets.layers import grouped_conv2d, squeeze_excitation
from slim_zoo.tf_compat import slim, tf
from tests import recipe
from tests.evaluated_networks import skip_as_larger
from tests.nets_contract_test import CONTRACTS, describe, load, relative_error

TIMM_LOGITS = pathlib.Path(__file__).parent / 'data/se_contracts/timm_logits.npz'
SEED = 7

# Millions of trainable parameters with 1000 classes, as model cards have them.
PUBLISHED = {
    'se_resnet_v1_50': 28.09,
    'se_resnet_v1_101': 49.33,
    'se_resnet_v1_152': 66.82,
    'resnext_50': 25.03,
    'resnext_101': 44.18,
    'se_resnext_50': 27.56,
    'se_resnext_101': 48.96,
}
BRANCHES = ((rows.Conv('Conv2d_1x1', 1, 3),),)


def values(*shape):
  return np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


def run(*tensors):
  with tf.Session() as session:
    tf.set_random_seed(0)
    session.run(tf.global_variables_initializer())
    return session.run(list(tensors))


def size_of(variables):
  return sum(int(np.prod(variable.shape.as_list())) for variable in variables)


def gates():
  """Returns the scopes of the SE blocks of the default graph, in order."""
  ending = '/squeeze_excite/Conv/weights'
  return [variable.op.name.removesuffix(ending) for variable in tf.global_variables()
          if variable.op.name.endswith(ending)]


@pytest.mark.parametrize('name', PUBLISHED)
def test_size_is_the_published_one_and_logits_are_timms(name):
  skip_as_larger(name, 30e6)
  images = recipe.images((2, 75, 96, 3), SEED)
  logits, _ = nets_factory.get_network_fn(name, 1000)(tf.constant(images))
  assert round(size_of(tf.trainable_variables()) / 1e6, 2) == PUBLISHED[name]
  weights = {
      variable.op.name: recipe.fill(variable.op.name, variable.shape.as_list(), SEED)
      for variable in tf.global_variables()}
  with tf.Session() as session:
    load(session, weights, SEED)
    logits = session.run(logits)
  expected = np.load(TIMM_LOGITS)[name]
  assert relative_error(logits, expected) < 1e-5
  # What the images do to the logits is much smaller than the logits are.
  assert relative_error(logits[0] - logits[1], expected[0] - expected[1]) < 1e-4


@pytest.mark.parametrize(('name', 'modules', 'blocks'), [
    ('inception_v4', 3 + 4 + 1 + 7 + 1 + 3, 0),
    ('inception_resnet_v2', 3, 10 + 20 + 10)])
def test_inception_gets_one_block_a_unit_and_keeps_its_variables(name, modules, blocks):
  contract = json.loads((CONTRACTS / 'nets' / f'{name}.json').read_text())
  scope = contract['variables'][0][0].split('/')[0]
  logits, end_points = nets_factory.get_network_fn(
      f'se_{name}', contract['num_classes'])(
          tf.zeros(contract['input_shape']), scope=scope)

  assert logits.shape == end_points['AuxLogits'].shape
  kept = [variable for variable in describe(tf.global_variables())
          if '/squeeze_excite/' not in variable[0]]
  assert kept == contract['variables']
  depths = {gate: tf.trainable_variables(
      f'{gate}/squeeze_excite/Conv/weights')[0].shape[2] for gate in gates()}
  assert sum('/Mixed_' in gate for gate in depths) == modules
  assert sum('/Block' in gate or '/block' in gate for gate in depths) == blocks
  for gate, depth in depths.items():
    if '/Mixed_' in gate:
      assert depth == end_points[gate.split('/')[1]].shape[3]
    # Equation 5 of the paper, and the biases.
    assert size_of(tf.trainable_variables(f'{gate}/squeeze_excite/')) == (
        2 * depth * (depth // 16) + depth + depth // 16)


UNITS = {
    'resnet_v1': lambda net: resnet_v1.bottleneck(net, 8, 4, 1),
    'resnet_v2': lambda net: resnet_v2.bottleneck(net, 8, 4, 1),
    'inception': lambda net: inception_blocks.mixed(net, BRANCHES, 'Mixed'),
    'inception_resnet': lambda net: inception_resnet_v2.block8(net, 0.2),
}
HOOKS = [resnet_v1.bottleneck, resnet_v2.bottleneck, inception_blocks.mixed,
         inception_resnet_v2.scaled_residual]


@pytest.mark.parametrize('unit', UNITS)
def test_any_unit_is_squeezed_and_excited_through_the_arg_scope(unit):
  net = tf.constant(values(2, 5, 5, 8))
  UNITS[unit](net)
  assert gates() == []
  tf.reset_default_graph()
  with slim.arg_scope(HOOKS, attention_fn=squeeze_excitation):
    UNITS[unit](tf.constant(values(2, 5, 5, 8)))
  assert len(gates()) == 1


@pytest.mark.parametrize(('unit', 'expected'), [
    ('resnet_v1', lambda net: np.maximum(net + 2, 0)),
    ('resnet_v2', lambda net: net + 2),
    ('inception', lambda net: np.full([2, 5, 5, 3], 2)),
    ('inception_resnet', lambda net: np.maximum(net + 0.2 * 2, 0))])
def test_attention_comes_last_in_the_residual_or_module(unit, expected):
  net = values(2, 5, 5, 8)
  with slim.arg_scope(HOOKS, attention_fn=lambda seen: 0 * seen + 2):
    (output,) = run(UNITS[unit](tf.constant(net)))
  np.testing.assert_allclose(output, expected(net), atol=1e-6)


# A dilated network dilates the convolutions of the block too, to no effect.
@pytest.mark.parametrize('rate', [1, 2])
def test_squeeze_excitation_is_the_papers_formula(rate):
  net = values(2, 3, 4, 8)
  with slim.arg_scope([slim.conv2d], rate=rate, normalizer_fn=slim.batch_norm,
                      activation_fn=tf.nn.relu6):
    scaled = squeeze_excitation(tf.constant(net), reduction=4)
  names = [variable.op.name for variable in tf.trainable_variables()]
  assert names == [f'squeeze_excite/{layer}/{kind}' for layer in ('Conv', 'Conv_1')
                   for kind in ('weights', 'biases')]
  with tf.Session() as session:
    weights = {name: recipe.fill(name, shape.as_list()) for name, shape in zip(
        names, [variable.shape for variable in tf.trainable_variables()], strict=True)}
    load(session, weights, 0)
    scaled = session.run(scaled)
  squeeze, squeeze_bias, excite, excite_bias = (weights[name] for name in names)
  assert squeeze.shape == (1, 1, 8, 2)
  hidden = np.maximum(net.mean((1, 2)) @ squeeze[0, 0] + squeeze_bias, 0)
  gate = 1 / (1 + np.exp(-(hidden @ excite[0, 0] + excite_bias)))
  np.testing.assert_allclose(scaled, net * gate[:, None, None], rtol=1e-5)


def test_reduction_is_set_by_the_arg_scope_and_leaves_a_unit_at_least():
  net = tf.placeholder(tf.float32, [None, None, None, 24])
  with slim.arg_scope([squeeze_excitation], reduction=8):
    assert squeeze_excitation(net).shape.as_list() == [None, None, None, 24]
  with tf.variable_scope('narrow'):
    squeeze_excitation(net[..., :4])
  assert [variable.shape.as_list() for variable in tf.trainable_variables(
      r'.*Conv/weights')] == [[1, 1, 24, 3], [1, 1, 4, 1]]


def test_attention_refuses_channels_first():
  with slim.arg_scope([inception_blocks.mixed], attention_fn=squeeze_excitation):
    with pytest.raises(diagnostics.UserError, match="data_format='NHWC'"):
      inception_v2.inception_v2_base(
          tf.placeholder(tf.float32, [1, 3, 64, 64]), data_format='NCHW',
          use_separable_conv=False)


@pytest.mark.parametrize(('stride', 'rate'), [(1, 1), (2, 1), (1, 2)])
def test_grouped_convolution_and_its_gradients_are_those_of_the_groups(stride, rate):
  net = tf.constant(values(2, 9, 7, 12))
  output = grouped_conv2d(net, 8, 3, groups=4, stride=stride, rate=rate,
                          activation_fn=None)
  weights, biases = tf.trainable_variables()
  assert weights.shape.as_list() == [3, 3, 3, 8]
  assert biases.shape.as_list() == [8]
  expected = tf.concat([
      tf.nn.conv2d(group, kernel, strides=stride, padding='SAME', dilations=rate)
      for group, kernel in zip(
          tf.split(net, 4, 3), tf.split(weights, 4, 3), strict=True)], 3)
  mask = tf.constant(values(*output.shape.as_list()))
  actual = tf.gradients(output * mask, [net, weights])
  wanted = tf.gradients(expected * mask, [net, weights])
  pairs = run(output, expected, actual[0], wanted[0], actual[1], wanted[1])
  for one, other in zip(pairs[::2], pairs[1::2], strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_grouped_convolution_follows_the_arg_scope_of_resnets():
  with slim.arg_scope(resnet_utils.resnet_arg_scope(weight_decay=0.5)):
    output = grouped_conv2d(tf.zeros([1, 4, 4, 4]), 4, 3, groups=2, scope='conv')
  assert output.op.type == 'Relu'
  assert [variable.op.name for variable in slim.get_model_variables()] == [
      'conv/weights', 'conv/BatchNorm/gamma', 'conv/BatchNorm/beta',
      'conv/BatchNorm/moving_mean', 'conv/BatchNorm/moving_variance']
  assert len(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)) == 1


@pytest.mark.parametrize('module', [resnet_v1, resnet_v2])
@pytest.mark.parametrize('stride', [1, 2])
def test_units_of_both_versions_take_groups(module, stride):
  net = module.bottleneck(tf.zeros([1, 6, 6, 8]), 16, 8, stride, groups=4)
  assert net.shape.as_list() == [1, 6 // stride, 6 // stride, 16]
  (weights,) = tf.trainable_variables('.*/conv2/weights')
  assert weights.shape.as_list() == [3, 3, 2, 8]


@pytest.mark.parametrize(('channels', 'depth'), [(6, 8), (8, 6)])
def test_groups_must_divide_both_depths(channels, depth):
  with pytest.raises(diagnostics.UserError, match='groups 4 does not divide'):
    grouped_conv2d(tf.zeros([1, 4, 4, channels]), depth, 3, groups=4)


@pytest.mark.parametrize(('height', 'width'), [(7, 7), (8, 8), (6, 9)])
def test_symmetric_pool_sees_all_sides_alike(height, width):
  net = values(2, height, width, 3) - 2  # Zeros in the padding would win.
  (pooled,) = run(resnet_utils.max_pool2d_symmetric(tf.constant(net), 3, 2))
  seen = lambda center: slice(max(center - 1, 0), center + 2)
  expected = [[net[:, seen(row), seen(column)].max((1, 2))
               for column in range(0, width, 2)] for row in range(0, height, 2)]
  np.testing.assert_array_equal(pooled, np.transpose(expected, [2, 0, 1, 3]))


def tiny(images, num_classes=None, is_training=False, attention_fn=squeeze_excitation,
         **arguments):
  """Builds a ResNeXt of two units a block and groups of one or a few channels."""
  blocks = [
      resnext.resnext_block(f'block{number}', depth, 2, stride, 4, 16)
      for number, (depth, stride) in enumerate(((4, 1), (8, 2), (16, 2), (32, 2)), 1)]
  with slim.arg_scope(resnet_utils.resnet_arg_scope(batch_norm_decay=0.9)):
    with slim.arg_scope([resnet_v1.bottleneck], attention_fn=attention_fn):
      return resnet_v1.resnet_v1(images, blocks, num_classes, is_training,
                                 symmetric_pool=True, scope='tiny', **arguments)


@pytest.mark.parametrize('output_stride', [4, 8, 16])
def test_dilated_groups_keep_the_features(output_stride):
  """A stride in the first unit dilates what comes after it.

  Without gates, since these see another average at another resolution.
  """
  images = tf.constant(values(1, 65, 65, 3))
  build = lambda **arguments: tiny(
      images, attention_fn=None, global_pool=False, **arguments)[0]
  dense, nominal = build(output_stride=output_stride), build(reuse=True)
  assert dense.shape[1] == -(-65 // output_stride)
  dense, nominal = run(resnet_utils.subsample(dense, 32 // output_stride), nominal)
  np.testing.assert_allclose(dense, nominal, atol=1e-4)


def test_units_that_take_the_stride_are_the_first_of_their_blocks():
  _, end_points = resnext.se_resnext_50(tf.placeholder(tf.float32, [1, 224, 224, 3]))
  sizes = {name.split('/', 1)[1]: net.shape[1] for name, net in end_points.items()
           if name.endswith('bottleneck_v1')}
  assert [sizes[f'block{block}/unit_{unit}/bottleneck_v1'] for block in range(1, 5)
          for unit in (1, 3)] == [56, 56, 28, 28, 14, 14, 7, 7]


def test_groups_and_gates_train():
  """A tiny SE-ResNeXt learns which half of an image is the bright one."""
  random = np.random.RandomState(0)
  images, labels = random.uniform(-1, 1, [32, 32, 32, 3]), np.arange(32) % 2
  images[labels == 0, :16] += 0.5
  images[labels == 1, 16:] += 0.5
  tf.set_random_seed(0)
  logits, _ = tiny(tf.constant(images, tf.float32), 2, is_training=True)
  loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
  step = slim.learning.create_train_op(loss, tf.train.AdamOptimizer(0.01))
  gate = tf.trainable_variables('tiny/block1/unit_1/.*Conv_1/weights')[0]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    before = session.run(gate)
    losses = [session.run(step) for _ in range(30)]
    assert np.abs(session.run(gate) - before).max() > 0
  assert losses[-1] < 0.1 * losses[0]
