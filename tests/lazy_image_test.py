"""Images that are decoded when their crop is known: the part, its size, its pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from slim_zoo.images import image_decoding
from slim_zoo.input import pipeline
from slim_zoo.preprocessing import lazy_image, preprocessing_factory
from slim_zoo.tasks import training_report
from slim_zoo.tf_compat import tf
from tests import records_for_tests as records

HEIGHT, WIDTH = 240, 322
_BEGIN, _SIZE = (33, 70), (161, 200)


def encoded(file_format='JPEG', mode='RGB', height=HEIGHT, width=WIDTH):
  """Returns a smooth image, so that a mean of pixels is near each of them."""
  down, across = np.mgrid[:height, :width] / max(height, width)
  channels = [200 * down, 255 * across, 90 + 80 * np.sin(4 * (down + across))]
  image = Image.fromarray(np.stack(channels, -1).astype(np.uint8)).convert(mode)
  data = io.BytesIO()
  image.save(data, file_format, **{'quality': 95} if file_format == 'JPEG' else {})
  return data.getvalue()


@pytest.fixture
def small_is_large(monkeypatch):
  """Takes the images of these tests for large photographs."""
  monkeypatch.setattr(image_decoding, 'LARGE_PIXELS', HEIGHT * WIDTH // 2)


def window_of(data, smallest, channels=3):
  image = image_decoding.open_encoded(tf.constant(data), channels)
  whole = image_decoding.decode(tf.constant(data), channels)
  with tf.Session() as session:
    return session.run((image.decode_window(
        tf.constant(_BEGIN), tf.constant(_SIZE), tf.constant(smallest)), whole))


def test_an_encoded_image_is_lazy_and_a_tensor_is_not():
  assert isinstance(
      image_decoding.open_encoded(tf.constant(b''), 3), lazy_image.LazyImage)
  assert not isinstance(tf.zeros([4, 4, 3]), lazy_image.LazyImage)
  assert not isinstance(np.zeros([4, 4, 3]), lazy_image.LazyImage)


@pytest.mark.parametrize(('smallest', 'reduction'), [
    ((161, 200), 1), ((81, 100), 1), ((80, 101), 1), ((80, 100), 2), ((41, 20), 2),
    ((40, 50), 4), ((20, 25), 8), ((1, 1), 8), ((300, 300), 1)])
@pytest.mark.parametrize(('mode', 'channels'), [('RGB', 3), ('L', 1), ('L', 3)])
def test_large_jpegs_are_decoded_at_the_smallest_size_that_is_needed(
    small_is_large, smallest, reduction, mode, channels):
  part, whole = window_of(encoded(mode=mode), smallest, channels)
  first = [begin // reduction for begin in _BEGIN]
  end = [-(-(begin + size) // reduction)
         for begin, size in zip(_BEGIN, _SIZE, strict=True)]
  assert part.shape == (end[0] - first[0], end[1] - first[1], channels)
  # The mean of a block is near the pixel in its middle.
  middle = reduction // 2
  expected = whole[first[0] * reduction + middle:, first[1] * reduction + middle:][
      ::reduction, ::reduction][:part.shape[0] - 1, :part.shape[1] - 1]
  assert np.abs(part[:-1, :-1] - expected.astype(int)).max() <= 8


@pytest.mark.parametrize(('file_format', 'mode', 'channels'), [
    ('JPEG', 'RGB', 3), ('JPEG', 'L', 3), ('PNG', 'RGB', 3), ('PNG', 'L', 1),
    ('BMP', 'RGB', 3), ('GIF', 'RGB', 3)])
def test_windows_of_other_images_are_parts_of_the_whole(file_format, mode, channels):
  part, whole = window_of(encoded(file_format, mode), (10, 10), channels)
  np.testing.assert_array_equal(
      part, whole[_BEGIN[0]:_BEGIN[0] + _SIZE[0], _BEGIN[1]:_BEGIN[1] + _SIZE[1]])


def test_large_images_of_other_formats_are_not_reduced(small_is_large):
  part, whole = window_of(encoded('PNG'), (10, 10))
  np.testing.assert_array_equal(
      part, whole[_BEGIN[0]:_BEGIN[0] + _SIZE[0], _BEGIN[1]:_BEGIN[1] + _SIZE[1]])


def test_the_limit_on_pixels_holds_for_parts(small_is_large, monkeypatch):
  monkeypatch.setattr(
      image_decoding.image_check, 'MAX_PIXELS', HEIGHT * WIDTH - 1)
  with pytest.raises(tf.errors.InvalidArgumentError, match='too large'):
    window_of(encoded(), (10, 10))


def trained_on(data, family, size, seed, is_lazy):
  image = (image_decoding.open_encoded(tf.constant(data), 3) if is_lazy else
           image_decoding.decode(tf.constant(data), 3))
  options = {} if family == 'vgg' else {'bbox': None, 'add_image_summaries': False}
  with tf.Session() as session:
    return session.run(preprocessing_factory.get_preprocessing(family, True)(
        image, size, size, seed=tf.constant([seed, 7]), **options))


@pytest.mark.parametrize('family', ['inception', 'vgg'])
def test_training_shows_the_same_crop_of_a_reduced_image(small_is_large, family):
  data = encoded(height=1200, width=1600)
  for seed in range(3):
    whole, reduced = (trained_on(data, family, 48, seed, is_lazy)
                      for is_lazy in (False, True))
    contrast = whole.max() - whole.min()
    assert not np.array_equal(reduced, whole)
    assert np.abs(reduced - whole).mean() < 0.02 * contrast


@pytest.mark.parametrize(('family', 'large_pixels'), [
    ('inception', 50 * 60), ('vgg', 50 * 60), ('cifarnet', 10), ('lenet', 10)])
def test_other_images_train_as_without_reduced_decoding(
    tmp_path, monkeypatch, family, large_pixels):
  monkeypatch.setattr(image_decoding, 'LARGE_PIXELS', large_pixels)
  batches = []
  for name, values in (('a', range(5)), ('b', range(5, 12))):
    records.write(tmp_path / name, [
        encoded('JPEG' if value % 2 else 'PNG', 'L', 40 + value, 50)
        for value in values], [value % 10 for value in values])
  for reduced in (False, True):
    tf.reset_default_graph()
    images = pipeline.training_input(
        records.dataset(tmp_path / '*', 12), pipeline.preprocess_with(
            preprocessing_factory.get_preprocessing(family, True), 28, seed=3), 12,
        reduced_decoding=reduced)
    batch = images.next_batch()
    with tf.Session() as session:
      session.run(images.initializer)
      batches.append(session.run((batch.images, batch.labels, batch.keys)))
  for before, after in zip(*batches, strict=True):
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(('sizes', 'is_noted'), [
    ([], False), ([(3024, 4032)], True), ([(375, 500)], False), ([(1000, 2000)], False),
    ([(375, 500), (3024, 4032)], False), ([(375, 500), *[(3024, 4032)] * 2], True)])
def test_a_run_on_large_photographs_says_how_they_are_read_faster(sizes, is_noted):
  note = training_report.large_images_note(sizes)
  assert bool(note) == is_noted
  assert not note or ('3024 x 4032' in note and '--max_side=640' in note)
