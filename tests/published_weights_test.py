"""Published checkpoints by name: the cache, addresses that fail, wrong archives."""

import hashlib
import json
import os
import resource
import socket
import tarfile
import threading
import time

import numpy as np
import pytest

from slim_zoo.catalog import networks, preprocessing_families, published, variables
from slim_zoo.catalog.published import Published
from slim_zoo.checkpoints import published_weights
from slim_zoo.checkpoints.published_weights import Places
from slim_zoo.diagnostics import UserError
from slim_zoo.files import downloads
from slim_zoo.nets import nets_factory
from slim_zoo.tf_compat import tf
from tests.archive_server import archive_server, packed, special
from tests.evaluated_networks import EVERY_NETWORK

ROW = Published('lenet_28', 'lenet', 28, 99.0, None, 'URL/lenet_28.tgz', 10)
RANDOM = np.random.default_rng(3).bytes(200_000)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
  monkeypatch.setattr(downloads, '_PAUSE_SECONDS', 0)


@pytest.fixture
def server():
  with archive_server() as running:
    yield running


def checkpoint(network='lenet', classes=10, name='lenet.ckpt', extra=()):
  """Returns files of a stand-in for a checkpoint; `shapes_of` reads it."""
  shapes = {variable: [{'classes': classes, 'channels': 3, '8*channels': 24}.get(
      size, size) for size in shape]
            for variable, shape in variables.load()[network].shapes.items()}
  shapes.update((variable, []) for variable in extra)
  return {f'{name}.index': json.dumps(shapes).encode(),
          f'{name}.data-00000-of-00001': RANDOM, f'{name}.meta': b'graph'}


def shapes_of(prefix):
  path = f'{prefix}.index' if os.path.exists(f'{prefix}.index') else prefix
  with open(path) as file:
    return json.load(file)


def get(tmp_path, *urls, row=ROW):
  """Gets the archive of a row whose own address does not answer."""
  *mirrors, last = urls
  return published_weights.get(
      Published(**{**vars(row), 'archive': f'{last}/{row.file}'}),
      Places(str(tmp_path / 'cache'), tuple(mirrors)), shapes_of)


def below(folder):
  return sorted(os.path.relpath(os.path.join(path, name), folder)
                for path, _, names in os.walk(folder) for name in names)


COMPLETE = ['lenet_28.sha256', 'lenet_28/lenet.ckpt.data-00000-of-00001',
            'lenet_28/lenet.ckpt.index', 'lenet_28/published.json']


def test_an_archive_is_downloaded_once(tmp_path, server, capsys):
  data = packed({**checkpoint(), 'lenet_28.pb': b'frozen', 'a.txt': b''})
  server.files['/lenet_28.tgz'] = data
  prefix = get(tmp_path, server.url)
  assert prefix == str(tmp_path / 'cache/lenet_28/lenet.ckpt')
  assert get(tmp_path, server.url) == prefix
  assert server.asked == [('/lenet_28.tgz', None)]
  assert below(tmp_path / 'cache') == COMPLETE
  digest = hashlib.sha256(data).hexdigest()
  assert (tmp_path / 'cache/lenet_28.sha256').read_text() == (
      f'{digest}  lenet_28.tgz\n')
  told = capsys.readouterr().err
  assert f"downloading lenet_28 to '{tmp_path}/cache'" in told
  assert '0.2/0.2 MB' in told or f'{len(data)}/{len(data)} bytes' in told
  assert told.splitlines()[-1].endswith(f'SHA-256 {digest}')


def test_a_cache_that_lost_a_file_is_filled_again(tmp_path, server):
  server.files['/lenet_28.tgz'] = packed(checkpoint())
  prefix = get(tmp_path, server.url)
  os.truncate(f'{prefix}.data-00000-of-00001', 5)
  assert get(tmp_path, server.url) == prefix
  os.remove(f'{prefix}.index')
  assert get(tmp_path, server.url) == prefix
  assert len(server.asked) == 3
  assert below(tmp_path / 'cache') == COMPLETE


