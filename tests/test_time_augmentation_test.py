"""Several views of an image: their pixels, the mean of their probabilities, --tta."""

import csv
import io

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import preprocessing_families, view_kinds
from slim_zoo.checkpoints import restore
from slim_zoo.config.classification import ClassifyConfig
from slim_zoo.datasets import dataset_factory
from slim_zoo.evaluation import checkpoint_evaluation, shards
from slim_zoo.input import pipeline, records
from slim_zoo.preprocessing import inception_preprocessing, views
from slim_zoo.preprocessing.preprocessing_factory import get_preprocessing
from slim_zoo.tf_compat import tf
from tests import recipe, scripts
from tests.mapped_images import evaluate, through_tf_data
from tests.stored_images import encoded, files_in

CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def corner_of(image, size, corner):
  top, left = [(whole - part) * at for whole, part, at in zip(
      image.shape, size, corner, strict=False)]
  return image[top:top + size[0], left:left + size[1]]


def expected_corner(family, photo, corner):
  """Returns the view of a corner, computed from a crop of the photograph."""
  if family == 'inception':
    height, width = evaluate(tf.image.central_crop(tf.constant(photo), 0.875)).shape[:2]
    part = corner_of(photo, (height, width), corner)
    return inception_preprocessing.preprocess_for_eval(
        tf.constant(part), 16, 24, central_crop=False)
  if family == 'vgg':
    # Enlarged until the shorter side has 256 pixels.
    photo = evaluate(tf.image.resize_images(tf.constant(photo), [256, 320]))
    return tf.constant(
        corner_of(photo, (16, 24), corner) - [123.68, 116.78, 103.94], tf.float32)
  # Of images in the size of the network nothing is cropped.
  return get_preprocessing(family)(
      tf.constant(corner_of(photo, (16, 24), corner)), 16, 24)


@pytest.mark.parametrize('family', ['cifarnet', 'inception', 'lenet', 'vgg'])
def test_views_are_the_centre_the_corners_and_their_mirror_images(family):
  photo = recipe.photo(32, 40)
  _, (ten,) = through_tf_data(
      lambda image: views.get_preprocessing(family, 'ten_crop')(image, 16, 24), [photo])
  five, two, centre, *corners = evaluate([
      views.get_preprocessing(family, 'five_crop')(tf.constant(photo), 16, 24),
      views.get_preprocessing(family, 'flip')(tf.constant(photo), 16, 24),
      get_preprocessing(family)(tf.constant(photo), 16, 24),
      *(expected_corner(family, photo, corner) for corner in CORNERS)])
  np.testing.assert_allclose(five[0], centre, atol=1e-4)
  for view, corner in zip(five[1:], corners, strict=True):
    np.testing.assert_allclose(view, corner, atol=2e-3)
  np.testing.assert_allclose(ten, [*five, *five[:, :, ::-1]], atol=1e-4)
  np.testing.assert_allclose(two, ten[[0, 5]], atol=1e-4)


def test_small_images_are_padded_and_a_note_says_that_crops_are_the_same():
  photo = recipe.photo(10, 12)
  five = evaluate(
      views.get_preprocessing('lenet', 'five_crop')(tf.constant(photo), 16, 24))
  np.testing.assert_array_equal(five, np.stack([five[0]] * 5))
  for family, size, kind, count in [
      ('lenet', 24, 'five_crop', 1), ('lenet', 24, 'flip', 0),
      ('lenet', 11, 'ten_crop', 0), ('vgg', 24, 'ten_crop', 0)]:
    notes = preprocessing_families.crop_notes(family, size, [(10, 12)], kind)
    assert len(notes) == count, notes


def test_the_mean_is_of_the_views_of_each_image():
  images = tf.constant(np.arange(2 * 5 * 3, dtype=np.float32).reshape([2, 5, 1, 1, 3]))
  means = evaluate(views.mean_probabilities(lambda batch: batch[:, 0, 0], images))
  np.testing.assert_allclose(means, [[6, 7, 8], [21, 22, 23]])
  assert [view_kinds.images_in_batch(100, kind) for kind in (
      None, 'flip', 'five_crop', 'ten_crop')] == [100, 50, 20, 10]
  assert view_kinds.images_in_batch(3, 'ten_crop') == 1


