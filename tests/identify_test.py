"""Checkpoints are recognized by their variables, whatever else is in them."""

import functools
import json
import pathlib

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks, variables
from slim_zoo.checkpoints import comparison, contents, identify
from slim_zoo.commands import networks as list_networks
from slim_zoo.nets import variables as building
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training.updates import optimizers
from tests.evaluated_networks import QUICKLY_BUILT, evaluated

CONTRACTS = pathlib.Path(__file__).parent / 'data' / 'contracts' / 'nets'
NAMES = list(networks.NETWORKS)
STORED = variables.load()


def sized(name, classes=5, channels=3, stored=None):
  """Returns the shapes of a network's variables for a data set."""
  sizes = {'classes': classes, 'channels': channels, '8*channels': 8 * channels}
  shapes = (stored or STORED[name]).shapes
  return {variable: tuple(sizes.get(size, size) for size in shape)
          for variable, shape in shapes.items()}


def without(shapes, *parts):
  return {name: shape for name, shape in shapes.items()
          if not any(part in name for part in parts)}


def best(shapes):
  """Returns the nearest network, which must fit."""
  match = identify.identify(shapes, limit=1)[0]
  assert match.fits, match
  return match


@pytest.mark.parametrize('name', [
    name for name in NAMES
    if name in QUICKLY_BUILT or (CONTRACTS / f'{name}.json').exists()])
def test_stored_variables_are_those_of_the_network(name):
  """Of the contract, which the graph is held to; without one, of the graph."""
  stored = variables.load().get(name)
  again = f'slim-zoo networks --measure --filter={name}'
  assert stored, again
  path = CONTRACTS / f'{name}.json'
  if path.exists():
    contract = json.loads(path.read_text())
    expected = {variable: tuple(shape) for variable, shape, _ in contract['variables']}
    # Its graph had no global step yet when NASNet's drop path asked for one.
    extra = [variable for variable in contract['training']['extra_variables']
             if not variable.endswith('/global_step')]
    actual = sized(name, contract['num_classes'], contract['input_shape'][-1])
  else:
    expected, extra = evaluated(name).variables, []
    row = networks.NETWORKS[name]
    actual = sized(name, row.num_classes, row.channels)
  assert {variable: actual.get(variable) for variable in expected} == expected, again
  assert sorted(set(actual) - set(expected)) == sorted(extra), again
  # An evaluation restores the rest.
  assert sorted(filter(comparison.in_training_alone, actual)) == sorted(extra), again
  assert stored.depth_multiplier == building.default_width(name), again


@pytest.mark.parametrize('name', ['lenet', 'inception_v2', 'mobilenet_v1_025'])
def test_measuring_finds_what_depends_on_the_data(name):
  """Equals what is stored, so the command that writes the table would write it."""
  assert building.measure(name) == variables.load()[name]


def test_table_reads_back_as_written(tmp_path):
  path = tmp_path / 'variables.json'
  stored = variables.load()
  variables.save(stored, path)
  assert variables.load(path) == stored
  assert path.read_bytes() == variables.PATH.read_bytes()
  assert path.stat().st_size < 200_000
  path.write_text(path.read_text()[:-500])
  with pytest.raises(diagnostics.UserError, match=r'damaged.*--measure'):
    variables.load(path)


def test_storing_keeps_what_is_stored_of_others(tmp_path, capsys):
  path = tmp_path / 'variables.json'
  kept = {name: STORED[name] for name in ('vgg_16', 'lenet')}
  variables.save({**kept, 'lenet': variables.Variables({'a/b': (1, 'classes')})}, path)
  list_networks.store_variables([networks.NETWORKS['lenet']], path)
  assert variables.load(path) == kept
  assert capsys.readouterr().out == '[1/1] variables of lenet\n'


def as_trained(shapes):
  """Adds what a run with RMSProp and moving averages keeps."""
  return {**shapes, 'global_step': (), **{
      f'{name}/{kept}': shape for name, shape in shapes.items()
      for kept in ('RMSProp', 'RMSProp_1', 'ExponentialMovingAverage')}}


