"""Random erasing, the recipes with more augmentation, its pictures and its flags."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from slim_zoo.drawing import sheets
from slim_zoo.preprocessing import random_erasing
from slim_zoo.preprocessing.augmentation import augmented
from slim_zoo.preprocessing.preprocessing_factory import get_preprocessing
from slim_zoo.tf_compat import tf
from slim_zoo.training.callbacks import augmentation_pictures
from tests import recipe, scripts
from tests.conftest import on_digits
from tests.mapped_images import draw, evaluate, sample_photo, unconverted

FAMILIES = ('cifarnet', 'inception', 'lenet', 'vgg')


# --- Random erasing.


def test_boxes_have_the_area_aspect_and_place_of_the_paper():
  boxes = draw(lambda seed: tf.stack(random_erasing.draw_box(200, 300, seed)), 800)
  top, left, height, width = boxes.T
  assert (boxes >= 0).all()
  assert (top + height <= 200).all()
  assert (left + width <= 300).all()
  area, aspect = height * width / 60000, height / width
  # Whole pixels: a box of the smallest area is 19 x 63 or so.
  assert 0.0185 < area.min() < 0.03
  assert 0.37 < area.max() < 0.405
  assert 0.29 < aspect.min() < 0.35
  assert 2.9 < aspect.max() < 3.45
  # A wide image has more room for lying boxes, but both kinds come.
  assert 0.35 < (aspect > 1).mean() < 0.55
  assert abs(area.mean() - 0.205) < 0.02
  for begin, room in ((top, 200 - height), (left, 300 - width)):
    share = begin / np.maximum(room, 1)
    assert abs(share.mean() - 0.5) < 0.05
    assert np.histogram(share, 4, (0, 1))[0].min() > 140


def test_boxes_stay_inside_of_tiny_images():
  for height, width in ((1, 1), (1, 40), (3, 2)):
    boxes = draw(lambda seed, size=(height, width): tf.stack(
        random_erasing.draw_box(*size, seed)), 50)
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= [height, width]).all()


def test_erasing_fills_one_box_with_noise_of_the_images_range():
  image = sample_photo().astype(np.float32) / 127.5 - 1
  outputs = draw(lambda seed: random_erasing.random_erasing(
      tf.constant(image), 0.5, seed), 200)
  assert outputs.dtype == np.float32
  changed = (outputs != image).any(-1)
  erased = changed.any((1, 2))
  assert 75 < erased.sum() < 125
  for output, where in zip(outputs[erased], changed[erased], strict=True):
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    box = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    assert where[box].mean() > 0.99  # A drawn value may be the pixel's own.
    noise = output[box]
    assert image.min() <= noise.min()
    assert noise.max() <= image.max()
    assert abs(noise.mean() - (image.min() + image.max()) / 2) < 0.1
    assert abs(noise.std() - np.ptp(image) / 12 ** 0.5) < 0.1


@pytest.mark.parametrize('probability', [0.0, 1.0])
def test_erasing_never_and_always(probability):
  image = recipe.photo(16, 16).astype(np.float32)
  outputs = draw(lambda seed: random_erasing.random_erasing(
      tf.constant(image), probability, seed), 30)
  assert (outputs != image).any((1, 2, 3)).mean() == probability


# --- The recipes with more augmentation.


def test_nothing_more_is_the_recipe_itself():
  recipe_fn = get_preprocessing('vgg', True)
  assert augmented(recipe_fn) is recipe_fn


def draw_twice(preprocess, count):
  """Returns what `preprocess(seed)` gives for `count` seeds, each time stacked."""
  dataset = tf.data.Dataset.range(count).map(unconverted(
      lambda index: preprocess(tf.stack([index, 7]))), 4).batch(count)
  iterator = tf.data.make_initializable_iterator(dataset)
  batch = iterator.get_next()
  with tf.Session() as session:
    results = []
    for _ in range(2):
      session.run(iterator.initializer)
      results.append(session.run(batch))
  return results


@pytest.mark.parametrize(('family', 'channels'), [
    ('cifarnet', 3), ('inception', 3), ('lenet', 1), ('vgg', 1)])
def test_each_family_augments_its_crop_and_repeats_by_the_seed(family, channels):
  pixels = recipe.photo(20, 24, channels)
  plain = get_preprocessing(family, True)
  steps = [augmented(plain, 1, 9), augmented(plain, 1, 9, 1.0)]
  assert all('seed' in step.options for step in steps)
  assert not any('augment' in step.options for step in steps)

  def rows(seed):
    own = {'seed': seed} if 'seed' in plain.options else {}
    options = {'bbox': None} if family == 'inception' else {}
    return tf.stack([plain(pixels, 16, 16, **own, **options)] + [
        step(pixels, 16, 16, seed=seed, **options) for step in steps])

  results, again = draw_twice(rows, 16)
  np.testing.assert_array_equal(results, again)
  assert results.dtype == np.float32
  assert np.isfinite(results).all()
  recipe_alone, with_operations, with_erasing = results.swapaxes(0, 1)
  different = lambda a, b: (a != b).any(-1)
  assert different(recipe_alone, with_operations).any((1, 2)).sum() >= 10
  # The erased box is all that its step changes.
  erased = different(with_operations, with_erasing)
  assert (erased.any((1, 2)) & (erased.mean((1, 2)) < 0.45)).all()


@pytest.mark.parametrize('family', FAMILIES)
def test_the_hook_gets_the_crop_and_its_result_is_what_counts(family):
  seen = []
  def augment(image):
    seen.append(image)
    return tf.zeros_like(image) + 51.0
  pixels = tf.constant(recipe.photo(20, 24))
  preprocess = get_preprocessing(family, True)
  options = {'bbox': None} if family == 'inception' else {}
  result = preprocess(pixels, 16, 12, augment=augment, **options)
  seen_values, values = evaluate([seen[0], result])
  assert seen[0].shape.as_list() == [16, 12, 3]
  assert 100 < seen_values.max() <= 255.01
  assert seen_values.min() >= -0.01
  flat = {'lenet': -0.6015625, 'cifarnet': 0.0}
  if family in flat:
    np.testing.assert_allclose(values, flat[family], atol=2e-3)
  elif family == 'vgg':
    np.testing.assert_allclose(
        values[0, 0], [51 - 123.68, 51 - 116.78, 51 - 103.94], rtol=1e-5)
  else:  # Its brightness is still to be distorted, by up to 32 of 255.
    assert np.ptp(values) < 1e-5
    assert abs(values[0, 0, 0] + 0.6) < 2 * 32.01 / 255
  evaluated = get_preprocessing(family, False)
  assert 'augment' in evaluated.options
  count = len(seen)
  evaluated(pixels, 16, 12, augment=augment)
  assert len(seen) == count


# --- The pictures and the script.


def test_the_sheet_shows_rows_of_pictures_under_their_titles():
  dark, black = np.full((8, 8, 1), 10, np.uint8), np.zeros((40, 20, 3), np.uint8)
  sheet = np.asarray(augmentation_pictures.draw_sheet([
      augmentation_pictures.Row('first', [dark, dark[..., 0]]),
      augmentation_pictures.Row('second', [black, dark], ['one', 'two'])]))
  side = sheets.THUMBNAIL_SIDE
  assert (sheet == 10).all(-1).sum() == 3 * side ** 2
  assert (sheet == 0).all(-1).sum() == side * side // 2
  assert sheet.shape[1] > 2 * side


def augmentation_picture(folder):
  """Returns the first sheet that a run wrote for TensorBoard."""
  for name in sorted(os.listdir(folder)):
    if 'tfevents' in name:
      for event in tf.train.summary_iterator(str(folder / name)):
        for value in event.summary.value:
          if value.tag == 'augmentation/steps':
            return np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)))
  return None


EVERYTHING = {
    'rand_augment_layers': 1, 'rand_augment_magnitude': 7, 'mixup_alpha': 0.2,
    'random_erasing_probability': 0.5, 'cutmix_alpha': 1.0}


def test_digits_are_trained_with_everything_on(digits_dir, tmp_path):
  done = scripts.run('train_image_classifier', **dict(
      on_digits(digits_dir), **EVERYTHING, train_dir=tmp_path, label_smoothing=0.1,
      max_number_of_steps=40, log_every_n_steps=10, save_summaries_secs=1000))
  assert done.returncode == 0, done.stderr
  assert done.stderr == ''
  for words in ('RandAugment, 1 operation of magnitude 7',
                'random erasing of 50% of the images',
                'mixup with alpha 0.2 or cutmix with alpha 1'):
    assert words in done.stdout
  losses = [float(line.split()[3]) for line in done.stdout.splitlines()
            if line.startswith('step ') and 'loss' in line]
  assert losses[-1] < losses[0]
  picture = augmentation_picture(tmp_path)
  # As stored, the recipe and four steps, of six images.
  assert picture.shape[0] > 6 * sheets.THUMBNAIL_SIDE
  assert picture.shape[1] > 6 * sheets.THUMBNAIL_SIDE


@pytest.mark.parametrize(('flags', 'words'), [
    ({'rand_augment_magnitude': 9}, ['--rand_augment_layers']),
    ({'rand_augment_magnitude': 31}, ['--rand_augment_magnitude=31', 'from 0 to 30']),
    ({'random_erasing_probability': 1.5}, ['--random_erasing_probability=1.5']),
    ({'mixup_alpha': 0.2, 'batch_size': 1}, ['--mixup_alpha=0.2', '2 images or more']),
    ({'cutmix_alpha': -1}, ['--cutmix_alpha=-1']),
])
def test_mistaken_flags(digits_dir, tmp_path, flags, words):
  done = scripts.run('train_image_classifier', **{
      **on_digits(digits_dir), 'train_dir': tmp_path, **flags})
  scripts.answer(done, *words)
