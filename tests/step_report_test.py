"""What a run tells of its steps."""

import types

import numpy as np
import pytest

from slim_zoo.training import intervals, loop_options, step_report


@pytest.mark.parametrize(('last', 'step', 'begin', 'has_time'), [
    (12, 11, 'step 11/12  loss 0.5000  learning rate 0.1  ', True),
    (12, 12, 'step 12/12  loss 0.5000  ', False),
    # Another asynchronous worker takes a step while this one takes the last.
    (12, 13, 'step 12/12  loss 0.5000  ', False),
    (None, 13, 'step 13  loss 0.5000  ', False),
])
def test_a_progress_line_counts_no_step_after_the_last(
    last, step, begin, has_time, tmp_path, capsys):
  report = step_report.StepReport(
      loop_options.LoopOptions(str(tmp_path), last, 1, 0, 0, 8),
      types.SimpleNamespace(), ())
  report.begin(10, None)
  report.interval.add(step, 0.5, 0.0)
  report.print_progress(step, 0.1)
  line = capsys.readouterr().out
  assert line.startswith(begin)
  assert line.rstrip().endswith(' left') == has_time


def test_a_progress_line_shows_the_mean_of_each_named_loss(tmp_path, capsys):
  report = step_report.StepReport(
      loop_options.LoopOptions(str(tmp_path), 4, 1, 0, 0, 8), types.SimpleNamespace(),
      ('total_loss', 'losses/a', 'accuracy', 'losses/b'))
  report.begin(0, None)
  report.add(1, 3.0, 0.0, np.float32([3, 1, 0.5, 2]))
  report.add(2, 6.0, 0.0, np.float32([6, 2, 0.5, 4]))
  report.print_progress(2, 0.1)
  assert 'step 2/4  loss 4.5000 (a 1.5000, b 3.0000)  l' in capsys.readouterr().out
  report.add(3, 5.0, 0.0, np.float32([5, 1, 0.5, 4]))
  report.print_progress(3, 0.1)
  assert 'loss 5.0000 (a 1.0000, b 4.0000)' in capsys.readouterr().out


def test_the_first_step_of_a_session_does_not_count_for_the_time_left(
    monkeypatch, tmp_path, capsys):
  """It takes 50 s, and each of the others 2 s; a pause of 4 s counts."""
  now = [0.0]
  monkeypatch.setattr(intervals.time, 'monotonic', lambda: now[0])
  report = step_report.StepReport(
      loop_options.LoopOptions(str(tmp_path), 130, 10, 0, 0, 8),
      types.SimpleNamespace(), ())
  report.begin(90, None)
  left = []
  for step in range(91, 121):
    now[0] += 50 if step == 91 else 2
    report.add(step, 1.0, 0.0, np.zeros([0], np.float32))
    if step == 115:
      with report.interval.paused():
        now[0] += 4
    if report.is_due(step):
      report.print_progress(step, 0.1)
      left.append(capsys.readouterr().out.split()[-2])
  assert left == ['1:00', '0:40', '0:24']
