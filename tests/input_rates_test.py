"""The input benchmark: its records and its runners."""

import pytest

from benchmarks import photo_records
from benchmarks.peers import decoding, our_input, queue_input
from benchmarks.peers.reports import NotThereError
from datasets import records


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
  with pytest.raises(NotThereError, match='decoding'):
    queue_input.measure(task(photographs, is_training=False))
