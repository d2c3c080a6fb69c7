"""The benchmarks of input: their records, their runners, a line of their tables."""

import json
import subprocess
import sys

import pytest

from benchmarks import paired_runs, photo_records
from benchmarks.peers import decoding, our_input, our_steps, queue_input
from benchmarks.peers.reports import UnavailableError
from slim_zoo.input import records
from tests.conftest import ROOT


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('photographs')
  photo_records.make(folder, 48)
  return folder


def task(folder, family='vgg', is_training=True):
  return {'family': family, 'is_training': is_training, 'image_size': 24,
          'batch_size': 4, 'dataset_dir': str(folder), 'num_batches': 3, 'burn_in': 1}


def test_no_two_photographs_are_alike_and_they_are_made_once(photographs):
  sources = sorted(photographs.glob('*.tfrecord'))
  before = [path.stat().st_mtime_ns for path in sources]
  photo_records.make(photographs, 48)
  assert [path.stat().st_mtime_ns for path in sources] == before
  dataset = photo_records.dataset(photographs)
  features = [records.read_features(dataset.data_sources, 0, number)
              for number in range(3)]
  assert len({found['image/encoded'][0] for found in features}) == 3
  for found in features:
    assert (found['image/height'], found['image/width']) == ([375], [500])


@pytest.mark.parametrize('family', ['vgg', 'inception'])
@pytest.mark.parametrize('contender', [our_input, queue_input])
def test_training_batches_are_timed(contender, family, photographs):
  times = contender.measure(task(photographs, family))
  assert times['seconds'][0] > 0
  assert times['processor_seconds'] > 0


def test_evaluation_is_beside_decoding(photographs):
  for contender in (our_input, decoding):
    assert contender.measure(task(photographs, is_training=False))['seconds'][0] > 0
  with pytest.raises(UnavailableError, match='decoding'):
    queue_input.measure(task(photographs, is_training=False))


def test_decoded_copies_are_timed(photographs, tmp_path):
  times = our_input.measure({**task(photographs), 'cache_dir': str(tmp_path)})
  assert times['seconds'][0] > 0
  assert len(list(tmp_path.iterdir())) == len(list(photographs.glob('*train*')))


@pytest.mark.parametrize('synthetic', [False, True])
def test_steps_on_records_tell_how_long_they_waited(photographs, synthetic):
  found = our_steps.measure({
      'network': 'cifarnet', 'batch_size': 4, 'dataset_dir': str(photographs),
      'num_batches': 3, 'burn_in': 1, 'synthetic': synthetic})
  assert len(found['seconds']) == 3
  assert ('waited_share' in found) == (not synthetic)
  assert synthetic or 0 <= found['waited_share'] <= 1


def test_cost_of_records_is_of_each_round(tmp_path):
  (tmp_path / '1024_photographs').touch()
  shared = {'network': 'lenet', 'batch_size': 8, 'dataset_dir': str(tmp_path),
            'num_batches': 25, 'burn_in': 5}
  pairs = [(1.1, 1.0), (2.06, 2.0), (0.55, 0.5), (0.6, 0.5), (1.1, 1.0)]
  times = [(*pair, pair[0]) for pair in pairs]
  (tmp_path / 'runs').write_text('\n'.join(
      json.dumps({'task': shared, 'contender': name, 'round': number,
                  'seconds': [seconds], 'waited_share': 0.02})
      for number, found in enumerate(times)
      for name, seconds in zip(
          ('on records', 'on images in memory', paired_runs.CONTROL), found,
          strict=True)))
  done = subprocess.run(
      [sys.executable, '-m', 'benchmarks.records_cost', '--networks=lenet',
       '--num_images=1024', f'--dataset_dir={tmp_path}', f'--output={tmp_path}/runs'],
      cwd=ROOT, text=True, capture_output=True, check=True)
  assert ('| lenet, compared with images in memory | 8 | 1,100.0 | 1,000.0 |'
          ' 1.100 (1.030 to 1.200) | 2.0% |') in done.stdout
  assert ('| lenet, compared with the same code again | 8 | 1,100.0 | 1,100.0 |'
          ' equal (1.000 to 1.000) | 2.0% |') in done.stdout