def test_shards_and_caches_hold_each_image_once(digits_dir, trained_dir, tmp_path):
  dataset = dataset_factory.get_dataset('digits', 'test', str(digits_dir))

  def classify(checkpoint, images):
    return views.mean_probabilities(
        lambda batch: tf.nn.softmax(batch[:, 10, 5:15, 0]), images)

  def collect(cache_dir, shard):
    return checkpoint_evaluation.FrozenEvaluation(
        lambda: pipeline.evaluation_input(
            dataset, pipeline.preprocess_with(
                views.get_preprocessing('lenet', 'flip'), 28), 7,
            cache_dir=cache_dir, shard=pipeline.fed_shard()), classify, 10, 0).collect(
                restore.find(str(trained_dir)), shard=shard)

  found, keys = collect(None, None)
  parts = [shards.packed(*collect(str(tmp_path), (part, 2)), 10) for part in range(2)]
  merged, merged_keys = shards.merged(parts, False, 355)
  assert {number: tuple(key) for number, key in keys.items()} == merged_keys
  for name, values in found.arrays(10).items():
    np.testing.assert_array_equal(values, merged.arrays(10)[name])


def test_eval_and_classify_average_over_an_image_and_its_mirror_image(
    digits_dir, trained_dir, tmp_path):
  """The mean is computed again from answers for image files and flipped ones."""
  count, source = 12, str(digits_dir / 'digits_test.tfrecord')
  images = [records.read_image([source], 0, place) for place in range(count)]
  files = files_in(tmp_path / 'files', {
      f'{place:02}{kind}.png': encoded(image[:, ::-1] if kind else image)
      for place, image in enumerate(map(np.asarray, images)) for kind in ('', 'f')})
  single = csv_rows(classify(files, trained_dir))
  plain, flipped = single[::2], single[1::2]
  averaged = csv_rows(classify(f'{files}/??.png', trained_dir, '--tta=flip'))
  done = scripts.run_for_numbers(
      'eval', '--tta=flip', dataset_name='digits', dataset_dir=digits_dir,
      checkpoint_path=trained_dir, eval_dir=tmp_path / 'eval', batch_size=10)
  assert done.returncode == 0, done.stderr
  assert 'note: --tta=flip, the mean of the probabilities of 2 views' in done.stdout
  assert 'of 355 images' in done.stdout
  with open(tmp_path / 'eval/report/predictions.csv', newline='') as file:
    evaluated = list(csv.DictReader(file))
  assert len(evaluated) == 355
  for one, other, mean, row in zip(plain, flipped, averaged, evaluated, strict=False):
    expected = (probabilities(one) + probabilities(other)) / 2
    np.testing.assert_allclose(probabilities(mean), expected, atol=2e-6)
    assert int(row['prediction']) == expected.argmax()
    assert float(row['probability']) == pytest.approx(expected.max(), abs=2e-6)


def classify(images, checkpoint, *flags):
  done = scripts.run('classify', images, *flags, checkpoint_path=checkpoint, top_k=10,
                     format='csv', batch_size=5)
  assert done.returncode == 0, done.stderr
  return done.stdout


def csv_rows(text):
  return list(csv.DictReader(io.StringIO(text)))


def probabilities(row):
  """Returns the probability of each class of a row of answers."""
  found = {int(row[f'class_{rank}']): float(row[f'probability_{rank}'])
           for rank in range(1, 11)}
  return np.array([found[label] for label in range(10)])


@pytest.mark.parametrize(('flags', 'words'), [
    ({'tta': 'flips', 'checkpoint_path': 'x'}, ['flips', 'ten_crop']),
    ({'tta': 'flip', 'export': 'x'}, ['--tta is for a checkpoint']),
    ({'tta': 'flip', 'features': 'x.npz', 'checkpoint_path': 'x'},
     ['--features is of one view', '--tta=flip'])])
def test_refused_with_one_line(flags, words):
  with pytest.raises(diagnostics.UserError) as caught:
    ClassifyConfig.from_options(flags).check()
  for word in words:
    assert word in str(caught.value)