def test_mirrors_are_tried_in_order_and_each_failure_is_a_line(
    tmp_path, server, capsys):
  good = packed(checkpoint())
  server.statuses.update({'/forbidden/lenet_28.tgz': 403, '/busy/lenet_28.tgz': 503})
  server.redirects['/loop/lenet_28.tgz'] = '/loop/lenet_28.tgz'
  server.redirects['/file/lenet_28.tgz'] = 'file:///etc/hostname'
  server.redirects['/moved/lenet_28.tgz'] = '/elsewhere'
  server.files['/page/lenet_28.tgz'] = b'<!DOCTYPE html><html>Sign in</html>'
  server.files['/cut/lenet_28.tgz'] = good[:-100]
  server.files['/elsewhere'] = good
  names = ['gone', 'forbidden', 'busy', 'loop', 'file', 'page', 'cut', 'moved', 'last']
  urls = [f'{server.url}/{name}' for name in names]
  assert get(tmp_path, 'http://127.0.0.1:9', *urls)
  lines = [line for line in capsys.readouterr().err.splitlines() if 'cannot' in line]
  expected = {'http://127.0.0.1:9': 'refused', 'gone': '404', 'forbidden': '403',
              'busy': '503', 'loop': 'endless redirects', 'file': "file:///etc/hostname",
              'page': 'the server sent a web page', 'cut': 'cannot be unpacked'}
  assert len(lines) == len(expected)
  for line, (name, words) in zip(lines, expected.items(), strict=True):
    assert f'{name}/lenet_28.tgz' in line
    assert words in line
  assert server.asked[-1][0] == '/elsewhere'


@pytest.mark.parametrize(('answer', 'words'), [
    (b'\0\1\2 not http\r\n\r\n', 'the answer is not HTTP'),
    (b'', 'closed the connection'),
    (b'HTTP/1.1 404 \x1b[31mred\x07\r\n\r\n', r'404: \x1b[31mred\x07'),
    (b'HTTP/1.1 404 ' + b'x' * 9000 + b'\r\n\r\n', 'xxx...'),
    (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 'broke off'),
    (b'HTTP/1.1 200 OK\r\nContent-Length: ' + b'9' * 5000 + b'\r\n\r\nx',
     'cannot be unpacked'),
    (b'HTTP/1.1 302 Found\r\nLocation: ftp2://\x1b2J\r\n\r\n', '302')],
    ids=['bytes', 'nothing', 'colour', 'long', 'chunks', 'length', 'redirect'])
def test_a_hostile_server_gets_one_printable_line(
    tmp_path, server, capsys, answer, words):
  server.raw['/lenet_28.tgz'] = answer
  with pytest.raises(UserError, match='no address'):
    get(tmp_path, server.url)
  lines = capsys.readouterr().err.rstrip('\n').split('\n')
  assert all(line and line.isprintable() and len(line) < 500 for line in lines)
  [line] = [line for line in lines if not line.startswith('downloading ')]
  assert line.startswith('cannot ')
  assert words in line


