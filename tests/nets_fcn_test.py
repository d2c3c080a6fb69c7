"""Fully convolutional networks on feature maps: shapes, upsampling, training."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import feature_maps, networks
from slim_zoo.checkpoints import backbones
from slim_zoo.nets import complexity, fcn, nets_factory
from slim_zoo.tf_compat import slim, tf
from tests.evaluated_networks import skip_unless_every_network

CLASSES = 3


def shapes_to_segment(count, size, seed):
  """Returns images and labels: a red and a blue rectangle on dark noise.

  Images are float32 [count, size, size, 3] in -1 to 1, labels int32 [count, size,
  size]: 0 background, 1 red, 2 blue. The second rectangle may cover the first.
  """
  random = np.random.RandomState(seed)
  images = random.uniform(-1, 0.2, [count, size, size, 3]).astype(np.float32)
  labels = np.zeros([count, size, size], np.int32)
  for image, label in zip(images, labels, strict=True):
    for kind in (1, 2):
      top, left = random.randint(0, size // 2, 2)
      height, width = random.randint(size // 4, size // 2, 2)
      place = np.s_[top:top + height, left:left + width]
      label[place] = kind
      image[place][..., 2 * (kind - 1)] += 0.8
      image[place][..., 1] -= 0.3
  return np.clip(images, -1, 1), labels


@pytest.mark.parametrize(
    ('backbone', 'strides', 'size', 'rate', 'steps', 'arguments'), [
        ('mobilenet_v1_025', (4, 8, 16, 32), 64, 0.01, 150, {}),
        ('cifarnet', (2, 4), 32, 0.003, 60, {}),
        ('inception_v1', (8, 16, 32), 64, 0.003, 30, {'global_pool': True}),
    ])
def test_training_segments_held_out_images(backbone, strides, size, rate, steps,
                                           arguments):
  """More than half of what the majority class gets wrong is put right."""
  tf.set_random_seed(5)
  images = tf.placeholder(tf.float32, [8, size, size, 3])
  labels = tf.placeholder(tf.int32, [8, size, size])
  # Batch norm's moving averages would need thousands of steps: the batch's own
  # statistics serve the held-out images too.
  logits, _ = fcn.fcn(images, CLASSES, backbone, True, strides, **arguments)
  assert logits.shape.as_list() == [8, size, size, CLASSES]
  loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
  train = tf.train.AdamOptimizer(rate).minimize(loss)
  right = tf.equal(tf.argmax(logits, -1, output_type=tf.int32), labels)
  accuracy = tf.reduce_mean(tf.cast(right, tf.float32))
  pictures, answers = shapes_to_segment(72, size, seed=1)
  held_out = {images: pictures[-8:], labels: answers[-8:]}
  majority = np.bincount(answers[-8:].ravel()).max() / answers[-8:].size
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for step in range(steps):
      chosen = np.s_[step % 8 * 8:step % 8 * 8 + 8]
      session.run(train, {images: pictures[chosen], labels: answers[chosen]})
    reached = session.run(accuracy, held_out)
  assert majority < 0.8
  assert reached > majority + 0.5 * (1 - majority), (majority, reached)


@pytest.mark.parametrize(('backbone', 'size', 'arguments'), [
    ('vgg_a', (64, 96), {'fc_conv_padding': 'SAME'}),
    ('inception_v3', (139, 107), {'create_aux_logits': False}),
    ('mobilenet_v3_small', (64, 96), {}),
    ('resnet_v2_50', (65, 97), {}),
])
def test_logits_have_the_size_of_the_images(backbone, size, arguments):
  """Odd sizes and lost borders are made good at every step."""
  images = tf.placeholder(tf.float32, [2, *size, 3])
  logits, end_points = fcn.fcn(images, 5, backbone, False, **arguments)
  assert logits.shape.as_list() == [2, *size, 5]
  names = nets_factory.feature_map_names(backbone)
  for stride in (8, 16, 32):
    score = end_points[f'FCN/score_{stride}']
    assert score.shape[1:3] == end_points[names[stride]].shape[1:3]
  assert end_points['FCN/fused_8'].shape == end_points['FCN/score_8'].shape
  assert end_points['FCN/Predictions'].shape == logits.shape


def test_unknown_size_is_followed():
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  logits, _ = fcn.fcn(images, 4, 'resnet_v1_50', False)
  assert logits.shape.as_list() == [None, None, None, 4]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert session.run(logits, {images: np.zeros([1, 33, 50, 3])}).shape == (
        1, 33, 50, 4)


def test_backbone_keeps_its_variables_and_all_others_are_below_the_scope():
  """A classification checkpoint fits; gradients reach all that is new."""
  images = tf.zeros([1, 64, 64, 3])
  logits, _ = fcn.fcn(images, 4, 'mobilenet_v1_025')
  names = {variable.op.name for variable in tf.trainable_variables()}
  gradients = tf.gradients(logits, tf.trainable_variables())
  assert None not in gradients
  added = {name for name in names if name.startswith('FCN/')}
  assert added == {
      'FCN/score_32/weights', 'FCN/score_32/biases', 'FCN/score_16/weights',
      'FCN/score_16/biases', 'FCN/score_8/weights', 'FCN/score_8/biases',
      'FCN/up_16/weights', 'FCN/up_8/weights'}
  tf.reset_default_graph()
  nets_factory.get_network_fn('mobilenet_v1_025', None, is_training=True)(
      tf.zeros([1, 64, 64, 3]))
  assert names - added == {variable.op.name for variable in tf.trainable_variables()}


QUICK = ('lenet', 'cifarnet', 'alexnet_v2', 'overfeat', 'vgg_16', 'resnet_v2_50',
         'mobilenet_v1_025', 'mobilenet_v3_small', 'inception_v3')


@pytest.mark.parametrize('name', [
    name for name, row in networks.NETWORKS.items() if row.frames is None])
@pytest.mark.parametrize('deepest', [True, False])
def test_every_variable_has_influence_on_the_logits(name, deepest):
  """And only those decay: no layer behind the last score is built."""
  if name not in QUICK:
    skip_unless_every_network()
  strides = [stride for stride, _ in feature_maps.find_row(name).by_stride]
  logits, _ = fcn.fcn(
      tf.zeros([1, 139, 139, networks.NETWORKS[name].channels]), 3, name, True,
      strides if deepest else strides[:-1], weight_decay=1e-3)
  trainable = tf.trainable_variables()
  gradients = tf.gradients(logits, trainable)
  assert [variable.op.name for gradient, variable in zip(
      gradients, trainable, strict=True) if gradient is None] == []
  layers = {variable.op.name.rpartition('/')[0] for variable in trainable}
  decayed = [operation for loss in tf.losses.get_regularization_losses()
             for operation in complexity.needed_operations([loss])
             if operation.type == 'VarHandleOp']
  assert {operation.name.rpartition('/')[0] for operation in decayed} <= layers
  assert len(decayed) == len(set(decayed))
  updated = [update.inputs[0].op for update in tf.get_collection(
      tf.GraphKeys.UPDATE_OPS)]
  assert {operation.type for operation in updated} <= {'VarHandleOp'}
  assert {operation.name.rpartition('/')[0] for operation in updated} <= layers


def test_fcn_on_vgg_has_no_fully_connected_weights():
  fcn.fcn(tf.zeros([1, 64, 64, 3]), 5, 'vgg_16', weight_decay=1e-3)
  names = {variable.op.name for variable in tf.global_variables()}
  assert not any(word in name for name in names for word in ('fc6', 'fc7', 'fc8'))
  # 13 convolutions, three scores and two that enlarge them.
  assert len(tf.losses.get_regularization_losses()) == 13 + 3 + 2
  assert sum(variable.shape.num_elements()
             for variable in tf.trainable_variables()) < 15e6


def test_fcn_of_the_paper_scores_fc7_with_dropout():
  images = tf.zeros([1, 64, 96, 3])
  logits, end_points = fcn.fcn(
      images, 5, 'vgg_16', scored_end_points=fcn.PAPER_END_POINTS, score_keep_prob=0.5)
  assert logits.shape.as_list() == [1, 64, 96, 5]
  assert end_points['vgg_16/fc7'].shape.as_list() == [1, 2, 3, 4096]
  shapes = {variable.op.name: variable.shape.as_list()
            for variable in tf.trainable_variables()}
  assert shapes['FCN/score_32/weights'] == [1, 1, 4096, 5]
  assert shapes['FCN/score_16/weights'] == [1, 1, 512, 5]  # pool4
  assert shapes['FCN/score_8/weights'] == [1, 1, 256, 5]  # pool3
  needed = complexity.needed_operations([logits])
  assert {operation.name for operation in needed if operation.type == 'VarHandleOp'
          } == set(shapes)
  # One behind fc6 and one behind fc7.
  assert sum(operation.type == 'RandomUniform' for operation in needed) == 2


@pytest.fixture(scope='module')
def whole_checkpoint(tmp_path_factory):
  """Returns a checkpoint of a whole network with classes, and its values by name."""
  path = str(tmp_path_factory.mktemp('whole') / 'mobilenet.ckpt')
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(3)
    nets_factory.get_network_fn('mobilenet_v1_025', 7)(tf.zeros([1, 64, 64, 3]))
    # Momentum is not a part of the network.
    tf.get_variable('MobilenetV1/Conv2d_0/weights/Momentum', [3, 3, 3, 8])
    tf.train.create_global_step()
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, path, write_state=False)
    return path, session.run({v.op.name: v for v in slim.get_model_variables()})


def test_checkpoint_of_the_whole_network_restores_a_backbone(whole_checkpoint, capsys):
  path, values = whole_checkpoint
  fcn.fcn(tf.zeros([1, 64, 64, 3]), 4, 'mobilenet_v1_025', strides=(8, 16))
  init_fn = backbones.restore_fn(path, ['FCN'])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    init_fn(session)
    found = session.run({v.op.name: v for v in slim.get_model_variables()
                         if not v.op.name.startswith('FCN/')})
  # Convolutions 0 to 11: the last two units and the logits are not built.
  assert len(found) == 5 * (1 + 2 * 11)
  for name, value in found.items():
    np.testing.assert_array_equal(value, values[name])
  assert capsys.readouterr().err == (
      f"restored 115 variables from '{path}'; 22 are of layers that are not built:"
      ' MobilenetV1/Conv2d_12_depthwise (5), MobilenetV1/Conv2d_12_pointwise (5),'
      ' MobilenetV1/Conv2d_13_depthwise (5), MobilenetV1/Conv2d_13_pointwise (5),'
      ' MobilenetV1/Logits (2)\n')


@pytest.mark.parametrize(('network', 'new_scopes', 'words'), [
    ('mobilenet_v1_025', (), 'lacks 5 variables.*FCN/score.*new_scopes'),
    ('mobilenet_v1_025', ('Fcn',), "below 'Fcn'; did you mean 'FCN'"),
    ('mobilenet_v1_050', ('FCN',), 'has another shape.*checkpoint of this network'),
    ('cifarnet', ('FCN',), 'is a checkpoint of another network'),
])
def test_checkpoints_that_do_not_fit_a_backbone_are_refused(
    whole_checkpoint, network, new_scopes, words):
  fcn.fcn(tf.zeros([1, 32, 32, 3]), 4, network, strides=(2, 4))
  with pytest.raises(diagnostics.UserError, match=words):
    backbones.restore_fn(whole_checkpoint[0], new_scopes)


def test_reuse_shares_all_variables():
  images = tf.zeros([1, 32, 32, 3])
  fcn.fcn(images, 4, 'cifarnet', False, (2, 4))
  names = [variable.op.name for variable in tf.global_variables()]
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    fcn.fcn(images, 4, 'cifarnet', False, (2, 4))
  assert [variable.op.name for variable in tf.global_variables()] == names


@pytest.mark.parametrize('factor', [2, 3, 4])
def test_upsampling_starts_as_a_bilinear_resize(factor):
  """Away from the border; depths are not mixed."""
  maps = np.random.RandomState(0).rand(1, 6, 7, 2).astype(np.float32)
  enlarged = slim.conv2d_transpose(
      maps, 2, fcn.bilinear_kernel_size(factor), factor, activation_fn=None,
      biases_initializer=None, weights_initializer=fcn.bilinear_initializer(factor))
  expected = tf.image.resize_bilinear(
      maps, [6 * factor, 7 * factor], half_pixel_centers=True)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    enlarged, expected = session.run([enlarged, expected])
  inner = np.s_[:, factor:-factor, factor:-factor]
  np.testing.assert_allclose(enlarged[inner], expected[inner], atol=1e-5)


def test_bilinear_weights_refuse_another_shape():
  with pytest.raises(ValueError, match=r'\[4, 4, depth, depth\]'):
    fcn.bilinear_initializer(2)([3, 3, 2, 2])


@pytest.mark.parametrize(('arguments', 'words'), [
    ((3, 'nasnet_mobile', True, (4, 8)), 'strides 8, 16, 32'),
    ((3, 'mobilenet_v1', True, ()), 'strides 2, 4, 8, 16, 32'),
    ((0, 'mobilenet_v1'), 'num_classes is 0'),
    ((3, 'mobilenet_v9'), "did you mean 'mobilenet_v"),
])
def test_mistakes_are_named(arguments, words):
  with pytest.raises(diagnostics.UserError, match=words):
    fcn.fcn(tf.zeros([1, 64, 64, 3]), *arguments)
