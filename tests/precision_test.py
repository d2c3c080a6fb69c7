"""Networks in 16 bits: what stays float32, and how far they are from float32."""

import collections
import functools
import types

import numpy as np
import pytest

from slim_zoo.catalog import networks, variables
from slim_zoo.deployment import model_deploy
from slim_zoo.nets import nets_factory, normalization, precision
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import failures, graph, losses
from slim_zoo.training.updates import learning_rates, updates
from tests import evaluated_networks, recipe

TYPES = [tf.bfloat16, tf.float16]
# They have dense, separable and grouped layers, local response norm, and all ways of
# asking slim for a variable.
QUICKLY_BUILT = ('cifarnet', 'lenet', 'resnext_50', 'mobilenet_v2_035')

Batch = collections.namedtuple('Batch', ('images', 'labels', 'waited', 'numbers'))


def photos(channels=3, size=48):
  """Returns float32 images in [-1, 1] that differ, as those of a batch do."""
  return np.stack([recipe.photo(size, size, channels, seed) for seed in range(4)]) / (
      np.float32(127.5)) - 1


def layers(images):
  """Builds a layer of each kind, with and without batch norm."""
  normalized = {'normalizer_fn': normalization.batch_norm}
  net = slim.conv2d(images, 8, 3, 2, scope='conv', **normalized)
  net = slim.separable_conv2d(net, 12, 3, 1, 2, scope='separable', **normalized)
  net = slim.max_pool2d(net, 2, scope='pool')
  net = slim.flatten(net)
  return slim.fully_connected(net, 5, activation_fn=None, scope='logits'), {}


def small_network(dtype):
  """Returns the function of a small network, as `get_network_fn` does."""
  with slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d, slim.fully_connected],
      weights_regularizer=slim.l2_regularizer(1e-4)) as scope:
    pass

  def network_fn(images):
    if dtype != tf.float32:
      return precision.build(layers, images, scope, dtype)
    with slim.arg_scope(scope):
      return layers(images)

  return network_fn


def mobilenet(dtype):
  """Returns the function of a network with 27 batch norms, without its dropout."""
  return functools.partial(nets_factory.get_network_fn(
      'mobilenet_v1_025', 5, 1e-4, is_training=True, compute_dtype=dtype),
                           dropout_keep_prob=1.0)


def first_step(network_fn, dtype, num_clones, moving_average_decay):
  """Takes one step from weights that depend on their names alone.

  Returns:
    The loss, the penalty on the weights, and the variables before and after.
  """
  tf.reset_default_graph()
  built = graph.build(
      model_deploy.DeploymentConfig(num_clones, clone_on_cpu=True),
      lambda: Batch(tf.constant(photos()), tf.constant([0, 1, 2, 3], tf.int64),
                    tf.constant(0.0, tf.float64), tf.constant([0], tf.int64)),
      network_fn(dtype), losses.Recipe(5).add,
      learning_rates.Schedule('fixed', 0.01), tf.train.GradientDescentOptimizer,
      updates.UpdateOptions(
          moving_average_decay=moving_average_decay,
          scales_loss=dtype == tf.float16))
  penalty = tf.add_n(tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES))
  average = '/ExponentialMovingAverage'
  given = {variable.initializer.inputs[1]: recipe.fill(
      variable.op.name.removesuffix(average), variable.shape)
           for variable in tf.global_variables()
           if average in variable.op.name or variable in slim.get_model_variables()}
  with tf.Session() as session:
    session.run(tf.global_variables_initializer(), given)
    if built.scaling:
      built.scaling.scale.load(2.0 ** 8, session)
    all_of_them = {variable.op.name: variable for variable in tf.global_variables()}
    before, penalized = session.run([all_of_them, penalty])
    loss = session.run(built.train_op)
    return types.SimpleNamespace(
        loss=loss, penalty=penalized, before=before, after=session.run(all_of_them))


