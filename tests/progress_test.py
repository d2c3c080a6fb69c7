"""Progress of long work: counts, rate, time left."""

import io

import pytest

from slim_zoo import progress


@pytest.mark.parametrize(('total', 'unit', 'first', 'done', 'line'), [
    (100, 'images', 0, 50, 'working: 50/100 images, 5/s, 0:10 left'),
    (None, 'images', 0, 50, 'working: 50 images, 5/s'),
    (1000, 'bytes', 0, 500, 'working: 500/1000 bytes, 5e-05 MB/s, 0:10 left'),
    (20_000_000, 'bytes', 0, 5_000_000,
     'working: 5.0/20.0 MB, 0.5 MB/s, 0:30 left'),
    # The rate is of this process.
    (20_000_000, 'bytes', 10_000_000, 15_000_000,
     'working: 15.0/20.0 MB, 0.5 MB/s, 0:10 left'),
    (20_000_000, 'bytes', 10_000_000, 10_000_000, 'working: 10.0/20.0 MB'),
])
def test_a_line_has_counts_rate_and_time_left(total, unit, first, done, line):
  shown = progress.Progress('working', total, unit, stream=io.StringIO(), first=first)
  shown.update(done)
  assert shown._line(10.0) == line
