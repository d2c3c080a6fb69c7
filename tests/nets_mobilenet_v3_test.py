"""MobileNet V3 and EdgeTPU beyond their contracts."""

import numpy as np
import pytest

from slim_zoo.nets.mobilenet import mobilenet, mobilenet_v3
from slim_zoo.tf_compat import tf
from tests.mobilenet_graphs import images, random_images, run, shape, short_v3


@pytest.mark.parametrize(('network', 'last', 'depth'), [
    (mobilenet_v3.large, 'layer_19', 1280),
    (mobilenet_v3.small_minimalistic, 'layer_15', 1024)])
def test_v3_pools_before_its_last_layer(network, last, depth):
  logits, end_points = network(images(96))
  assert shape(end_points[last]) == [1, 1, 1, depth]
  assert shape(logits) == [1, 1001]
  assert not [operation for operation in tf.get_default_graph().get_operations()
              if 'ReduceMean' in operation.name]


def test_pooling_by_reduction_on_request():
  short_v3(images(), use_reduce_mean_for_pooling=True)
  assert [operation for operation in tf.get_default_graph().get_operations()
          if 'ReduceMean' in operation.name]


@pytest.mark.parametrize(('multiplier', 'finegrain', 'depth'), [
    (0.5, False, 512), (0.5, True, 1024), (2.0, True, 2048)])
def test_finegrain_keeps_the_last_layer_of_v3_wide(multiplier, finegrain, depth):
  _, end_points = short_v3(
      images(32), depth_multiplier=multiplier,
      finegrain_classification_mode=finegrain)
  assert shape(end_points['layer_6'])[3] == depth


@pytest.mark.parametrize(('arguments', 'scope'), [
    ({}, 'MobilenetEdgeTPU'), ({'scope': 'Mine'}, 'Mine')])
def test_edgetpu_goes_by_its_own_scope_or_the_callers(arguments, scope):
  net, _ = mobilenet_v3.edge_tpu(
      images(), base_only=True, final_endpoint='layer_2', **arguments)
  assert net.name.startswith(f'{scope}/')
  assert tf.global_variables()[0].op.name == f'{scope}/Conv/weights'


@pytest.mark.parametrize(('table', 'taps'), [
    (mobilenet_v3.V3_LARGE_DETECTION,
     {'layer_14/expansion_output': [6, 672], 'layer_14': [3, 80],
      'layer_15/expansion_output': [3, 480], 'layer_17': [3, 480]}),
    (mobilenet_v3.V3_SMALL_DETECTION,
     {'layer_10/expansion_output': [6, 288], 'layer_10': [3, 48],
      'layer_11/expansion_output': [3, 288], 'layer_13': [3, 288]})])
def test_detection_tables_halve_the_channels_of_the_last_stride(table, taps):
  _, end_points = mobilenet_v3.mobilenet_base(images(96), conv_defs=table)
  for name, expected in taps.items():
    assert shape(end_points[name])[2:] == expected, name
  assert len(table['spec']) == int(list(taps)[-1].split('_')[1])


def test_v3_is_dilated_up_to_its_logits():
  logits, end_points = mobilenet_v3.small(images(96), output_stride=16)
  assert shape(end_points['layer_13'])[1:3] == [6, 6]
  assert shape(logits) == [1, 1001]


def test_reduce_to_1x1_averages_a_square_map_and_windows_of_another():
  square, wide = random_images(1, 4, 4, 2), random_images(1, 3, 8, 2)
  unknown = tf.placeholder(tf.float32, (1, None, None, 2))
  reduced = [mobilenet_v3.reduce_to_1x1(tf.constant(square), stride=1),
             mobilenet_v3.reduce_to_1x1(unknown, stride=1),
             mobilenet_v3.reduce_to_1x1(tf.constant(wide), stride=1)]
  whole, dynamic, windows = run(reduced, {unknown: square})
  np.testing.assert_allclose(whole, square.mean((1, 2), keepdims=True), rtol=1e-5)
  np.testing.assert_allclose(dynamic, whole, rtol=1e-5)
  np.testing.assert_allclose(windows[0, 0], np.stack(
      [wide[0, :, start:start + 7].mean((0, 1)) for start in range(2)]), rtol=1e-5)


def test_hard_swish_is_piecewise():
  values = run(mobilenet_v3.hard_swish(tf.constant([-4.0, -3, -1, 0, 1, 3, 5])))
  np.testing.assert_allclose(values, [0, 0, -1 / 3, 0, 2 / 3, 3, 5], atol=1e-6)


def test_fused_block_convolves_in_its_expansion():
  mobilenet.mobilenet_base(
      images(16, channels=16), final_endpoint='layer_1',
      conv_defs={'spec': [mobilenet_v3.mbv3_fused(ef=4, n=24, k=3, s=2)]})
  weights = {variable.op.name.split('/', 1)[1]: shape(variable)
             for variable in tf.global_variables() if 'weights' in variable.op.name}
  assert weights == {'expanded_conv/expand/weights': [3, 3, 16, 64],
                     'expanded_conv/project/weights': [1, 1, 64, 24]}
