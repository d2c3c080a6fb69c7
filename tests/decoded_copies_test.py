"""Copies of records with decoded images: the same batches, and no half of one."""

import collections
import os
import re
import shutil

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.datasets import dataset_utils
from slim_zoo.input import image_cache, pipeline
from slim_zoo.tf_compat import slim, tf
from tests import records_for_tests as records
from tests import scripts
from tests.pipeline_test import failure_of

BAD, COUNTS = (3, 16), (10, 7)


@pytest.fixture
def folder(tmp_path):
  """Two files; two images are damaged, and sizes differ."""
  start = 0
  for index, count in enumerate(COUNTS):
    numbers = range(start, start + count)
    records.write(
        tmp_path / f'part-{index}',
        [b'no image' if number in BAD else records.png(number, 4 + number % 3)
         for number in numbers], [number % 10 for number in numbers])
    start += count
  return tmp_path


def dataset(folder):
  return records.dataset(folder / 'part-?', sum(COUNTS))


def prepared(number, image):
  """Something that depends on the pixels of a record and its shape."""
  image = tf.image.resize_with_crop_or_pad(tf.cast(image, tf.float32) / 3.0, 8, 8)
  return tf.ensure_shape(image, [8, 8, 1])


def augmented(number, image):
  """Something that depends on the record's number too."""
  return prepared(number, image) + tf.random.stateless_normal(
      [8, 8, 1], tf.stack([number, 7]))


def batches(make, preprocess, folder, count, **options):
  """Returns what batches hold, and which records were skipped."""
  tf.reset_default_graph()
  images = make(dataset(folder), preprocess, 5, **options)
  batch, found = images.next_batch(), collections.defaultdict(list)
  with tf.Session() as session:
    session.run(images.initializer)
    for _ in range(count):
      for name, value in session.run(batch)._asdict().items():
        found[name].append(value)
      images.log.deliver(found['numbers'][-1])
  lost = [(number, images.log.describe(key)) for number, key in images.log.take_lost()]
  return {name: np.concatenate(found[name])
          for name in ('images', 'labels', 'numbers', 'keys')}, lost


@pytest.mark.parametrize(('make', 'preprocess', 'count'), [
    (pipeline.training_input, augmented, 12),
    (pipeline.evaluation_input, prepared, 3)])
def test_copies_give_the_same_batches(folder, tmp_path, make, preprocess, count):
  usual, lost = batches(make, preprocess, folder, count)
  copied, lost_of_copies = batches(
      make, preprocess, folder, count, cache_dir=str(tmp_path / 'c'))
  for name, values in usual.items():
    np.testing.assert_array_equal(copied[name], values)
  assert lost
  assert lost_of_copies == lost


def test_copies_are_made_once_and_anew_when_the_records_change(
    folder, tmp_path, monkeypatch):
  def make():
    return image_cache.make(
        files, image_cache.CopyDecoder(dataset(folder).decoder),
        str(tmp_path / 'copies'))

  files = [str(folder / 'part-0'), str(folder / 'part-1')]
  first = make()
  assert sorted(os.listdir(tmp_path / 'copies')) == sorted(
      map(os.path.basename, first))
  with monkeypatch.context() as patched:
    patched.setattr(dataset_utils, 'write_records', None)
    assert make() == first
  records.write(files[1], [records.png(1)] * 7, [1] * 7)
  second = make()
  assert second[0] == first[0]
  assert second[1] != first[1]


def test_what_is_stored_otherwise_has_a_copy_of_its_own(folder, tmp_path):
  def decoder(channels):
    return slim.tfexample_decoder.TFExampleDecoder(
        {'image/encoded': tf.FixedLenFeature([], tf.string),
         'image/format': tf.FixedLenFeature([], tf.string, 'png')},
        {'image': slim.tfexample_decoder.Image(channels=channels)})

  decoders = [image_cache.CopyDecoder(decoder(1)),
              image_cache.CopyDecoder(decoder(3)),
              image_cache.CopyDecoder(decoder(1), prepared),
              image_cache.CopyDecoder(
                  decoder(1), lambda number, image: prepared(number, image) + 1.0)]
  names = [image_cache.make([str(folder / 'part-0')], each, str(tmp_path / 'copies'))
           for each in (*decoders, image_cache.CopyDecoder(decoder(1), prepared))]
  assert len(set(map(tuple, names))) == 4
  assert names[4] == names[2]
  assert decoders[1].shape.as_list() == [None, None, 3]
  assert decoders[2].dtype == tf.float32


