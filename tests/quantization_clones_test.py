"""Quantized training on several devices, and in several processes."""

import os

import numpy as np
import pytest

from slim_zoo.deployment import model_deploy
from slim_zoo.nets import mobilenet_v1, nets_factory
from slim_zoo.tf_compat import tf
from slim_zoo.training import graph, losses
from slim_zoo.training.updates import learning_rates, updates
from tests import constant_batches, recipe
from tests.all_reduce_test import run_program

CLASSES, STEPS = 3, 3
IMAGES = recipe.images([8, 32, 32, 3], 0)
LABELS = np.arange(8) % CLASSES
# Two layers of each kind: enough for every place of MobileNet V1.
LAYERS = [mobilenet_v1.Conv([3, 3], 2, 16), mobilenet_v1.DepthSepConv([3, 3], 2, 24)]
RANGE = 'MobilenetV1/MobilenetV1/Conv2d_0/act_quant/max'
SUM = f'MobilenetV1/MobilenetV1/Conv2d_0/act_quant/{RANGE}/biased'


def network(images):
  network_fn = nets_factory.get_network_fn(
      'mobilenet_v1_025', CLASSES, is_training=True, quantize=True, quantize_delay=2)
  return network_fn(images, conv_defs=LAYERS, final_endpoint=None,
                    dropout_keep_prob=1.0)


def build(num_clones, devices_of_layers=None, **deployment):
  tf.set_random_seed(0)
  return graph.build(
      model_deploy.DeploymentConfig(num_clones, **deployment),
      constant_batches.parts(IMAGES, LABELS, num_clones), network,
      losses.Recipe(CLASSES).add, learning_rates.Schedule('fixed', 0.01),
      tf.train.GradientDescentOptimizer,
      updates.UpdateOptions(gradients_with_layers=bool(devices_of_layers)),
      devices_of_layers=devices_of_layers)


def run(built):
  """Returns the loss of each step, and the variables of checkpoints by name."""
  variables = {variable.op.name: variable for variable in tf.global_variables()}
  with tf.Session(config=tf.ConfigProto(device_count={'CPU': 2})) as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    if built.copies:
      built.copies.broadcast(session)
    found = [session.run(built.train_op) for _ in range(STEPS)]
    if built.copies:
      built.copies.compare(session, STEPS)
    return found, session.run(variables)


def test_clones_with_variables_of_their_own_agree_on_the_ranges():
  _, alone = run(build(1, clone_on_cpu=True))
  tf.reset_default_graph()
  _, found = run(build(2, variables_on_clones=True,
                       clone_devices=['/device:CPU:0', '/device:CPU:1']))
  assert found.keys() == alone.keys()
  assert found['fake_quantization_step'] == STEPS
  # The range is the mean of those of the clones, and so is the sum behind it.
  weight = 1 - 0.999 ** STEPS
  assert found[RANGE] == pytest.approx(found[SUM] / weight, rel=1e-4)
  assert 0 < found[RANGE] < 2 * alone[RANGE]


def test_the_first_of_clones_that_share_variables_learns_the_ranges():
  _, found = run(build(2, clone_devices=['/device:CPU:0', '/device:CPU:1']))
  assert found['fake_quantization_step'] == STEPS
  assert found[SUM.replace('biased', 'local_step')] == STEPS


def test_layers_on_other_devices_learn_the_same_ranges():
  losses_, alone = run(build(1, clone_on_cpu=True))
  tf.reset_default_graph()
  scope = 'MobilenetV1/MobilenetV1/Conv2d_1_pointwise'
  found_losses, found = run(build(
      1, {scope: '/device:CPU:1'}, clone_on_cpu=True))
  np.testing.assert_allclose(found_losses, losses_, rtol=1e-4)
  assert found.keys() == alone.keys()
  assert found[RANGE] == pytest.approx(alone[RANGE], rel=1e-4)


@pytest.mark.skipif(not os.environ.get('EVERY_NETWORK'),
                    reason='several processes, on demand: EVERY_NETWORK=1')
def test_workers_agree_on_the_ranges(tmp_path):
  """The program compares checksums of all variables in the end."""
  first, second = run_program(tmp_path / 'two', 2, 'quantized')
  assert any(name.endswith('act_quant/max/biased') for name in first)
  for name, value in first.items():
    np.testing.assert_array_equal(value, second[name], name)
