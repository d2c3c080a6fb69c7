"""What converters and readers share: class names, records, features, downloads."""

import contextlib
import http.server
import io
import re
import tarfile
import threading
import zipfile

import numpy as np
import pytest

from slim_zoo.datasets import dataset_utils, imagenet, labels
from slim_zoo.diagnostics import UserError
from slim_zoo.files import downloads
from slim_zoo.input import records
from slim_zoo.tf_compat import tf
from tests.stored_images import encoded, example, picture, read_split, write

# --- Names of classes.

def test_class_names_are_written_and_read_back(tmp_path):
  names = {10: 'ten', 0: 'a: b', 1: ' café ', 2: ''}
  labels.write_label_file(names, tmp_path)
  assert dataset_utils.has_labels(tmp_path)
  assert dataset_utils.read_label_file(tmp_path) == names
  assert (tmp_path / 'labels.txt').read_bytes().startswith(b'0:a: b\n1: caf\xc3\xa9 \n')
  assert not dataset_utils.has_labels(tmp_path, 'other.txt')


@pytest.mark.parametrize('text', [
    '0:daisy\n\n1:rose\n', '0:daisy\r\n1:rose\r\n', '\ufeff0:daisy\n1:rose'])
def test_labels_file_of_any_editor_is_read(tmp_path, text):
  (tmp_path / 'labels.txt').write_bytes(text.encode())
  assert labels.read_label_file(tmp_path) == {0: 'daisy', 1: 'rose'}


@pytest.mark.parametrize(('text', 'message'), [
    ('0:daisy\nrose\n', "line 2 of '.*labels.txt' is 'rose', expected LABEL:NAME"),
    (f'0:daisy\n{"1" * 5000}:rose\n', 'expected LABEL:NAME'),
    ('0:daisy\n\nx:rose\n', 'line 3 .*x:rose'),
    ('0:daisy\n0:rose\n', 'line 2 .* names class 0 again'),
    ('-1:daisy\n', 'line 1')])
def test_wrong_line_of_a_labels_file_is_named(tmp_path, text, message):
  (tmp_path / 'labels.txt').write_text(text)
  with pytest.raises(UserError, match=message):
    labels.read_label_file(tmp_path)


@pytest.mark.parametrize('name', ['a\nb', 'a\n', 'a\rb'])
def test_class_name_with_a_line_break_is_not_written(tmp_path, name):
  with pytest.raises(UserError, match='line break'):
    labels.write_label_file({0: name}, tmp_path)


def test_readable_names_of_imagenet_come_from_the_two_published_files(
    tmp_path, monkeypatch):
  synsets = [f'n{number:08d}' for number in range(1000)]
  (tmp_path / 'imagenet_lsvrc_2015_synsets.txt').write_text('\n'.join(synsets) + '\n')
  (tmp_path / 'imagenet_metadata.txt').write_text(''.join(
      f'{synset}\tthing {synset[-3:]}, other name\n' for synset in reversed(synsets)))
  names = imagenet.create_readable_names_for_imagenet_labels(str(tmp_path))
  assert len(names) == 1001
  assert names[0] == 'background'
  assert names[1] == 'thing 000, other name'
  assert names[1000] == 'thing 999, other name'
  monkeypatch.setattr(imagenet, '_NAMES_URL', tmp_path.as_uri() + '/')
  assert imagenet.create_readable_names_for_imagenet_labels() == names
  (tmp_path / 'imagenet_lsvrc_2015_synsets.txt').write_text('n1\nn2\n')
  with pytest.raises(UserError, match='has 2 WordNet ids, expected 1000, and 2 of'):
    imagenet.create_readable_names_for_imagenet_labels(str(tmp_path))


# --- Records.

@pytest.fixture
def three_records(tmp_path):
  return write(tmp_path / 'a.tfrecord', *(
      dataset_utils.image_to_tfexample(
          encoded(picture(n)), b'png', 24, 32, n, f'cat/{n}.png'.encode())
      for n in range(3)))


def test_records_are_counted_and_found(tmp_path, three_records):
  files = [write(tmp_path / 'b.tfrecord'), three_records]
  assert records.count_records(files) == 3
  assert records.labels_of(records.read_features(files, 1, 2)) == [2]
  np.testing.assert_array_equal(records.read_image(files, 1, 1), picture(1))
  assert records.describe(files, 1, 2) == f"record 2 of '{three_records}' (cat/2.png)"
  assert records.describe(files, 1, 3) == f"record 3 of '{three_records}'"
  with pytest.raises(IndexError, match='no record 3'):
    records.read_features(files, 1, 3)