def differs(step, other, kind):
  """Returns by how much the variables of a kind move otherwise, as a share."""
  moved, wanted = (np.concatenate([
      np.ravel(taken.after[name] - taken.before[name])
      for name in sorted(other.before) if name.endswith(kind)])
                   for taken in (step, other))
  return np.linalg.norm(moved - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize(('network_fn', 'num_clones', 'decay', 'most'), [
    (small_network, 2, 0.9, (0.01, 0.02, 0.05)),
    # So many batch norms make much of what was rounded: float32 with weights of
    # bfloat16 has other gradients, too.
    (mobilenet, 1, None, (0.1, 0.2, np.inf))], ids=['small', 'mobilenet'])
def test_a_step_is_near_that_of_float32(network_fn, num_clones, decay, most):
  of_loss, of_statistics, of_weights = most
  plain = first_step(network_fn, tf.float32, num_clones, decay)
  for dtype in TYPES:
    step = first_step(network_fn, dtype, num_clones, decay)
    assert step.loss == pytest.approx(plain.loss, rel=of_loss)
    assert step.loss != plain.loss
    # To the last digits: it is of the float32 weights, each counted once.
    assert step.penalty == pytest.approx(plain.penalty, rel=1e-6)
    assert {name for name in step.after if not name.startswith('loss_scaling/')} == set(
        plain.after)
    for name, value in step.after.items():
      assert value.dtype == (np.int64 if value.dtype.kind == 'i' else np.float32), name
    assert differs(step, plain, '/weights') < of_weights, dtype.name
    assert differs(step, plain, '/moving_mean') < of_statistics, dtype.name
    assert differs(step, plain, '/moving_variance') < of_statistics, dtype.name
    if decay:
      averages = differs(step, plain, '/weights/ExponentialMovingAverage')
      assert averages < of_weights, dtype.name


def losses_of_steps(dtype, steps=24):
  """Trains the small network on four images; returns the loss of each step."""
  tf.reset_default_graph()
  built = graph.build(
      model_deploy.DeploymentConfig(1, clone_on_cpu=True),
      lambda: Batch(tf.constant(photos(size=16)), tf.constant([0, 1, 2, 3], tf.int64),
                    tf.constant(0.0, tf.float64), tf.constant([0], tf.int64)),
      small_network(dtype), losses.Recipe(5).add,
      learning_rates.Schedule('fixed', 0.05), tf.train.GradientDescentOptimizer,
      updates.UpdateOptions(scales_loss=dtype == tf.float16))
  given = {variable.initializer.inputs[1]: recipe.fill(
      variable.op.name, variable.shape) for variable in slim.get_model_variables()}
  with tf.Session() as session:
    session.run(tf.global_variables_initializer(), given)
    return [session.run(built.train_op) for _ in range(steps)]


def test_as_much_is_learned_as_in_float32():
  """On layers so small that no machine takes long for them in any type."""
  usual = losses_of_steps(tf.float32)
  assert usual[-1] < 0.3 * usual[0]
  for dtype in TYPES:
    np.testing.assert_allclose(losses_of_steps(dtype), usual, rtol=0.1, atol=0.02)


@pytest.mark.parametrize('name', evaluated_networks.BUILT)
def test_variables_are_those_of_float32(name):
  if name not in QUICKLY_BUILT:
    evaluated_networks.skip_unless_every_network()
  row = networks.get_network(name)
  network_fn = nets_factory.get_network_fn(
      name, row.num_classes, 1e-4, is_training=True, compute_dtype=tf.bfloat16)
  size, frames = network_fn.default_image_size, [row.frames] if row.frames else []
  tf.train.get_or_create_global_step()
  logits, end_points = network_fn(
      tf.placeholder(tf.float32, [2, *frames, size, size, row.channels]))
  made = tf.global_variables()[1:]
  assert {variable.op.name for variable in made} == set(variables.load()[name].shapes)
  assert {variable.op.name for variable in slim.get_model_variables()} == {
      variable.op.name for variable in made}
  assert {variable.dtype.base_dtype for variable in made} == {tf.float32}
  assert {tensor.dtype for tensor in tf.get_collection(
      tf.GraphKeys.REGULARIZATION_LOSSES)} == {tf.float32}
  assert logits.dtype == tf.float32
  assert {tensor.dtype for end_point, tensor in end_points.items()
          if end_point != 'AuxLogits'} == {tf.bfloat16}


def test_a_penalty_on_cast_weights_is_refused():
  """It would be rounded, and counted once for each clone."""
  def network(images):
    return slim.fully_connected(
        images, 3, weights_regularizer=slim.l2_regularizer(0.1)), {}

  with pytest.raises(ValueError, match=r'is bfloat16: .* arg scope'):
    precision.build(network, tf.ones([2, 4]), {}, tf.bfloat16)


def test_what_has_no_kernel_is_told_in_one_line(tmp_path):
  with tf.device('/cpu:0'), tf.Session() as session:
    pooled = tf.nn.max_pool3d(
        tf.ones([1, 2, 2, 2, 1], tf.float16), 2, 2, 'VALID', name='pool')
    with pytest.raises(tf.errors.OpError) as raised:
      session.run(pooled)
  answer = str(failures.explain(raised.value, None, str(tmp_path)))
  for words in ('--precision=float16', "'pool', a MaxPool3D", 'try bfloat16'):
    assert words in answer
  assert failures.explain(raised.value, 7, str(tmp_path)) is None


def test_channels_first_is_for_networks_that_are_built_for_it():
  assert nets_factory.data_formats('lenet') == ('NHWC',)
  assert nets_factory.data_formats('pnasnet_mobile') == ('NHWC', 'NCHW')
  with pytest.raises(ValueError, match=r"no data format 'NCHW' for lenet"):
    nets_factory.get_network_fn('lenet', 10, data_format='NCHW')
