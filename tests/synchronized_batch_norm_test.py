"""Batch norm over several replicas, compared with slim's on the whole batch."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.deployment import collectives
from slim_zoo.nets import normalization, synchronized_batch_norm
from slim_zoo.tf_compat import slim, tf

REPLICAS = 2


def build(images, replicas, **options):
  """Returns the outputs of each part of a batch, and the gradients of all."""
  parts = np.split(images, len(replicas)) if replicas else [images]
  inputs, outputs, losses = [], [], []
  for index, part in enumerate(parts):
    inputs.append(tf.constant(part))
    statistics = replicas and synchronized_batch_norm.Statistics(
        replicas[index].sum, len(replicas))
    with (tf.device(f'/device:CPU:{index}'),
          tf.variable_scope('net', reuse=index > 0),
          normalization.synchronized(statistics or None)):
      outputs.append(normalization.batch_norm(inputs[-1], **options))
    losses.append(tf.reduce_sum(tf.sin(outputs[-1])))
  variables = sorted(tf.trainable_variables(), key=lambda variable: variable.op.name)
  gradients = [tf.gradients(loss, [part, *variables])
               for loss, part in zip(losses, inputs, strict=True)]
  of_images = tf.concat([one[0] for one in gradients], 0)
  of_variables = [tf.add_n(same) for same in zip(
      *[one[1:] for one in gradients], strict=True)]
  updates = [op for op in tf.get_collection(tf.GraphKeys.UPDATE_OPS)][:2]
  config = tf.ConfigProto(device_count={'CPU': REPLICAS})
  with tf.Session(config=config) as session:
    session.run(tf.global_variables_initializer())
    values = session.run([tf.concat(outputs, 0), of_images, of_variables])
    session.run([updates, outputs])
    moving = session.run(sorted(
        slim.get_model_variables(), key=lambda variable: variable.op.name))
  names = sorted(variable.op.name for variable in slim.get_model_variables())
  tf.reset_default_graph()
  return values, names, moving


@pytest.mark.parametrize(('shape', 'options'), [
    ([4, 5, 6, 3], {'scale': True, 'decay': 0.8}),
    ([4, 5, 6, 3], {'center': False, 'activation_fn': tf.nn.relu}),
    ([4, 5, 6, 3], {'fused': False, 'scale': True}),
    ([4, 3, 5, 6], {'fused': False, 'scale': True, 'data_format': 'NCHW'}),
    ([4, 3], {'scale': True}),
    ([4, 2, 5, 6, 3], {'scale': True}),
    ([4, 5, 6, 3], {'param_initializers': {'beta': tf.ones_initializer()}}),
])
def test_it_equals_slim_on_the_whole_batch(shape, options):
  images = np.random.default_rng(1).normal(2, 3, shape).astype(np.float32)
  expected = build(images, [], **options)
  found = build(images, [
      collectives.Replica(7, REPLICAS, f'/device:CPU:{index}', 60)
      for index in range(REPLICAS)], **options)
  assert found[1] == expected[1]
  for one, other in zip(
      [*found[0][:2], *found[0][2], *found[2]],
      [*expected[0][:2], *expected[0][2], *expected[2]], strict=True):
    np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize('options', [{'renorm': True}, {'updates_collections': None}])
def test_what_only_one_batch_has_is_refused(options):
  with (normalization.synchronized(synchronized_batch_norm.Statistics(tf.identity, 1)),
        pytest.raises(diagnostics.UserError, match='--sync_batch_norm')):
    normalization.batch_norm(tf.zeros([2, 3, 3, 1]), **options)


def test_evaluation_is_that_of_slim():
  with normalization.synchronized(synchronized_batch_norm.Statistics(None, 2)):
    normalization.batch_norm(tf.zeros([2, 3, 3, 1]), is_training=False)
  assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
