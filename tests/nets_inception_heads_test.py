"""The ends of the Inception networks: logits, predictions, auxiliary logits."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.nets import (
    inception_resnet_v2,
    inception_v1,
    inception_v2,
    inception_v3,
    inception_v4,
)
from slim_zoo.tf_compat import slim, tf

CONV_HEADS = {'v1': inception_v1, 'v2': inception_v2, 'v3': inception_v3}
DENSE_HEADS = {'v4': inception_v4, 'resnet_v2': inception_resnet_v2}


def images(height, width=None):
  return tf.placeholder(tf.float32, [2, height, width or height, 3])


def classify(features, head, num_classes=3, keep_prob=1.0, prediction_fn=slim.softmax,
             spatial_squeeze=True, global_pool=False):
  return CONV_HEADS[head].classify(
      features, {}, num_classes, keep_prob, prediction_fn, spatial_squeeze, global_pool)


@pytest.mark.parametrize(('head', 'size', 'scope', 'map_size'), [
    ('v1', 7, 'AvgPool_0a_7x7', 1), ('v1', 14, 'AvgPool_0a_7x7', 8),
    ('v2', 7, 'AvgPool_1a_7x7', 1), ('v2', 14, 'AvgPool_1a_7x7', 4),
    ('v2', 4, 'AvgPool_1a_4x4', 1),
    ('v3', 8, 'AvgPool_1a_8x8', 1), ('v3', 12, 'AvgPool_1a_8x8', 3),
    ('v3', 3, 'AvgPool_1a_3x3', 1)])
def test_logits_of_many_sizes(head, size, scope, map_size):
  logits, end_points = classify(images(size), head, spatial_squeeze=False)
  pooled = end_points['AvgPool_0a_7x7' if head == 'v1' else 'AvgPool_1a']
  assert pooled.op.name == f'Logits/{scope}/AvgPool'
  assert pooled.shape.as_list() == [2, map_size, map_size, 3]
  assert logits.shape.as_list() == [2, map_size, map_size, 3]
  assert end_points['Predictions'].shape.as_list() == [2, map_size, map_size, 3]


@pytest.mark.parametrize(('head', 'size', 'message'), [
    ('v1', 4, 'features of 4 x 4 are smaller than the 7 x 7 pool.*global_pool=True'),
    ('v1', 9, '3 x 3 logits cannot.*global_pool=True or spatial_squeeze=False'),
    ('v2', 14, '4 x 4 logits cannot'), ('v3', 10, '2 x 2 logits cannot')])
def test_sizes_that_do_not_give_one_answer_are_explained(head, size, message):
  with pytest.raises(diagnostics.UserError, match=message):
    classify(images(size), head)


def test_old_names_of_output_nodes():
  names = {}
  for name, size in (('v1', 7), ('v2', 7), ('v3', 8)):
    tf.reset_default_graph()
    with tf.variable_scope(name):
      _, end_points = classify(images(size), name)
    names[name] = [end_points[key].op.name for key in ('Logits', 'Predictions')]
  for name, head in DENSE_HEADS.items():
    tf.reset_default_graph()
    with tf.variable_scope(name):
      _, end_points = head.classify(images(8), {}, 3, 1.0)
    names[name] = [end_points[key].op.name for key in ('Logits', 'Predictions')]
  assert names == {
      'v1': ['v1/Logits/SpatialSqueeze', 'v1/Logits/Predictions/Reshape_1'],
      'v2': ['v2/Logits/SpatialSqueeze', 'v2/Predictions/Reshape_1'],
      'v3': ['v3/Logits/SpatialSqueeze', 'v3/Predictions/Reshape_1'],
      'v4': ['v4/Logits/Logits/BiasAdd', 'v4/Logits/Predictions'],
      'resnet_v2': [
          'resnet_v2/Logits/Logits/BiasAdd', 'resnet_v2/Logits/Predictions']}


@pytest.mark.parametrize('head', CONV_HEADS)
@pytest.mark.parametrize('num_classes', [None, 0])
def test_global_pool_averages_over_images_of_any_size(head, num_classes):
  net = tf.placeholder(tf.float32, [None, None, None, 3])
  pooled, end_points = classify(net, head, num_classes, global_pool=True)
  assert end_points == {'global_pool': pooled}
  assert not tf.global_variables()
  with tf.Session() as session:
    given = np.random.RandomState(0).uniform(size=[2, 3, 5, 3])
    np.testing.assert_allclose(
        session.run(pooled, {net: given}), given.mean((1, 2), keepdims=True), 1e-5)


@pytest.mark.parametrize('head', DENSE_HEADS)
def test_dense_heads_average_over_images_of_any_size(head):
  known, unknown = images(3, 5), tf.placeholder(tf.float32, [None, None, None, 3])
  pooled = []
  for net in (known, unknown):
    logits, end_points = DENSE_HEADS[head].classify(net, {}, 4, 1.0)
    assert logits.shape[1] == 4
    tf.get_variable_scope().reuse_variables()
    pooled.append(end_points['global_pool'])
  given = np.random.RandomState(0).uniform(size=[2, 3, 5, 3])
  with tf.Session() as session:
    for net in session.run(pooled, {known: given, unknown: given}):
      np.testing.assert_allclose(net, given.mean((1, 2), keepdims=True), 1e-5)


@pytest.mark.parametrize('name', [*CONV_HEADS, *DENSE_HEADS])
def test_dropout_keeps_the_share_asked_for(name):
  features = tf.ones([4, 8, 8, 500])
  if name in CONV_HEADS:
    _, end_points = classify(features, name, 3, 0.25, global_pool=True)
  else:
    _, end_points = DENSE_HEADS[name].classify(features, {}, 3, 0.25)
  if name == 'v1':  # Without an end point: what the convolution reads.
    seen = tf.get_default_graph().get_operation_by_name(
        'Logits/Conv2d_0c_1x1/Conv2D').inputs[0]
  else:
    seen = end_points.get('PreLogits', end_points.get('PreLogitsFlatten'))
  with tf.Session() as session:
    tf.set_random_seed(0)
    session.run(tf.global_variables_initializer())
    seen = session.run(seen)
  np.testing.assert_allclose(np.unique(seen), [0, 4])
  assert 0.2 < (seen != 0).mean() < 0.3


def test_prediction_fn_makes_the_predictions():
  _, end_points = classify(
      tf.random_uniform([1, 7, 7, 4]), 'v2',
      prediction_fn=lambda logits, scope: 2 * logits)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    logits, predictions = session.run(
        [end_points['Logits'], end_points['Predictions']])
  np.testing.assert_allclose(predictions, 2 * logits)


@pytest.mark.parametrize('head', DENSE_HEADS)
def test_auxiliary_dense_logits_fit_the_image(head):
  logits = DENSE_HEADS[head].auxiliary_logits(images(17, 22), 3)
  assert logits.shape.as_list() == [2, 3]
  scope = {'v4': 'Conv2d_2a', 'resnet_v2': 'Conv2d_2a_5x5'}[head]
  (weights,) = [variable for variable in tf.trainable_variables()
                if variable.op.name == f'AuxLogits/{scope}/weights']
  assert weights.shape.as_list() == [5, 6, 128, 768]


@pytest.mark.parametrize(('size', 'message'), [
    (4, '4 x 4 are smaller than the 5 x 5 pool.*create_aux_logits=False'),
    (None, 'known height and width, or create_aux_logits=False')])
def test_images_that_cannot_have_auxiliary_logits_are_explained(size, message):
  net = tf.placeholder(tf.float32, [2, size, size, 3])
  with pytest.raises(diagnostics.UserError, match=message):
    inception_v4.auxiliary_logits(net, 3)
