"""Images in a folder: what is stored of each kind, what is refused and why."""

import os
import re

import numpy as np
import pytest

from slim_zoo.diagnostics import UserError
from tests.image_kinds import AS_THEY_ARE, GRAY, JPEG, KINDS, PNG, REFUSED
from tests.stored_images import (
    convert,
    decode_all,
    encoded,
    fill,
    picture,
    plain_folder,
    stored_examples,
)


@pytest.fixture(scope='module')
def odd(tmp_path_factory):
  """Returns what is stored by path, the decoded pixels by path, and the report."""
  root = tmp_path_factory.mktemp('odd')
  fill(root / 'images', {f'odd/{name}': data for name, (data, *_) in KINDS.items()})
  fill(root / 'images', {'other/1.png': encoded(picture(3))})
  report = convert(root / 'images', root / 'records', validation_share=0)
  stored = stored_examples(root / 'records')
  return stored, decode_all(stored), report


@pytest.mark.parametrize('name', KINDS)
def test_stored_image_decodes_to_what_its_file_shows(odd, name):
  _, expected, tolerance = KINDS[name]
  decoded = odd[1][f'odd/{name}'].astype(int)
  assert decoded.shape == expected.shape
  assert np.abs(decoded - expected).max() <= tolerance


@pytest.mark.parametrize('name', KINDS)
def test_only_what_tensorflow_reads_is_stored_byte_for_byte(odd, name):
  stored = odd[0][f'odd/{name}']['image/encoded'].bytes_list.value[0]
  assert (stored == KINDS[name][0]) == (name in AS_THEY_ARE)


@pytest.mark.parametrize('name', KINDS)
def test_features_say_what_the_stored_bytes_are(odd, name):
  features = odd[0][f'odd/{name}']
  data = features['image/encoded'].bytes_list.value[0]
  start = {b'jpeg': b'\xff\xd8\xff', b'png': b'\x89PNG'}
  assert data.startswith(start[features['image/format'].bytes_list.value[0]])
  height, width, _ = KINDS[name][1].shape
  assert features['image/height'].int64_list.value == [height]
  assert features['image/width'].int64_list.value == [width]
  assert features['image/class/label'].int64_list.value == [0]


def test_gray_images_are_stored_gray(odd):
  channels = {name: image.shape[2] for name, image in decode_all(odd[0], 0).items()}
  assert {name for name, count in channels.items() if count == 1} == {
      f'odd/{name}' for name in GRAY}


def test_report_counts_what_was_encoded_anew_and_why(odd):
  report = odd[2]
  assert report.changes == {
      'CMYK JPEG': 1, 'PNG with a palette': 1, 'PNG with transparency': 3,
      '1-bit PNG': 1, '16-bit PNG': 1, 'JPEG turned upright': 1,
      'PNG turned upright': 1, 'TIFF': 2, 'BMP': 1, 'GIF': 1, 'WEBP': 1}
  assert report.stored == len(AS_THEY_ARE) + 1
  assert report.wrong_suffix == 2
  assert report.refused == []


@pytest.fixture(scope='module')
def with_refused(tmp_path_factory):
  """Returns (root, report) of a folder with good images between bad files."""
  root = tmp_path_factory.mktemp('refused')
  plain_folder(root / 'images')
  fill(root / 'images', {f'cat/{name}': data for name, (data, _) in REFUSED.items()})
  fill(root / 'images', {
      'LICENSE.txt': b'free', 'stray.jpg': JPEG, '.DS_Store': b'x',
      '.hidden/1.png': PNG, '__MACOSX/._cat': b'x', 'cat/Thumbs.db': b'x',
      'cat/.1.png.swp': b'x'})
  os.symlink(root / 'nowhere.png', root / 'images/dog/broken.png')
  os.mkfifo(root / 'images/dog/pipe.png')
  return root, convert(root / 'images', root / 'records', num_workers=2)


@pytest.mark.parametrize('name', REFUSED)
def test_file_that_is_no_whole_image_is_refused_with_its_reason(with_refused, name):
  reasons = dict(with_refused[1].refused)
  assert re.search(REFUSED[name][1], reasons[f'cat/{name}'])


def test_refused_files_are_exactly_the_bad_ones_and_all_others_are_stored(
    with_refused):
  root, report = with_refused
  assert {path for path, _ in report.refused} == {
      *(f'cat/{name}' for name in REFUSED), 'stray.jpg', 'dog/broken.png',
      'dog/pipe.png'}
  assert report.ignored == ('LICENSE.txt',)
  assert set(stored_examples(root / 'records')) == {
      f'{name}/{index}.png' for name in ('cat', 'dog') for index in range(6)}


def test_refused_files_are_listed_in_a_file_and_the_first_ten_in_the_summary(
    with_refused):
  root, report = with_refused
  listed = (root / 'records/refused.txt').read_text().splitlines()
  assert listed == [f'{path}: {reason}' for path, reason in report.refused]
  text = '\n'.join(report.lines())
  assert f'refused: {len(listed)}' in text
  assert listed[9] in text
  assert listed[10] not in text
  assert f'and {len(listed) - 10} more' in text


def test_nothing_refused_leaves_no_list_and_removes_an_old_one(tmp_path):
  images = plain_folder(tmp_path / 'images')
  bad = images / 'cat/bad.jpg'
  bad.write_bytes(b'')
  with pytest.raises(UserError, match='1 file was refused'):
    convert(images, tmp_path / 'records').check_nothing_refused()
  assert (tmp_path / 'records/refused.txt').exists()
  bad.unlink()
  convert(images, tmp_path / 'records').check_nothing_refused()
  assert not (tmp_path / 'records/refused.txt').exists()
