"""A folder of class folders becomes TFRecords: files, labels, splits."""

import json
import os

import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.dataset_building import class_folders, folder_conversion
from slim_zoo.datasets import dataset_factory, labels
from slim_zoo.input import records
from tests.image_kinds import KINDS, PNG, REFUSED
from tests.stored_images import (
  contents,
  convert,
  encoded,
  fill,
  picture,
  plain_folder,
  read_split,
  stored_examples,
)

# --- What the folder becomes.

def test_converted_folder_is_read_by_its_name(tmp_path):
  images = plain_folder(tmp_path / 'images', 10, ('a: b', 'cat', 'dog'))
  convert(images, tmp_path / 'records', 'my-pets', validation_share=0.3, num_shards=2)
  seen = []
  for split in ('train', 'validation'):
    values = read_split('my-pets', split, tmp_path / 'records')
    spec = dataset_catalog.find_dataset('my-pets', str(tmp_path / 'records'))
    assert len(values) == spec.splits[split] > 0
    seen += values
  assert len(seen) == 30
  for label, name in enumerate(('a: b', 'cat', 'dog')):
    expected = sorted(picture(100 * label + index, 8, 8).tobytes()
                      for index in range(10))
    assert sorted(value['image'].tobytes() for value in seen
                  if value['label'] == label) == expected
    assert labels.read_label_file(tmp_path / 'records')[label] == name


def test_names_that_are_no_utf8_are_kept(tmp_path):
  odd = os.fsdecode(b'caf\xe9')
  images = plain_folder(tmp_path / 'images', 3, ('a', odd))
  fill(images, {f'{odd}/{odd}.jpg': b''})
  report = convert(images, tmp_path / 'records', validation_share=0)
  '\n'.join(report.lines()).encode()
  dataset = dataset_factory.get_dataset('pets', 'train', str(tmp_path / 'records'))
  assert dataset.labels_to_names == {0: 'a', 1: odd}
  names = {records.read_features(dataset.data_sources, 0, position)['image/filename'][0]
           for position in range(6)}
  assert b'caf\xe9/0.png' in names


def test_linked_folder_is_followed_and_a_loop_is_not_endless(tmp_path):
  plain_folder(tmp_path / 'elsewhere', 3)
  (tmp_path / 'images/dog').mkdir(parents=True)
  (tmp_path / 'images/cat').symlink_to(tmp_path / 'elsewhere/cat')
  (tmp_path / 'images/dog/more').symlink_to(tmp_path / 'elsewhere/dog')
  (tmp_path / 'images/dog/again').symlink_to(tmp_path / 'images/dog')
  convert(tmp_path / 'images', tmp_path / 'records', validation_share=0)
  assert set(stored_examples(tmp_path / 'records')) == {
      f'{folder}/{index}.png' for folder in ('cat', 'dog/more') for index in range(3)}


def test_description_and_files_are_as_documented(tmp_path):
  convert(plain_folder(tmp_path / 'images', 10), tmp_path / 'records', num_shards=2,
          validation_share=0.2)
  described = json.loads((tmp_path / 'records/dataset.json').read_text())
  counts = {name: split['images'] for name, split in described['splits'].items()}
  assert sum(counts.values()) == 20
  assert described == {
      'format_version': 1, 'name': 'pets', 'num_classes': 2, 'channels': 3, 'splits': {
          name: {'images': count, 'files': f'pets_{name}_?????-of-00002.tfrecord'}
          for name, count in counts.items()}}
  assert sorted(contents(tmp_path / 'records')) == [
      'dataset.json', 'labels.txt', *(
          f'pets_{split}_0000{shard}-of-00002.tfrecord'
          for split in ('train', 'validation') for shard in (0, 1))]
  assert (tmp_path / 'records/labels.txt').read_text() == '0:cat\n1:dog\n'


def test_all_gray_images_make_a_gray_data_set_and_one_colour_image_does_not(tmp_path):
  images = fill(tmp_path / 'images', {
      f'{name}/{index}.png': encoded(picture(index, channels=1))
      for name in 'ab' for index in range(3)})
  assert convert(images, tmp_path / 'gray').spec.channels == 1
  values = read_split('pets', 'train', tmp_path / 'gray')
  assert values[0]['image'].shape == (24, 32, 1)
  fill(images, {'b/colour.png': PNG})
  assert convert(images, tmp_path / 'rgb').spec.channels == 3


def test_shards_mix_the_classes_and_are_even(tmp_path):
  images = plain_folder(tmp_path / 'images', 40)
  convert(images, tmp_path / 'records', validation_share=0, num_shards=4)
  for path in sorted((tmp_path / 'records').glob('*.tfrecord')):
    labels_of_part = [
        records.labels_of(records.read_features([str(path)], 0, position))[0]
        for position in range(20)]
    assert records.count_records([str(path)]) == 20
    assert 4 <= sum(labels_of_part) <= 16


