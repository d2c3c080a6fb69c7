"""Inference graphs: frozen and folded, they say what the network says."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.inference import batch_norm_folding, freezing, inference_graph
from slim_zoo.nets import nets_factory, normalization
from slim_zoo.tf_compat import slim, tf
from tests.evaluated_networks import on_demand

# One network of each module, at about the smallest size that it takes, and how many
# batch norms follow no layer of their own: those of the layers before are additions.
NETWORKS = [
    ('lenet', 28, 0), ('cifarnet', 32, 0),
    ('mobilenet_v1_025', 32, 0), ('mobilenet_v3_small', 32, 0),
    ('resnet_v2_50', 33, 17), ('se_resnext_50', 33, 0),
    *[pytest.param(*values, marks=on_demand) for values in (
        ('mobilenet_v2_035', 32, 0), ('inception_v3', 299, 0), ('resnet_v1_50', 33, 0),
        ('nasnet_mobile', 32, None))]]
BATCH_NORM = 'FusedBatchNormV3'


def random_values(graph, seed=5):
  """Returns values of all variables, with statistics that are far from 0 and 1."""
  rng = np.random.default_rng(seed)
  values = {}
  with graph.as_default():
    for variable in tf.global_variables():
      name, shape = variable.op.name, variable.shape.as_list()
      if name.endswith(('moving_variance', 'gamma')):
        value = rng.uniform(0.5, 2.0, shape)
      elif len(shape) > 1:
        fan_in = np.prod(shape[:-1]) if 'depthwise' not in name else shape[0] * shape[1]
        value = rng.standard_normal(shape, np.float32) / np.sqrt(fan_in)
      else:
        value = rng.normal(0.0, 0.3, shape)
      values[name] = np.asarray(value, np.float32)
  return values


def run(graph_def, feed, fetches):
  with tf.Graph().as_default(), tf.Session() as session:
    tf.import_graph_def(graph_def, name='')
    return session.run([f'{name}:0' for name in fetches], {
        f'{name}:0': value for name, value in feed.items()})


def count(graph_def, kind):
  return sum(node.op == kind for node in graph_def.node)


def freeze_and_fold(graph, wanted):
  frozen = freezing.freeze(graph, wanted, random_values(graph).__getitem__)
  folded = tf.GraphDef()
  folded.CopyFrom(frozen)
  batch_norm_folding.fold(folded, wanted)
  return frozen, folded


def assert_near(found, expected, relative=1e-4):
  assert np.abs(expected).max() > 0
  assert np.abs(found - expected).max() <= relative * np.abs(expected).max()


@pytest.mark.parametrize(('name', 'size', 'left'), NETWORKS, ids=str)
def test_every_kind_of_network_folds_to_the_same_logits(name, size, left):
  graph, tensors = inference_graph._evaluation_graph(
      name, 7, size, None, None, (), False, None)
  frozen, folded = freeze_and_fold(graph, ['logits', 'probabilities'])
  channels = int(tensors['images'].shape[-1])
  images = np.random.default_rng(1).uniform(-1, 1, [2, size, size, channels])
  (before,), (after,) = (run(graph_def, {'images': images}, ['logits'])
                         for graph_def in (frozen, folded))
  assert before.shape == (2, 7)
  assert_near(after, before)
  kinds = {node.op for node in folded.node}
  assert not kinds & {'VarHandleOp', 'VariableV2', 'ReadVariableOp', 'RandomUniform'}
  if left is not None:
    assert count(folded, BATCH_NORM) == left
  assert count(folded, BATCH_NORM) < max(1, count(frozen, BATCH_NORM))


def small_graph(build, channels=4, size=9):
  """Returns a graph of a few layers, of which 'out' is wanted."""
  tf.reset_default_graph()
  images = tf.placeholder(tf.float32, [None, size, size, channels], 'images')
  with slim.arg_scope([slim.batch_norm], is_training=False, scale=True):
    tf.identity(build(images), 'out')
  return tf.get_default_graph()


_NORMED = {'normalizer_fn': normalization.batch_norm, 'activation_fn': None}


@pytest.mark.parametrize('build', [
    lambda net: slim.conv2d(net, 6, 3, rate=2, **_NORMED),
    lambda net: slim.separable_conv2d(net, 6, 3, 2, rate=2, **_NORMED),
    lambda net: slim.separable_conv2d(net, None, 3, 2, rate=2, **_NORMED),
    lambda net: slim.conv2d(net, 6, 1, **{**_NORMED, 'normalizer_params': {
        'fused': False}}),
    lambda net: slim.batch_norm(slim.conv2d(net, 6, 3, activation_fn=None)),
    lambda net: slim.conv3d(net[:, tf.newaxis], 6, [1, 3, 3], **_NORMED),
    lambda net: 0.2 * slim.conv2d(net, 6, 3, activation_fn=None) - 1.0,
    lambda net: slim.dropout(slim.conv2d(net, 6, 3, **_NORMED), is_training=False),
], ids=['atrous', 'atrous separable', 'atrous depthwise', 'not fused', 'after biases',
        'three dimensions', 'scale and shift', 'dropout'])
def test_what_scales_and_shifts_a_layer_goes_into_it(build):
  frozen, folded = freeze_and_fold(small_graph(build), ['out'])
  images = {'images': np.random.default_rng(1).normal(size=[2, 9, 9, 4])}
  assert_near(run(folded, images, ['out'])[0], run(frozen, images, ['out'])[0], 1e-5)
  left = {node.op for node in folded.node}
  assert not left & {BATCH_NORM, 'Mul', 'AddV2', 'Sub', 'RealDiv'}
  assert 'BiasAdd' in left


def test_a_layer_that_others_read_too_is_left_as_it_is():
  def build(net):
    layer = slim.conv2d(net, 4, 3, activation_fn=None, biases_initializer=None)
    return layer + slim.batch_norm(layer)
  frozen, folded = freeze_and_fold(small_graph(build), ['out'])
  images = {'images': np.random.default_rng(1).normal(size=[2, 9, 9, 4])}
  np.testing.assert_array_equal(
      run(folded, images, ['out'])[0], run(frozen, images, ['out'])[0])
  assert count(folded, BATCH_NORM) == 1


def test_a_wanted_value_before_batch_norm_stays_what_it_was():
  def build(net):
    layer = slim.conv2d(net, 4, 3, activation_fn=None, biases_initializer=None)
    return slim.batch_norm(tf.identity(layer, 'before'))
  graph = small_graph(build)
  frozen, folded = freeze_and_fold(graph, ['out', 'before'])
  images = {'images': np.random.default_rng(1).normal(size=[2, 9, 9, 4])}
  for one, other in zip(run(folded, images, ['before', 'out']),
                        run(frozen, images, ['before', 'out']), strict=True):
    np.testing.assert_array_equal(one, other)


def test_batch_norm_of_the_batch_is_not_folded():
  def build(net):
    return slim.conv2d(net, 4, 3, activation_fn=None,
                       normalizer_fn=slim.batch_norm,
                       normalizer_params={'is_training': True})
  _, folded = freeze_and_fold(small_graph(build), ['out'])
  assert count(folded, BATCH_NORM) == 1


def test_a_checkpoint_becomes_a_graph_without_state(trained_dir):
  found = inference_graph.build(
      'lenet', 10, str(trained_dir), channels=1, end_point_names=['conv1'])
  images = np.random.default_rng(1).uniform(-1, 1, [3, 28, 28, 1])
  with found.session() as session:
    logits, probabilities, features = session.run(
        [found.logits, found.probabilities, found.end_points['conv1']],
        {found.images: images})
  expected = tf.placeholder(tf.float32, [None, 28, 28, 1])
  wanted, end_points = nets_factory.get_network_fn('lenet', 10)(expected)
  with tf.Session() as session:
    tf.train.Saver(slim.get_model_variables()).restore(session, found.checkpoint)
    answers = session.run([wanted, end_points['conv1']], {expected: images})
  assert_near(logits, answers[0], 1e-5)
  assert_near(features, answers[1], 1e-5)
  np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
  assert found.checkpoint.endswith('model.ckpt-60')
  assert not found.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)


def test_weights_come_into_a_graph_once(trained_dir):
  found = inference_graph.build('lenet', 10, str(trained_dir), channels=1)
  images = tf.zeros([1, 28, 28, 1])
  classify = found.sharing_weights()
  one, other = classify(images)[0], classify(images)[0]
  size = tf.get_default_graph().as_graph_def().ByteSize()
  assert size < 1.2 * found.graph.as_graph_def().ByteSize()
  with tf.Session() as session:
    np.testing.assert_array_equal(*session.run([one, other]))


@pytest.mark.parametrize(('changed', 'words'), [
    ({'end_point_names': ['conv9']}, ("no end point 'conv9' in lenet", 'conv1')),
    ({'moving_averages': True}, ('has no moving averages',)),
    ({'model_name': 'cifarnet', 'channels': 3},
     ('another network', '--model_name=lenet')),
    ({'num_classes': 11}, ('LeNet/fc4', '[1024, 10]')),
    ({'model_name': 'i3d'}, ('video network',)),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else '')
def test_what_does_not_fit_is_said(trained_dir, changed, words):
  arguments = {'model_name': 'lenet', 'num_classes': 10, 'channels': 1, **changed}
  with pytest.raises(diagnostics.UserError) as raised:
    inference_graph.build(checkpoint=str(trained_dir), **arguments)
  for word in words:
    assert word in str(raised.value)


def test_moving_averages_take_the_weights_place(tmp_path):
  images = tf.placeholder(tf.float32, [None, 28, 28, 1])
  nets_factory.get_network_fn('lenet', 3)(images)
  variables = slim.get_model_variables()
  averages = tf.train.ExponentialMovingAverage(0.5)
  update = averages.apply(variables)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    weights = variables[-1]
    assert weights.op.name.endswith('fc4/biases')
    weights.load([1.0, 2.0, 3.0], session)
    session.run(update)
    kept = session.run(averages.average(weights))
    path = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
  blank = np.zeros([1, 28, 28, 1])
  answers = []
  for moving_averages in (False, True):
    found = inference_graph.build(
        'lenet', 3, path, channels=1, moving_averages=moving_averages)
    with found.session() as session:
      answers.append(session.run(found.logits, {found.images: blank})[0])
  # All other biases are 0, and so are the images.
  np.testing.assert_allclose(answers[0], [1.0, 2.0, 3.0], rtol=1e-6)
  np.testing.assert_allclose(answers[1], kept, rtol=1e-6)
  assert 0 < kept[0] < 1