def test_gray_image_of_a_record_is_read_gray(tmp_path):
  gray = picture(1, channels=1)
  path = write(tmp_path / 'a.tfrecord', example(encoded(gray)),
               example(b'no image'), example(b'', label=None))
  np.testing.assert_array_equal(records.read_image([path], 0, 0), gray)
  for position in (1, 2):
    with pytest.raises(UserError, match=f'record {position} of .*cannot be decoded'):
      records.read_image([path], 0, position)
  assert records.labels_of(records.read_features([path], 0, 2)) == []


@pytest.mark.parametrize(('damage', 'message'), [
    (lambda data, second: data[:-1], 'damaged at record 2 .*ends within it'),
    (lambda data, second: data[:second + 5], r'record 1 \(byte \d+\): .*ends within'),
    (lambda data, second: data[:second] + b'\1' + data[second + 1:],
     'damaged at record 1 .*its length is damaged'),
    (lambda data, second: b'{"not": "records"}', 'is not a TFRecord file'),
    (lambda data, second: b'short', 'damaged at record 0'),
])
def test_damaged_record_file_is_named_with_the_place(three_records, damage, message):
  with open(three_records, 'rb') as file:
    data = file.read()
  second = 16 + int.from_bytes(data[:8], 'little')
  with open(three_records, 'wb') as file:
    file.write(damage(data, second))
  with pytest.raises(UserError, match=message):
    records.count_records([three_records])
  assert re.search(message, str(records.find_damage([three_records])))


def test_damaged_data_within_a_record_is_found_by_reading_it(tmp_path, three_records):
  whole = write(tmp_path / 'whole.tfrecord', example(encoded(picture())))
  assert records.find_damage([whole, three_records]) is None
  with open(three_records, 'r+b') as file:
    second = 16 + int.from_bytes(file.read(8), 'little')
    file.seek(second + 40)
    byte = file.read(1)
    file.seek(second + 40)
    file.write(bytes([byte[0] ^ 1]))
  assert records.count_records([three_records]) == 3
  assert re.search(rf'damaged at record 1 \(byte {second}\): its data is damaged',
                   str(records.find_damage([whole, three_records])))


def test_record_that_is_no_example_is_named(tmp_path):
  path = str(tmp_path / 'a.tfrecord')
  with tf.io.TFRecordWriter(path) as writer:
    writer.write(b'\xff no example')
  with pytest.raises(UserError, match=r'record 0 of .* is not a tf\.train\.Example'):
    records.labels_of(records.read_features([path], 0, 0))


# --- What converters use.

@pytest.mark.parametrize(('feature', 'kind', 'expected'), [
    (lambda utils: utils.int64_feature(3), 'int64_list', [3]),
    (lambda utils: utils.int64_feature([3, -4]), 'int64_list', [3, -4]),
    (lambda utils: utils.int64_feature((1, 2)), 'int64_list', [1, 2]),
    (lambda utils: utils.int64_feature(np.int32(5)), 'int64_list', [5]),
    (lambda utils: utils.int64_feature([]), 'int64_list', []),
    (lambda utils: utils.float_feature(0.5), 'float_list', [0.5]),
    (lambda utils: utils.float_feature([0.5, 2]), 'float_list', [0.5, 2]),
    (lambda utils: utils.float_list_feature([]), 'float_list', []),
    (lambda utils: utils.bytes_feature(b'a'), 'bytes_list', [b'a']),
    (lambda utils: utils.bytes_list_feature([b'a', b'b']), 'bytes_list', [b'a', b'b']),
])
def test_feature_holds_its_values(feature, kind, expected):
  assert list(getattr(feature(dataset_utils), kind).value) == expected


def test_example_of_an_image_has_the_established_features():
  made = dataset_utils.image_to_tfexample(b'data', b'jpeg', 3, 4, 5).features.feature
  assert sorted(made) == ['image/class/label', 'image/encoded', 'image/format',
                          'image/height', 'image/width']
  assert made['image/height'].int64_list.value == [3]
  assert made['image/width'].int64_list.value == [4]
  assert made['image/class/label'].int64_list.value == [5]
  made = dataset_utils.image_to_tfexample(b'data', b'jpeg', 3, 4, 5, b'x.jpg')
  assert made.features.feature['image/filename'].bytes_list.value == [b'x.jpg']


