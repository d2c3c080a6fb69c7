"""What is frozen stays as it is to the last bit, its statistics and averages too."""

import ast
import types

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.deployment import model_deploy
from slim_zoo.evaluation import checkpoint_evaluation
from slim_zoo.nets import nets_factory, normalization
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training.updates import optimizers, updates, variable_groups
from slim_zoo.training.updates.learning_rates import Schedule
from tests import scripts
from tests.conftest import ROOT, on_digits


def images(size=32, channels=3):
  return tf.random.stateless_uniform([4, size, size, channels], [1, 2])


def small_network(is_training, frozen_batch_norm_scopes=()):
  """Returns the function of a network of three layers with batch norm."""
  def network_fn(net):
    with (slim.arg_scope([slim.conv2d], normalizer_fn=normalization.batch_norm),
          slim.arg_scope([slim.batch_norm], is_training=is_training, scale=True,
                         decay=0.9),
          normalization.frozen_batch_norm(frozen_batch_norm_scopes)):
      for name in ('one', 'two', 'three'):
        net = slim.conv2d(net, 4, 3, stride=2, scope=f'Small/{name}')
    return slim.fully_connected(
        tf.reduce_mean(net, [1, 2]), 2, activation_fn=None, scope='Small/logits'), {}

  return network_fn


def build(network, inputs, num_clones=1, **options):
  """Returns the update of a network that learns to tell two classes."""
  frozen = (*options.get('frozen_scopes', ()),
            *options.get('frozen_batch_norm_scopes', ()))
  network_fn = small_network(True, frozen) if network == 'small' else (
      nets_factory.get_network_fn(
          network, 2, 0.01, is_training=True, frozen_batch_norm_scopes=frozen))

  def model_fn():
    logits, end_points = network_fn(inputs)
    tf.losses.sparse_softmax_cross_entropy([0, 1, 1, 0], logits)
    return types.SimpleNamespace(images=inputs), logits, end_points

  config = model_deploy.DeploymentConfig(num_clones, clone_on_cpu=True)
  clones = model_deploy.create_clones(config, model_fn)
  return updates.make_train_op(
      clones, config, Schedule('fixed', 0.05),
      lambda rate: optimizers.get_optimizer(
          'rmsprop', rate, rmsprop_decay=0.9, rmsprop_momentum=0.9, opt_epsilon=1.0),
      updates.UpdateOptions(**options))


def by_name(session):
  return dict(zip([variable.op.name for variable in tf.global_variables()],
                  session.run(tf.global_variables()), strict=True))


def before_and_after(update, steps=3):
  tf.set_random_seed(1)
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    before = by_name(session)
    for _ in range(steps):
      session.run(update.train_op)
    return before, by_name(session)


def changed(before, after):
  return {name for name, value in before.items()
          if not np.array_equal(value, after[name])}


@pytest.mark.parametrize(('network', 'num_clones', 'averages', 'frozen', 'trained'), [
    ('mobilenet_v1_025', 1, None,
     ('MobilenetV1/Conv2d_0', 'MobilenetV1/Conv2d_5_pointwise'),
     'MobilenetV1/Conv2d_1_depthwise'),
    ('small', 1, 0.5, ('Small/one', 'Small/three'), 'Small/two'),
    ('small', 2, 0.5, ('Small/one', 'Small/three'), 'Small/two')])
def test_frozen_scopes_stay_bit_identical(
    network, num_clones, averages, frozen, trained):
  update = build(network, images(), num_clones=num_clones, frozen_scopes=frozen,
                 moving_average_decay=averages)
  before, after = before_and_after(update)
  frozen_names = {name for name in before if name.startswith(frozen)}
  # Weights, gamma, beta, both statistics, and the moving average of each.
  assert len(frozen_names) == 2 * 5 * (2 if averages else 1)
  moved = changed(before, after)
  assert not moved & frozen_names
  # All else has moved, and nothing frozen has a slot.
  assert {name for name in set(before) - frozen_names
          if 'beta' in name or 'moving_' in name} <= moved
  assert not [name for name in before
              if name.startswith(frozen) and 'RMSProp' in name]
  assert f'{trained}/BatchNorm/gamma/RMSProp' in before