def test_an_unknown_host_is_said_plainly(tmp_path, capsys, monkeypatch):
  def unknown(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

  monkeypatch.setattr(socket, 'getaddrinfo', unknown)
  with pytest.raises(UserError, match='no address'):
    get(tmp_path, 'http://no.such.host.invalid')
  told = capsys.readouterr().err
  assert "no host 'no.such.host.invalid' is known" in told
  assert 'Errno' not in told


def test_no_address_that_answers(tmp_path, server, capsys):
  with pytest.raises(UserError, match=r'no address has lenet_28: .*--from=keras'):
    get(tmp_path, f'{server.url}/a', f'{server.url}/b')
  assert capsys.readouterr().err.count('404') == 2
  assert below(tmp_path) == []


@pytest.mark.parametrize(('files', 'words'), [
    (checkpoint('cifarnet'), 'no checkpoint of lenet with 10 classes: lenet.ckpt is of'
     ' cifarnet with 10 classes'),
    (checkpoint(classes=7), 'lenet.ckpt is of lenet with 7 classes'),
    (checkpoint(extra=['LeNet/conv1/weights_quant/min',
                       'LeNet/conv1/weights_quant/max']), 'is of a quantized lenet'),
    ({'x.ckpt.index': b'{"x": [3]}'}, 'x.ckpt is of no network that is known'),
    ({'readme.txt': b''}, 'it has no checkpoint')])
def test_an_archive_of_another_network_is_refused(tmp_path, server, capsys, files,
                                                  words):
  server.files.update({'/a/lenet_28.tgz': packed(files),
                       '/b/lenet_28.tgz': packed(checkpoint())})
  assert get(tmp_path, f'{server.url}/a', f'{server.url}/b')
  told = capsys.readouterr().err
  assert words in told
  assert f'{server.url}/a/lenet_28.tgz' in told
  assert below(tmp_path / 'cache') == COMPLETE


@pytest.mark.parametrize('hostile', [
    packed({**checkpoint(), '../../../evil.ckpt': b'bad'}),
    packed(checkpoint(), [special('x.ckpt', tarfile.SYMTYPE, '/etc/hostname')])],
    ids=['path', 'link'])
def test_a_hostile_archive_leaves_nothing(tmp_path, server, hostile):
  server.files['/lenet_28.tgz'] = hostile
  with pytest.raises(UserError, match='no address'):
    get(tmp_path, server.url)
  assert below(tmp_path) == []


def test_a_damaged_checkpoint_has_its_name_in_the_archive(tmp_path, server, capsys):
  def damaged(prefix):
    raise UserError(f"the checkpoint '{prefix}' is damaged; '{os.path.dirname(prefix)}'"
                    ' holds other')

  server.files['/lenet_28.tgz'] = packed(checkpoint(name='trained/lenet.ckpt'))
  row = Published(**{**vars(ROW), 'archive': f'{server.url}/{ROW.file}'})
  with pytest.raises(UserError, match='no address'):
    published_weights.get(row, Places(str(tmp_path)), damaged)
  told = capsys.readouterr().err
  assert ("lenet_28.tgz': lenet_28.tgz contains no checkpoint of lenet with 10 classes:"
          ' trained/lenet.ckpt is damaged\n') in told
  assert '.unfinished' not in told


def test_of_several_checkpoints_the_averages_are_taken(tmp_path, server):
  server.files['/lenet_28.tgz'] = packed({
      **checkpoint(name='x/pristine/model.ckpt-9'),
      **checkpoint('cifarnet', name='x/a/model-9'),
      **checkpoint(name='x/ema/model-9')})
  assert get(tmp_path, server.url) == str(tmp_path / 'cache/lenet_28/model-9')
  assert shapes_of(tmp_path / 'cache/lenet_28/model-9').keys() == (
      variables.load()['lenet'].shapes.keys())


def test_a_checkpoint_of_one_file(tmp_path, server):
  """Before TensorFlow 1.0 there was no .index file."""
  content = checkpoint()['lenet.ckpt.index']
  server.files['/lenet_28.tgz'] = packed({'lenet.ckpt': content, 'eval.graph': b''})
  assert get(tmp_path, server.url) == str(tmp_path / 'cache/lenet_28/lenet.ckpt')
  assert below(tmp_path / 'cache/lenet_28') == ['lenet.ckpt', 'published.json']


def test_a_cache_whose_path_is_a_pattern(tmp_path, server):
  """TensorFlow would not find a checkpoint there."""
  with pytest.raises(UserError, match=r"has a '\[' in it"):
    get(tmp_path / 'a[1]', server.url)


@pytest.mark.parametrize('knows_ranges', [True, False])
def test_a_download_that_breaks_off_is_continued(tmp_path, server, knows_ranges):
  data = packed(checkpoint())
  server.files['/lenet_28.tgz'] = data
  server.piece, server.knows_ranges = 100_000, knows_ranges
  if knows_ranges:
    assert get(tmp_path, server.url)
    assert [asked for _, asked in server.asked] == [
        None, 'bytes=100000-', 'bytes=200000-'][:len(server.asked)]
    return
  with pytest.raises(UserError, match='no address'):
    get(tmp_path, server.url)
  server.piece = 1 << 40
  assert get(tmp_path, server.url)


@pytest.mark.parametrize(('size', 'wrong_bytes'), [(-1, 0), (50_000, 777)])
def test_a_part_that_cannot_be_continued_is_thrown_away(
    tmp_path, server, size, wrong_bytes):
  """It is complete, or the server sends another part than it was asked for."""
  data = packed(checkpoint())
  server.files['/lenet_28.tgz'] = data
  fetched = tmp_path / 'cache/lenet_28/.unfinished-lenet_28/fetched'
  fetched.mkdir(parents=True)
  (fetched / 'lenet_28.tgz.part').write_bytes(data if size < 0 else data[:size])
  (fetched / 'lenet_28.tgz.part.version').write_text(
      f'"{hashlib.md5(data).hexdigest()}"')
  server.wrong_bytes = wrong_bytes
  assert get(tmp_path, server.url)
  first, second = [asked for _, asked in server.asked]
  assert first.startswith('bytes=')
  assert second is None
  assert below(tmp_path / 'cache') == COMPLETE


@pytest.mark.parametrize('says_length', [True, False])
def test_a_file_without_end_is_not_downloaded(
    tmp_path, server, monkeypatch, capsys, says_length):
  monkeypatch.setattr(published_weights, '_MOST_BYTES', 50_000)
  server.files['/lenet_28.tgz'] = packed(checkpoint())
  server.says_length = says_length
  with pytest.raises(UserError, match='no address'):
    get(tmp_path, server.url)
  assert '50,000' in capsys.readouterr().err
  assert below(tmp_path) == []


def test_a_later_download_is_compared_with_the_first(tmp_path, server, capsys):
  first, other = packed(checkpoint()), packed({**checkpoint(), 'more.txt': b''})
  server.files.update({'/a/lenet_28.tgz': first})
  prefix = get(tmp_path, f'{server.url}/a')
  os.remove(f'{prefix}.index')
  server.files.update({'/a/lenet_28.tgz': other, '/b/lenet_28.tgz': first})
  assert get(tmp_path, f'{server.url}/a', f'{server.url}/b')
  told = capsys.readouterr().err
  assert (f'its SHA-256 is {hashlib.sha256(other).hexdigest()}, expected'
          f' {hashlib.sha256(first).hexdigest()}') in told
  os.remove(f'{prefix}.index')
  with pytest.raises(UserError, match='no address'):
    get(tmp_path, f'{server.url}/a')
  (tmp_path / 'cache/lenet_28.sha256').unlink()
  assert get(tmp_path, f'{server.url}/a')


def test_a_cache_that_cannot_be_written(tmp_path, server):
  server.files['/lenet_28.tgz'] = packed(checkpoint())
  (tmp_path / 'cache').write_text('a file')
  with pytest.raises(UserError, match=r"the cache '.*cache'.*set SLIM_ZOO_CACHE"):
    get(tmp_path, server.url)


def test_a_complete_cache_may_be_read_only(tmp_path, server):
  server.files['/lenet_28.tgz'] = packed(checkpoint())
  prefix = get(tmp_path, server.url)
  before = {path: os.stat(path).st_mtime_ns for path in (tmp_path / 'cache').rglob('*')}
  for path in (tmp_path / 'cache', tmp_path / 'cache/lenet_28'):
    path.chmod(0o555)
  assert get(tmp_path, server.url) == prefix
  assert before == {path: os.stat(path).st_mtime_ns
                    for path in (tmp_path / 'cache').rglob('*')}
  for path in (tmp_path / 'cache', tmp_path / 'cache/lenet_28'):
    path.chmod(0o755)


def test_a_full_disk_is_said_and_the_download_is_continued(tmp_path, server):
  data = packed(checkpoint())
  server.files['/lenet_28.tgz'] = data
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, limits[1]))
  try:
    with pytest.raises(UserError, match=r'cannot write to the cache .*free some space'):
      get(tmp_path, server.url)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert get(tmp_path, server.url)
  assert server.asked[-1][1] == f'bytes={64 << 10}-'
  assert below(tmp_path / 'cache') == COMPLETE


