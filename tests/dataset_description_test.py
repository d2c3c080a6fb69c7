"""Folders of records that describe themselves by a dataset.json."""

import json
import re

import pytest

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.datasets import dataset_factory
from slim_zoo.diagnostics import UserError
from slim_zoo.input import records
from tests.conftest import ROOT
from tests.stored_images import encoded, example, picture, read_split, write

DESCRIPTION = {
    'format_version': 1, 'name': 'birds', 'num_classes': 3, 'channels': 1,
    'splits': {'train': {'images': 4, 'files': 'birds_train_?????-of-00002.tfrecord'},
               'held-out': {'images': 1, 'files': 'birds_rest.tfrecord'}}}


@pytest.fixture
def birds(tmp_path):
  for shard in range(2):
    write(tmp_path / f'birds_train_0000{shard}-of-00002.tfrecord', *(
        example(encoded(picture(n)), label=n) for n in range(2)))
  write(tmp_path / 'birds_rest.tfrecord', example(encoded(picture(9)), label=2))
  describe_birds(tmp_path)
  return tmp_path


def describe_birds(folder, **changes):
  (folder / 'dataset.json').write_text(json.dumps({**DESCRIPTION, **changes}))


def test_described_folder_is_read_by_its_own_name(birds):
  values = read_split('birds', 'held-out', birds)
  assert [value['label'] for value in values] == [2]
  assert values[0]['image'].shape == (24, 32, 1)
  dataset = dataset_factory.get_dataset('birds', 'train', str(birds))
  assert (dataset.num_classes, dataset.num_samples) == (3, 4)
  assert len(dataset.data_sources) == 2


def test_described_folder_may_have_the_name_of_an_established_data_set(birds):
  describe_birds(birds, name='flowers')
  assert dataset_factory.get_dataset('flowers', 'train', str(birds)).num_classes == 3
  with pytest.raises(UserError, match='known: train, held-out'):
    dataset_factory.get_dataset('flowers', 'validation', str(birds))


def test_description_is_written_as_it_is_read(birds):
  spec = dataset_catalog.read_description(str(birds))
  assert json.loads(dataset_catalog.description(spec)) == DESCRIPTION


def test_name_that_is_not_the_described_one_is_answered_with_both(birds):
  with pytest.raises(UserError, match="holds the data set 'birds', not 'brids'"):
    dataset_factory.get_dataset('brids', 'train', str(birds))
  with pytest.raises(UserError, match='use --dataset_name=birds'):
    dataset_factory.get_dataset('imagenet', 'train', str(birds))


def test_missing_shard_of_a_described_split_is_noticed(birds):
  (birds / 'birds_train_00001-of-00002.tfrecord').unlink()
  with pytest.raises(UserError, match=r'1 of the 2 files .*convert the images'):
    dataset_factory.get_dataset('birds', 'train', str(birds))


@pytest.mark.parametrize(('text', 'message'), [
    ('', 'Expecting value'),
    ('{"name": "birds"', 'Expecting'),
    ('[]', 'list'),
    ('{}', "it has no 'format_version'"),
    (json.dumps({**DESCRIPTION, 'format_version': 2}), 'newer than this program'),
    (json.dumps({**DESCRIPTION, 'num_classes': 0}), 'num_classes is 0'),
    (json.dumps({**DESCRIPTION, 'num_classes': '3'}), "num_classes is '3'"),
    (json.dumps({**DESCRIPTION, 'channels': 4}), 'channels is 4'),
    (json.dumps({**DESCRIPTION, 'name': ''}), "name is ''"),
    (json.dumps({**DESCRIPTION, 'name': '..'}), "name is '..'"),
    (json.dumps({**DESCRIPTION, 'splits': {}}), 'there is no split'),
    (json.dumps({**DESCRIPTION, 'splits': {'a': {'images': 1}}}), "it has no 'files'"),
    (json.dumps({**DESCRIPTION, 'splits': {'a': {'images': 1, 'files': '../x'}}}),
     "files is '../x'"),
])
def test_damaged_description_is_named(tmp_path, text, message):
  (tmp_path / 'dataset.json').write_text(text)
  with pytest.raises(UserError, match=re.escape(message)) as error:
    dataset_factory.get_dataset('birds', 'train', str(tmp_path))
  assert "dataset.json' is not a description" in str(error.value)


@pytest.mark.parametrize('name', ['pets', 'flower'])
def test_a_folder_without_a_description_names_its_writer_and_its_page(
    tmp_path, name):
  with pytest.raises(UserError) as error:
    dataset_factory.get_dataset(name, 'train', str(tmp_path))
  text = str(error.value)
  assert text.startswith(f"no data set '{name}', and no dataset.json in '{tmp_path}'")
  assert 'slim-zoo convert-images writes one' in text
  page = re.search(r'docs/\w+\.md', text)[0]
  fields = (ROOT / page).read_text()
  assert all(f'| `{field}` |' in fields for field in DESCRIPTION)
  assert '\n' not in text


def test_data_set_is_complete_with_all_records_of_all_splits(birds):
  spec = dataset_catalog.read_description(str(birds))
  assert records.is_complete(spec, str(birds))
  write(birds / 'birds_rest.tfrecord')
  assert not records.is_complete(spec, str(birds))
  (birds / 'birds_rest.tfrecord').unlink()
  assert not records.is_complete(spec, str(birds))
