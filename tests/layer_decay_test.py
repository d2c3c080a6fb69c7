"""--layer_decay: factors of the learning rate that fall from the head to the input."""

import numpy as np
import pytest

from slim_zoo.catalog import networks
from slim_zoo.config.training import TrainConfig
from slim_zoo.nets import nets_factory
from slim_zoo.tasks import training_report, training_updates
from slim_zoo.tf_compat import tf
from slim_zoo.training.updates import optimizers, updates, variable_groups


def build(name, size):
  network_fn = nets_factory.get_network_fn(name, 5, is_training=True)
  return network_fn(tf.zeros([2, size, size, networks.get_network(name).channels]))


def options_of(name, **given):
  return training_updates.update_options(
      TrainConfig.from_options({'model_name': name, **given}))


@pytest.mark.parametrize(('name', 'size', 'layers', 'first'), [
    ('lenet', 28, 4, 'LeNet/conv1'),
    ('mobilenet_v1_025', 32, 28, 'MobilenetV1/Conv2d_0'),
    ('resnet_v1_50', 32, 6, 'resnet_v1_50/conv1')])
def test_factors_fall_from_the_head_to_the_first_layer(name, size, layers, first):
  build(name, size)
  factors = updates.rate_factors(options_of(name, layer_decay=0.5))
  assert len(factors) == layers
  body = [factor for scope, factor in factors.items() if factor < 1]
  np.testing.assert_allclose(body, 0.5 ** np.arange(layers - 1, 0, -1))
  assert next(iter(factors)) == first
  for variable in tf.trainable_variables():
    assert variable_groups.factor_of(variable, factors) > 0
    is_head = variable.op.name.startswith(networks.get_network(name).head_scopes)
    assert (variable_groups.factor_of(variable, factors) == 1) == is_head


def test_without_decay_there_are_no_factors_and_given_ones_have_priority():
  build('lenet', 28)
  assert updates.rate_factors(options_of('lenet')) == {}
  factors = updates.rate_factors(options_of(
      'lenet', layer_decay=0.5, learning_rate_multipliers='LeNet/conv1:0,LeNet/fc4:7'))
  assert (factors['LeNet/conv1'], factors['LeNet/conv2'], factors['LeNet/fc4']) == (
      0, 0.25, 7)


def test_a_step_moves_each_layer_by_its_factor():
  """The steps of SGD are the gradients, times the factor of the layer."""
  build('lenet', 28)
  variables = tf.trainable_variables()
  factors = updates.rate_factors(options_of('lenet', layer_decay=0.5))
  optimizer = variable_groups.RateGroups(
      lambda rate: optimizers.get_optimizer('sgd', rate), tf.constant(0.1), factors)
  pairs = [(tf.ones_like(variable), variable) for variable in variables]
  step = optimizer.apply_gradients(pairs)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    before = session.run(variables)
    session.run(step)
    after = session.run(variables)
  for variable, old, new in zip(variables, before, after, strict=True):
    layer = variable.op.name.split('/')[1]
    wanted = 0.1 * 0.5 ** ['fc4', 'fc3', 'conv2', 'conv1'].index(layer)
    np.testing.assert_allclose(old - new, wanted, rtol=1e-3)


def test_the_banner_tells_of_the_smallest_factor():
  build('lenet', 28)
  config = TrainConfig.from_options({'model_name': 'lenet', 'layer_decay': 0.5})
  rows = training_report._learning_rate_rows(
      config, training_updates.schedule(config, 1000), 1000)
  assert '0.125 times that in LeNet/conv1' in str(rows)
