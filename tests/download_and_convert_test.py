"""download_and_convert_data.py: any number of processes, kills, mistakes, downloads."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import signal
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from PIL import Image

from slim_zoo.catalog import datasets as dataset_catalog
from slim_zoo.catalog import tfds
from slim_zoo.dataset_building import archives, converters, published_files
from slim_zoo.dataset_building.published_files import PublishedFile
from slim_zoo.datasets import dataset_factory
from slim_zoo.diagnostics import UserError
from slim_zoo.files import downloads, staging
from slim_zoo.input import pipeline, records
from slim_zoo.tf_compat import tf
from tests import scripts, small_archives
from tests.converters_test import VWW, convert
from tests.stored_images import contents, encoded, read_split

SCRIPT = 'download_and_convert_data'


def run(name, source, target, **flags):
  return scripts.run_anew(
      SCRIPT, dataset_name=name, source=source, dataset_dir=target, **flags)


# --- The number of processes.

SOURCES = {
    'cifar10': lambda folder: small_archives.cifar_binary(
        folder / 'cifar-10-binary.tar.gz', small_archives.cifar_batches()),
    'flowers': lambda folder: small_archives.flowers(folder / 'flower_photos.tgz'),
    'imagenet': small_archives.imagenet,
    'mnist': small_archives.mnist,
    'visualwakewords': small_archives.coco,
}


@pytest.mark.parametrize('name', SOURCES)
def test_records_are_the_same_bytes_whatever_the_number_of_processes(tmp_path, name):
  (tmp_path / 'source').mkdir()
  SOURCES[name](tmp_path / 'source')
  options = VWW if name == 'visualwakewords' else {}
  # Small parts, so that files of one part and of several are put together.
  part_items = {'cifar10': 3, 'mnist': 7}.get(name)
  convert(name, tmp_path / 'source', tmp_path / 'alone', 1, **options)
  convert(name, tmp_path / 'source', tmp_path / 'two', 2, part_items, **options)
  found = contents(tmp_path / 'alone')
  assert contents(tmp_path / 'two') == found
  assert len(found) >= 4


def test_script_says_what_it_did_and_does_nothing_twice(tmp_path):
  small_archives.flowers(tmp_path / 'flower_photos.tgz')
  done = run('flowers', tmp_path / 'flower_photos.tgz', tmp_path / 'out')
  assert done.returncode == 0, done.stderr
  assert 'converting flowers: 30/30 images' in done.stderr
  last = f"'{tmp_path}/out' holds flowers: train 27, validation 3\n"
  assert done.stdout.endswith(last)
  before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').iterdir()}
  again = scripts.run_anew(SCRIPT, dataset_name='flowers', dataset_dir=tmp_path / 'out')
  assert again.stdout == f'nothing to do: {last}', again.stderr
  assert {path: path.stat().st_mtime_ns
          for path in (tmp_path / 'out').iterdir()} == before


def test_script_needs_no_tensorflow_to_convert(tmp_path):
  small_archives.flowers(tmp_path / 'flower_photos.tgz')
  (tmp_path / 'tensorflow').mkdir()
  (tmp_path / 'tensorflow/__init__.py').write_text('raise ImportError("not wanted")')
  code = (f'import sys; sys.path.insert(0, {str(tmp_path)!r})\n'
          f"import runpy; sys.argv[1:] = ['--dataset_name=flowers', '--num_workers=2',"
          f" '--source={tmp_path}', '--dataset_dir={tmp_path}/out']\n"
          f"runpy.run_path('{SCRIPT}.py', run_name='__main__')")
  path = tmp_path / 'start.py'
  path.write_text(f"if __name__ == '__main__':\n  exec({code!r})\n")
  done = scripts.subprocess.run(
      [sys.executable, str(path)], cwd=scripts.ROOT, text=True, capture_output=True,
      env={**os.environ, 'PYTHONPATH': str(scripts.ROOT)}, check=False)
  assert done.returncode == 0, done.stderr
  assert 'holds flowers: train 27' in done.stdout


# --- Ends that were not planned.

@pytest.fixture(scope='module')
def slow_flowers(tmp_path_factory):
  """Returns an archive that takes seconds to convert, and its records."""
  folder = tmp_path_factory.mktemp('slow')
  slow = encoded(Image.fromarray(np.random.default_rng(0).integers(
      0, 256, (900, 1200, 3), np.uint8)), 'JPEG', quality=50)
  small_archives.flowers(folder / 'flower_photos.tgz', 1, {
      f'flower_photos/{name}/slow{n}.jpg': slow[:-2] + bytes([n % 100]) + slow[-2:]
      for name in small_archives.FLOWERS for n in range(16)})
  convert('flowers', folder / 'flower_photos.tgz', folder / 'out', 2)
  return folder / 'flower_photos.tgz', contents(folder / 'out')


def children(process):
  path = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
  return path.read_text().split()


def is_running(pid):
  with contextlib.suppress(FileNotFoundError, ProcessLookupError):
    status = pathlib.Path(f'/proc/{pid}/stat').read_text()
    return status.rpartition(')')[2].split()[0] != 'Z'
  return False


def wait_until(condition, seconds=scripts.TIMEOUT_SECS):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.01)


def start_and_wait_for_parts(source, target, count, workers):
  """Starts the script; returns its process when `count` parts are finished."""
  process = scripts.start(SCRIPT, dataset_name='flowers', source=source,
                          dataset_dir=target, num_workers=workers)
  notes = target / '.unfinished-flowers/notes'
  wait_until(lambda: len(list(notes.glob('*.tfrecord.*.json'))) >= count
             or process.poll() is not None)
  assert process.poll() is None, process.stderr.read()
  return process


@pytest.mark.skipif(sys.platform != 'linux', reason='looks for processes in /proc')
@pytest.mark.parametrize('workers', [1, 2])
def test_killed_run_is_gone_on_with_and_gives_the_same_records(
    tmp_path, slow_flowers, workers):
  source, expected = slow_flowers
  target = tmp_path / 'out'
  process = start_and_wait_for_parts(source, target, 2, workers)
  others = children(process)
  process.kill()
  process.communicate()
  wait_until(lambda: not any(map(is_running, others)))
  # Nothing there looks finished.
  assert [path.name for path in target.iterdir()] == ['.unfinished-flowers']
  with pytest.raises(UserError, match='no file'):
    dataset_factory.get_dataset('flowers', 'train', str(target))
  new = target / '.unfinished-flowers/new'
  finished = {path.name.rsplit('.', 2)[0] for path in
              (target / '.unfinished-flowers/notes').glob('*.tfrecord.*.json')}
  before = {name: (new / name).stat().st_mtime_ns for name in finished}
  assert 2 <= len(before) < 10
  # A file that is cut, and one that was begun, are not taken for finished.
  cut = min(before)
  (new / cut).write_bytes((new / cut).read_bytes()[:-1])
  (new / 'flowers_train_00000-of-00005.tfrecord.99.partial').write_bytes(b'x')
  done = run('flowers', source, target, num_workers=3 - workers)
  assert done.returncode == 0, done.stderr
  assert 'continued an earlier run' in done.stdout
  assert contents(target) == expected
  kept = [name for name in before if name != cut]
  assert all((target / name).stat().st_mtime_ns == before[name] for name in kept)


def test_run_that_is_stopped_keeps_what_is_finished_and_says_so(
    tmp_path, slow_flowers):
  source, expected = slow_flowers
  process = start_and_wait_for_parts(source, tmp_path, 1, 2)
  process.send_signal(signal.SIGTERM)
  _, errors = process.communicate(timeout=scripts.TIMEOUT_SECS)
  assert process.returncode == 128 + signal.SIGTERM
  assert errors.splitlines()[-1] == (
      'download_and_convert_data.py: stopped by SIGTERM: the same command continues'
      ' from here')
  assert 'Traceback' not in errors
  report = convert('flowers', source, tmp_path, 2)
  assert 'continued an earlier run' in report.lines()[1]
  assert contents(tmp_path) == expected


def test_files_that_had_moved_when_the_process_was_killed_are_taken_back(
    tmp_path, monkeypatch):
  small_archives.flowers(tmp_path / 'flower_photos.tgz')
  convert('flowers', tmp_path, tmp_path / 'expected')
  rename, moved = os.rename, []

  def die_in_the_middle(source, target):
    if len(moved) == 4:
      raise KeyboardInterrupt
    moved.append(source)
    rename(source, target)

  class Killed(staging.Unfinished):
    def publish(self, last, obsolete=()):
      with monkeypatch.context() as patch:
        patch.setattr(os, 'rename', die_in_the_middle)
        for name in sorted(os.listdir(self.new)):
          os.rename(os.path.join(self.new, name), tmp_path / 'out' / name)

  with monkeypatch.context() as patch:
    patch.setattr(staging, 'Unfinished', Killed)
    with pytest.raises(KeyboardInterrupt):
      convert('flowers', tmp_path, tmp_path / 'out')
  assert len(moved) == 4
  report = convert('flowers', tmp_path, tmp_path / 'out')
  assert 'had converted 30 images' in report.lines()[1]
  assert contents(tmp_path / 'out') == contents(tmp_path / 'expected')


def test_unfinished_work_for_another_source_is_not_used(tmp_path, monkeypatch):
  small_archives.flowers(tmp_path / 'flower_photos.tgz', 2)
  def interrupt(*_):
    raise KeyboardInterrupt
  with monkeypatch.context() as patch:
    patch.setattr(staging.Unfinished, 'publish', interrupt)
    with pytest.raises(KeyboardInterrupt):
      convert('flowers', tmp_path, tmp_path / 'out')
  small_archives.flowers(tmp_path / 'flower_photos.tgz', 3)
  report = convert('flowers', tmp_path, tmp_path / 'out')
  assert 'earlier run' not in ' '.join(report.lines())
  convert('flowers', tmp_path, tmp_path / 'expected')
  assert contents(tmp_path / 'out') == contents(tmp_path / 'expected')


def test_two_runs_at_a_time_do_not_meet(tmp_path):
  small_archives.flowers(tmp_path / 'flower_photos.tgz')
  with staging.resumable(str(tmp_path / 'out'), 'flowers'):
    with pytest.raises(UserError, match='another process is writing flowers to'):
      convert('flowers', tmp_path, tmp_path / 'out')
    with staging.replacing(str(tmp_path / 'out'), last='x') as other:
      assert (tmp_path / 'out/.unfinished-flowers').exists()
      with open(f'{other}/x', 'w'):
        pass


def test_folder_that_a_killed_run_left_is_removed_by_the_next(tmp_path):
  (tmp_path / '.unfinished-abc/new').mkdir(parents=True)
  (tmp_path / '.unfinished-abc/new/half.tfrecord').write_bytes(b'half')
  (tmp_path / '.unfinished-abc/lock').write_bytes(b'')
  with staging.replacing(str(tmp_path), last='done') as new:
    assert not (tmp_path / '.unfinished-abc').exists()
    (pathlib.Path(new) / 'done').write_text('')
  assert [path.name for path in tmp_path.iterdir()] == ['done']


def test_full_disk_ends_the_conversion_in_one_line_and_is_gone_on_with(
    tmp_path, monkeypatch):
  small_archives.flowers(tmp_path / 'flower_photos.tgz')
  real, calls = os.fsync, []
  def full(descriptor):
    calls.append(descriptor)
    if len(calls) == 8:
      raise OSError(28, 'No space left on device')
    real(descriptor)
  with monkeypatch.context() as patch:
    patch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space'):
      convert('flowers', tmp_path, tmp_path / 'out')
  assert [path.name for path in (tmp_path / 'out').iterdir()] == ['.unfinished-flowers']
  assert 'had converted' in convert('flowers', tmp_path, tmp_path / 'out').lines()[1]


# --- Images that cannot be used.

def test_bad_image_is_named_the_others_are_there_and_the_exit_code_is_3(tmp_path):
  small_archives.flowers(tmp_path / 'flower_photos.tgz', 4, {
      'flower_photos/roses/bad.jpg': b'no image', 'flower_photos/roses/cut.jpg':
      small_archives.jpeg(1)[:300]})
  done = run('flowers', tmp_path, tmp_path / 'out', num_workers=2)
  assert done.returncode == 3
  assert done.stderr.splitlines()[-1].startswith(
      f'{SCRIPT}.py: some images were refused')
  assert 'roses/bad.jpg: it is text, not an image' in done.stdout
  lines = (tmp_path / 'out/refused.txt').read_text().splitlines()
  assert [line.split(':')[0] for line in lines] == ['roses/bad.jpg', 'roses/cut.jpg']
  spec = dataset_catalog.find_dataset('flowers', str(tmp_path / 'out'))
  assert sum(spec.splits.values()) == 20
  assert records.is_complete(spec, str(tmp_path / 'out'))
  again = run('flowers', tmp_path, tmp_path / 'out')
  assert (again.returncode, again.stdout[:14]) == (3, 'nothing to do:')
  assert run('flowers', tmp_path, tmp_path / 'out', allow_refused=True).returncode == 0


def test_records_are_read_even_if_all_images_of_a_file_were_refused(tmp_path):
  small_archives.flowers(tmp_path / 'flower_photos.tgz', 1)
  plan = converters.find('flowers').plan(
      published_files.Source(str(tmp_path)), str(tmp_path))
  first = plan.splits['train'].items[0].name
  small_archives.flowers(tmp_path / 'flower_photos.tgz', 1, {
      f'flower_photos/{first}': b'no image'})
  convert('flowers', tmp_path, tmp_path / 'out')
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path / 'out'))
  assert os.path.getsize(min(dataset.data_sources)) == 0
  assert dataset.num_samples == 3
  source = pipeline.evaluation_input(dataset, lambda number, image: tf.reshape(
      tf.cast(tf.image.resize_images(image, [4, 4]), tf.float32), [4, 4, 3]), 8)
  labels = source.next_batch().labels
  with tf.Session() as session:
    session.run(source.initializer)
    assert len(session.run(labels)) == 3


def test_damaged_member_of_a_zip_file_is_refused_and_the_rest_is_there(tmp_path):
  small_archives.coco(tmp_path / 'source')
  path = tmp_path / 'source/train2014.zip'
  data = bytearray(path.read_bytes())
  data[data.index(b'\xff\xd8') + 40] ^= 1
  path.write_bytes(data)
  report = convert('visualwakewords', tmp_path / 'source', tmp_path / 'out', **VWW)
  assert report.spec.splits == {'train': 11, 'val': 12}
  assert re.search("cannot be read from 'train2014.zip': Bad CRC", report.refused[0][1])


# --- Archives that mean harm.

def link(name, target, kind=tarfile.SYMTYPE):
  member = tarfile.TarInfo(name)
  member.type, member.linkname = kind, target
  return member


@pytest.mark.parametrize(('name', 'data', 'message'), [
    ('../evil.jpg', b'x', 'a path outside of its folder'),
    ('flower_photos/../../evil.jpg', b'x', 'a path outside of its folder'),
    ('/tmp/evil.jpg', b'x', 'a path outside of its folder'),
    ('C:\\evil.jpg', b'x', 'a path outside of its folder'),
    ('..\\evil.jpg', b'x', 'a path outside of its folder'),
    ('flower_photos/roses/l.jpg', link('flower_photos/roses/l.jpg', '/etc/passwd'),
     'a link, a device'),
    ('flower_photos/roses/l.jpg', link('flower_photos/roses/l.jpg', '/etc/passwd',
                                       tarfile.LNKTYPE), 'a link, a device'),
    ('flower_photos/roses/d', link('flower_photos/roses/d', '', tarfile.CHRTYPE),
     'a link, a device'),
])
def test_tar_file_that_leads_outside_is_refused(tmp_path, name, data, message):
  small_archives.flowers(tmp_path / 'flower_photos.tgz', 1, {name: data})
  with pytest.raises(UserError, match=message):
    convert('flowers', tmp_path / 'flower_photos.tgz', tmp_path / 'deep/out')
  assert not list(tmp_path.rglob('*evil*'))
  assert not (tmp_path / 'deep/out').exists()


def test_other_archives_that_lead_outside_are_refused(tmp_path):
  small_archives.coco(tmp_path / 'coco')
  small_archives.zipped(tmp_path / 'coco/val2014.zip', {'../evil.jpg': b'x'})
  with pytest.raises(UserError, match=r"contains '\.\./evil\.jpg', a path outside"):
    convert('visualwakewords', tmp_path / 'coco', tmp_path / 'out', **VWW)
  small_archives.imagenet(tmp_path / 'imagenet')
  small_archives.tar(tmp_path / 'imagenet/ILSVRC2012_img_train.tar', {
      'n01440764.tar': small_archives.tar_bytes({'../../evil.JPEG': b'x'})})
  with pytest.raises(UserError, match=r'n01440764\.tar. contains .*a path outside'):
    convert('imagenet', tmp_path / 'imagenet', tmp_path / 'out')
  path = small_archives.cifar_binary(
      tmp_path / 'c.tgz', small_archives.cifar_batches())
  small_archives.tar(path, {'../data_batch_1.bin': b''}, 'w:gz')
  with pytest.raises(UserError, match='a path outside'):
    convert('cifar10', path, tmp_path / 'out')
  assert not [path for path in tmp_path.rglob('*evil*')]


@pytest.mark.parametrize('keep', [0.02, 0.3, 0.6])
def test_tar_file_that_is_cut_short_is_named(tmp_path, keep):
  small_archives.imagenet(tmp_path)
  path = tmp_path / 'ILSVRC2012_img_train.tar'
  data = path.read_bytes()
  path.write_bytes(data[:int(len(data) * keep)])
  with pytest.raises(UserError, match=r'ILSVRC2012_img_train\.tar.* is damaged or cut'):
    convert('imagenet', tmp_path, tmp_path / 'out')
  small_archives.flowers(tmp_path / 'flower_photos.tgz')
  data = (tmp_path / 'flower_photos.tgz').read_bytes()
  (tmp_path / 'flower_photos.tgz').write_bytes(data[:int(len(data) * keep)])
  with pytest.raises(UserError, match=r'flower_photos\.tgz. is damaged or cut short'):
    convert('flowers', tmp_path / 'flower_photos.tgz', tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_places_in_a_tar_file_of_tar_files_hold_the_members(tmp_path):
  inner = {'a.JPEG': b'first' * 300, 'b.JPEG': b'', 'c.JPEG': b'last'}
  path = str(small_archives.tar(tmp_path / 'o.tar', {
      'x.tar': small_archives.tar_bytes(inner), 'y': b'between'}))
  outer = dict(archives.tar_places(path))
  assert archives.read(outer['y']) == b'between'
  found = archives.inner_tar_places('x', outer['x.tar'])
  assert {name: archives.read(place) for name, place in found} == inner


# --- Mistakes.

@pytest.mark.parametrize(('flags', 'message'), [
    ({'dataset_name': 'imagenet'}, 'imagenet needs a registration at image-net'),
    ({'dataset_name': 'flowers', 'source': '{}/sorce'}, "there is no '.*/sorce' .*did "
     "you mean 'source'"),
    ({'dataset_name': 'flowers', 'source': '{}/source'}, 'holds no photos in folders'),
    ({'dataset_name': 'mnist', 'source': '{}/source/a'}, 'is a file: name the folder'),
    ({'dataset_name': 'cifar10', 'source': '{}/source/a'}, "/a' is damaged or cut sh"),
    ({'dataset_name': 'digits', 'source': '{}/source'}, '--source has no effect on di'),
    ({'dataset_name': 'tfds:mnist:3', 'source': ''}, 'is not a name of TensorFlow'),
])
def test_mistake_gets_one_line_and_leaves_nothing(tmp_path, flags, message):
  (tmp_path / 'source').mkdir()
  (tmp_path / 'source/a').write_text('text')
  flags = {name: value.replace('{}', str(tmp_path)) for name, value in flags.items()
           if value}
  done = scripts.run_anew(SCRIPT, dataset_dir=tmp_path / 'out', **flags)
  assert re.search(message, scripts.answer(done, code=1))
  assert not (tmp_path / 'out').exists()


def test_flag_of_another_data_set_is_noted_and_other_options_are_refused(tmp_path):
  small_archives.coco(tmp_path / 'source')
  assert run('visualwakewords', tmp_path / 'source', tmp_path / 'out',
             foreground_class_of_interest='dog').returncode == 0
  done = run('visualwakewords', tmp_path / 'source', tmp_path / 'out')
  scripts.answer(done, 'made with --foreground_class_of_interest=dog, not person')
  small_archives.mnist(tmp_path / 'mnist')
  done = run('mnist', tmp_path / 'mnist', tmp_path / 'out2',
             foreground_class_of_interest='dog')
  assert 'note: --foreground_class_of_interest is for visualwakewords' in done.stdout


def test_records_of_another_data_set_are_not_overwritten(tmp_path):
  small_archives.mnist(tmp_path / 'mnist')
  convert('mnist', tmp_path / 'mnist', tmp_path / 'out')
  before = contents(tmp_path / 'out')
  small_archives.flowers(tmp_path / 'flower_photos.tgz')
  with pytest.raises(UserError, match="holds the data set 'mnist'"):
    convert('flowers', tmp_path / 'flower_photos.tgz', tmp_path / 'out')
  assert contents(tmp_path / 'out') == before


# --- Downloads.

@pytest.fixture
def server():
  """Serves `files`, in pieces of `piece` bytes; breaks off after each if told to."""
  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      self.server.asked.append((self.path, self.headers.get('Range')))
      data = self.server.files.get(self.path)
      if data is None:
        self.send_error(404)
        return
      tag = f'"{hashlib.md5(data).hexdigest()}"'
      start = 0
      if self.headers.get('If-Range') == tag and self.server.knows_ranges:
        start = int(self.headers['Range'].removeprefix('bytes=').removesuffix('-'))
      self.send_response(206 if start else 200)
      self.send_header('ETag', tag)
      self.send_header('Content-Length', str(len(data) - start))
      self.end_headers()
      self.wfile.write(data[start:start + self.server.piece])

    def log_message(self, *_):
      pass

  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as running:
    running.files, running.asked, running.piece = {}, [], 1 << 30
    running.knows_ranges = True
    running.url = f'http://127.0.0.1:{running.server_port}'
    thread = threading.Thread(target=running.serve_forever, args=[0.01])
    thread.start()
    yield running
    running.shutdown()
    thread.join()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
  monkeypatch.setattr(downloads, '_PAUSE_SECONDS', 0)


def test_download_that_breaks_off_goes_on_where_it_was(tmp_path, server):
  data = np.random.default_rng(1).bytes(10000)
  server.files['/a.bin'], server.piece = data, 4000
  file = PublishedFile('a.bin', (f'{server.url}/a.bin',), hashlib.md5(data).hexdigest())
  path = published_files.fetch(file, str(tmp_path))
  assert (tmp_path / 'a.bin').read_bytes() == data
  assert [asked for _, asked in server.asked] == [None, 'bytes=4000-', 'bytes=8000-']
  assert os.listdir(tmp_path) == ['a.bin']
  assert published_files.fetch(file, str(tmp_path)) == path
  assert len(server.asked) == 3


def test_beginning_of_another_file_is_not_gone_on_with(tmp_path, server):
  (tmp_path / 'a.bin.part').write_bytes(b'old' * 100)
  (tmp_path / 'a.bin.part.version').write_text('"another"')
  server.files['/a.bin'] = b'new' * 1000
  published_files.fetch(PublishedFile('a.bin', (f'{server.url}/a.bin',)), str(tmp_path))
  assert (tmp_path / 'a.bin').read_bytes() == b'new' * 1000
  assert server.asked == [('/a.bin', 'bytes=300-')]


def test_file_is_fetched_from_the_next_address_if_the_first_has_another(
    tmp_path, server):
  server.files.update({'/bad/a.bin': b'bad', '/good/a.bin': b'good'})
  file = PublishedFile('a.bin', tuple(
      f'{server.url}/{name}/a.bin' for name in ('gone', 'bad', 'good')),
                       hashlib.md5(b'good').hexdigest())
  assert published_files.fetch(file, str(tmp_path)) == str(tmp_path / 'a.bin')
  assert (tmp_path / 'a.bin').read_bytes() == b'good'
  server.files['/good/a.bin'] = b'bad too'
  with pytest.raises(UserError, match=r'404.*nor from 2 other .*--source=FOLDER'):
    published_files.fetch(file, str(tmp_path / 'new'))
  assert os.listdir(tmp_path / 'new') == []


def test_script_downloads_converts_and_keeps_no_archive(tmp_path, server):
  small_archives.mnist(tmp_path / 'web')
  for path in (tmp_path / 'web').iterdir():
    server.files[f'/{path.name}'] = path.read_bytes()
  # The script as it is, but for the address.
  code = ('import sys\nfrom slim_zoo import diagnostics\n'
          'from slim_zoo.commands import download, running\n'
          'from slim_zoo.dataset_building import converters\n'
          'from slim_zoo.dataset_building.published_files import PublishedFile\n'
          "mnist = converters.find('mnist')\n"
          'mnist.FILES = [PublishedFile(file.filename, (sys.argv.pop(1)'
          ' + file.filename,)) for file in mnist.FILES]\n'
          'running.run(download.main)\n')
  done = scripts.subprocess.run(
      [sys.executable, '-c', code, *[f'{server.url}/'] * 4, '--dataset_name=mnist',
       f'--dataset_dir={tmp_path}/out', '--num_workers=1'], cwd=scripts.ROOT, text=True,
      capture_output=True, check=False)
  assert done.returncode == 0, done.stderr
  assert 'downloading train-images-idx3-ubyte.gz' in done.stderr
  assert sorted(os.listdir(tmp_path / 'out')) == [
      'dataset.json', 'labels.txt', 'mnist_test.tfrecord', 'mnist_train.tfrecord']


def test_download_that_is_whole_is_kept_when_another_fails(tmp_path, server):
  server.files['/a.bin'] = b'whole'
  with staging.resumable(str(tmp_path / 'out'), 'mnist') as work:
    published_files.fetch(
        PublishedFile('a.bin', (f'{server.url}/a.bin',)), work.fetched)
    with pytest.raises(UserError, match='404'):
      published_files.fetch(
          PublishedFile('b.bin', (f'{server.url}/b.bin',)), work.fetched)
  with staging.resumable(str(tmp_path / 'out'), 'mnist') as work:
    assert os.listdir(work.fetched) == ['a.bin']


def test_damaged_header_in_the_middle_of_a_tar_file_is_not_taken_for_its_end(tmp_path):
  files = {f'{n}.jpg': b'x' * 600 for n in range(4)}
  data = bytearray(small_archives.tar_bytes(files))
  data[2 * (512 + 1024) + 148] ^= 1  # In the checksum of the third.
  (tmp_path / 'a.tar').write_bytes(data)
  with pytest.raises(UserError, match='it has no end mark'):
    list(archives.tar_places(str(tmp_path / 'a.tar')))


# --- TensorFlow Datasets.

def prepared(folder, name='birds/small', version='1.0.0', **changes):
  """Writes a data set as TensorFlow Datasets leaves it; returns its folder."""
  from tests.records_for_tests import png
  from tests.stored_images import write
  path = folder / name / version
  def records_of(count):
    for n in range(count):
      yield tf.train.Example(features=tf.train.Features(feature={
          'image': tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(n)])),
          'label': tf.train.Feature(int64_list=tf.train.Int64List(value=[n % 3]))}))
  base = name.split('/')[0]
  write(path / f'{base}-train.tfrecord-00000-of-00002', *records_of(5))
  write(path / f'{base}-train.tfrecord-00001-of-00002', *records_of(4))
  write(path / f'{base}-test.tfrecord-00000-of-00001', *records_of(3))
  info = {'name': base, 'version': version, 'fileFormat': 'tfrecord', 'splits': [
      {'name': 'train', 'shardLengths': ['5', '4'], 'numBytes': '9'},
      {'name': 'test', 'shardLengths': ['3'], 'numBytes': '9'}]}
  features = {
      'image': {'pythonClassName': 'tensorflow_datasets.core.features.image_feature'
                '.Image', 'image': {'dtype': 'uint8', 'shape': {
                    'dimensions': ['8', '8', '1']}}},
      'label': {'pythonClassName': 'tensorflow_datasets.core.features'
                '.class_label_feature.ClassLabel', 'classLabel': {'numClasses': '3'}}}
  features.update(changes.pop('features', {}))
  info.update(changes)
  (path / 'dataset_info.json').write_text(json.dumps(info))
  (path / 'features.json').write_text(json.dumps(
      {'featuresDict': {'features': features}}))
  (path / 'label.labels.txt').write_text('wren\nrobin\ntit')
  return path


@pytest.mark.parametrize('name', ['tfds:birds/small', 'tfds:birds/small:1.0.0'])
def test_prepared_data_set_of_tensorflow_datasets_is_read(tmp_path, name):
  prepared(tmp_path)
  prepared(tmp_path, version='0.9.0')
  train, test = (read_split(name, split, tmp_path) for split in ('train', 'test'))
  assert [value['label'] for value in train] == [0, 1, 2, 0, 1, 0, 1, 2, 0]
  assert [value['image'][0, 0, 0] for value in test] == [0, 1, 2]
  assert test[0]['image'].shape == (8, 8, 1)
  dataset = dataset_factory.get_dataset(name, 'train', str(tmp_path))
  assert (dataset.num_samples, dataset.num_classes) == (9, 3)
  assert dataset.labels_to_names == {0: 'wren', 1: 'robin', 2: 'tit'}
  files = sorted(str(path) for path in tmp_path.rglob('1.0.0/*train*'))
  assert records.labels_of(records.read_features(files, 1, 2)) == [2]
  assert records.read_image(files, 1, 2)[0, 0] == 2
  assert tfds.find('tfds:birds/small', str(tmp_path)).splits == {'train': 9, 'test': 3}


@pytest.mark.parametrize(('name', 'changes', 'message'), [
    ('tfds:birds', {}, 'has the configurations small: give one, such as tfds:birds'),
    ('tfds:brids', {}, 'not prepared in .* slim-zoo download --dataset_name='
     'tfds:brids'),
    ('tfds:birds/small:2.0.0', {}, 'version 2.0.0 is missing, there are 1.0.0'),
    ('tfds:birds small', {}, 'is not a name of TensorFlow Datasets'),
    ('tfds:birds/small', {'fileFormat': 'array_record'}, 'prepared as array_record'),
    ('tfds:birds/small', {'splits': 3}, 'does not describe a data set'),
    ('tfds:birds/small', {'features': {'label': {'pythonClassName': 'a.b.Tensor'}}},
     r'features image \(Image\), label \(Tensor\): expected'),
])
def test_data_set_of_tensorflow_datasets_that_cannot_be_read_gets_one_line(
    tmp_path, name, changes, message):
  prepared(tmp_path, **changes)
  with pytest.raises(UserError, match=message) as error:
    dataset_catalog.find_dataset(name, str(tmp_path))
  assert '\n' not in str(error.value)


def test_missing_package_of_tensorflow_datasets_is_named(tmp_path, monkeypatch):
  from slim_zoo.dataset_building import tfds_builder
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  with pytest.raises(UserError, match='pip install tensorflow-datasets'):
    tfds_builder.prepare('tfds:mnist', str(tmp_path))
  prepared(tmp_path)
  assert tfds_builder.prepare('tfds:birds/small', str(tmp_path)).num_classes == 3


BUILDER = '''
import sys
import numpy
import tensorflow_datasets as tfds

class TinyShapes(tfds.core.GeneratorBasedBuilder):
  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
        'image': tfds.features.Image(shape=(16, 16, 3)),
        'label': tfds.features.ClassLabel(names=['round', 'square'])}))

  def _split_generators(self, download_manager):
    return {'train': self._generate_examples(6), 'test': self._generate_examples(3)}

  def _generate_examples(self, count):
    for n in range(count):
      yield n, {'image': numpy.full((16, 16, 3), n, numpy.uint8), 'label': n % 2}

from slim_zoo.dataset_building import tfds_builder
spec = tfds_builder.prepare('tfds:tiny_shapes', sys.argv[1])
print(dict(spec.splits))
'''


def test_builder_of_tensorflow_datasets_is_prepared_and_read(tmp_path):
  pytest.importorskip('tensorflow_datasets', reason='tensorflow-datasets not installed')
  (tmp_path / 'builder.py').write_text(BUILDER)
  done = scripts.subprocess.run(
      [sys.executable, str(tmp_path / 'builder.py'), str(tmp_path / 'data')], text=True,
      capture_output=True, env={**os.environ, 'PYTHONPATH': str(scripts.ROOT)},
      check=False)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1] == "{'train': 6, 'test': 3}"
  values = read_split('tfds:tiny_shapes', 'train', tmp_path / 'data')
  assert sorted(value['image'][0, 0, 0] for value in values) == list(range(6))
  assert all(value['label'] == value['image'][0, 0, 0] % 2 for value in values)


def test_last_bytes_of_a_window_end_it(tmp_path):
  (tmp_path / 'f').write_bytes(b'0123456789')
  with open(tmp_path / 'f', 'rb') as file:
    window = archives._Window(file, archives.Slice('', 2, 5, 0))
    assert io.BufferedReader(window).read() == b'23456'
