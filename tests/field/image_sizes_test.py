"""Images smaller and larger than a network's default: it works, or one line says why.

Which sizes work is measured here for every network; the catalog keeps the results.
"""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import networks
from slim_zoo.inference import inference_graph
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf
from tests.evaluated_networks import skip_unless_every_network

# Networks that build in a second, at least one of each kind of last layer.
QUICK = ('lenet', 'cifarnet', 'alexnet_v2', 'overfeat', 'vgg_a', 'inception_v3', 's3dg',
         'mobilenet_v1_025')


@pytest.fixture(params=networks.NETWORKS)
def name(request):
  if request.param not in QUICK:
    skip_unless_every_network()
  return request.param


@pytest.fixture(params=[
    name for name in networks.NETWORKS if networks.get_network(name).sizes.fixed_pool])
def pooling_name(request):
  if request.param not in ('alexnet_v2', 'vgg_a', 'mobilenet_v1_025'):
    skip_unless_every_network()
  return request.param


def build(name, height, width=None, is_training=False):
  """Returns the static shape of the logits for 5 classes, and the end points."""
  row = networks.NETWORKS[name]
  frames = [8] if row.frames else []
  network_fn = nets_factory.get_network_fn(name, 5, is_training=is_training)
  with tf.Graph().as_default():
    logits, end_points = network_fn(tf.placeholder(
        tf.float32, [2, *frames, height, width or height, row.channels]))
    return logits.shape.as_list(), end_points


def test_smallest_size_works_and_one_less_is_refused(name):
  sizes = networks.get_network(name).sizes
  for is_training, smallest in ((False, sizes.smallest),
                                (True, sizes.smallest_in_training)):
    assert build(name, smallest, is_training=is_training)[0] == [2, 5]
    if smallest > 1:
      with pytest.raises(diagnostics.UserError) as caught:
        build(name, smallest - 1, is_training=is_training)
      line = str(caught.value)
      assert '\n' not in line
      assert f'{smallest - 1} x {smallest - 1} are too small for {name}' in line
      assert f'the smallest are {smallest} x {smallest}' in line
    if sizes.smallest == sizes.smallest_in_training:
      return  # The graphs differ in nothing that has a size.


def test_larger_and_oblong_images_give_one_answer(name):
  """In training too, so that the auxiliary heads are there."""
  size = nets_factory.networks_map[name].default_image_size
  logits, end_points = build(name, 2 * size + 50, 2 * size + 83, is_training=True)
  assert logits == [2, 5]
  if 'AuxLogits' in end_points:
    assert end_points['AuxLogits'].shape.as_list() == [2, 5]


def test_features_are_averaged_only_where_the_fixed_pool_does_not_fit(pooling_name):
  """At all other sizes the numbers are those of the established pool."""
  smallest, largest = networks.get_network(pooling_name).sizes.fixed_pool
  for size in (smallest, largest):
    assert 'global_pool' not in build(pooling_name, size)[1], size
  assert 'global_pool' in build(pooling_name, largest + 1)[1]


def test_arguments_of_the_caller_come_first():
  network_fn = nets_factory.get_network_fn('vgg_a', 5)
  images = tf.placeholder(tf.float32, [1, 288, 288, 3])
  logits, _ = network_fn(images, spatial_squeeze=False, global_pool=False)
  assert logits.shape.as_list() == [1, 3, 3, 5]
  logits, _ = network_fn(images, spatial_squeeze=False, reuse=True)
  assert logits.shape.as_list() == [1, 3, 3, 5]


def test_larger_images_use_the_weights_of_the_default_size_on_the_mean():
  network_fn = nets_factory.get_network_fn('mobilenet_v1_025', 5)
  network_fn(tf.zeros([1, 224, 224, 3]))
  names = [variable.op.name for variable in tf.global_variables()]
  images = np.random.RandomState(0).rand(1, 300, 330, 3).astype(np.float32)
  logits, end_points = network_fn(tf.constant(images), reuse=True)
  assert [variable.op.name for variable in tf.global_variables()] == names
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    logits, features, weights = session.run([
        logits, end_points['Conv2d_13_pointwise'],
        *tf.global_variables('MobilenetV1/Logits/Conv2d_1c_1x1/weights')])
  assert features.shape == (1, 10, 11, 256)
  np.testing.assert_allclose(
      logits, features.mean((1, 2)) @ weights[0, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('arguments', 'message'), [
    (('inception_v3', (74, 300)), 'images of 74 x 300 are too small for inception_v3:'
     ' the smallest are 75 x 75, give larger images'),
    (('inception_v3', 106, True, 'train_image_size'), 'inception_v3 in training:'
     ' the smallest are 107 x 107, set --train_image_size=107 or larger'),
    (('vgg_16', 96, False, 'eval_image_size'), 'set --eval_image_size=224'),
    (('vgg61', 96), "did you mean 'vgg_1")])
def test_one_line_names_size_network_and_flag(arguments, message):
  with pytest.raises(diagnostics.UserError, match=message):
    networks.check_image_size(*arguments)


def test_checkpoint_of_another_size_is_refused_with_its_size(tmp_path):
  """LeNet's fully connected weights are of one image size."""
  nets_factory.get_network_fn('lenet', 5)(tf.zeros([1, 40, 40, 1]))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    path = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
  assert inference_graph.build('lenet', 5, path, 40).logits.shape[1] == 5
  with pytest.raises(diagnostics.UserError, match=r'images of 40 x 40.*size=40$'):
    inference_graph.build('lenet', 5, path)
