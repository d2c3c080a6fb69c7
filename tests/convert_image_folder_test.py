"""Converting a folder: mistakes get one line, and it is done whole or not at all."""

import errno
import os
import signal
import subprocess

import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.dataset_building import image_folder
from slim_zoo.datasets import dataset_utils, labels
from slim_zoo.images.image_check import Storing
from slim_zoo.input import records
from tests import scripts
from tests.conftest import ROOT
from tests.image_kinds import PNG
from tests.stored_images import (
  contents,
  convert,
  encoded,
  fill,
  plain_folder,
  read_split,
)

# --- Mistakes.

@pytest.mark.parametrize(('arguments', 'message'), [
    ({'name': 'my pets'}, "dataset_name 'my pets' becomes part of file names"),
    ({'name': '../x'}, 'becomes part of file names'),
    ({'validation_share': 1.0}, 'validation_share 1.0 is not a part'),
    ({'validation_share': -0.1}, 'validation_share -0.1 is not a part'),
    ({'num_shards': 0}, 'num_shards 0 is not a number of files'),
    ({'storing': Storing(max_side=0)}, 'max_side 0 is too small'),
    ({'storing': Storing(max_side=31)}, 'expected 32 pixels or more'),
    ({'storing': Storing(jpeg_quality=0)}, 'jpeg_quality 0 is not a quality'),
    ({'storing': Storing(jpeg_quality=101)}, 'expected 1 to 100'),
    ({'dataset_dir': 'images/records'}, 'would be read as a part of the images'),
    ({'dataset_dir': 'images'}, 'would be read as a part of the images'),
    ({'dataset_dir': 'images/cat/0.png'}, 'is a file: name the folder'),
    ({'image_dir': 'imagse'}, "image_dir 'imagse' does not exist"),
    ({'image_dir': 'images/cat/0.png'}, 'is a file: name the folder that holds one'),
    ({'image_dir': 'images/cat'}, '6 files but no folders'),
    ({'image_dir': 'empty'}, 'holds nothing'),
    ({'image_dir': '.'}, "did you mean --image_dir='./images'"),
])
def test_wrong_argument_gets_one_clear_line(tmp_path, monkeypatch, arguments, message):
  monkeypatch.chdir(tmp_path)
  plain_folder(tmp_path / 'images')
  if 'empty' in arguments.values():
    (tmp_path / 'empty').mkdir()
  arguments = {'image_dir': 'images', 'dataset_dir': '../records', **arguments}
  with pytest.raises(diagnostics.UserError, match=message) as error:
    convert(**arguments)
  assert '\n' not in str(error.value)
  assert not (tmp_path.parent / 'records').exists()


def test_class_without_a_usable_image_is_named_and_nothing_is_left(tmp_path):
  images = plain_folder(tmp_path / 'images')
  fill(images, {'cow/1.jpg': b'', 'cow/2.jpg': b'moo'})
  with pytest.raises(diagnostics.UserError, match=(
      r"class folder 'cow' .* holds no image .*refused: 2; .*cow/1.jpg: the file is"
      r' empty')):
    convert(images, tmp_path / 'records')
  assert not (tmp_path / 'records').exists()


def test_class_or_split_that_is_empty_among_split_folders_is_named(tmp_path):
  plain_folder(tmp_path / 'images/train')
  plain_folder(tmp_path / 'images/test', classes=('cat', 'cow'))
  with pytest.raises(diagnostics.UserError, match="class folder 'train/cow'"):
    convert(tmp_path / 'images', tmp_path / 'records')
  plain_folder(tmp_path / 'images/train', classes=('cow',))
  (tmp_path / 'images/val/cat').mkdir(parents=True)
  with pytest.raises(diagnostics.UserError, match="split folder 'val'"):
    convert(tmp_path / 'images', tmp_path / 'records')


def test_folder_of_another_data_set_is_not_overwritten(tmp_path):
  images = plain_folder(tmp_path / 'images')
  convert(images, tmp_path / 'records', 'cats')
  before = contents(tmp_path / 'records')
  with pytest.raises(diagnostics.UserError, match="holds the data set 'cats'"):
    convert(images, tmp_path / 'records', 'dogs')
  assert contents(tmp_path / 'records') == before
  fill(tmp_path / 'flowers', {'labels.txt': b'0:daisy\n1:rose\n'})
  with pytest.raises(diagnostics.UserError, match=r'labels\.txt names 2 classes'):
    convert(images, tmp_path / 'flowers')
  assert contents(tmp_path / 'flowers') == {'labels.txt': b'0:daisy\n1:rose\n'}


# --- All or nothing.

def test_second_conversion_replaces_the_first_and_leaves_none_of_its_files(tmp_path):
  images = plain_folder(tmp_path / 'images')
  convert(images, tmp_path / 'records', num_shards=3, validation_share=0)
  (tmp_path / 'records/mine.txt').write_text('kept')
  fill(images, {'ant/1.png': PNG})
  convert(images, tmp_path / 'records', num_shards=2, validation_share=0)
  assert sorted(contents(tmp_path / 'records')) == [
      'dataset.json', 'labels.txt', 'mine.txt', 'pets_train_00000-of-00002.tfrecord',
      'pets_train_00001-of-00002.tfrecord']
  assert len(read_split('pets', 'train', tmp_path / 'records')) == 13


