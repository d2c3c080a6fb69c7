"""I3D and S3D-G beyond their contracts: clips, starts, gates, splits, layouts."""

import math

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.nets import i3d, i3d_utils, s3dg
from slim_zoo.tf_compat import slim, tf

# Frames, size and depth at the end of each layer, for 64 frames of 224 x 224.
END_POINTS = {
    'Conv2d_1a_7x7': (32, 112, 64), 'MaxPool_2a_3x3': (32, 56, 64),
    'Conv2d_2b_1x1': (32, 56, 64), 'Conv2d_2c_3x3': (32, 56, 192),
    'MaxPool_3a_3x3': (32, 28, 192), 'Mixed_3b': (32, 28, 256),
    'Mixed_3c': (32, 28, 480), 'MaxPool_4a_3x3': (16, 14, 480),
    'Mixed_4b': (16, 14, 512), 'Mixed_4c': (16, 14, 512), 'Mixed_4d': (16, 14, 512),
    'Mixed_4e': (16, 14, 528), 'Mixed_4f': (16, 14, 832),
    'MaxPool_5a_2x2': (8, 7, 832), 'Mixed_5b': (8, 7, 832), 'Mixed_5c': (8, 7, 1024),
}
BASES = pytest.mark.parametrize('base', [i3d.i3d_base, s3dg.s3dg_base])
NETWORKS = pytest.mark.parametrize('network', [i3d.i3d, s3dg.s3dg])


def clips(frames=64, size=224, batch=2):
  return tf.placeholder(tf.float32, [batch, frames, size, size, 3])


def random_clips(*shape):
  return np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


def weights():
  """Returns the shapes of all kernels by the name of their layer."""
  return {variable.op.name.split('/', 1)[1].removesuffix('/weights'):
          variable.shape.as_list() for variable in tf.trainable_variables()
          if variable.op.name.endswith('/weights')}


def run(fetches, feed=None):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(fetches, feed)


@BASES
def test_end_points_of_the_published_clip(base):
  net, end_points = base(clips())
  assert {name: (tensor.shape[1], *tensor.shape[3:]) for name, tensor
          in end_points.items()} == END_POINTS
  assert list(end_points) == list(END_POINTS)
  assert net is end_points['Mixed_5c']
  assert net.op.name.startswith('InceptionV1/Mixed_5c')


@BASES
@pytest.mark.parametrize('last', ['Conv2d_1a_7x7', 'MaxPool_3a_3x3', 'Mixed_4b'])
def test_final_endpoint_is_the_last_one(base, last):
  net, end_points = base(clips(16, 64), final_endpoint=last)
  assert list(end_points) == list(END_POINTS)[:list(END_POINTS).index(last) + 1]
  assert net.op.name.startswith(f'InceptionV1/{last}')
  assert all(name.split('/')[0] in end_points for name in weights())


@pytest.mark.parametrize(('features', 'pooled'), [
    ([8, 7, 7], [7, 1, 1]), ([2, 7, 7], [1, 1, 1]), ([1, 1, 1], [1, 1, 1]),
    ([3, 4, 3], [2, 1, 1]), ([8, 8, 9], [7, 2, 3]), ([None, 7, 7], [None, 1, 1])])
def test_pool_shrinks_to_small_features_and_moves_over_large_ones(features, pooled):
  net = tf.placeholder(tf.float32, [2, *features, 10])
  arguments = {'dropout_keep_prob': 0.8, 'prediction_fn': slim.softmax,
               'spatial_squeeze': False}
  without_classes, end_points = i3d_utils.classify(net, {}, None, **arguments)
  assert without_classes.shape.as_list() == [2, *pooled, 10]
  assert not end_points
  logits, end_points = i3d_utils.classify(net, {}, 7, **arguments)
  assert logits.shape.as_list() == [2, *pooled[1:], 7]
  assert end_points['Predictions'].shape.as_list() == logits.shape.as_list()


