"""Images of extreme sizes and contents: every family makes finite input of them."""

import numpy as np
import pytest

from slim_zoo.catalog import preprocessing_families
from slim_zoo.preprocessing import augmentation, vgg_preprocessing
from slim_zoo.preprocessing.preprocessing_factory import get_preprocessing
from slim_zoo.tf_compat import tf
from tests import records_for_tests, scripts
from tests.mapped_images import unconverted

FAMILIES = ('cifarnet', 'inception', 'lenet', 'vgg')
_OUTPUT = 32
SIZES = ((1, 1), (1, 2), (1, 97), (97, 1), (2, 20_000), (20_000, 2), (3, 5), (31, 33),
         (40, 999))


def pictures(channels):
  """Yields images of every size: random, and of a single dark value."""
  generator = np.random.default_rng(0)
  for height, width in SIZES:
    shape = [height, width, channels]
    yield generator.integers(0, 256, shape).astype(np.uint8)
    yield np.full(shape, height % 3, np.uint8)


def largest_tensor(session, fetched, feeds):
  """Returns what is fetched, and the bytes of the largest tensor computed for it."""
  metadata = tf.RunMetadata()
  value = session.run(
      fetched, feeds, tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), metadata)
  return value, max(
      output.tensor_description.allocation_description.requested_bytes
      for device in metadata.step_stats.dev_stats for node in device.node_stats
      for output in node.output)


@pytest.mark.parametrize(('family', 'is_training', 'channels', 'augments'), [
    *[(family, is_training, 3, False) for family in FAMILIES
      for is_training in (False, True)],
    *[(family, True, 1, False) for family in FAMILIES],
    ('vgg', True, 3, True)])
def test_any_image_becomes_finite_input_in_little_memory(
    family, is_training, channels, augments):
  preprocess = get_preprocessing(family, is_training)
  if augments:
    preprocess = augmentation.augmented(preprocess, layers=2, magnitude=9)
  image = tf.placeholder(tf.uint8, [None, None, channels])
  options = {'seed': tf.constant([1, 2])} if 'seed' in preprocess.options and (
      is_training) else {}
  prepared = unconverted(preprocess)(image, _OUTPUT, _OUTPUT, **options)
  with tf.Session() as session:
    for picture in pictures(channels):
      value, largest = largest_tensor(session, prepared, {image: picture})
      assert value.shape[:2] == (_OUTPUT, _OUTPUT)
      assert np.isfinite(value).all(), picture.shape
      assert largest <= 64 * 2**20, (picture.shape, largest)


def vgg_by_resizing_all(image, output, side):
  """The recipe as it is written: resize the whole image, then crop its centre."""
  resized = vgg_preprocessing._resized_shape(image, side, [output, output])
  whole = tf.image.resize_images(tf.cast(image, tf.float32), resized)
  return tf.image.resize_image_with_crop_or_pad(
      whole, output, output) - vgg_preprocessing._mean(3)


@pytest.mark.parametrize(('output', 'side'), [
    (224, 256), (48, 48), (320, 256)])
def test_vgg_evaluation_equals_resizing_all(output, side):
  image = tf.placeholder(tf.uint8, [None, None, 3])
  both = [vgg_preprocessing.preprocess_for_eval(image, output, output, side),
          vgg_by_resizing_all(image, output, side)]
  generator = np.random.default_rng(1)
  sizes = [*generator.integers(1, 400, [12, 2]), (1, 1), (1, 60), (90, 2), (3, 400),
           (2000, 7), (256, 256), (255, 257), (900, 300)]
  with tf.Session() as session:
    for height, width in sizes:
      picture = generator.integers(0, 256, [height, width, 3])
      actual, expected = session.run(both, {image: picture})
      np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(('preprocessing', 'image_size', 'sizes', 'is_noted'), [
    ('lenet', 28, [(480, 640)] * 3, True), ('cifarnet', 32, [(480, 640)], True),
    ('lenet', 28, [(28, 28)] * 3, False), ('cifarnet', 32, [(33, 33), (32, 32)], False),
    ('inception', 28, [(480, 640)], False), ('vgg_16', 224, [(480, 640)], False),
    ('lenet', 28, [(20, 640)], False), ('lenet', 28, [], False)])
def test_cropping_large_images_is_noted(preprocessing, image_size, sizes, is_noted):
  note = preprocessing_families.crop_note(preprocessing, image_size, sizes)
  assert bool(note) == is_noted
  if is_noted:
    assert f'{image_size} x {image_size} pixels of images such as 480 x 640' in note


def test_scripts_note_that_images_are_cropped(tmp_path):
  records_for_tests.write(
      tmp_path / 'digits_train.tfrecord', [records_for_tests.png(9, 60)] * 4, [1] * 4)
  (tmp_path / 'digits_test.tfrecord').write_bytes(
      (tmp_path / 'digits_train.tfrecord').read_bytes())
  (tmp_path / 'photo.png').write_bytes(records_for_tests.png(9, 60))
  flags = {'dataset_name': 'digits', 'dataset_dir': tmp_path, 'model_name': 'lenet'}
  run = tmp_path / 'run'
  note = 'the network sees 28 x 28 pixels of images such as 60 x 60'
  for done in (
      scripts.run('train_image_classifier', **flags, train_dir=run, batch_size=2,
                  max_number_of_steps=1, sample_predictions=0),
      scripts.run('eval_image_classifier', **flags, checkpoint_path=run,
                  eval_dir=tmp_path / 'eval'),
      scripts.run('classify', tmp_path / 'photo.png', checkpoint_path=run)):
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count(note) == 1
