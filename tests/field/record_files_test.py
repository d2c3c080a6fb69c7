"""Files in place of records, and records of another number than described."""

import gzip
import pathlib
import zlib

import pytest

from slim_zoo import diagnostics
from slim_zoo.input import fingerprint, plain_records, record_counts, records
from tests import records_for_tests, scripts, stored_images

RECORD = plain_records.example({
    'image/encoded': plain_records.texts(records_for_tests.png(7, 28)),
    'image/class/label': plain_records.ints(1)})


def write(path, count, record=RECORD) -> str:
  plain_records.write(str(path), [record] * count)
  return str(path)


def content(name, tmp_path) -> bytes:
  data = pathlib.Path(write(tmp_path / 'good', 3)).read_bytes()
  return {'GZIP': gzip.compress(data), 'ZLIB': zlib.compress(data),
          'ZLIB, fast': zlib.compress(data, 1), 'bzip2': b'BZh91AY' + data,
          'text': b'name,label\ncat.jpg,0\n', 'JPEG': stored_images.encoded(
              stored_images.picture(), 'JPEG'), 'ZIP': b'PK\x03\x04' + bytes(60),
          'nothing known': bytes(range(100)), 'a few bytes': b'\x01\x02',
          'cut in the data': data[:-9], 'cut in a length': data[:len(data) // 3 + 5],
          }[name]


@pytest.mark.parametrize(('name', 'words'), [
    ('GZIP', r'compressed \(GZIP\).*gunzip'), ('ZLIB', r'compressed \(ZLIB\).*zlib'),
    ('ZLIB, fast', r'compressed \(ZLIB\)'), ('bzip2', 'bunzip2'),
    ('text', 'not a TFRecord file, but text'), ('JPEG', 'but a JPEG image'),
    ('ZIP', 'but a ZIP archive'), ('nothing known', 'not a TFRecord file:'),
    ('a few bytes', 'damaged at record 0'), ('cut in the data', 'damaged at record 2'),
    ('cut in a length', 'damaged at record 1')])
def test_a_file_that_is_no_record_file_says_what_it_is(tmp_path, name, words):
  path = tmp_path / 'train.tfrecord'
  path.write_bytes(content(name, tmp_path))
  for count in (records.count_records, lambda files: record_counts.count(files, 3)):
    with pytest.raises(diagnostics.UserError, match=words) as raised:
      count([str(path)])
    assert str(path) in str(raised.value)
    assert '\n' not in str(raised.value)


def test_the_advice_for_a_compressed_file_works(tmp_path):
  import subprocess
  for name in ('GZIP', 'ZLIB'):
    path = tmp_path / 'train of mine.tfrecord'
    path.write_bytes(content(name, tmp_path))
    with pytest.raises(diagnostics.UserError) as raised:
      records.count_records([str(path)])
    command = str(raised.value).split('decompress the file: ')[1]
    subprocess.run(command, shell=True, check=True)
    assert records.count_records([str(path)]) == 3


def test_a_number_is_counted_or_taken_where_counting_takes_long(
    tmp_path, monkeypatch, capsys):
  files = [write(tmp_path / f'train-{part:05d}-of-00004', 25) for part in range(4)]
  assert record_counts.count(files, 3320) == 100
  monkeypatch.setattr(fingerprint, 'COUNTED_RECORDS', 50)
  assert record_counts.count(files, 105) == 105
  assert not capsys.readouterr().err
  assert record_counts.count(files, 500) == 100
  assert 'counting records' in capsys.readouterr().err
  # A shard is missing, though the sizes are near what is described.
  assert record_counts.count(files[:3], 80) == 75
  with pytest.raises(diagnostics.UserError, match='there is no record in'):
    record_counts.count([write(tmp_path / 'empty', 0)], 5)


def test_own_records_under_a_published_name_are_counted(tmp_path):
  write(tmp_path / 'mnist_train.tfrecord', 20)
  write(tmp_path / 'mnist_test.tfrecord', 6)
  (tmp_path / 'labels.txt').write_text('0:no\n1:yes\n')
  done = scripts.run(
      'train_image_classifier', dataset_name='mnist', dataset_dir=tmp_path,
      model_name='lenet', train_dir=tmp_path / 'run', batch_size=4,
      max_number_of_steps=5, validation_split_name='test', sample_predictions=0)
  assert done.returncode == 0, done.stderr
  assert 'train of mnist holds 20 records here, not 60,000' in done.stdout
  assert 'test of mnist holds 6 records here, not 10,000' in done.stdout
  assert ('labels.txt has 2 classes, mnist has 10: the network gets 10 outputs'
          in done.stdout)
  assert '5 steps; 5 steps are 1.0 epochs' in done.stdout