def test_frozen_scopes_without_batch_norm():
  update = build('lenet', images(28, 1), frozen_scopes=('LeNet/conv', 'LeNet/fc3/w'),
                 trainable_scopes=('LeNet/conv1', 'LeNet/fc'),
                 moving_average_decay=0.5)
  moved = changed(*before_and_after(update))
  names = {'LeNet/fc3/biases', 'LeNet/fc4/weights', 'LeNet/fc4/biases'}
  assert moved == {'global_step', *(name + suffix for name in names for suffix in (
      '', '/ExponentialMovingAverage', '/RMSProp', '/RMSProp_1'))}


def test_frozen_batch_norm_normalizes_by_its_statistics_and_trains_its_scale():
  update = build('small', images(), frozen_batch_norm_scopes=('Small/t',))
  moved = changed(*before_and_after(update))
  assert {name for name in moved if 'moving_' in name} == {
      f'Small/one/BatchNorm/{name}' for name in ('moving_mean', 'moving_variance')}
  assert {name for name in moved if name.endswith(('gamma', 'beta'))} == {
      f'Small/{layer}/BatchNorm/{name}' for name in ('gamma', 'beta')
      for layer in ('one', 'two', 'three')}


def test_a_frozen_network_computes_as_in_evaluation():
  inputs, outputs = images(), []
  for training in (True, False):
    with tf.variable_scope('', reuse=not training):
      outputs.append(small_network(training, ['Small/'] * training)(inputs)[0])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    frozen, evaluated = session.run(outputs)
  np.testing.assert_array_equal(frozen, evaluated)
  assert frozen.std() > 0


def test_established_trainable_scopes_leave_statistics_moving():
  update = build('small', images(), trainable_scopes=('Small/logits',))
  moved = changed(*before_and_after(update))
  assert 'Small/one/BatchNorm/moving_mean' in moved
  assert 'Small/one/BatchNorm/gamma' not in moved


@pytest.mark.parametrize('network', ['mobilenet_v2_035', 'resnet_v2_50'])
def test_every_batch_norm_of_a_network_can_be_frozen(network):
  nets_factory.get_network_fn(
      network, 2, is_training=True, frozen_batch_norm_scopes=[''])(images())
  assert len(variable_groups.batch_norm_layers()) > 40
  assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_networks_normalize_by_what_can_be_frozen():
  """Their own calls of slim.batch_norm would go past the frozen scopes."""
  found = []
  for path in (ROOT / 'slim_zoo' / 'nets').rglob('*.py'):
    tree = ast.parse(path.read_text())
    keys = {id(item) for node in ast.walk(tree) if isinstance(node, ast.List)
            for item in node.elts}
    found += [f'{path}:{node.lineno}' for node in ast.walk(tree)
              if isinstance(node, ast.Attribute) and node.attr == 'batch_norm'
              and getattr(node.value, 'id', '') == 'slim' and id(node) not in keys
              and path.name != 'normalization.py']
  assert not found


def test_arg_scopes_take_it_for_slims():
  inputs = tf.zeros([2, 4, 4, 3])
  with (slim.arg_scope([slim.batch_norm], center=False),
        slim.arg_scope([normalization.batch_norm], scale=True, decay=0.5)):
    normalization.batch_norm(inputs, scope='ours')
    slim.batch_norm(inputs, scope='slims')
    with normalization.frozen_batch_norm(['outer/ours']), tf.variable_scope('outer'):
      normalization.batch_norm(inputs, scope='ours_too')
      normalization.batch_norm(inputs)
  names = {variable.op.name for variable in slim.get_model_variables()}
  statistics = ('gamma', 'moving_mean', 'moving_variance')
  assert names == {f'{scope}/{name}' for name in statistics for scope in (
      'ours', 'slims', 'outer/ours_too', 'outer/BatchNorm')}
  updated = {update.name.split('/Assign')[0].split('/')[-1] for update
             in tf.get_collection(tf.GraphKeys.UPDATE_OPS)}
  assert updated == {'ours', 'slims', 'BatchNorm'}


@pytest.mark.parametrize(('options', 'words'), [
    ({'frozen_scopes': ('LeNet/conv3',)},
     ["--frozen_scopes: scope 'LeNet/conv3'", "did you mean 'LeNet/conv"]),
    ({'learning_rate_multipliers': {'LeNet/fc5': 2.0}}, ["did you mean 'LeNet/fc"]),
    ({'frozen_scopes': ('LeNet',)}, ['nothing is left to train']),
    ({'frozen_batch_norm_scopes': ('LeNet',)}, ["scope 'LeNet' holds no batch norm"]),
])
def test_mistaken_scopes(options, words):
  with pytest.raises(diagnostics.UserError) as refusal:
    build('lenet', images(28, 1), **options)
  for word in words:
    assert word in str(refusal.value)


