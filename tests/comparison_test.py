"""The comparison of precisions, XLA and layouts: processes, rounds and the table."""

import subprocess
import sys

import pytest

from slim_zoo import diagnostics
from slim_zoo.config.benchmark import BenchmarkConfig
from slim_zoo.tasks import comparison
from tests import scripts
from tests.conftest import ROOT

LENET = {'networks': 'lenet', 'batch_sizes': '2'}
FEW = {'num_batches': 5, 'num_batches_burn_in': 1, 'rounds': 5}


@pytest.mark.parametrize(('options', 'words'), [
    ({'compare': 'xls'}, "no option to compare 'xls'; did you mean 'xla'?"),
    ({'compare': 'xla', 'xla': True}, '--xla and --compare=xla'),
    ({'compare': 'precision', 'mixed_precision': 'none'},
     '--mixed_precision and --compare=precision'),
    ({'compare': 'xla', 'output': 'times.jsonl'}, '--output with --compare'),
    ({'compare': 'xla', 'plot': 'times.png'}, '--plot with --compare'),
    ({'rounds': 5}, '--rounds=5 has no effect without --compare'),
    ({'compare': 'xla', 'rounds': 4}, '--rounds=4: expected')])
def test_options_that_do_not_fit_are_refused(options, words):
  with pytest.raises(diagnostics.UserError) as refusal:
    BenchmarkConfig.from_options({**LENET, **options}).check()
  assert words in str(refusal.value)


def test_all_combinations_are_in_one_table(tmp_path):
  done = scripts.run('benchmark_nets', **LENET, **FEW, mode='train',
                     compare='xla,data_format')
  assert done.returncode == 0, done.stderr
  assert 'Traceback' not in done.stderr
  lines = [line.split(' | ') for line in done.stdout.splitlines()
           if line.startswith('| ')]
  heading, _, *rows = [[cell.strip(' |') for cell in line] for line in lines]
  assert heading == ['network', 'batch', 'what', 'xla', 'data_format', 'ms / batch',
                     'images/s', 'rate, relative to the first']
  assert [row[3:5] for row in rows] == [
      ['off', 'NHWC'], ['off again', 'NHWC'], ['off', 'NCHW'], ['on', 'NHWC'],
      ['on', 'NCHW']]
  # This network is computed with channels last on a CPU.
  for row in (rows[2], rows[4]):
    assert row[5:7] == ['-', '-']
    assert row[7] == 'not run: see 1.'
  assert done.stdout.count('--data_format=NCHW: lenet is built for NHWC') == 1
  assert rows[0][7] == '1'
  for row in (rows[1], rows[3]):
    assert float(row[5].replace(',', '')) > 0
    assert ' to ' in row[7]


class Workers:
  """Answers as processes would: `seconds_of` each combination, by its number."""

  def __init__(self, seconds_of, reasons=None):
    self.seconds_of, self.reasons, self.asked = seconds_of, reasons or {}, []

  def of(self, values):
    return self

  def ask(self, request):
    if 'prepare' in request:
      number = request['prepare']
      return {'reason': self.reasons[number]} if number in self.reasons else {}
    self.asked.append(request['run'])
    return {'seconds': [self.seconds_of(request['run'])] * request['batches']}

  def release(self):
    pass


COMBINATIONS = [{'precision': 'float32'}, {'precision': 'bfloat16'},
                {'precision': 'float16'}]


def compare(workers, combinations=COMBINATIONS):
  config = BenchmarkConfig.from_options({**LENET, **FEW, 'compare': 'precision'})
  return comparison._Comparison(
      config, workers, 'lenet', 2, 'training', 'step').run(combinations)


def test_combinations_run_in_turn_and_the_first_one_again():
  workers = Workers(lambda number: [4.0, 2.0, 8.0][number])
  rows = compare(workers)
  assert workers.asked == [0, 1, 2, 0] * 5
  assert [row.is_control for row in rows] == [False, True, False, False]
  assert [row.ratio and row.ratio.median for row in rows] == [None, 1, 2, 0.5]
  assert rows[2].images_per_second == 1
  assert rows[1].ratio.is_equal
  assert 'equal (1.00 to 1.00)' in comparison.table(rows)


def test_a_rate_is_of_the_images_of_all_clones():
  rows = compare(Workers(lambda number: [1.0, 1.25][number]),
                 [{'num_clones': 1}, {'num_clones': 2}])
  assert [row.images_per_second for row in rows] == [2, 2, 3.2]
  assert [row.ratio and row.ratio.median for row in rows] == [None, 1, 1.6]


def test_a_combination_that_cannot_run_has_a_reason():
  rows = compare(Workers(lambda number: 1.0, {1: 'there | is no kernel'}))
  assert [row.reason for row in rows] == [None, None, 'there | is no kernel', None]


def test_a_reason_of_several_rows_is_printed_once_below_the_table():
  rows = compare(Workers(lambda number: 1.0, {1: 'there | is no kernel'})) * 2
  table, _, notes = comparison.table(rows).partition('\n\n')
  assert notes == '1. there | is no kernel'
  assert table.count('not run: see 1.') == 2
  assert len({line.count('|') for line in table.splitlines()}) == 1


def test_without_the_first_combination_there_are_times_and_no_ratios():
  rows = compare(Workers(lambda number: 1.0, {0: 'no memory'}))
  assert [row.seconds for row in rows] == [None, 1, 1]
  assert all(row.ratio is None for row in rows)
  assert comparison.table(rows).count('| -') > 2


def test_a_network_without_any_combination_has_failed():
  rows = compare(Workers(lambda number: 1.0, dict.fromkeys(range(3), 'no kernel')))
  with pytest.raises(diagnostics.UserError, match='1 of 1 networks failed: lenet'):
    comparison.check_any(rows)


def test_a_process_that_ends_is_a_reason_and_not_the_end():
  with comparison._Worker() as worker:
    worker._process.kill()
    assert worker.ask({})['reason'].startswith('its process ended by signal 9')
    assert worker.has_ended


# Two benchmarks have flags of the same names, so each has a process of its own.
_PAGE_OF_GPUS = """
from benchmarks import gpu
from slim_zoo.tasks import comparison
from slim_zoo.timing import ratios
row = comparison.Row('lenet', 'step', 2, {'precision': 'float32', 'num_clones': 2},
                     seconds=0.5, images_per_second=8.0,
                     ratio=ratios.Ratio(1.5, 1.2, 1.8, 5))
gpu.FLAGS(['gpu', '--rounds=5'])
print(gpu.page([row], ['A GPU'], 0.5))
"""


def test_the_page_of_gpus_has_the_table():
  done = subprocess.run([sys.executable, '-c', _PAGE_OF_GPUS], cwd=ROOT, text=True,
                        capture_output=True, check=True)
  assert done.stdout.startswith('# GPU rates')
  assert '; on A GPU; 50% busy with other processes before the first' in done.stdout
  assert '; 5 rounds. ' in done.stdout
  assert ('DO NOT PUBLISH: other processes used 50% of the cores, at most 10% is'
          ' allowed: stop them and measure again.') in done.stdout
  assert '1.50 (1.20 to 1.80)' in done.stdout
