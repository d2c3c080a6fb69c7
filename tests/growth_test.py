"""The benchmark of growth: its records, and the lines of its table."""

import pytest

from benchmarks import growth, paired_runs, small_records
from benchmarks.peers import small_input
from slim_zoo.input import records

TASK = {'network': 'lenet'}


def test_records_are_as_many_as_wanted_and_can_be_read(tmp_path):
  folder = tmp_path / 'records'
  small_records.make(folder, 2000)
  files = sorted(folder.glob('*.tfrecord'))
  before = [path.stat().st_mtime_ns for path in files]
  small_records.make(folder, 2000)
  assert [path.stat().st_mtime_ns for path in files] == before
  dataset = small_records.dataset(folder)
  assert records.count_records(map(str, files)) == dataset.num_samples == 2000
  labels = [records.read_features(list(map(str, files)), 3, number)[
      'image/class/label'] for number in range(12)]
  assert labels == [[number % 10] for number in range(12)]
  times = small_input.measure({
      'dataset_dir': str(folder), 'batch_size': 10, 'num_batches': 3, 'burn_in': 1})
  assert times['first_batch_seconds'] > 0 < times['seconds'][0]


def runs_of(**contenders):
  """Returns runs of a small and a large contender, by their values of each round."""
  runs = paired_runs.Runs('/nonexistent/file')
  for name, values in contenders.items():
    for number, value in enumerate(values):
      runs.done[name, number] = {
          'task': TASK, 'contender': name, 'round': number, **value}
  return runs


@pytest.mark.parametrize(('key', 'scales', 'small', 'large', 'cells'), [
    # Four times the images take four times as long, on a machine at half its speed too.
    ('seconds', (1e3 / 16, 1e3 / 64), [[0.9, 1.6, 1.7], [3.2]], [[6.4], [12.8]],
     ('small: 150', 'large: 150', '1.000 (2 rounds)', '1.10')),
    ('peak_mib', (1, 1), [100, 200], [110, 180],
     ('small: 150', 'large: 145', '1.000 (2 rounds)', '1.10')),
])
def test_ratios_are_of_each_round_and_of_an_image(key, scales, small, large, cells):
  runs = runs_of(small=[{key: value} for value in small],
                 large=[{key: value} for value in large])
  line = growth.Line('title', 'small', 'large', key, scales, 1.10)
  assert growth.cells(runs, TASK, line) == ('title', *cells)


def test_what_did_not_run_says_why():
  runs = runs_of(small=[{'seconds': [1.0]}], large=[{'skipped': 'no such network'}])
  line = growth.Line('title', 'small', 'large', 'seconds')
  assert growth.cells(runs, TASK, line) == (
      'title', 'small: 1', 'large: no such network', '-', '-')
