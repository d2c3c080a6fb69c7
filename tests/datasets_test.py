"""Data sets: established records are read, and mistakes are named."""

import contextlib
import inspect
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.datasets import (
  cifar10,
  dataset_factory,
  digits,
  flowers,
  imagenet,
  labels,
  mnist,
  visualwakewords,
)
from slim_zoo.datasets.dataset_utils import (
  bytes_feature,
  float_list_feature,
  int64_feature,
)
from slim_zoo.diagnostics import UserError
from slim_zoo.tf_compat import slim, tf
from tests.conftest import ROOT
from tests.stored_images import encoded, example, picture, read_split, write

# Name, a split, names of its established files, classes, images, channels.
ESTABLISHED = [
    ('cifar10', 'train', ['cifar10_train.tfrecord'], 10, 50000, 3),
    ('cifar10', 'test', ['cifar10_test.tfrecord'], 10, 10000, 3),
    ('digits', 'train', ['digits_train.tfrecord'], 10, 1442, 1),
    ('digits', 'test', ['digits_test.tfrecord'], 10, 355, 1),
    ('flowers', 'train', ['flowers_train_00000-of-00005.tfrecord',
                          'flowers_train_00004-of-00005.tfrecord'], 5, 3320, 3),
    ('flowers', 'validation',
     ['flowers_validation_00003-of-00005.tfrecord'], 5, 350, 3),
    ('imagenet', 'train',
     ['train-00000-of-01024', 'train-01023-of-01024'], 1001, 1281167, 3),
    ('imagenet', 'validation', ['validation-00000-of-00128'], 1001, 50000, 3),
    ('mnist', 'train', ['mnist_train.tfrecord'], 10, 60000, 1),
    ('mnist', 'test', ['mnist_test.tfrecord'], 10, 10000, 1),
    ('visualwakewords', 'train', ['train.record-00000-of-00100'], 2, 82783, 3),
    ('visualwakewords', 'val', ['val.record-00000-of-00010'], 2, 40504, 3),
]


# --- Reading.

@pytest.mark.parametrize(
    ('name', 'split', 'files', 'num_classes', 'num_images', 'channels'), ESTABLISHED)
def test_established_records_are_read_by_their_names(
    tmp_path, name, split, files, num_classes, num_images, channels):
  colour, gray = picture(1), picture(2, channels=1)
  stored = [
      (b'png', encoded(colour)), (b'jpeg', encoded(colour, 'JPEG', quality=95)),
      (b'png', encoded(gray)), (b'jpeg', encoded(gray, 'JPEG', quality=95))]
  for file in files:
    write(tmp_path / file, *(
        example(data, kind, num_classes - 1 - index)
        for index, (kind, data) in enumerate(stored * 2) if index < num_classes))
  for other in ('labels.txt', 'README', 'unrelated.tfrecord'):
    (tmp_path / other).write_text('')
  values = read_split(name, split, tmp_path)

  dataset = dataset_factory.get_dataset(name, split, str(tmp_path))
  assert dataset.num_classes == num_classes
  assert dataset.num_samples == num_images
  assert len(values) == len(files) * min(8, num_classes)
  for index, value in enumerate(values[:4]):
    assert value['label'] == num_classes - 1 - index
    assert value['image'].dtype == np.uint8
    shown = Image.fromarray(colour if index < 2 else gray)
    expected = np.asarray(shown.convert('L' if channels == 1 else 'RGB'))
    difference = value['image'] - expected.reshape(24, 32, channels).astype(int)
    assert np.abs(difference).mean() < 5


