"""Stochastic depth: which images lose which blocks, and that evaluation has all."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.config.training import TrainConfig
from slim_zoo.nets import layers, nets_factory, resnet_utils, resnet_v1, resnet_v2
from slim_zoo.tasks import training_input
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import determinism

NETWORKS = {'resnet_v1_50': 16, 'resnet_v1b_50': 16, 'resnet_v2_50': 16,
            'resnext_50': 16, 'se_resnet_v1_50': 16, 'mobilenet_v2_035': 17,
            'mobilenet_v3_small': 11, 'mobilenet_edgetpu': 22}


def test_rates_rise_linearly_from_the_image_to_the_last_block():
  np.testing.assert_allclose(layers.drop_rates(0.4, 4), [0.1, 0.2, 0.3, 0.4])
  assert layers.drop_rates(0.0, 2) == [0.0, 0.0]


def test_whole_images_are_dropped_and_the_mean_stays():
  residual = tf.ones([4000, 2, 3, 5])
  assert layers.drop_residual(residual, 0.0) is residual
  tf.set_random_seed(1)
  with tf.Session() as session:
    kept = session.run(layers.drop_residual(residual, 0.3))
  of_image = kept[:, 0, 0, 0]
  np.testing.assert_array_equal(kept, np.broadcast_to(
      of_image[:, None, None, None], kept.shape))
  assert set(np.round(of_image, 5)) == {0.0, np.round(np.float32(1 / 0.7), 5)}
  # Six standard deviations of the mean.
  assert abs((of_image == 0).mean() - 0.3) < 6 * np.sqrt(0.3 * 0.7 / 4000)
  assert abs(of_image.mean() - 1) < 6 * np.sqrt(0.3 / 0.7 / 4000)


@pytest.mark.parametrize('dtype', [tf.float16, tf.bfloat16])
def test_the_type_of_the_residual_stays(dtype):
  assert layers.drop_residual(tf.ones([2, 1, 1, 1], dtype), 0.5).dtype == dtype


@pytest.mark.parametrize(('network', 'block'), [
    (resnet_v1.resnet_v1, resnet_v1.resnet_v1_block),
    (resnet_v2.resnet_v2, resnet_v2.resnet_v2_block)])
def test_an_image_without_residuals_passes_by_the_shortcuts(
    network, block, monkeypatch):
  """With every residual dropped the convolutions of the units have no effect."""
  monkeypatch.setattr('slim_zoo.nets.resnet.drop_residual',
                      lambda residual, rate: residual * float(rate == 0))
  images = tf.constant(np.random.default_rng(0).normal(
      size=[2, 33, 33, 3]).astype(np.float32))
  with slim.arg_scope(resnet_utils.resnet_arg_scope()), slim.arg_scope(
      [resnet_utils.stack_blocks_dense], stochastic_depth=0.5):
    net, _ = network(images, [block('block1', 1, 2, 2), block('block2', 2, 2, 1)],
                     is_training=False, scope='tiny')
  residuals = [variable for variable in tf.trainable_variables()
               if '/conv2/' in variable.op.name]
  assert residuals
  gradients = [gradient for gradient in tf.gradients(net, residuals)
               if gradient is not None]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for gradient in session.run(gradients):
      assert not gradient.any()


def masks():
  return [op for op in tf.get_default_graph().get_operations()
          if op.type == 'RandomUniform' and 'stochastic_depth' in op.name]


@pytest.mark.parametrize('name', NETWORKS)
def test_each_residual_block_of_a_network_has_its_rate(name):
  images = tf.zeros([2, 32, 32, 3])
  nets_factory.get_network_fn(name, 3, is_training=True, stochastic_depth=0.34)(images)
  if name.startswith('mobilenet'):
    # Blocks without a shortcut are never dropped.
    shortcuts = [op for op in tf.get_default_graph().get_operations()
                 if op.type in ('AddV2', 'Add') and 'expanded_conv' in op.name
                 and op.name.rpartition('/')[2].startswith('add')
                 and op.outputs[0].shape.rank == 4]
    assert 4 < len(masks()) < NETWORKS[name]
    assert len(masks()) <= len(shortcuts)
  else:
    assert len(masks()) == NETWORKS[name]
  # The determinism of a resumed run draws the same numbers again.
  for op in masks():
    determinism.generators(op.outputs[0])


@pytest.mark.parametrize('name', ['resnet_v2_50', 'mobilenet_v2_035'])
def test_evaluation_and_the_default_build_the_same_graph(name):
  def operations(**options):
    with tf.Graph().as_default() as graph:
      nets_factory.get_network_fn(name, 3, **options)(tf.zeros([1, 32, 32, 3]))
      return [(op.name, op.type) for op in graph.get_operations()]

  assert operations() == operations(stochastic_depth=0.5)
  assert operations(is_training=True) == operations(
      is_training=True, stochastic_depth=0.0)


@pytest.mark.parametrize(('name', 'words'), [
    ('lenet', 'lenet has no residual blocks'),
    ('mobilenet_v1_025', 'has no residual blocks to leave out'),
    ('nasnet_mobile', 'leaves out paths of its cells already')])
def test_networks_without_residual_blocks_are_refused(name, words):
  with pytest.raises(diagnostics.UserError, match=f'--stochastic_depth=0.1: .*{words}'
                     if name == 'nasnet_mobile' else words):
    nets_factory.get_network_fn(name, 3, stochastic_depth=0.1)
  with pytest.raises(diagnostics.UserError, match=words):
    TrainConfig.from_options({'model_name': name, 'stochastic_depth': 0.1}
                             ).network.check()


def test_every_network_with_the_argument_is_in_the_catalog():
  for name, row in networks.NETWORKS.items():
    network = nets_factory.networks_map[name]
    module = getattr(network, '__module__', '')
    has_blocks = any(word in module for word in (
        'resnet_v', 'resnext', 'mobilenet_v2', 'mobilenet_v3')) and (
            'inception' not in module)
    assert row.has_stochastic_depth == has_blocks, name


def test_quantized_and_segmentation_networks_are_refused(digits_dir):
  config = TrainConfig.from_options({
      'model_name': 'mobilenet_v2_035', 'stochastic_depth': 0.1, 'quantize_delay': 0})
  with pytest.raises(diagnostics.UserError, match='the ranges of an addition'):
    config.quantization.check(config.precision, config.distribution, 0.1)


def test_the_network_of_a_run_drops_blocks():
  config = TrainConfig.from_options({
      'model_name': 'resnet_v1_50', 'stochastic_depth': 0.2, 'train_image_size': 32})
  network_fn, _ = training_input.network(config, 5, 'float32')
  network_fn(tf.zeros([2, 32, 32, 3]))
  assert len(masks()) == 16
