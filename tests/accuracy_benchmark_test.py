"""The benchmark of accuracy: shares and intervals, lists of photographs, crops."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import paired_runs, shares
from benchmarks.peers import real_accuracy
from slim_zoo.diagnostics import UserError


@pytest.mark.parametrize(('right', 'share', 'low', 'high'), [
    # Published for the interval of Wilson: 0 of 10, 10 of 10, 81 of 263.
    ('0' * 10, 0.0, 0.0, 0.2775), ('1' * 10, 1.0, 0.7225, 1.0),
    ('1' * 81 + '0' * 182, 0.3080, 0.2553, 0.3662)])
def test_the_interval_of_a_share(right, share, low, high):
  assert shares.of_answers(right) == pytest.approx((share, low, high), abs=1e-4)


def test_lost_accuracy_is_that_of_pairs():
  lost, low, high = shares.lost('1110', '1001')
  assert lost == pytest.approx(0.25)
  assert low < lost < high
  assert shares.lost('10' * 50, '10' * 50)[0] == 0
  # The same two shares on images that agree more give a narrower interval.
  near = shares.lost('1' * 60 + '0' * 40, '1' * 50 + '0' * 50)
  far = shares.lost('1' * 60 + '0' * 40, '0' * 50 + '1' * 50)
  assert near[0] == pytest.approx(far[0])
  assert near[2] - near[1] < far[2] - far[1]


def test_a_list_of_photographs(tmp_path):
  (tmp_path / 'classes.csv').write_text('cat.jpg,282;283\nowl.jpg,25\n')
  assert real_accuracy.read_classes(str(tmp_path / 'classes.csv')) == [
      (str(tmp_path / 'cat.jpg'), [282, 283]), (str(tmp_path / 'owl.jpg'), [25])]
  (tmp_path / 'classes.csv').write_text('cat.jpg,282\nowl.jpg,great owl\n')
  with pytest.raises(UserError, match=r"line 2 of '.*classes\.csv' is .*expected"):
    real_accuracy.read_classes(str(tmp_path / 'classes.csv'))


def test_crops_begin_with_the_whole_photograph(tmp_path):
  pixels = np.random.default_rng(0).integers(0, 256, [40, 60, 3], np.uint8)
  Image.fromarray(pixels).save(tmp_path / 'noise.png')
  found = real_accuracy.crops(
      str(tmp_path / 'noise.png'), 3, 20, np.random.default_rng(1))
  whole = Image.fromarray(pixels).resize((20, 20), Image.Resampling.BILINEAR)
  assert found.shape == (3, 20, 20, 3)
  np.testing.assert_array_equal(found[0], np.asarray(whole))
  assert (found[1] != found[2]).any()


@pytest.mark.parametrize(('argument', 'shown'), [
    ('--docs=docs', '--docs=docs'), ('--casts', '--casts'),
    ('--weights=/a/b.tflite,/c/d.tflite', '--weights=b.tflite,d.tflite'),
    ('--work_dir=/tmp/photos/', '--work_dir=photos')])
def test_pages_do_not_show_folders(argument, shown, monkeypatch):
  monkeypatch.setattr('sys.argv', ['accuracy.py', argument])
  assert paired_runs.command_line('accuracy') == (
      f'python -m benchmarks.accuracy {shown}')