def damage(path, place):
  data = bytearray(path.read_bytes())
  data[place] ^= 0xff
  path.write_bytes(bytes(data))


def test_damaged_records_leave_no_copy(folder, tmp_path):
  damage(folder / 'part-1', -20)
  with pytest.raises(diagnostics.UserError, match=r'part-1.* damaged at record 6'):
    pipeline.evaluation_input(
        dataset(folder), prepared, 5, cache_dir=str(tmp_path / 'copies'))
  assert [re.sub('-decoded-.*', '', name)
          for name in os.listdir(tmp_path / 'copies')] == ['part-0']


def test_a_damaged_copy_is_named_with_what_to_do(folder, tmp_path):
  images = pipeline.evaluation_input(
      dataset(folder), prepared, 5, cache_dir=str(tmp_path / 'copies'))
  (copy,) = (tmp_path / 'copies').glob('part-1-*')
  damage(copy, -20)
  error = str(failure_of(images))
  assert copy.name in error
  assert 'it is a cache file: delete it' in error
  assert '\n' not in error


def test_a_kill_leaves_no_half_of_a_copy(folder, tmp_path, monkeypatch):
  def killed(path, examples):
    real(path, [next(examples)])
    raise KeyboardInterrupt

  real = dataset_utils.write_records
  monkeypatch.setattr(dataset_utils, 'write_records', killed)
  with pytest.raises(KeyboardInterrupt):
    pipeline.evaluation_input(
        dataset(folder), prepared, 5, cache_dir=str(tmp_path / 'copies'))
  assert not os.path.exists(tmp_path / 'copies') or not os.listdir(tmp_path / 'copies')


def test_copies_that_do_not_fit_are_not_begun(folder, tmp_path, monkeypatch):
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=100))
  with pytest.raises(diagnostics.UserError, match='the cache of 17 images takes about'):
    pipeline.evaluation_input(
        dataset(folder), prepared, 5, cache_dir=str(tmp_path / 'copies'))
  assert not (tmp_path / 'copies').exists()


def losses_in(done):
  assert done.returncode == 0, done.stderr
  return re.findall(r'step (\d+).* loss ([\d.]+)', done.stdout)


def test_training_and_evaluation_are_the_same_from_copies(digits_dir, tmp_path):
  cache_dir = tmp_path / 'copies'
  shared = {'dataset_name': 'digits', 'dataset_dir': digits_dir,
            'model_name': 'lenet'}
  losses, accuracies = [], []
  for folder, more in (('usual', {}), ('copied', {'cache_dir': cache_dir})):
    losses.append(losses_in(scripts.run(
        'train_image_classifier', train_dir=tmp_path / folder, max_number_of_steps=4,
        log_every_n_steps=1, seed=1, validation_share=0.2, validate_every_steps=2,
        save_summaries_secs=0, **shared, **more)))
    done = scripts.run_for_numbers(
        'eval_image_classifier', checkpoint_path=tmp_path / folder,
        eval_dir=tmp_path / folder, **shared, **more)
    assert done.returncode == 0, done.stderr
    accuracies.append(re.search(r'accuracy +([\d.]+)%', done.stdout)[1])
  assert len(losses[0]) == 6  # Four steps, validated twice.
  assert losses[0] == losses[1]
  assert accuracies[0] == accuracies[1]
  # Decoded ones to train on; prepared ones to validate on, and to evaluate.
  assert len(os.listdir(cache_dir)) == 3


def test_folders_that_cannot_be_it_are_refused(digits_dir, tmp_path):
  (tmp_path / 'file').touch()
  for cache_dir, words in ((digits_dir, 'is --dataset_dir'),
                           (tmp_path / 'file', 'is not a folder')):
    done = scripts.run(
        'train_image_classifier', train_dir=tmp_path / 'run', dataset_name='digits',
        dataset_dir=digits_dir, model_name='lenet', cache_dir=cache_dir)
    scripts.answer(done, '--cache_dir', words)
