"""NASNet and PNASNet beyond their contracts: hyperparameters, paths, formats, stops."""

import copy
import inspect

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.nets.nasnet import cell_stack, layers, nasnet, nasnet_utils, pnasnet
from slim_zoo.tf_compat import slim, tf

CELL_ARGUMENTS = (
    'num_conv_filters, drop_path_keep_prob, total_num_cells, total_training_steps,'
    ' use_bounded_activation=False')
BUILD_ARGUMENTS = (
    'images, num_classes, is_training=True, final_endpoint=None, config=None')
ONE_CELL = {'num_cells': 1, 'num_reduction_layers': 0}


def tiny(config, **changes):
  """Returns a config of two cells with one reduction between, 8 filters wide."""
  changes = {'num_cells': 2, 'num_reduction_layers': 1, 'num_conv_filters': 8,
             'total_training_steps': 100, **changes}
  for name, value in changes.items():
    config.set_hparam(name, value)
  return config


def build_cifar(images=None, num_classes=5, is_training=False, current_step=None,
                final_endpoint=None, **changes):
  """Builds a tiny NASNet with the stem for CIFAR."""
  images = tf.zeros([2, 16, 16, 3]) if images is None else images
  with slim.arg_scope(nasnet.nasnet_cifar_arg_scope()):
    return cell_stack.build(
        nasnet.FAMILY, 'cifar', images, num_classes, is_training,
        tiny(nasnet.cifar_config(), **changes), final_endpoint, current_step)


def variable_shapes():
  return {variable.op.name: variable.shape.as_list()
          for variable in tf.global_variables()}


def shapes(end_points):
  return {name: net.shape.as_list() for name, net in end_points.items()}


@pytest.mark.parametrize(('function', 'arguments'), [
    (nasnet.nasnet_cifar_arg_scope,
     'weight_decay=0.0005, batch_norm_decay=0.9, batch_norm_epsilon=1e-05'),
    (nasnet.nasnet_mobile_arg_scope,
     'weight_decay=4e-05, batch_norm_decay=0.9997, batch_norm_epsilon=0.001'),
    (nasnet.nasnet_large_arg_scope,
     'weight_decay=5e-05, batch_norm_decay=0.9997, batch_norm_epsilon=0.001'),
    (pnasnet.pnasnet_mobile_arg_scope,
     'weight_decay=4e-05, batch_norm_decay=0.9997, batch_norm_epsilon=0.001'),
    (nasnet.build_nasnet_cifar,
     'images, num_classes, is_training=True, config=None, current_step=None,'
     ' final_endpoint=None'),  # The last is ours: how far a backbone is built.
    (nasnet.build_nasnet_large, f'{BUILD_ARGUMENTS}, current_step=None'),
    (pnasnet.build_pnasnet_large, BUILD_ARGUMENTS),
    (nasnet_utils.NasNetANormalCell, CELL_ARGUMENTS),
    (pnasnet.PNasNetNormalCell, CELL_ARGUMENTS),
])
def test_arguments_and_defaults_are_the_old_ones(function, arguments):
  assert str(inspect.signature(function)) == f'({arguments})'


def test_batch_norm_decay_and_epsilon_reach_the_layers():
  with slim.arg_scope(nasnet.nasnet_cifar_arg_scope(0.1, 0.75, 0.01)):
    net = slim.batch_norm(tf.zeros([2, 4, 4, 3]), scope='norm')
  assert net.shape.as_list() == [2, 4, 4, 3]
  kernel = next(operation for operation in tf.get_default_graph().get_operations()
                if operation.type.startswith('FusedBatchNorm'))
  assert kernel.get_attr('epsilon') == pytest.approx(0.01)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    variance = next(variable for variable in tf.global_variables()
                    if variable.op.name == 'norm/moving_variance')
    np.testing.assert_allclose(session.run(variance), [0.75] * 3)


@pytest.mark.parametrize(('cells', 'reductions', 'places'), [
    (18, 2, [6, 12]), (12, 2, [4, 8]), (9, 2, [3, 6]), (12, 3, [3, 6, 9]), (7, 0, [])])
def test_reductions_part_the_cells_evenly(cells, reductions, places):
  assert nasnet_utils.calc_reduction_layers(cells, reductions) == places


def test_hyperparameters_are_set_by_name_and_copied():
  config = nasnet.mobile_imagenet_config()
  other = copy.deepcopy(config)
  config.set_hparam('use_aux_head', 0)
  config.data_format = 'NCHW'
  assert (config.use_aux_head, config.data_format) == (0, 'NCHW')
  assert other == nasnet.mobile_imagenet_config() != config
  with pytest.raises(ValueError, match="did you mean 'num_cells'"):
    config.set_hparam('num_cell', 3)
  with pytest.raises(AttributeError):
    config.num_cell = 3