CHECKPOINTS = {
    'published': lambda name: sized(name, networks.NETWORKS[name].num_classes),
    'trained': lambda name: as_trained(sized(name)),
    'gray images': lambda name: sized(name, 7, channels=1),
    'averages alone': lambda name: {
        f'{variable}/ExponentialMovingAverage': shape
        for variable, shape in sized(name).items()},
    'another scope': lambda name: {
        f'module/net/{variable}': shape for variable, shape in sized(name).items()},
    'with others beside': lambda name: {
        **sized(name), 'box_predictor/weights': (3, 3, 64, 24), 'beta1_power': (),
        'global_step': ()},
    'without head': lambda name: without(
        sized(name), *networks.NETWORKS[name].head_scopes, 'AuxLogits', 'aux_logits'),
}


@pytest.mark.parametrize('kind', list(CHECKPOINTS))
def test_every_network_is_recognized(kind):
  for name in NAMES:
    match = best(CHECKPOINTS[kind](name))
    assert match.network == name
    assert match.channels == {'gray images': 1}.get(kind, 3)
    assert match.num_classes == {
        'without head': None, 'gray images': 7,
        'published': networks.NETWORKS[name].num_classes}.get(kind, 5)
    assert match.renamed == (kind == 'another scope')
    assert match.beside == (
        ['box_predictor/weights'] if kind == 'with others beside' else [])
    has_auxiliary = any('aux' in variable.lower() for variable in sized(name))
    assert match.auxiliary == (
        (kind != 'without head') if has_auxiliary else None), name


@pytest.mark.parametrize(('name', 'scope', 'rule'), [
    ('mobilenet_v2', 'FeatureExtractor/MobilenetV2', 'MobilenetV2'),
    ('resnet_v1_50', 'module.backbone', 'resnet_v1_50'),
    ('nasnet_mobile', 'tower', '')])
def test_body_in_a_scope_of_ones_own_is_recognized(name, scope, rule):
  """Its top scope may have another name altogether."""
  own = comparison.known(name, STORED[name]).own_scope
  shapes = {scope + '/' + variable[len(own):].lstrip('/'): shape
            for variable, shape in sized(name).items()}
  match = best(shapes)
  assert (match.network, match.scope, match.own_scope) == (name, scope, rule)


def test_auxiliary_head_may_be_absent_and_of_another_image_size():
  shapes = sized('nasnet_mobile')
  match = best(without(shapes, 'aux_7'))
  assert (match.network, match.auxiliary) == ('nasnet_mobile', False)
  shapes['aux_7/aux_logits/Conv/weights'] = (3, 3, 128, 768)
  match = best(shapes)
  assert match.network == 'nasnet_mobile'
  assert [name for name, *_ in match.heads_mismatched] == [
      'aux_7/aux_logits/Conv/weights']


def test_image_size_shows_in_fully_connected_layers():
  match = best({**sized('lenet'), 'LeNet/fc3/weights': (16 * 16 * 64, 1024)})
  assert (match.network, match.image_size) == ('lenet', 64)
  wrong = identify.identify({**sized('lenet'), 'LeNet/fc3/weights': (3137, 1024)})[0]
  assert not wrong.fits
  assert wrong.mismatched == [('LeNet/fc3/weights', (3137, 1024), (3136, 1024))]


@pytest.mark.parametrize(('name', 'arguments'), [
    ('mobilenet_v1', {'depth_multiplier': 0.33}),
    ('mobilenet_v2', {'depth_multiplier': 0.6, 'finegrain_classification_mode': True}),
    ('mobilenet_v3_large', {'depth_multiplier': 0.75})])
def test_width_that_is_no_row_is_found(name, arguments):
  build = functools.cache(building.measure)  # Each width takes seconds.
  shapes = as_trained(sized(name, stored=build(name, **arguments)))
  assert not identify.identify(shapes)[0].fits
  match = identify.find_width(shapes, build)
  assert match.fits
  assert (match.network, match.arguments, match.num_classes) == (name, arguments, 5)
  assert match.depth_multiplier == arguments['depth_multiplier']


def test_nothing_is_built_for_a_checkpoint_that_differs_in_more_than_width():
  def build(*_, **__):
    raise AssertionError('a network was built')

  shapes = sized('mobilenet_v2')
  last = next(name for name in shapes if name.endswith('Conv_1/weights'))
  for strange in ({**shapes, last: (3, 3, 320, 640)}, without(shapes, 'Conv_1'),
                  {'fc/weights': (3, 4)}):
    assert identify.find_width(strange, build) is None


