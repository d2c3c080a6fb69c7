"""The digits: which images, where they go, and the script that writes them."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from slim_zoo.datasets import dataset_factory, digits, labels
from slim_zoo.diagnostics import UserError
from slim_zoo.input import records
from tests.conftest import ROOT
from tests.stored_images import read_split


@pytest.fixture(scope='module')
def written_digits(tmp_path_factory):
  folder = tmp_path_factory.mktemp('digits')
  digits.convert(str(folder))
  return folder


def test_digits_are_split_by_every_fifth_of_each_and_none_is_lost(written_digits):
  images, target = digits.load_images()
  seen = {split: read_split('digits', split, written_digits)
          for split in ('train', 'test')}
  assert {split: len(values) for split, values in seen.items()} == {
      'train': 1442, 'test': 355}
  for digit in range(10):
    of_digit = images[target == digit]
    test = [value['image'] for value in seen['test'] if value['label'] == digit]
    assert len(test) == len(of_digit) // 5
    for shown, source in zip(test, of_digit[4::5], strict=True):
      small = Image.fromarray(shown[4:24, 4:24, 0]).resize(
          (8, 8), Image.Resampling.BOX)
      assert np.abs(np.asarray(small).astype(int) - source).mean() < 32
  assert len(seen['train']) + len(seen['test']) == len(images) == 1797


def test_digits_are_gray_28x28_with_black_margins(written_digits):
  values = read_split('digits', 'test', written_digits)
  images = np.stack([value['image'] for value in values])
  assert images.shape == (355, 28, 28, 1)
  assert images.max() == 255
  inside = np.zeros((28, 28), bool)
  inside[4:24, 4:24] = True
  assert not images[:, ~inside].any()


def test_digits_have_their_names_and_say_where_they_come_from(written_digits):
  dataset = dataset_factory.get_dataset('digits', 'test', str(written_digits))
  assert dataset.labels_to_names[0] == 'zero'
  assert dataset.labels_to_names[9] == 'nine'
  assert re.search(r'\((zero|one|two|three|four|five|six|seven|eight|nine)/\d{4}.png\)',
                   records.describe(dataset.data_sources, 0, 7))


def test_digits_are_the_same_bytes_each_time(tmp_path, written_digits):
  digits.convert(str(tmp_path))
  first, second = ({path.name: path.read_bytes() for path in folder.iterdir()}
                   for folder in (written_digits, tmp_path))
  assert sorted(first) == ['digits_test.tfrecord', 'digits_train.tfrecord',
                           'labels.txt']
  assert first == second


def test_digits_without_scikit_learn_say_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(UserError, match=r'pip install "scikit-learn>=1\.3"'):
    digits.convert(str(tmp_path / 'new'))
  assert not (tmp_path / 'new').exists()


def test_digits_are_not_written_over_another_data_set(tmp_path):
  labels.write_label_file({0: 'daisy', 1: 'rose'}, tmp_path)
  with pytest.raises(UserError, match='holds another data set'):
    digits.convert(str(tmp_path))
  assert labels.read_label_file(tmp_path) == {0: 'daisy', 1: 'rose'}


def run(*arguments, cwd=None):
  return subprocess.run(
      [sys.executable, str(ROOT / 'download_and_convert_data.py'), *arguments],
      capture_output=True, text=True, check=False, cwd=cwd)


def test_second_run_of_the_download_script_does_nothing(tmp_path, written_digits):
  arguments = ('--dataset_name=digits', f'--dataset_dir={tmp_path}')
  done = run(*arguments)
  assert done.returncode == 0, done.stderr
  assert 'digits: train 1442, test 355' in done.stdout
  before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
  again = run(*arguments)
  assert again.stdout == f'nothing to do: {done.stdout}'
  assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
  assert (tmp_path / 'digits_train.tfrecord').read_bytes() == (
      written_digits / 'digits_train.tfrecord').read_bytes()


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--dataset_name=digit', '--dataset_dir=x'], "did you mean 'digits'"),
    (['--dataset_name=digits'], '--dataset_dir is missing'),
    (['--dataset_name=imagenet', '--dataset_dir=x'], 'a registration at image-net.org'),
    (['digits'], "'digits' is not understood"),
])
def test_download_script_answers_a_mistake_in_one_line(tmp_path, arguments, message):
  done = run(*arguments, cwd=tmp_path)
  assert done.returncode == 1
  assert message in done.stderr
  assert len(done.stderr.splitlines()) == 1
  assert list(tmp_path.iterdir()) == []
