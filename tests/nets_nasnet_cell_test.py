"""The cells of NASNet and the layers they are made of."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.nets.nasnet import nasnet, nasnet_utils
from slim_zoo.tf_compat import slim, tf


def variable_shapes():
  return {variable.op.name: variable.shape.as_list()
          for variable in tf.global_variables()}


@pytest.mark.parametrize(('data_format', 'channels', 'size'), [
    ('NHWC', 3, [5, 7]), ('NCHW', 1, [5, 2])])
def test_layers_follow_the_data_format(data_format, channels, size):
  net = tf.zeros([5, 2, 4, 7])
  assert nasnet_utils.get_channel_index(data_format) == channels
  assert nasnet_utils.get_channel_dim(net.shape, data_format) == size[1]
  assert nasnet_utils.global_avg_pool(net, data_format).shape.as_list() == size
  with slim.arg_scope([nasnet_utils.get_channel_index], data_format=data_format):
    assert nasnet_utils.get_channel_index() == channels


def test_a_data_format_must_be_given_and_known():
  with pytest.raises(diagnostics.UserError, match=r"'null'.*NHWC, NCHW"):
    nasnet_utils.get_channel_index()
  with pytest.raises(ValueError, match="did you mean 'NCHW'"):
    nasnet_utils.get_channel_dim([2, 8, 8, 3], data_format='NCWH')


def test_factorized_reduction_sees_both_diagonals():
  image = np.arange(25, dtype=np.float32).reshape([1, 5, 5, 1])
  with slim.arg_scope([slim.conv2d], activation_fn=None, biases_initializer=None,
                      weights_initializer=tf.ones_initializer()):
    with slim.arg_scope([slim.batch_norm], is_training=False, epsilon=0.0):
      net = nasnet_utils.factorized_reduction(tf.constant(image), 3, 2, 'NHWC')
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    first, second, third = np.moveaxis(session.run(net)[0], -1, 0)
  np.testing.assert_allclose(first, image[0, ::2, ::2, 0], rtol=1e-4)
  # One pixel further; beyond the border there is nothing.
  np.testing.assert_allclose(
      second, [[6, 8, 0], [16, 18, 0], [0, 0, 0]], rtol=1e-4)
  np.testing.assert_array_equal(second, third)


@pytest.mark.parametrize(('stride', 'names'), [
    (1, {'path_conv', 'path_bn'}), (2, {'path1_conv', 'path2_conv', 'final_path_bn'})])
def test_factorized_reduction_names_and_channels_first(stride, names):
  net = nasnet_utils.factorized_reduction(tf.zeros([2, 6, 9, 9]), 7, stride, 'NCHW')
  assert net.shape.as_list() == [2, 7, -(-9 // stride), -(-9 // stride)]
  assert {name.split('/')[0] for name in variable_shapes()} == names


def test_drop_path_drops_whole_examples_and_scales_up_the_rest():
  net = tf.ones([1000, 2, 2, 3])
  assert nasnet_utils.drop_path(net, 0.8, is_training=False) is net
  dropped = nasnet_utils.drop_path(net, tf.constant(0.8))
  always = nasnet_utils.drop_path(net, 1.0)
  with tf.Session() as session:
    examples, kept = session.run([dropped, always])
  np.testing.assert_array_equal(kept, 1)
  examples = examples.reshape([1000, 12])
  assert (examples == examples[:, :1]).all()
  share = (examples[:, 0] > 0).mean()
  assert 0.7 < share < 0.9
  np.testing.assert_allclose(examples[examples > 0], 1 / 0.8, rtol=1e-6)


def test_a_cell_of_ones_own_table():
  """Old callers make cells of lists; an unused input is brought to size and depth."""
  cell = nasnet_utils.NasNetABaseCell(
      6, ['max_pool_3x3', 'none', 'none', 'separable_3x3_1'], [1, 0, 1, 0],
      [0, 1, 2, 0], 1.0, 1, 1)
  with slim.arg_scope(nasnet.nasnet_mobile_arg_scope()):
    with slim.arg_scope(
        [nasnet_utils.get_channel_index, nasnet_utils.get_channel_dim,
         nasnet_utils.factorized_reduction], data_format='NHWC'):
      net = cell(tf.zeros([2, 9, 9, 4]), 'mine', filter_scaling=2, stride=2)
  assert net.shape.as_list() == [2, 5, 5, 24]
  names = variable_shapes()
  assert names['mine/cell_output/reduction_1/path1_conv/weights'] == [1, 1, 4, 6]
  assert names['mine/comb_iter_0/right/1x1/weights'] == [1, 1, 4, 12]
  assert not any(name.startswith('mine/comb_iter_1/left') for name in names)


@pytest.mark.parametrize('operation', [
    'separable_3x5_2', 'separable_3x3', 'max_pool_3x3_1', 'identity'])
def test_an_unknown_operation_is_told(operation):
  with pytest.raises(ValueError, match=f"no operation '{operation}'"):
    nasnet_utils.NasNetABaseCell(8, [operation] * 2, [0] * 3, [0, 1], 1.0, 1, 1)