def test_imagenet_records_give_boxes_texts_and_a_label_to_none(tmp_path):
  boxes = {f'object__bbox__{side}': float_list_feature(values)
           for side, values in (('ymin', [.1, .5]), ('xmin', [.2, .6]),
                                ('ymax', [.3, .7]), ('xmax', [.4, .8]))}
  boxes['object__bbox__label'] = int64_feature([7, 7])
  data = encoded(picture(), 'JPEG')
  write(tmp_path / 'train-00000-of-00001',
        example(data, b'jpeg', 7, class__text=bytes_feature(b'hen'),
                **boxes),
        example(data, b'jpeg', None))
  with_boxes, without = read_split('imagenet', 'train', tmp_path)
  np.testing.assert_allclose(
      with_boxes['object/bbox'], [[.1, .2, .3, .4], [.5, .6, .7, .8]], atol=1e-6)
  assert with_boxes['object/label'].tolist() == [7, 7]
  assert with_boxes['label_text'] == b'hen'
  assert without['label'] == -1
  assert without['object/bbox'].shape == (0, 4)


def test_record_without_a_label_is_an_error_elsewhere(tmp_path):
  write(tmp_path / 'mnist_test.tfrecord', example(encoded(picture()), label=None))
  with pytest.raises(tf.errors.InvalidArgumentError, match='image/class/label'):
    read_split('mnist', 'test', tmp_path)


def test_slims_own_data_provider_reads_a_dataset(tmp_path):
  pattern = tmp_path / 'flowers_train_00000-of-00001.tfrecord'
  write(pattern, *(example(encoded(picture(n)), label=n) for n in range(3)))
  dataset = flowers.get_split('train', str(tmp_path))
  provider = slim.dataset_data_provider.DatasetDataProvider(
      dataset, num_readers=1, shuffle=False, num_epochs=1)
  image, label = provider.get(['image', 'label'])
  with tf.Session() as session:
    session.run(tf.local_variables_initializer())
    coordinator = tf.train.Coordinator()
    threads = tf.train.start_queue_runners(session, coordinator)
    for expected in range(3):
      shown, read = session.run([image, label])
      assert read == expected
      np.testing.assert_array_equal(shown, picture(expected))
    coordinator.request_stop()
    coordinator.join(threads)


@pytest.mark.parametrize('module', [
    cifar10, digits, flowers, imagenet, mnist, visualwakewords])
def test_data_set_module_has_the_established_names(tmp_path, module):
  assert list(inspect.signature(module.get_split).parameters) == [
      'split_name', 'dataset_dir', 'file_pattern', 'reader']
  name = module.__name__.split('.')[-1]
  assert dataset_factory.datasets_map[name] is module
  sizes = {split: images for row, split, *_, images, _ in ESTABLISHED if row == name}
  assert sizes == module.SPLITS_TO_SIZES
  with pytest.raises(UserError, match='no file'):
    module.get_split(next(iter(module.SPLITS_TO_SIZES)), str(tmp_path))


def test_reader_and_file_pattern_of_the_caller_are_used(tmp_path):
  files = [write(tmp_path / f'my-{split}-{n}.rec', example(encoded(picture()), label=n))
           for split in ('train', 'test') for n in (0, 1)]
  for pattern in ('my-%s-*.rec', 'my-{}-*.rec', 'my-test-*'):
    dataset = dataset_factory.get_dataset(
        'mnist', 'test', str(tmp_path), pattern, tf.TextLineReader)
    assert dataset.data_sources == files[2:]
    assert dataset.reader is tf.TextLineReader
  assert dataset_factory.get_dataset(
      'mnist', 'test', str(tmp_path), 'my-*').reader is tf.TFRecordReader


def test_folder_name_with_glob_characters_is_taken_literally(tmp_path):
  write(tmp_path / 'a [1]/mnist_test.tfrecord', example(encoded(picture()), label=4))
  assert read_split('mnist', 'test', tmp_path / 'a [1]')[0]['label'] == 4


def test_class_names_come_from_the_labels_file_or_are_none(tmp_path, monkeypatch):
  write(tmp_path / 'train-00000-of-00001', example(encoded(picture())))
  assert dataset_factory.get_dataset(
      'imagenet', 'train', str(tmp_path)).labels_to_names is None
  labels.write_label_file({0: 'background', 1: 'tench'}, tmp_path)
  assert dataset_factory.get_dataset(
      'imagenet', 'train', str(tmp_path)).labels_to_names == {
          0: 'background', 1: 'tench'}
  monkeypatch.setattr(imagenet, 'LOAD_READABLE_NAMES', False)
  assert imagenet.get_split('train', str(tmp_path)).labels_to_names is None