def test_two_downloads_at_the_same_time(tmp_path, server, capsys):
  """The second one waits for the first, and downloads nothing."""
  server.files['/lenet_28.tgz'] = packed(checkpoint())
  server.piece = 1000
  server.goes_on.clear()
  results = []
  threads = [threading.Thread(target=lambda: results.append(get(tmp_path, server.url)))
             for _ in range(3)]
  for thread in threads:
    thread.start()
  told = ''
  while told.count('waiting for it') < 2 and all(
      thread.is_alive() for thread in threads):
    told += capsys.readouterr().err
    time.sleep(0.01)
  server.piece = 1 << 40
  server.goes_on.set()
  for thread in threads:
    thread.join()
  assert results == [str(tmp_path / 'cache/lenet_28/lenet.ckpt')] * 3
  # The connection of the first broke off, perhaps.
  assert [asked for _, asked in server.asked] in ([None], [None, 'bytes=1000-'])
  assert below(tmp_path / 'cache') == COMPLETE


def test_a_mirror_may_be_a_folder(tmp_path):
  (tmp_path / 'my archives').mkdir()
  (tmp_path / 'my archives/lenet_28.tgz').write_bytes(packed(checkpoint()))
  where = published_weights.places({
      'SLIM_ZOO_CACHE': str(tmp_path / 'cache'),
      'SLIM_ZOO_MIRRORS': f'/no/folder, {tmp_path}/my archives'})
  assert published_weights.get(ROW, where, shapes_of)
  assert published_weights.cached(ROW, where)