def test_sharded_output_has_the_established_names(tmp_path):
  with contextlib.ExitStack() as stack:
    writers = dataset_utils.open_sharded_output_tfrecords(
        stack, str(tmp_path / 'val.record'), 2)
    for writer in writers:
      writer.write(example(encoded(picture()), label=1).SerializeToString())
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      'val.record-00000-of-00002', 'val.record-00001-of-00002']
  assert len(read_split('visualwakewords', 'val', tmp_path)) == 2


# --- Downloads.

def pack_tar(path, files, link=None):
  with tarfile.open(path, 'w:gz') as archive:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))
    if link:
      member = tarfile.TarInfo(link)
      member.type, member.linkname = tarfile.SYMTYPE, '/etc'
      archive.addfile(member)
  return path.as_uri()


def pack_zip(path, files):
  with zipfile.ZipFile(path, 'w') as archive:
    for name, data in files.items():
      archive.writestr(name, data)
  return path.as_uri()


UNPACK = {
    pack_tar: dataset_utils.download_and_uncompress_tarball,
    pack_zip: dataset_utils.download_and_uncompress_zipfile}


@pytest.mark.parametrize('pack', UNPACK)
def test_archive_is_fetched_and_unpacked(tmp_path, pack):
  url = pack(tmp_path / 'photos.packed', {'photos/a/1.txt': b'one', '2.txt': b'two'})
  UNPACK[pack](url, str(tmp_path / 'out'))
  assert (tmp_path / 'out/photos/a/1.txt').read_bytes() == b'one'
  assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
      '2.txt', 'photos', 'photos.packed']


@pytest.mark.parametrize('pack', UNPACK)
@pytest.mark.parametrize('name', ['../escaped', '/tmp/escaped', 'a/../../escaped'])
def test_archive_cannot_write_outside_its_folder(tmp_path, pack, name):
  url = pack(tmp_path / 'photos.packed', {'good': b'', name: b'bad'})
  with pytest.raises(UserError, match='would be outside'):
    UNPACK[pack](url, str(tmp_path / 'out'))
  assert [path.name for path in (tmp_path / 'out').iterdir()] == ['photos.packed']
  assert not (tmp_path / 'escaped').exists()


def test_link_in_an_archive_is_refused(tmp_path):
  url = pack_tar(tmp_path / 'photos.packed', {}, link='photos')
  with pytest.raises(UserError, match="'photos', a link"):
    dataset_utils.download_and_uncompress_tarball(url, str(tmp_path / 'out'))


@pytest.mark.parametrize('pack', UNPACK)
def test_damaged_archive_is_named(tmp_path, pack):
  url = pack(tmp_path / 'photos.packed', {'1.txt': bytes(range(256)) * 99})
  data = (tmp_path / 'photos.packed').read_bytes()
  (tmp_path / 'photos.packed').write_bytes(data[:len(data) // 2])
  with pytest.raises(UserError, match=r'photos\.packed. cannot be unpacked'):
    UNPACK[pack](url, str(tmp_path / 'out'))


@pytest.fixture
def server():
  """Serves /whole and /cut, which ends before it should."""
  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      known = self.path.split('?')[0] in ('/whole.bin', '/cut.bin')
      self.send_response(200 if known else 404)
      self.send_header('Content-Length', '1000')
      self.end_headers()
      self.wfile.write(bytes(400 if 'cut' in self.path else 1000))

    def log_message(self, *_):
      pass

  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
    thread = threading.Thread(target=running.serve_forever, args=[0.01])
    thread.start()
    yield f'http://127.0.0.1:{running.server_port}'
    running.shutdown()
    thread.join()


def test_download_gives_the_path_of_the_whole_file(tmp_path, server, capsys):
  path = downloads.download_url(f'{server}/whole.bin?version=1', str(tmp_path / 'new'))
  assert path == str(tmp_path / 'new/whole.bin')
  assert (tmp_path / 'new/whole.bin').read_bytes() == bytes(1000)
  assert 'downloading whole.bin: 1000/1000 bytes' in capsys.readouterr().err


@pytest.mark.parametrize(('name', 'message'), [
    ('cut.bin', '400 of 1000 bytes came'), ('gone.bin', '404'),
    ('', 'does not name a file')])
def test_failed_download_leaves_no_file(tmp_path, server, name, message):
  with pytest.raises(UserError, match=message):
    downloads.download_url(f'{server}/{name}', str(tmp_path))
  assert list(tmp_path.iterdir()) == []
