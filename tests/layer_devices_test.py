"""Layers of one clone on several logical devices."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import layer_devices, model_deploy
from slim_zoo.nets import resnet_v1, vgg
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import graph, losses
from slim_zoo.training.updates import learning_rates, updates
from tests import constant_batches, scripts
from tests.conftest import on_digits

CLASSES, STEPS = 5, 2
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=[2, 32, 32, 3]).astype(np.float32)
OF_CLONE, OTHER = '/device:CPU:0', '/device:CPU:1'


def small_vgg(images):
  with slim.arg_scope(vgg.vgg_arg_scope()):
    # The fully connected layers as convolutions, which take small images.
    return vgg.vgg_a(images, CLASSES, fc_conv_padding='SAME', global_pool=True)


def small_resnet(images):
  with slim.arg_scope(resnet_v1.resnet_arg_scope()):
    return resnet_v1.resnet_v1_50(
        images, CLASSES, min_base_depth=4, depth_multiplier=0.06)


def train(network, devices):
  """Returns the losses of a few steps, and the devices of all variables by name."""
  tf.reset_default_graph()
  tf.set_random_seed(1)
  batch = constant_batches.batch(IMAGES, [1, 3])
  built = graph.build(
      model_deploy.DeploymentConfig(clone_on_cpu=True), lambda: batch, network,
      losses.Recipe(CLASSES).add, learning_rates.Schedule('fixed', 0.01),
      tf.train.GradientDescentOptimizer,
      updates.UpdateOptions(gradients_with_layers=bool(devices)),
      devices_of_layers=devices)
  names = {op.name: op.device for op in tf.get_default_graph().get_operations()}
  with tf.Session(config=tf.ConfigProto(device_count={'CPU': 2})) as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    return [session.run(built.train_op) for _ in range(STEPS)], names


@pytest.mark.parametrize(('network', 'scopes', 'there', 'elsewhere'), [
    (small_vgg, ['vgg_a/fc6', 'vgg_a/fc7'], 'vgg_a/fc6/weights', 'vgg_a/fc8/weights'),
    (small_resnet, ['resnet_v1_50/block3', 'resnet_v1_50/block4'],
     'resnet_v1_50/block4/unit_1/bottleneck_v1/conv1/weights',
     'resnet_v1_50/block2/unit_1/bottleneck_v1/conv1/weights'),
])
def test_losses_are_those_of_one_device(network, scopes, there, elsewhere):
  expected, _ = train(network, None)
  found, devices = train(network, dict.fromkeys(scopes, OTHER))
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert (devices[there], devices[elsewhere]) == (OTHER, OF_CLONE)
  # Its gradients are computed where the layer is.
  of_gradients = {device for name, device in devices.items()
                  if name.startswith('gradients/' + there.rpartition('/')[0])}
  assert of_gradients == {OTHER}


def test_parameters_of_each_device():
  with tf.device(OF_CLONE), tf.device(layer_devices.placement(
      {'a/': OTHER, 'a/b': '/device:CPU:2'})):
    for name, size in (('a/x', 3), ('a/b/x', 4), ('c/x', 5), ('ab/x', 6)):
      tf.get_variable(name, [size])
  assert layer_devices.parameters(tf.trainable_variables()) == {
      'CPU:0': 11, 'CPU:1': 3, 'CPU:2': 4}


def test_a_scope_without_variables_is_refused():
  variable = tf.get_variable('vgg_16/fc6/weights', [2])
  with pytest.raises(diagnostics.UserError, match="did you mean 'vgg_16/fc6'"):
    layer_devices.check_scopes({'vgg_16/fc66': OTHER}, [variable])


def test_the_banner_shows_the_parameters_of_each_device(digits_dir, tmp_path):
  done = scripts.run('train_image_classifier', **on_digits(digits_dir),
                     train_dir=tmp_path, max_number_of_steps=1,
                     layer_devices='LeNet/fc3:1,LeNet/fc4:1')
  assert done.returncode == 0, done.stderr
  assert 'devices        CPU:0: 52.1 K parameters' in done.stdout
  assert 'CPU:1: 3.22 M parameters' in done.stdout


@pytest.mark.parametrize(('flags', 'words'), [
    ({'layer_devices': 'LeNet/fc3'}, 'SCOPE:NUMBER'),
    ({'layer_devices': 'LeNet/fc3:0.5'}, 'expected the number of a device'),
    ({'layer_devices': 'LeNet/fc3:1', 'num_clones': 2}, '--num_clones=2'),
    ({'layer_devices': 'LeNet/fc3:1,LeNet/fc4:1,LeNet/fc3:0'},
     "'LeNet/fc3' is there 2 times"),
    ({'layer_devices': 'LeNet/fc3:100000'}, 'expected a number from 0 to'),
    ({'layer_devices': 'LeNet/fc33:1'}, "did you mean 'LeNet/fc3'?"),
])
def test_wrong_layer_devices_are_one_line(digits_dir, flags, words):
  config = TrainConfig.from_options({**on_digits(digits_dir), **flags})
  with pytest.raises(diagnostics.UserError) as error:
    config.check()
  assert str(error.value).startswith('--layer_devices')
  assert words in str(error.value)
  assert '\n' not in str(error.value)