def test_number_of_files_follows_from_the_size_and_never_exceeds_the_images(
    tmp_path, monkeypatch):
  images = plain_folder(tmp_path / 'images', 3)
  convert(images, tmp_path / 'records', validation_share=0, num_shards=100)
  assert len(list((tmp_path / 'records').glob('*-of-00006.tfrecord'))) == 6
  monkeypatch.setattr(folder_conversion, '_SHARD_BYTES', 500)
  convert(images, tmp_path / 'small', validation_share=0)
  size = sum(path.stat().st_size for path in images.glob('*/*'))
  assert len(list((tmp_path / 'small').glob('*.tfrecord'))) == -(-size // 500)


def test_bytes_are_the_same_for_one_worker_and_for_several(tmp_path):
  images = fill(plain_folder(tmp_path / 'images'), {
      f'{folder}/{name}': data for folder, kinds in (('dog', KINDS), ('cat', REFUSED))
      for name, (data, *_) in kinds.items()})
  written = []
  for workers in (1, 2, 5):
    convert(images, tmp_path / str(workers), num_workers=workers, num_shards=2)
    written.append(contents(tmp_path / str(workers)))
  assert written[0] == written[1] == written[2]
  assert len(written[0]) == 7
  assert written[0]['refused.txt'].count(b'\n') == len(REFUSED)


# --- Splits.

def test_image_keeps_its_split_when_others_come_and_go(tmp_path):
  images = plain_folder(tmp_path / 'images', 30)

  def splits(name):
    convert(images, tmp_path / name, validation_share=0.3)
    return {
        split: {str(path) for shard in (tmp_path / name).glob(f'*_{split}_*')
                for path in _names(shard)} for split in ('train', 'validation')}

  before = splits('before')
  for index in range(30, 50):
    fill(images, {f'{name}/{index}.png': PNG for name in ('ant', 'cat')})
  (images / 'dog/7.png').unlink()
  after = splits('after')
  for split in ('train', 'validation'):
    assert before[split] - {'dog/7.png'} == {
        path for path in after[split]
        if not path.startswith('ant') and int(path.split('/')[1][:-4]) < 30}
  assert 8 <= len(before['validation']) <= 28


def _names(shard):
  count = records.count_records([str(shard)])
  return [records.read_features([str(shard)], 0, position)['image/filename'][0].decode()
          for position in range(count)]


def test_share_of_validation_is_about_what_was_asked_for():
  sources = [class_folders.Source(f'a/{index}.jpg', 0, None) for index in range(5000)]
  for share in (0.1, 0.5):
    splits = class_folders.assign_splits(sources, share)
    assert len(splits['validation']) == pytest.approx(5000 * share, rel=0.1)
    assert len(splits['train']) + len(splits['validation']) == 5000


def test_every_class_keeps_an_image_to_train_on():
  sources = [class_folders.Source(f'{label}/{index}.jpg', label, None)
             for label in range(50) for index in range(2)]
  splits = class_folders.assign_splits(sources, 0.9)
  assert {source.label for source in splits['train']} == set(range(50))
  assert len(splits['train']) + len(splits['validation']) == 100


def test_missing_validation_split_is_said(tmp_path):
  images = plain_folder(tmp_path / 'images', 1)
  report = convert(images, tmp_path / 'records')
  assert report.spec.splits == {'train': 2}
  assert 'there is no split validation' in '\n'.join(report.lines())


@pytest.mark.parametrize('second', ['test', 'val', 'valid', 'validation'])
def test_split_folders_are_kept_and_said(tmp_path, second):
  plain_folder(tmp_path / 'images/train', 4)
  plain_folder(tmp_path / f'images/{second}', 2)
  report = convert(tmp_path / 'images', tmp_path / 'records')
  assert report.spec.splits == {'train': 8, second: 4}
  text = '\n'.join(report.lines())
  assert 'splits are the folders' in text
  assert f'4 images of {second} are, byte for byte, in train too' in text
  assert len(read_split('pets', second, tmp_path / 'records')) == 4


def test_classes_called_train_and_test_are_classes_beside_others(tmp_path):
  images = plain_folder(tmp_path / 'images', 4, ('car', 'train'))
  report = convert(images, tmp_path / 'records')
  assert report.spec.num_classes == 2
  images = plain_folder(tmp_path / 'more', 4, ('test', 'train'))
  assert convert(
      images, tmp_path / 'records', split_folders='no').spec.num_classes == 2
  with pytest.raises(diagnostics.UserError, match='--split_folders=no'):
    convert(images, tmp_path / 'records')
