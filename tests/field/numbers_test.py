"""A number that is zero as it is shown has no sign."""

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.evaluation import metrics, panels, report
from slim_zoo.training.callbacks import run_card


@pytest.mark.parametrize(('value', 'text'), [
    (-0.0, '0.000'), (-0.0004, '0.000'), (-1e-30, '0.000'), (0.0, '0.000'),
    (-0.0006, '-0.001'), (1.23456, '1.235'), (np.float32(-0.0), '0.000'),
    (float('inf'), 'inf')])
def test_zeros_have_no_sign(value, text):
  assert diagnostics.fixed(value, 3) == panels.number(value) == text


def test_the_report_of_a_network_that_is_sure_and_right():
  predictions = metrics.Predictions()
  predictions.add(np.arange(3), np.arange(3), np.eye(3, dtype=np.float32))
  found = metrics.evaluate(predictions, 3)
  lines = report.summary_lines(found, None, {})
  assert any(line.split() == ['cross', 'entropy', '0.000'] for line in lines)
  assert not [line for line in lines if '-0' in line]
  assert str(report.report_values(found, {})['cross_entropy']) == '0.0'
  assert run_card._cell(-0.0) == '0'