def test_another_network_is_answered_by_the_nearest_and_what_differs():
  shapes = sized('vgg_16')
  shapes['vgg_16/conv5/conv5_4/weights'] = (3, 3, 512, 512)
  del shapes['vgg_16/fc7/biases']
  shapes['vgg_16/conv1/conv1_1/biases'] = (32,)
  match = identify.identify(shapes)[0]
  assert not match.fits
  assert match.network == 'vgg_16'
  assert match.unexpected == ['vgg_16/conv5/conv5_4/weights']
  assert match.missing == ['vgg_16/fc7/biases']
  assert match.mismatched == [('vgg_16/conv1/conv1_1/biases', (32,), (64,))]
  assert 0.85 < match.likeness < 1


def test_network_inside_a_deeper_one_is_not_taken_for_it():
  """All of vgg_a is in this one, with the same shapes."""
  shapes = {name.replace('vgg_16', 'mine'): shape
            for name, shape in without(sized('vgg_16'), 'conv3_3').items()}
  assert not any(match.fits for match in identify.identify(shapes, limit=None))


def test_nothing_in_common_has_no_nearest():
  assert identify.identify({'dense/kernel': (3, 4), 'global_step': ()}) == []


def test_advice_names_the_network_to_use():
  shapes = as_trained(sized('mobilenet_v2_140'))
  assert identify.advice(shapes, 'mobilenet_v2') == (
      'this is a checkpoint of mobilenet_v2_140, of width 1.4: use'
      ' --model_name=mobilenet_v2_140')
  assert identify.advice(shapes, 'mobilenet_v2_140') is None
  assert identify.advice({'x/weights': (1,)}, 'lenet') is None
  assert 'resnet_v1_50: use' in identify.advice(sized('resnet_v1_50'), 'vgg_16')


OPTIONS = {
    'adadelta_rho': 0.9, 'opt_epsilon': 1.0, 'adagrad_initial_accumulator_value': 0.1,
    'adam_beta1': 0.9, 'adam_beta2': 0.9, 'ftrl_learning_rate_power': -0.5,
    'ftrl_initial_accumulator_value': 0.1, 'ftrl_l1': 0.0, 'ftrl_l2': 0.0,
    'momentum': 0.9, 'rmsprop_decay': 0.9, 'rmsprop_momentum': 0.9,
    'weight_decay': 1e-4, 'lars_trust_coefficient': 0.001}


@pytest.mark.parametrize('name', optimizers.NAMES)
def test_what_training_keeps_is_told_from_weights(name):
  """Of a graph with the optimizer, moving averages and batch norm."""
  net = slim.fully_connected(tf.zeros([2, 4]), 3, normalizer_fn=slim.batch_norm,
                             scope='hidden')
  loss = tf.reduce_sum(slim.fully_connected(net, 2, scope='logits'))
  weights = {variable.op.name for variable in slim.get_model_variables()}
  step = tf.train.get_or_create_global_step()
  chosen = {option: OPTIONS[option] for option in optimizers.options_of(name)}
  optimizers.get_optimizer(name, 0.1, **chosen).minimize(loss, step)
  tf.train.ExponentialMovingAverage(0.9, step).apply(slim.get_model_variables())
  found = contents.sort({variable.op.name: tuple(variable.shape.as_list())
                         for variable in tf.global_variables()})
  assert set(found.weights) == found.averages == weights
  trained = {variable.op.name for variable in tf.trainable_variables()}
  assert all(set(of) == trained for of in found.slots.values())
  # The two differ in the update, not in what they keep.
  assert found.optimizers == {'sgd': [], 'nesterov': ['momentum']}.get(name, [name])
  assert 'global_step' in found.others
  assert not found.only_averages


def test_corrected_statistics_and_averages_alone_are_sorted():
  found = contents.sort({
      'a/moving_mean': (3,), 'a/moving_mean/biased': (3,),
      'a/moving_mean/local_step': (), 'b/weights/ExponentialMovingAverage': (2, 3),
      'c/weights/Adam_1': (4,)})
  assert found.weights == {'a/moving_mean': (3,), 'b/weights': (2, 3)}
  assert found.only_averages == {'b/weights'}
  assert found.slots == {'Adam_1': ['c/weights']}
  assert found.others == ['a/moving_mean/biased', 'a/moving_mean/local_step']
  assert np.all([isinstance(shape, tuple) for shape in found.weights.values()])