def test_a_network_that_goes_past_the_freezing_is_refused():
  def model_fn():
    net = slim.conv2d(images(8), 4, 3, normalizer_fn=slim.batch_norm, scope='layer')
    tf.losses.add_loss(tf.reduce_mean(tf.square(slim.conv2d(net, 1, 1))))

  config = model_deploy.DeploymentConfig(clone_on_cpu=True)
  with normalization.frozen_batch_norm(['layer']):
    clones = model_deploy.create_clones(config, model_fn)
  with pytest.raises(ValueError, match='layer/BatchNorm updates its statistics'):
    updates.make_train_op(
        clones, config, Schedule('fixed', 0.1), tf.train.GradientDescentOptimizer,
        updates.UpdateOptions(frozen_scopes=('layer',)))


# --- Moving averages of the variables.

def test_averages_that_training_keeps_are_what_evaluation_restores(tmp_path):
  """Of weights and of batch norm's statistics alike, with the established ramp."""
  update = build('small', images(), moving_average_decay=0.9)
  names = [variable.op.name for variable in slim.get_model_variables()]
  tf.set_random_seed(1)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    shadows = by_name(session)
    for step in range(1, 4):
      session.run(update.train_op)
      after = by_name(session)
      decay = min(0.9, (1 + step) / (10 + step))
      for name in names:
        wanted = (decay * shadows[f'{name}/ExponentialMovingAverage'].astype(float)
                  + (1 - decay) * after[name])
        np.testing.assert_allclose(
            after[f'{name}/ExponentialMovingAverage'], wanted, rtol=1e-5, atol=1e-6)
      shadows = after
    path = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'), step)

  tf.reset_default_graph()
  source = types.SimpleNamespace(
      next_batch=lambda: types.SimpleNamespace(images=images()))
  evaluation = checkpoint_evaluation.build(
      source, small_network(is_training=False), 2, moving_average_decay=0.9)
  with tf.Session() as session:
    evaluation.saver.restore(session, path)
    restored = dict(zip([variable.op.name for variable in slim.get_model_variables()],
                        session.run(slim.get_model_variables()), strict=True))
  assert list(restored) == names
  for name, value in restored.items():
    np.testing.assert_array_equal(value, after[f'{name}/ExponentialMovingAverage'])


# --- The script.

def test_the_script_takes_the_flags_together(digits_dir, trained_dir, tmp_path):
  flags = dict(on_digits(digits_dir), train_dir=tmp_path, checkpoint_path=trained_dir)
  del flags['opt_epsilon']
  done = scripts.run('train_image_classifier', **dict(
      flags, optimizer='adamw', weight_decay=0.05, batch_size=8, num_clones=2,
      accumulate_steps=2, max_number_of_steps=4, log_every_n_steps=2,
      learning_rate_decay_type='cosine', warmup_epochs=1, epochs_are='global',
      learning_rate_multipliers='LeNet/fc4:3,LeNet/fc4/biases:0',
      frozen_scopes='LeNet/conv1', moving_average_decay=0.9, clip_gradient_norm=1))
  assert done.returncode == 0, done.stderr
  assert done.stderr == ''
  for words in (
      '32 images: 8 for each of 2 clones, 2 times a step', 'epoch          45 steps',
      'along a cosine to 0.0001 at step 4, after a warm-up of 45 steps',
      'an epoch of these is 45 steps, counted by all 2 clones',
      '3 times that in LeNet/fc4', 'LeNet/fc4/biases is not trained',
      'adamw, epsilon 1e-08, gradients of a norm up to 1, all together',
      '0.05, by adamw itself', 'step 4/4'):
    assert words in done.stdout, done.stdout
  before = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(trained_dir)))
  after = tf.train.load_checkpoint(str(tmp_path / 'model.ckpt-4'))
  assert after.get_tensor('global_step') == 4
  for name in before.get_variable_to_shape_map():
    if name.startswith('LeNet/') and '/Adam' not in name:
      same = np.array_equal(before.get_tensor(name), after.get_tensor(name))
      assert same == (name in (
          'LeNet/conv1/weights', 'LeNet/conv1/biases', 'LeNet/fc4/biases')), name
  average = after.get_tensor('LeNet/conv1/weights/ExponentialMovingAverage')
  np.testing.assert_array_equal(average, before.get_tensor('LeNet/conv1/weights'))