@pytest.fixture
def keep_probs(monkeypatch):
  """The keep probabilities of the paths, in the order they were built in."""
  found = []

  @slim.add_arg_scope
  def drop_path(net, keep_prob, is_training=True):
    found.append(keep_prob)
    return net

  monkeypatch.setattr(layers, 'drop_path', drop_path)
  return found


def test_paths_drop_more_with_depth_and_time(keep_probs):
  # The step may be given, whatever the global step is.
  step = tf.placeholder(tf.int32, [])
  build_cifar(is_training=True, drop_path_keep_prob=0.4, current_step=step)
  by_cell = list({keep_prob.ref(): keep_prob for keep_prob in keep_probs}.values())
  # Not the identities: a normal cell has 8 other operations, a reduction cell 9.
  assert [sum(path is keep_prob for path in keep_probs) for keep_prob in by_cell] == [
      8, 9, 8]
  assert tf.train.get_global_step() is None
  with tf.Session() as session:
    for number, strength in ((0, 0), (50, 0.5), (100, 1), (250, 1)):
      np.testing.assert_allclose(
          session.run(by_cell, {step: number}),
          [1 - strength * 0.6 * depth for depth in (1 / 3, 2 / 3, 1)], rtol=1e-5)


def test_paths_follow_the_global_step(keep_probs):
  step = tf.train.create_global_step()
  build_cifar(is_training=True, drop_path_keep_prob=0.4, **ONE_CELL)
  with tf.Session() as session:
    session.run(step.initializer)
    assert session.run(keep_probs[-1]) == 1
    session.run(step.assign(100))
    assert session.run(keep_probs[-1]) == pytest.approx(0.4)


def test_no_path_is_dropped_in_evaluation_and_the_config_is_left_alone(keep_probs):
  config = tiny(nasnet.cifar_config(), **ONE_CELL)
  before = copy.deepcopy(config)
  with slim.arg_scope(nasnet.nasnet_cifar_arg_scope()):
    nasnet.build_nasnet_cifar(tf.zeros([1, 8, 8, 3]), 5, False, config)
  assert config == before
  assert not keep_probs
  assert tf.train.get_global_step() is None


def test_training_shares_the_variables_of_evaluation():
  build_cifar(**ONE_CELL)
  names = set(variable_shapes())
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    build_cifar(is_training=True, **ONE_CELL)
  assert set(variable_shapes()) - names == {'cell_0/comb_iter_0/left/global_step'}


@pytest.mark.parametrize(('data_format', 'stem', 'cell'), [
    ('NHWC', [2, 16, 16, 24], [2, 4, 4, 6 * 32]),
    ('NCHW', [2, 24, 16, 16], [2, 6 * 32, 4, 4])])
def test_training_has_auxiliary_logits_in_both_data_formats(data_format, stem, cell):
  logits, end_points = build_cifar(
      is_training=True, num_reduction_layers=2, data_format=data_format)
  assert logits.shape.as_list() == [2, 5]
  assert end_points['AuxLogits'].shape.as_list() == [2, 5]
  # A map of 8x8 is pooled to 2x2, all of which the convolution sees.
  assert variable_shapes()['aux_0/aux_logits/Conv/weights'] == [2, 2, 128, 768]
  assert end_points['Stem'].shape.as_list() == stem
  assert end_points['Cell_1'].shape.as_list() == cell


def test_training_can_do_without_the_auxiliary_logits():
  _, end_points = build_cifar(
      tf.placeholder(tf.float32, [None, None, None, 3]), is_training=True,
      use_aux_head=0, num_reduction_layers=2)
  assert 'AuxLogits' not in end_points
  assert not any(name.startswith('aux') for name in variable_shapes())


def test_an_image_too_small_for_the_auxiliary_logits_is_told():
  with pytest.raises(diagnostics.UserError,
                     match=r'at least 5x5, not 4x4: .* use_aux_head 0'):
    build_cifar(tf.zeros([2, 8, 8, 3]), is_training=True, num_reduction_layers=2)


@pytest.mark.parametrize('num_classes', [0, None])
def test_without_classes_the_pooled_features_are_returned(num_classes):
  net, end_points = build_cifar(
      num_classes=num_classes, is_training=True, **ONE_CELL)
  assert net is end_points['global_pool']
  assert net.op.name.startswith('final_layer/Mean')
  assert net.shape.as_list() == [2, 6 * 8]
  assert list(end_points) == ['Stem', 'Cell_0', 'global_pool']