@NETWORKS
def test_clips_of_other_lengths_and_sizes(network):
  logits, end_points = network(clips(10, 96), 7)
  assert end_points['Mixed_5c'].shape.as_list() == [2, 2, 3, 3, 1024]
  assert logits.shape.as_list() == [2, 7]


@NETWORKS
def test_everything_but_depth_may_be_unknown(network):
  logits, _ = network(clips(None, None, None), 5, is_training=False)
  assert logits.shape.as_list() == [None, 5]
  assert logits.op.name.startswith('InceptionV1/Logits')


def test_one_answer_is_the_mean_over_time():
  """Also where the size is known only when the network runs."""
  features = random_clips(1, 4, 7, 7, 3)
  images = tf.placeholder(tf.float32, [None, None, None, None, 3])
  logits, _ = i3d_utils.classify(images, {}, 5, 1.0, slim.softmax, True)
  feed = {images: features}
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    whole = session.run(logits, feed)
    pairs = [session.run(logits, {images: features[:, first:first + 2]})
             for first in range(3)]
  np.testing.assert_allclose(whole, np.mean(pairs, 0), rtol=1e-4, atol=1e-6)


def test_too_large_images_cannot_be_squeezed():
  with pytest.raises(diagnostics.UserError, match='2 x 2 logits cannot'):
    i3d_utils.classify(tf.zeros([1, 2, 8, 8, 4]), {}, 5, 0.8, slim.softmax, True)


@BASES
def test_mistakes_are_named(base):
  with pytest.raises(ValueError, match="did you mean 'Mixed_5c'"):
    base(clips(), final_endpoint='Mixed_5d')
  with pytest.raises(diagnostics.UserError, match='needs clips'):
    base(tf.zeros([1, 224, 224, 3]))


@pytest.mark.parametrize(('argument', 'value', 'message'), [
    ('temporal_conv_startat', 'Mixed_4', "no temporal_conv_startat 'Mixed_4'; did"),
    ('gating_startat', 'MaxPool_4a_3x3', "no gating_startat 'MaxPool_4a_3x3'"),
    ('data_format', 'NHWC', "did you mean 'NDHWC'"),
    ('depth_multiplier', 0, 'depth_multiplier is 0')])
def test_s3dg_names_wrong_arguments(argument, value, message):
  with pytest.raises(ValueError, match=message):
    s3dg.s3dg_base(clips(), **{argument: value})


def test_parameters_equal_the_paper():
  """Table 1 of Carreira and Zisserman: 25M, for one I3D on images and one on flow."""
  i3d.i3d(clips(), 400)
  count = sum(math.prod(variable.shape.as_list())
              for variable in tf.trainable_variables())
  assert round(2 * count / 1e6) == 25


@pytest.mark.parametrize(('temporal', 'gated'), [
    ('Conv2d_2c_3x3', None), ('Mixed_4b', 'Mixed_5c'), (None, 'Conv2d_2c_3x3')])
def test_temporal_convolutions_and_gates_begin_where_asked(temporal, gated):
  s3dg.s3dg_base(clips(16, 64), temporal_conv_startat=temporal, gating_startat=gated)
  names = ['Conv2d_2c_3x3', *(name for name in END_POINTS if name[:5] == 'Mixed')]
  for start, end, branches in ((temporal, 'temporal', 2),
                               (gated, 'self_gating/transformer_W', 4)):
    expected = names[names.index(start):] if start else []
    found = [name.split('/')[0] for name in weights() if name.endswith(end)]
    assert {name: found.count(name) for name in found} == {
        name: branches if name[:5] == 'Mixed' else 1 for name in expected}
  assert weights()['Mixed_3b/Branch_1/Conv2d_0b_3x3'] == [1, 3, 3, 96, 128]


@pytest.mark.parametrize('frames', [1, 3, 7])
def test_first_convolution_sees_the_frames_asked_for(frames):
  s3dg.s3dg_base(clips(), first_temporal_kernel_size=frames,
                 final_endpoint='Conv2d_1a_7x7')
  assert weights() == {'Conv2d_1a_7x7': [frames, 7, 7, 3, 64]}


