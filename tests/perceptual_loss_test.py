"""The perceptual loss: what it compares and trains, where its weights come from."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.deployment import model_deploy
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import perceptual_loss

SIZE = 8


def network(images):
  """Two convolutions and a head, which a perceptual loss has no use for."""
  end_points = {}
  with tf.variable_scope('Tiny', auxiliary_name_scope=False):
    net = images
    for name, depth in (('first', 3), ('second', 2)):
      net = slim.conv2d(net, depth, 3, scope=name,
                        weights_regularizer=slim.l2_regularizer(0.1))
      end_points[f'Tiny/{name}'] = net
    logits = slim.fully_connected(slim.flatten(net), 5, scope='head')
    end_points['Tiny/logits'] = logits
    return logits, end_points


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """Returns a checkpoint of `network`, and its values by name."""
  path = str(tmp_path_factory.mktemp('perception') / 'tiny.ckpt')
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(3)
    network(tf.zeros([1, SIZE, SIZE, 3]))
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, path, write_state=False)
    values = session.run({v.op.name: v for v in tf.global_variables()})
  return path, values


def batches():
  drawn = np.random.default_rng(4)
  return [drawn.uniform(-1, 1, [2, SIZE, SIZE, 3]).astype(np.float32)
          for _ in range(2)]


def convolve(images, weights, biases):
  """The convolution, written out; SAME padding, ReLU."""
  padded = np.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
  values = np.zeros([*images.shape[:3], weights.shape[3]])
  for row in range(3):
    for column in range(3):
      values += padded[:, row:row + SIZE, column:column + SIZE] @ weights[row, column]
  return np.maximum(values + biases, 0)


def expected(images, targets, values, weights):
  images, targets = images.astype(np.float64), targets.astype(np.float64)
  total = 0.0
  for name in ('first', 'second'):
    images, targets = (convolve(
        batch, values[f'Tiny/{name}/weights'], values[f'Tiny/{name}/biases'])
                       for batch in (images, targets))
    total += weights.get(name, 0) * np.mean((images - targets) ** 2)
  return total


def add(images, targets, path, **more):
  return perceptual_loss.add(
      images, targets, path, **{
          'network_fn': network, 'end_points': ('Tiny/second',),
          'prepare': lambda images: images / 127.5 - 1, **more})


def test_it_is_the_mean_squared_difference_at_the_end_points(checkpoint):
  path, values = checkpoint
  images, targets = batches()
  perception = add(tf.constant(images), tf.constant(targets), path,
                   end_points={'Tiny/first': 2.0, 'second': 0.5}, weight=3.0)
  as_bytes = add(tf.constant((images + 1) * 127.5), tf.constant((targets + 1) * 127.5),
                 path, value_range=(0, 255))
  with tf.Session() as session:
    perception.init_fn(session)
    found, found_of_bytes = session.run([perception.loss, as_bytes.loss])
  assert found == pytest.approx(
      3 * expected(images, targets, values, {'first': 2.0, 'second': 0.5}), rel=1e-4)
  assert found_of_bytes == pytest.approx(
      expected(images, targets, values, {'second': 1}), rel=1e-4)
  assert tf.losses.get_losses() == [perception.loss, as_bytes.loss]


def test_its_network_is_restored_frozen_and_in_no_checkpoint(checkpoint):
  path, values = checkpoint
  images, targets = batches()
  generated = tf.get_variable('generated', initializer=images)
  perception = add(generated, tf.constant(targets), path)
  assert set(perception.variables) == {
      f'Tiny/{name}/{kind}' for name in ('first', 'second')
      for kind in ('weights', 'biases')}
  assert tf.trainable_variables() == tf.global_variables() == [generated]
  assert slim.get_model_variables() == []
  assert tf.losses.get_regularization_losses() == []
  optimizer = tf.train.GradientDescentOptimizer(10.0)
  step = optimizer.minimize(perception.loss)
  with tf.Session() as session:
    # As slim.learning.train begins, resumed or not.
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    before = session.run(perception.loss)
    for _ in range(20):
      session.run(step)
    assert session.run(perception.loss) < before / 2
    found = session.run(perception.variables)
  for name, value in found.items():
    np.testing.assert_array_equal(value, values[name])


def test_the_gradient_is_the_difference_and_none_goes_to_the_targets(checkpoint):
  images, targets = map(tf.constant, batches())
  perception = add(images, targets, checkpoint[0])
  gradient, of_targets = tf.gradients(perception.loss, [images, targets])
  assert of_targets is None
  with tf.Session() as session:
    perception.init_fn(session)
    value, found = session.run([images, gradient])
    direction = found / np.linalg.norm(found)
    above, below = (session.run(perception.loss, {images: value + sign * direction})
                    for sign in (0.005, -0.005))
  assert (above - below) / 0.01 == pytest.approx(np.linalg.norm(found), rel=0.02)


def test_clones_share_its_variables(checkpoint):
  images, targets = batches()

  def build():
    scale = slim.model_variable('scale', [], initializer=tf.ones_initializer())
    return add(scale * tf.constant(images), tf.constant(targets), checkpoint[0])
  clones = model_deploy.create_clones(
      model_deploy.DeploymentConfig(2, clone_on_cpu=True), build)
  first, second = (clone.outputs for clone in clones)
  assert len(tf.local_variables()) == 4
  assert first.loss.op.name == 'clone_0/perceptual_loss'
  assert len(model_deploy.clone_losses(clones)) == 2
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    one, other = session.run([first.loss, second.loss])
  assert one == other > 0


def test_the_same_network_may_be_trained_beside_it(checkpoint):
  images, targets = map(tf.constant, batches())
  network(images)
  perception = add(images, targets, checkpoint[0])
  assert len(tf.trainable_variables()) == 6
  assert not set(map(id, tf.trainable_variables())) & set(
      map(id, perception.variables.values()))


@pytest.fixture
def restored(monkeypatch):
  """Returns the list of (variables, path) that were to be restored."""
  noted = []
  monkeypatch.setattr(
      perceptual_loss, '_restored',
      lambda variables, path: noted.append((set(variables), path)))
  return noted


def all_variables():
  """Returns the names of all variables of the graph, whatever their collections."""
  return {operation.name.removeprefix('perception/')
          for operation in tf.get_default_graph().get_operations()
          if operation.type in ('Variable', 'VariableV2', 'VarHandleOp')}


def test_vgg_19_gets_rgb_less_the_mean_colour_and_has_only_its_first_layers(
    monkeypatch, restored):
  inputs = []
  build = nets_factory.get_feature_maps_fn

  def with_inputs_noted(*arguments, **options):
    first_layers_fn = build(*arguments, **options)
    def noted(images, **more):
      inputs.append(images)
      return first_layers_fn(images, **more)
    return noted
  monkeypatch.setattr(nets_factory, 'get_feature_maps_fn', with_inputs_noted)
  images = tf.constant(np.full([1, 32, 32, 3], -1, np.float32))
  perception = perceptual_loss.add(images, -images, 'vgg_19.ckpt')
  (names, path), = restored
  assert path == 'vgg_19.ckpt'
  assert names == set(perception.variables) == all_variables()
  assert {name.split('/')[2] for name in names} == {
      f'conv{block}_{unit}' for block, count in ((1, 2), (2, 2), (3, 4), (4, 4))
      for unit in range(1, count + 1)}
  with tf.Session() as session:
    # The first one is of a graph that only shows whether the network can end there.
    black, white = session.run(inputs[1:])
  np.testing.assert_allclose(black[0, 0, 0], [-123.68, -116.78, -103.94], rtol=1e-5)
  np.testing.assert_allclose(white[0, 0, 0], [131.32, 138.22, 151.06], rtol=1e-5)


@pytest.mark.parametrize(('network', 'end_points', 'size', 'count'), [
    # Not a multiple of the stride; two end points at one stride; no feature map.
    ('vgg_19', ('conv4/conv4_4', 'vgg_19/conv1/conv1_1'), 44, 24),
    ('vgg_a', ('conv3/conv3_1', 'conv3/conv3_2'), 36, 8),
    ('mobilenet_v1_025', 'Conv2d_1_pointwise', 32, 15),
    # A network cannot end at its fully connected layers, nor does it have others here.
    ('lenet', 'fc3', 28, 6),
])
def test_layers_that_no_end_point_needs_are_not_built(
    restored, network, end_points, size, count):
  channels = 1 if network == 'lenet' else 3
  images = tf.zeros([1, size, size, channels])
  perception = perceptual_loss.add(images, images, 'some.ckpt', end_points, network)
  used = set(perception.variables)
  if network == 'mobilenet_v1_025':  # Its batch norm has no scale to train.
    assert {name.split('/')[1] for name in used} == {
        'Conv2d_0', 'Conv2d_1_depthwise', 'Conv2d_1_pointwise'}
  assert used == all_variables()
  assert len(used) == count


@pytest.mark.parametrize(('changed', 'words'), [
    ({'end_points': ('Tiny/secnd',)}, "no end point 'Tiny/secnd'.*'Tiny/second'"),
    ({'end_points': ()}, 'no end point'),
    ({'value_range': (1, -1)}, 'value_range'),
    ({'network': 'cifarnet', 'prepare': None}, 'prepare'),
    ({'network': 'vgg19'}, "no network 'vgg19'"),
    ({'network_fn': None, 'network': 'vgg_a', 'end_points': 'conv3_4'},
     "no end point 'conv3_4'"),
    ({'checkpoint_path': 'nowhere/tiny.ckpt'}, "no checkpoint 'nowhere/tiny.ckpt'"),
    ({'targets': tf.zeros([2, 4, 4, 3]).shape}, 'the same for both'),
])
def test_what_makes_no_sense_is_said(checkpoint, changed, words):
  images, targets = map(tf.constant, batches())
  arguments = {'network_fn': network, 'end_points': ('Tiny/second',),
               'checkpoint_path': checkpoint[0], **changed}
  if 'targets' in arguments:
    targets = tf.zeros(arguments.pop('targets'))
  if 'network' not in arguments:
    arguments['prepare'] = tf.identity
  with pytest.raises(diagnostics.UserError, match=words):
    perceptual_loss.add(images, targets, **arguments)


def test_a_checkpoint_of_another_network_and_one_built_for_training(checkpoint):
  images, targets = map(tf.constant, batches())
  with pytest.raises(diagnostics.UserError, match='too small'):
    perceptual_loss.add(images[:, :4, :4], targets[:, :4, :4], checkpoint[0])
  larger = tf.zeros([1, 32, 32, 3])
  with pytest.raises(diagnostics.UserError, match=r'does not fit.*vgg_19/conv'):
    perceptual_loss.add(larger, larger, checkpoint[0], ('conv1/conv1_1',))

  def in_training(images):
    net = slim.batch_norm(images, is_training=True)
    return net, {'net': net}
  with pytest.raises(diagnostics.UserError, match='is_training=False'):
    add(images, targets, checkpoint[0], network_fn=in_training, end_points='net')
