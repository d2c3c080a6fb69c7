"""ImageNet's classes have their names where nobody gives others."""

import pytest
from PIL import Image

from slim_zoo.catalog import imagenet_names
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import slim, tf
from tests import scripts


def test_names_with_and_without_background():
  with_background, without = map(imagenet_names.names, (1001, 1000))
  assert (len(with_background), len(without)) == (1001, 1000)
  assert with_background[0] == 'background'
  assert with_background[1:] == without
  assert (without[0], without[281], without[999]) == (
      'tench, Tinca tinca', 'tabby, tabby cat',
      'toilet tissue, toilet paper, bathroom tissue')
  assert len(set(without)) > 990
  assert imagenet_names.names(10) is None


@pytest.mark.parametrize(('classes', 'named'), [(1001, True), (1000, False)])
def test_answers_have_names(tmp_path, classes, named):
  """Of a network whose published checkpoint has 1001 classes."""
  nets_factory.get_network_fn('mobilenet_v1_025', classes)(tf.zeros([1, 32, 32, 3]))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    path = tf.train.Saver(slim.get_model_variables()).save(
        session, str(tmp_path / 'some.ckpt'))
  Image.new('RGB', (40, 40), 'red').save(tmp_path / 'red.png')
  done = scripts.run('classify', tmp_path / 'red.png', checkpoint_path=path,
                     eval_image_size=32, top_k=1)
  assert done.returncode == 0, done.stderr
  answer = done.stdout.splitlines()[-1].split('%', 1)[1].strip()
  assert (answer in imagenet_names.names(1001)) == named
  assert ("named as ImageNet's" in done.stderr) == named
  assert ('the classes have no names' in done.stderr) != named