@pytest.mark.parametrize('failing', ['write_records', 'write_label_file', 'rename'])
def test_failed_conversion_leaves_the_earlier_one_as_it_was(
    tmp_path, monkeypatch, failing):
  images = plain_folder(tmp_path / 'images')
  convert(images, tmp_path / 'records')
  before = contents(tmp_path / 'records')
  fill(images, {'ant/1.png': PNG})
  full, calls, rename = OSError(errno.ENOSPC, 'full'), [], os.rename

  def fail(*_):
    raise full

  def fail_once_in_the_middle(source, target):
    calls.append(source)
    if len(calls) == 6:
      raise full
    rename(source, target)

  place = {'write_records': dataset_utils, 'write_label_file': labels, 'rename': os}
  monkeypatch.setattr(
      place[failing], failing, fail_once_in_the_middle if failing == 'rename' else fail)
  with pytest.raises(OSError, match='full') as error:
    convert(images, tmp_path / 'records')
  assert error.value is full
  assert contents(tmp_path / 'records') == before


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_full_disk_is_an_os_error_that_names_the_file(tmp_path):
  path = tmp_path / 'x.tfrecord'
  path.symlink_to('/dev/full')
  example = dataset_utils.image_to_tfexample(PNG * 100, b'png', 24, 32, 0)
  with pytest.raises(OSError, match=str(path)) as error:
    dataset_utils.write_records(str(path), [example] * 10)
  assert error.value.errno == errno.ENOSPC
  assert 'the disk is full' in diagnostics.explain_os_error(error.value)


def test_image_that_changes_meanwhile_is_noticed(tmp_path, monkeypatch):
  images = plain_folder(tmp_path / 'images')
  check_classes = image_folder._check_classes

  def change_a_file(*arguments):
    check_classes(*arguments)
    (images / 'cat/3.png').write_bytes(PNG)

  monkeypatch.setattr(image_folder, '_check_classes', change_a_file)
  with pytest.raises(diagnostics.UserError, match=r'cat/3\.png. changed'):
    convert(images, tmp_path / 'records')
  assert not (tmp_path / 'records').exists()


# --- The script.

def run(*arguments, **options):
  return subprocess.run(
      [*scripts.command('convert-images'), *arguments],
      capture_output=True, text=True, check=False, **{'cwd': ROOT, **options})


def test_script_exits_with_3_when_it_refused_something(tmp_path):
  images = plain_folder(tmp_path / 'images')
  fill(images, {'cat/bad.jpg': b'not an image'})
  arguments = (f'--image_dir={images}', f'--dataset_dir={tmp_path}/records',
               '--dataset_name=pets')
  done = run(*arguments)
  assert done.returncode == 3, done.stderr
  assert 'cat/bad.jpg: it is text' in done.stdout
  assert done.stderr.splitlines()[-1].startswith(
      'slim-zoo convert-images: 1 file was refused')
  assert records.is_complete(
      dataset_catalog.find_dataset('pets', f'{tmp_path}/records'),
      f'{tmp_path}/records')
  done = run(*arguments, '--allow_refused')
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(('arguments', 'code', 'message'), [
    ((), 1, '--image_dir is missing'),
    (('--image_dir=x', '--dataset_name=y'), 1, '--dataset_dir is missing'),
    (('--max_side=0',), 2, '--max_side=0: expected a number of 32 or more'),
    (('--jpeg_quality=0',), 2, '--jpeg_quality=0: expected a number from 1 to 100'),
    (('--num_shards=0',), 2, '--num_shards=0: expected a number from 1 to 99999'),
    (('--image_dir=x', '--dataset_dir=x', '--dataset_name=y', '--validation_share=1'),
     1, '--validation_share=1.0 is not a part of the images'),
    (('--image_dri=x',), 2, "no flag --image_dri; did you mean 'image_dir'?"),
    (('--image_dir=/nowhere', '--dataset_dir=x', '--dataset_name=y'), 1,
     "image_dir '/nowhere' does not exist"),
])
def test_script_answers_a_mistake_in_one_line_without_tensorflow(
    tmp_path, arguments, code, message):
  done = run(*arguments, cwd=tmp_path,
             env={**os.environ, 'PYTHONPATH': f'{tmp_path}:{ROOT}'})
  assert done.returncode == code
  assert message in done.stderr
  assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(('number', 'workers'), [
    (signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_script_that_is_stopped_leaves_nothing_behind(tmp_path, number, workers):
  images = plain_folder(tmp_path / 'images', 3)
  os.mkdir(tmp_path / 'records')
  slow = encoded(Image.new('RGB', (9000, 9000)))
  for index in range(30):
    (images / f'cat/slow{index}.png').write_bytes(slow)
  process = subprocess.Popen(
      [*scripts.command('convert-images'), f'--image_dir={images}',
       f'--dataset_dir={tmp_path}/records', '--dataset_name=pets',
       f'--num_workers={workers}'],
      stderr=subprocess.DEVNULL, cwd=ROOT)
  while not list((tmp_path / 'records').iterdir()):
    assert process.poll() is None
  process.send_signal(number)
  assert process.wait(60) == 128 + number
  assert list((tmp_path / 'records').iterdir()) == []