def test_unknown_sizes_build_the_same_network():
  build_cifar(tf.placeholder(tf.float32, [None, 16, 16, 3]))
  expected = variable_shapes()
  tf.reset_default_graph()
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  logits, end_points = build_cifar(images)
  assert variable_shapes() == expected
  assert logits.shape.as_list() == [None, 5]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    maps = session.run(end_points['Cell_1'], {images: np.ones([1, 9, 12, 3])})
  assert maps.shape == (1, 5, 6, 96)


@pytest.mark.parametrize('bounded', [True, False])
def test_bounded_activations_stay_within_six(bounded):
  images = tf.reshape(tf.linspace(-900.0, 900.0, 1536), [2, 16, 16, 3])
  _, end_points = build_cifar(images, use_bounded_activation=bounded)
  kinds = {operation.type for operation in tf.get_default_graph().get_operations()
           if operation.type.startswith('Relu')}
  assert kinds == {'Relu6' if bounded else 'Relu'}
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    values = session.run([end_points['Cell_0'], end_points['Cell_1']])
  assert (max(np.abs(value).max() for value in values) <= 6) == bounded


@pytest.mark.parametrize(('skip', 'depth'), [(0, 6 * 8), (1, 3 * 8)])
def test_the_cell_after_a_reduction_may_skip_its_input(skip, depth):
  build_cifar(skip_reduction_layer_input=skip)
  # Without the skip cell_1 takes cell_0's output, with it that of the stem.
  assert variable_shapes()['cell_1/path1_conv/weights'] == [1, 1, depth, 8]


def test_stem_and_filter_scaling_set_the_depths():
  _, end_points = build_cifar(stem_multiplier=2.0, filter_scaling_rate=1.5)
  depths = {name: shape[-1] for name, shape in shapes(end_points).items()}
  assert depths == {
      'Stem': 16, 'Cell_0': 6 * 8, 'Reduction_Cell_0': 4 * 12, 'Cell_1': 6 * 12,
      'global_pool': 6 * 12, 'Logits': 5, 'Predictions': 5}


@pytest.mark.parametrize(('skip', 'scope'), [(1, 'prev_1x1'), (0, 'path1_conv')])
def test_pnasnet_reduces_inside_its_cell(skip, scope):
  config = tiny(pnasnet.mobile_imagenet_config(), skip_reduction_layer_input=skip)
  with slim.arg_scope(pnasnet.pnasnet_mobile_arg_scope()):
    net, end_points = pnasnet.build_pnasnet_mobile(
        tf.zeros([1, 65, 65, 3]), 5, False, 'Cell_1', config)
  assert net is end_points['Cell_1']
  assert shapes(end_points) == {
      'Stem': [1, 8, 8, 20], 'Cell_0': [1, 8, 8, 40], 'Cell_1': [1, 4, 4, 80]}
  assert any(name.startswith(f'cell_1/{scope}') for name in variable_shapes())


def test_the_network_stops_at_the_final_endpoint():
  with slim.arg_scope(nasnet.nasnet_mobile_arg_scope()):
    net, end_points = nasnet.build_nasnet_mobile(
        tf.zeros([3, 224, 224, 3]), 1000, final_endpoint='Cell_0')
  assert net is end_points['Cell_0']
  assert shapes(end_points) == {'Stem': [3, 28, 28, 88], 'Cell_0': [3, 28, 28, 264]}
  assert list(variable_shapes())[-1].startswith('cell_0/')


@pytest.mark.parametrize('final_endpoint', [
    'Stem', 'global_pool', 'Logits', 'Predictions'])
def test_every_end_point_can_be_the_final_one(final_endpoint):
  net, end_points = build_cifar(final_endpoint=final_endpoint, **ONE_CELL)
  assert net is end_points[final_endpoint]
  assert ('Cell_0' in end_points) == (final_endpoint != 'Stem')
  assert ('Logits' in end_points) == (final_endpoint in ('Logits', 'Predictions'))


@pytest.mark.parametrize(('num_classes', 'name'), [(5, 'Cell_12'), (None, 'Logits')])
def test_an_unknown_final_endpoint_is_told(num_classes, name):
  with pytest.raises(ValueError, match=rf"no end point '{name}'.*Cell_11, global_pool"):
    nasnet.build_nasnet_mobile(
        tf.zeros([1, 32, 32, 3]), num_classes, final_endpoint=name)