def test_empty_folder_name_gives_the_facts_without_files():
  dataset = dataset_factory.get_dataset('flowers', 'train', '')
  assert (dataset.num_classes, dataset.num_samples) == (5, 3320)


# --- Mistakes.

@pytest.mark.parametrize(('name', 'split', 'folder', 'message'), [
    ('flower', 'train', 'full', "no data set 'flower', .*did you mean 'flowers'"),
    ('flowers', 'valid', 'full', "no split 'valid' in flowers; did you mean 'valida"),
    ('flowers', 'train', None, 'no dataset_dir: give the folder .*flowers'),
    ('flowers', 'train', 'ful', "no folder '.*/ful' .*did you mean 'full'"),
    ('birds', 'train', 'brids', "no folder '.*/brids'"),
    ('flowers', 'train', 'full/labels.txt', 'is a file: dataset_dir is the folder'),
    ('flowers', 'train', 'empty', r"no file 'flowers_train_\*.tfrecord' .*is empty; .*"
     'slim-zoo convert-images'),
    ('flowers', 'train', 'full', 'it holds .*flowers_validation_00000-of-00005.*labels'
     r'.txt.* and 3 more; name the folder of its established TFRecords'),
    ('flowers', 'train', '.', 'use --dataset_dir=.*/nested$'),
    ('digits', 'test', 'empty', 'slim-zoo download --dataset_name=digits'
     ' --dataset_dir=.*empty$'),
])
def test_misspelt_name_split_or_folder_gets_one_clear_line(
    tmp_path, name, split, folder, message):
  write(tmp_path / 'full/flowers_validation_00000-of-00005.tfrecord')
  write(tmp_path / 'nested/flowers_train_00000-of-00005.tfrecord')
  (tmp_path / 'full/labels.txt').write_text('0:daisy\n')
  for index in range(6):
    (tmp_path / f'full/more{index}').mkdir()
  (tmp_path / 'empty').mkdir()
  with pytest.raises(UserError) as error:
    dataset_factory.get_dataset(
        name, split, folder and str(tmp_path / folder))
  assert re.search(message, str(error.value))
  assert '\n' not in str(error.value)


def test_pattern_of_the_user_that_matches_nothing_is_named(tmp_path):
  write(tmp_path / 'mnist_train.tfrecord')
  with pytest.raises(UserError, match=r"no file 'mine_train' .*mnist_train\.tf"):
    dataset_factory.get_dataset('mnist', 'train', str(tmp_path), 'mine_%s')


def test_labels_file_of_another_data_set_is_noticed(tmp_path):
  write(tmp_path / 'flowers_train_00000-of-00001.tfrecord')
  labels.write_label_file(dict(enumerate('abcdefgh')), tmp_path)
  with pytest.raises(UserError, match='class 7, but the 5 classes of flowers are 0 to'):
    dataset_factory.get_dataset('flowers', 'train', str(tmp_path))


@pytest.mark.parametrize(('offset', 'fits'), [(-1, False), (0, True), (1, True),
                                              (4, True), (5, False)])
def test_labels_offset_must_leave_classes(offset, fits):
  with contextlib.nullcontext() if fits else pytest.raises(
      UserError, match=f'labels_offset {offset} does not fit flowers, .* 0 to 4'):
    dataset_catalog.find_dataset('flowers').check_labels_offset(offset)


def test_catalog_and_checks_of_files_need_no_tensorflow():
  code = ('import sys, slim_zoo.catalog.datasets, slim_zoo.catalog.networks,'
          ' slim_zoo.input.records, slim_zoo.datasets.labels,'
          ' slim_zoo.files.downloads, slim_zoo.dataset_building.image_folder\n'
          'print([name for name in sys.modules if "tensorflow" in name])')
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True,
                        text=True, check=True)
  assert done.stdout.strip() == '[]'
