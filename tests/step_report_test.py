"""What a run tells of its steps."""

import types

import pytest

from slim_zoo.training import loop_options, step_report


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
