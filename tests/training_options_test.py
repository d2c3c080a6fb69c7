"""The benchmark of training options: its numbers, and that its flags exist."""

import pytest

from benchmarks import differences, few_digits, option_rows
from slim_zoo.catalog import datasets
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.training import TrainConfig


def test_a_difference_has_the_interval_of_students_t():
  pytest.importorskip('scipy')
  found = differences.difference([0.5, 0.6, 0.7], [0.6, 0.65, 0.85])
  assert (found.without, found.with_option) == (
      pytest.approx(60), pytest.approx(70))
  # Differences 10, 5, 15: deviation 5, and t of 2 degrees of freedom 4.3027.
  assert (found.mean, found.low, found.high) == (
      pytest.approx(10), pytest.approx(10 - 12.4206, abs=1e-3),
      pytest.approx(10 + 12.4206, abs=1e-3))
  assert found.text() == 'equal (-2.4 to +22.4)'
  assert differences.difference([0.5] * 3, [0.6, 0.6, 0.61]).text().startswith(
      '+10.3 (')


@pytest.mark.parametrize('name', option_rows.ROWS)
def test_the_options_of_each_row_exist(name, tmp_path):
  row = option_rows.ROWS[name]
  assert len(row.counts) == len(row.chosen)
  for options in ({}, row.with_option, row.without_option):
    TrainConfig.from_options({**row.train, **options})
  EvaluateConfig.from_options({**row.evaluate, **row.evaluate_with})


def test_the_splits_share_no_image(tmp_path):
  pytest.importorskip('sklearn')
  few_digits.write(str(tmp_path), 3, (4, 5), (8, 1))
  spec = datasets.find_dataset(few_digits.NAME, str(tmp_path))
  assert spec.splits['train'] == 9
  assert spec.splits['validation'] == 80
  assert (tmp_path / 'labels.txt').read_text() == '0:eight\n1:one\n'