def test_depths_are_scaled_and_bounded():
  _, end_points = s3dg.s3dg_base(clips(16, 64), depth_multiplier=0.5, min_depth=20)
  assert end_points['Conv2d_2c_3x3'].shape[-1] == 96
  # Of 64, 128, 32 and 32: the last two come to 16, below the bound.
  assert end_points['Mixed_3b'].shape[-1] == 32 + 64 + 20 + 20


@pytest.mark.parametrize('temporal', [True, False])
def test_frames_are_seen_together_only_by_temporal_convolutions(temporal):
  """A change of the fifth frame reaches the first output frame, or does not."""
  images = clips(6, 16, 1)
  start = 'Conv2d_2c_3x3' if temporal else None
  net, _ = s3dg.s3dg_base(
      images, 3 if temporal else 1, start, gating_startat=None,
      final_endpoint='Conv2d_2c_3x3')
  # At the start temporal filters look at one frame: let them look at all.
  spread = [tf.assign(variable, tf.ones_like(variable))
            for variable in tf.trainable_variables()
            if variable.op.name.endswith('temporal/weights')]
  before = np.ones([1, 6, 16, 16, 3], np.float32)
  after = before.copy()
  after[:, 2] = 2
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(spread)
    change = [np.abs(session.run(net, {images: after})
                     - session.run(net, {images: before}))[0, frame].max()
              for frame in range(3)]
  assert change[1] > 0
  assert (change[0] > 0) == temporal


def test_self_gating_weights_channels_by_the_clip():
  values = random_clips(2, 3, 4, 4, 5)
  gated = s3dg.self_gating(tf.constant(values), 'gate')
  [matrix] = tf.trainable_variables()
  assert matrix.op.name == 'gate/self_gating/transformer_W/weights'
  gated, matrix = run([gated, matrix])
  gate = 1 / (1 + np.exp(-values.mean((1, 2, 3)) @ matrix[0, 0, 0]))
  np.testing.assert_allclose(gated, values * gate[:, None, None, None], rtol=1e-5)


@pytest.mark.parametrize(('frames', 'center'), [(1, 0), (2, 0), (3, 1), (7, 3)])
def test_center_initializer_passes_the_central_frame(frames, center):
  values = run(i3d_utils.center_initializer()([frames, 1, 1, 3, 4]))
  expected = np.zeros([frames, 3, 4])
  expected[center] = np.eye(3, 4)
  np.testing.assert_array_equal(values[:, 0, 0], expected)


def test_center_initializer_refuses_filters_over_space():
  with pytest.raises(ValueError, match=r'not \[3, 3, 3, 2, 2\]'):
    i3d_utils.center_initializer()([3, 3, 3, 2, 2])


def test_new_separable_convolution_is_one_over_space():
  """So a network trained on images starts as what it was."""
  images = tf.constant(random_clips(1, 4, 6, 6, 2))
  with slim.arg_scope([i3d_utils.conv3d_spatiotemporal], activation_fn=tf.nn.relu):
    split = i3d_utils.conv3d_spatiotemporal(
        images, 3, [3, 3, 3], separable=True, scope='conv')
    with tf.variable_scope('', reuse=True):
      flat = i3d_utils.conv3d_spatiotemporal(images, 3, [1, 3, 3], scope='conv')
  assert [variable.op.name for variable in tf.trainable_variables()] == [
      'conv/weights', 'conv/biases', 'conv/temporal/weights', 'conv/temporal/biases']
  split, flat = run([split, flat])
  np.testing.assert_allclose(split, flat, rtol=1e-5, atol=1e-6)
  assert flat.max() > 0


@pytest.mark.parametrize('separable', [False, True])
@pytest.mark.parametrize(('stride', 'shape'), [
    (2, [1, 4, 5, 5, 6]), ([1, 2, 2], [1, 8, 5, 5, 6]), ([2, 1, 1], [1, 4, 9, 9, 6])])
def test_strides_of_time_and_space(separable, stride, shape):
  net = i3d_utils.conv3d_spatiotemporal(
      tf.zeros([1, 8, 9, 9, 3]), 6, 3, stride=stride, separable=separable, scope='a')
  assert net.shape.as_list() == shape


