"""What every registered network can do: a new row is tested by being there."""

import inspect
import json

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks, preprocessing_families, variables
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from tests.evaluated_networks import BUILT, QUICKLY_BUILT
from tests.nets_contract_test import CONTRACTS


def inputs(name, batch=None):
  """Returns a placeholder for images of a network, [batch, size, size, channels].

  For a video network, clips [batch, frames, size, size, channels], but short ones.
  """
  row = networks.NETWORKS[name]
  size = nets_factory.networks_map[name].default_image_size
  frames = [16] if row.frames else []
  return tf.placeholder(tf.float32, [batch, *frames, size, size, row.channels])


def has_contract(name):
  return (CONTRACTS / 'nets' / f'{name}.json').exists()


@pytest.mark.parametrize('name', list(networks.NETWORKS))
def test_row_is_complete(name):
  row = networks.NETWORKS[name]
  assert row.preprocessing in preprocessing_families.NAMES
  assert row.num_classes in (10, 400, 1000, 1001)
  assert any(character.isdigit() for character in row.paper)
  assert nets_factory.networks_map[name].default_image_size > 0
  assert callable(nets_factory.arg_scopes_map[name])


@pytest.mark.parametrize('name', [
    name for name in BUILT if name in QUICKLY_BUILT or not has_contract(name)])
def test_training_graph_is_sound(name):
  """The batch size is open, gradients reach every weight, heads are what they say.

  That is: another class count changes variables below the head scopes, and only
  those. One test, since to build the graph is most of its time. The gradients of a deep
  network with a contract are looked at in `nets_contract_test`.
  """
  network_fn = nets_factory.get_network_fn(name, 7, 1e-4, is_training=True)
  logits, end_points = network_fn(inputs(name))
  assert logits.shape.as_list() == [None, 7]
  assert logits.dtype == tf.float32

  labels = tf.one_hot(tf.zeros([tf.shape(logits)[0]], tf.int32), 7)
  losses = [tf.losses.softmax_cross_entropy(labels, logits)]
  if 'AuxLogits' in end_points:
    losses.append(tf.losses.softmax_cross_entropy(labels, end_points['AuxLogits']))
  trainable = tf.trainable_variables()
  gradients = tf.gradients(losses, trainable)
  assert [variable.op.name for gradient, variable in zip(
      gradients, trainable, strict=True) if gradient is None] == []

  shapes = {variable.op.name: variable.shape.as_list()
            for variable in slim.get_model_variables()}
  other = contract_shapes(name) or stored_shapes(name)
  heads = networks.NETWORKS[name].head_scopes
  assert set(other) == set(shapes)
  changed = {variable for variable in shapes if shapes[variable] != other[variable]}
  assert changed
  assert all(variable.startswith(heads) for variable in changed), changed
  assert all(any(variable.startswith(head) for variable in changed) for head in heads)


@pytest.mark.parametrize('name', list(filter(has_contract, networks.NETWORKS)))
def test_heads_hold_all_that_depends_on_the_classes(name):
  contract = json.loads((CONTRACTS / 'nets' / f'{name}.json').read_text())
  classes, heads = contract['num_classes'], networks.NETWORKS[name].head_scopes
  names = [variable for variable, *_ in contract['variables']]
  by_class = [variable for variable, shape, _ in contract['variables']
              if shape and shape[-1] == classes]
  assert by_class
  assert all(variable.startswith(heads) for variable in by_class)
  in_training = contract['training']['extra_variables']
  for head in heads:
    assert any(variable.startswith(head) for variable in [*names, *in_training]), head


def contract_shapes(name):
  """Returns the shapes of all variables for 1001 classes, None where not known.

  A contract gives no shapes of variables that only training adds.
  """
  path = CONTRACTS / 'nets' / f'{name}.json'
  if not path.exists():
    return None
  contract = json.loads(path.read_text())
  if contract['training']['extra_variables']:
    return None
  return {variable: shape for variable, shape, _ in contract['variables']}


def stored_shapes(name):
  """Returns the shapes for 5 classes, as `identify_test` finds them in the graph."""
  channels = networks.NETWORKS[name].channels
  sizes = {'classes': 5, 'channels': channels, '8*channels': 8 * channels}
  return {variable: [sizes.get(size, size) for size in shape]
          for variable, shape in variables.load()[name].shapes.items()
          if not variable.endswith('/global_step')}


@pytest.mark.parametrize('name', QUICKLY_BUILT)
def test_without_classes_features_are_returned_and_variables_reused(name):
  """None and 0 both leave out the head; a second build shares the variables."""
  images = inputs(name, 1)
  features, end_points = nets_factory.get_network_fn(name, None)(images)
  names = [variable.op.name for variable in tf.global_variables()]
  assert not {'Predictions', 'predictions', 'Logits', 'AuxLogits'} & set(end_points)
  assert features.shape[-1] > 1
  heads = networks.NETWORKS[name].head_scopes
  assert not any(variable.startswith(heads) for variable in names)
  if whole := contract_shapes(name):
    assert {variable for variable in whole if not variable.startswith(heads)} == set(
        names)

  arguments = {}
  if 'reuse' in inspect.signature(nets_factory.networks_map[name]).parameters:
    arguments['reuse'] = True
  with tf.variable_scope(tf.get_variable_scope(), reuse=not arguments):
    again, _ = nets_factory.get_network_fn(name, 0)(images, **arguments)
  assert [variable.op.name for variable in tf.global_variables()] == names
  assert again is not features
  assert again.shape == features.shape


def test_unknown_network_suggests_the_nearest():
  with pytest.raises(diagnostics.UserError, match="did you mean 'resnet_v1_50'"):
    nets_factory.get_network_fn('resnet_v150', 10)
  with pytest.raises(ValueError, match="no network 'nothing'"):
    nets_factory.get_network_fn('nothing', 10)


@pytest.mark.parametrize('name', ['lenet', 'cifarnet'])
def test_dropout_only_in_training(name):
  size = nets_factory.networks_map[name].default_image_size
  images = tf.constant(np.ones([2, size, size, 1], np.float32))
  evaluated, _ = nets_factory.get_network_fn(name, 5)(images)
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    trained, _ = nets_factory.get_network_fn(name, 5, is_training=True)(images)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    np.testing.assert_array_equal(session.run(evaluated), session.run(evaluated))
    assert np.abs(session.run(trained) - session.run(trained)).max() > 0


def test_weight_decay_and_arg_scope_are_those_asked_for():
  nets_factory.get_network_fn('lenet', 3, 0.0)(inputs('lenet', 1))
  assert not tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  tf.reset_default_graph()
  nets_factory.get_network_fn('lenet', 3, 0.5)(inputs('lenet', 1))
  assert len(slim.losses.get_regularization_losses()) == 4