def test_places_of_environment_variables(tmp_path):
  where = published_weights.places({'HOME': '/none'}, ['http://a/b'])
  assert where.cache == os.path.expanduser('~/.cache/slim_zoo')
  assert where.mirrors == ('http://a/b',)
  where = published_weights.places({
      'SLIM_ZOO_CACHE': str(tmp_path), 'SLIM_ZOO_MIRRORS': 'https://c'}, ['http://a'])
  assert where == Places(str(tmp_path), ('http://a', 'https://c'))


# --- The catalog.


def test_the_catalog_has_82_archives_of_known_networks():
  rows = published.PUBLISHED
  assert len(rows) == 82
  assert len({row.archive for row in rows.values()}) == 82
  assert sum(row.is_quantized for row in rows.values()) == 19
  for name, row in rows.items():
    network = networks.get_image_network(row.network)
    assert row.num_classes == network.num_classes
    networks.check_image_size(row.network, row.image_size)
    preprocessing_families.check(row.preprocessing)
    assert row.file in (f'{name}.tgz', f'{name}.tar.gz')
    assert row.is_quantized == name.endswith(('_quant', '_uint8'))
    assert row.addresses()[0] == row.archive


def test_each_can_be_built():
  """By default the network with the fewest operations, at its smallest size."""
  shapes = {(row.network, row.image_size, row.num_classes)
            for row in published.PUBLISHED.values()}
  if EVERY_NETWORK not in os.environ:
    shapes = {('mobilenet_v2_050', 96, 1001)}
  for network, size, classes in sorted(shapes):
    with tf.Graph().as_default():
      logits, _ = nets_factory.get_network_fn(network, classes)(
          tf.placeholder(tf.float32, [2, size, size, 3]))
      assert logits.shape.as_list() == [2, classes]
      stored = variables.load()[network].shapes
      built = {variable.op.name for variable in tf.global_variables()}
      assert built <= set(stored)


@pytest.mark.parametrize(('name', 'words'), [
    ('mobilenet_v1_1.0_225', "did you mean 'mobilenet_v1_1.0_224'"),
    ('vgg16', "did you mean 'vgg_16_2016_08_28'"),
    ('inception_v3', 'of inception_v3 there are inception_v3_2016_08_28 '),
    ('', 'no name of a published .* mobilenet_v1_1.0_224 .*weights --list')])
def test_a_misspelt_name_gets_the_nearest(name, words):
  with pytest.raises(UserError, match=words):
    published.get(name)