def test_i3d_splits_its_convolutions_when_asked():
  with slim.arg_scope(i3d.i3d_arg_scope(separable_conv3d=True)):
    i3d.i3d_base(clips(16, 64), final_endpoint='Mixed_3b')
  shapes = weights()
  assert shapes['Conv2d_1a_7x7'] == [1, 7, 7, 3, 64]
  assert shapes['Conv2d_1a_7x7/temporal'] == [7, 1, 1, 64, 64]
  assert shapes['Mixed_3b/Branch_2/Conv2d_0b_3x3/temporal'] == [3, 1, 1, 32, 32]
  assert 'Conv2d_2b_1x1/temporal' not in shapes


def test_i3d_renormalizes_when_asked():
  with slim.arg_scope(i3d.i3d_arg_scope(use_renorm=True)):
    i3d.i3d_base(clips(16, 32), final_endpoint='Conv2d_1a_7x7')
  assert any('renorm_mean' in variable.op.name for variable in tf.global_variables())


def test_channels_first_has_the_same_variables_and_logits_shape():
  def shapes(images, data_format):
    with tf.Graph().as_default():
      with slim.arg_scope(s3dg.s3dg_arg_scope()):
        logits, end_points = s3dg.s3dg(
            tf.placeholder(tf.float32, images), 5, final_endpoint='Mixed_4b',
            data_format=data_format)
      assert logits.shape.as_list() == [2, 5]
      return ([(variable.op.name, variable.shape.as_list())
               for variable in tf.global_variables()],
              {name: tensor.shape.as_list() for name, tensor in end_points.items()})

  last, last_end_points = shapes([2, 16, 64, 64, 3], 'NDHWC')
  first, first_end_points = shapes([2, 3, 16, 64, 64], 'NCDHW')
  assert first == last
  for name in list(END_POINTS)[:9]:
    batch, *clip, depth = last_end_points[name]
    assert first_end_points[name] == [batch, depth, *clip], name


def test_head_stands_on_the_layer_asked_for():
  logits, end_points = s3dg.s3dg(clips(8, 32), 5, final_endpoint='Mixed_4b')
  assert logits.shape.as_list() == [2, 5]
  assert 'Mixed_4c' not in end_points
  assert weights()['Logits/Conv2d_0c_1x1'] == [1, 1, 1, 512, 5]


def test_s3dg_learns_which_way_a_bar_moves():
  """The same frames in the other order: only a view over time tells them apart."""
  tf.set_random_seed(1)
  right = np.zeros([8, 32, 32, 3], np.float32)
  for frame in range(8):
    right[frame, :, 4 * frame:4 * frame + 4] = 1
  images = tf.constant(np.stack([right, right[::-1]]))
  with slim.arg_scope(s3dg.s3dg_arg_scope()):
    logits, _ = s3dg.s3dg(images, 2, final_endpoint='Mixed_3c', depth_multiplier=0.1,
                          min_depth=4, dropout_keep_prob=1.0)
  loss = tf.losses.sparse_softmax_cross_entropy([0, 1], logits)
  step = tf.train.AdamOptimizer(0.02).minimize(loss)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    before = session.run(loss)
    for _ in range(25):
      session.run(step)
    after = session.run(loss)
  assert before > 0.6
  assert after < 0.2


@pytest.mark.parametrize('name', ['i3d', 's3dg'])
def test_image_scripts_refuse_video_networks(name):
  assert networks.NETWORKS[name].frames == 64
  with pytest.raises(diagnostics.UserError, match=(
      rf"'{name}' is a video network: it takes clips \[batch, frames, height, width,"
      r' 3\], the image scripts cannot feed it')):
    networks.get_image_network(name)


def test_image_scripts_take_image_networks():
  assert networks.get_image_network('vgg_16').name == 'vgg_16'
  with pytest.raises(diagnostics.UserError, match="did you mean 'vgg_16'"):
    networks.get_image_network('vgg16')
