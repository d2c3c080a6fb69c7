"""Every registered network equals its contract, number by number.

A contract states what a network must be for old checkpoints to mean the same:
its variables in order, its end points, its logits for weights that follow from
their names (`recipe.py`), and what training adds. A network without a contract
file is checked by the other registry tests only.
"""

import json
import pathlib

import numpy as np
import pytest

from slim_zoo.catalog import networks
from slim_zoo.nets import complexity, nets_factory
from slim_zoo.tf_compat import tf
from tests import recipe
from tests.evaluated_networks import (
  QUICKLY_BUILT,
  skip_as_another_width,
  skip_as_larger,
)

CONTRACTS = pathlib.Path(__file__).parent / 'data' / 'contracts'
NAMES = [name for name in networks.NETWORKS
         if (CONTRACTS / 'nets' / f'{name}.json').exists()]


@pytest.fixture(scope='module', params=NAMES)
def contract(request):
  return json.loads((CONTRACTS / 'nets' / f'{request.param}.json').read_text())


# The logits of a network up to this size are always checked, the largest on demand.
_LARGE = 25e6


@pytest.fixture(scope='module')
def weights(contract):
  """Values for all variables of one network, made once for its tests."""
  return {name: recipe.fill(name, shape, contract['seed'])
          for name, shape, _ in contract['variables']}


def load(session, weights, seed):
  """Gives each variable its value without a second copy in the graph."""
  variables = [variable for variable in tf.global_variables()
               if variable.dtype.is_floating]  # The global step is not a weight.
  for variable in variables:
    if variable.op.name not in weights:  # Those of training only.
      weights[variable.op.name] = recipe.fill(
          variable.op.name, variable.shape.as_list(), seed)
  session.run(
      [variable.initializer for variable in variables],
      {variable.initializer.inputs[1]: weights[variable.op.name]
       for variable in variables})


def relative_error(actual, expected):
  return np.abs(actual - expected).max() / np.abs(expected).max()


def describe(variables):
  trainable = {variable.ref() for variable in tf.trainable_variables()}
  return [[variable.op.name, variable.shape.as_list(), variable.ref() in trainable]
          for variable in variables]


def test_evaluation_equals_contract(contract, request):
  skip_as_larger(contract['name'], _LARGE)
  skip_as_another_width(contract['name'])
  weights = request.getfixturevalue('weights')
  network_fn = nets_factory.get_network_fn(contract['name'], contract['num_classes'])
  assert network_fn.default_image_size == contract['default_image_size']
  images = recipe.images(contract['input_shape'], contract['seed'])
  logits, end_points = network_fn(tf.constant(images))

  assert describe(tf.global_variables()) == contract['variables']
  assert list(end_points) == [name for name, *_ in contract['end_points']]
  with tf.Session() as session:
    load(session, weights, contract['seed'])
    logits, end_points = session.run([logits, end_points])

  expected = np.load(CONTRACTS / 'logits.npz')[contract['name']]
  assert relative_error(logits, expected) < 1e-4
  for name, shape, mean, deviation in contract['end_points']:
    assert list(end_points[name].shape) == shape, name
    scale = abs(mean) + deviation
    assert abs(end_points[name].mean() - mean) < 1e-4 * scale, name
    assert abs(end_points[name].std() - deviation) < 1e-4 * scale, name


def test_training_facts_equal_contract(contract, request):
  skip_as_larger(contract['name'])
  weights = request.getfixturevalue('weights')
  facts = contract['training']
  network_fn = nets_factory.get_network_fn(
      contract['name'], contract['num_classes'], facts['weight_decay'],
      is_training=True)
  logits, end_points = network_fn(tf.zeros(contract['input_shape']))

  assert len(tf.trainable_variables()) == facts['trainable_variables']
  assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == facts['update_ops']
  names = {name for name, *_ in contract['end_points']}
  assert [name for name in end_points if name not in names] == facts[
      'extra_end_points']
  known = {name for name, *_ in contract['variables']}
  added = {variable.op.name for variable in tf.global_variables()} - known
  assert sorted(added) == facts['extra_variables']

  penalties = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  assert len(penalties) == facts['regularization_losses']
  with tf.Session() as session:
    load(session, weights, contract['seed'])
    total = sum(session.run(penalties))
  assert total == pytest.approx(facts['regularization_loss_sum'], rel=1e-4)
  if contract['name'] not in QUICKLY_BUILT:  # Else `nets_registry_test` does so.
    outputs = [logits, *(
        tensor for name, tensor in end_points.items() if name == 'AuxLogits')]
    needed = {operation.name for operation in complexity.needed_operations(outputs)}
    assert {variable.op.name for variable in tf.trainable_variables()} <= needed
