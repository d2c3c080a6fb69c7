"""Training from checkpoints whose batch norm is folded into the weights."""

import contextlib

import pytest

from slim_zoo.catalog import networks
from slim_zoo.checkpoints import heads
from slim_zoo.nets import nets_factory, normalization
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import starting_point

NETWORK, SCOPE = 'mobilenet_v1_025', 'MobilenetV1'


def lines_of_start(folder, variance, frozen):
  """Returns what a run says that begins from such statistics."""
  path = str(folder / 'model.ckpt')
  scopes = normalization.frozen_batch_norm([SCOPE]) if frozen else (
      contextlib.nullcontext())
  with tf.Graph().as_default(), tf.Session() as session, scopes:
    network_fn = nets_factory.get_network_fn(NETWORK, 10, is_training=True)
    network_fn(tf.zeros([2, 32, 32, 3]))
    session.run(tf.global_variables_initializer())
    session.run([tf.assign(variable, tf.fill(variable.shape, variance))
                 for variable in slim.get_model_variables()
                 if variable.op.name.endswith('/moving_variance')])
    tf.train.Saver(slim.get_model_variables()).save(session, path)
    head = heads.Head(networks.NETWORKS[NETWORK].head_scopes, 10)
    start = starting_point.find(str(folder / 'run'), path)
    lines, _ = start.prepare(
        starting_point.network_of(NETWORK, head), starting_point.FineTuning())
  return lines


@pytest.mark.parametrize(('variance', 'frozen', 'is_told'), [
    (0.999, False, True), (0.999, True, False), (1.0, False, False)],
                         ids=['folded', 'frozen', 'random'])
def test_folded_statistics_are_told(variance, frozen, is_told, tmp_path):
  told = [line for line in lines_of_start(tmp_path, variance, frozen)
          if 'is folded into' in line]
  assert bool(told) == is_told
  assert all('--frozen_batch_norm_scopes=MobilenetV1 keeps them' in line
             for line in told)
