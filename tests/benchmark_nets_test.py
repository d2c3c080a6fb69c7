"""The benchmark script and the harness of the peers."""

import json
import re
import subprocess
import sys

import pytest

from benchmarks import paired_runs
from slim_zoo.drawing import charts
from slim_zoo.timing import machine, ratios, timings
from slim_zoo.timing.timings import Timings, timed
from tests import scripts
from tests.conftest import ROOT

TINY = {'num_batches': 2, 'num_batches_burn_in': 1, 'batch_sizes': 2}
CLASSIC = r'^{} across 2 steps, \d+\.\d{{3}} \+/- \d+\.\d{{3}} sec / batch$'


def stored_rows(path):
  return [row for line in path.read_text().splitlines()
          for row in json.loads(line)['rows']]


def test_the_classic_line_holds_mean_and_deviation():
  times = Timings([0.1, 0.1, 0.2, 0.2])
  assert times.classic_line('Forward') == (
      'Forward across 4 steps, 0.150 +/- 0.050 sec / batch')


def test_p95_is_within_the_runs_and_burn_in_does_not_count():
  assert Timings([3.0, *[1.0] * 19]).p95 == 1.0
  assert Timings([3.0, 3.0, *[1.0] * 18]).p95 == 3.0
  calls, seen = [], []
  times = timed(lambda: calls.append(0), 4, burn_in=3, after_run=seen.append)
  assert (len(calls), len(times.seconds), seen[-1]) == (7, 4, 7)


@pytest.mark.parametrize(('step', 'whole', 'named'), [
    (1.0, 1.02, 'backward'), (1.0, 4.0, 'input'), (9.0, 9.1, 'update')])
def test_the_bottleneck_is_the_part_that_adds_most(step, whole, named):
  parts = {'forward': Timings([0.3]), 'forward_backward': Timings([0.9]),
           'step': Timings([step])}
  shares = timings.shares(parts, Timings([whole]))
  assert max(shares, key=shares.get) == named
  assert sum(shares.values()) == pytest.approx(1)
  assert shares['input'] == pytest.approx((whole - step) / whole)


def test_noise_makes_no_negative_share():
  shares = timings.shares(
      {'forward': Timings([1.0]), 'forward_backward': Timings([0.9])}, Timings([0.8]))
  assert shares == {'input': 0, 'forward': 1, 'backward': 0}


def test_the_whole_network_runs_in_every_form_that_is_timed():
  """A group of fetches, or additions of constant zeros, would leave parts out."""
  from slim_zoo.tf_compat import tf
  from slim_zoo.timing import measured_network
  setting = measured_network.Setting('lenet', 2)
  found = {}
  for build in (measured_network.evaluation_operations,
                measured_network.frozen_operations,
                measured_network.training_operations):
    with tf.Graph().as_default():
      fetches = build(setting, measured_network.synthetic_batches(setting))
      with measured_network.session(setting) as opened:
        for name, fetched in fetches.items():
          kernels = measured_network.kernels(opened, fetched)
          found[build.__name__.split('_')[0], name] = [
              sum(word in kernel and ('Filter' in kernel) == (word == 'Filter')
                  for kernel in kernels) for word in ('Conv2D', 'MatMul', 'Filter')]
  # Two convolutions and two products; backwards the images need no gradient.
  forward, backward = [2, 2, 0], [3, 6, 2]
  assert found == {
      ('evaluation', 'forward'): forward, ('frozen', 'forward'): forward,
      ('training', 'forward'): forward, ('training', 'forward_backward'): backward,
      ('training', 'step'): backward}


def test_counts_are_those_of_the_table_or_of_the_size_that_runs():
  from slim_zoo.catalog import complexity
  from slim_zoo.timing import measured_network
  stored = complexity.load()['lenet'].multiply_adds
  assert measured_network.Setting('lenet', 8).multiply_adds() == stored
  larger = measured_network.Setting('lenet', 8, image_size=32).multiply_adds()
  # The convolutions and the first product grow with the area.
  assert larger == pytest.approx(stored * (32 / 28)**2, rel=0.01)


def test_networks_are_timed_stored_drawn_and_not_measured_twice(tmp_path):
  output, plot = tmp_path / 'times.jsonl', tmp_path / 'times.png'
  flags = {'networks': 'lenet,cifar*', 'output': output, 'plot': plot, **TINY}
  done = scripts.run('benchmark_nets', **flags)
  assert done.returncode == 0, done.stderr
  for what in ('Forward', 'Forward-backward'):
    assert len(re.findall(CLASSIC.format(what), done.stdout, re.MULTILINE)) == 2
  rows = stored_rows(output)
  assert [(row['network'], row['what']) for row in rows] == [
      ('lenet', 'forward'), ('lenet', 'forward_backward'),
      ('cifarnet', 'forward'), ('cifarnet', 'forward_backward')]
  for row in rows:
    assert row['images_per_second'] == pytest.approx(2 / row['median'])
    passes = {'forward': 1, 'forward_backward': 3}[row['what']]
    assert row['gflops'] == pytest.approx(
        2 * row['multiply_adds'] * passes * row['images_per_second'] / 1e9)
    assert 0 < row['share_of_matrix_rate'] == pytest.approx(
        row['gflops'] / row['matrix_gflops'])
    assert row['median'] <= row['p95']
  assert plot.read_bytes()[:4] == b'\x89PNG'
  again = scripts.run('benchmark_nets', **flags)
  assert again.stdout.count('stands in') == 2
  assert stored_rows(output) == rows


def test_a_network_that_fails_is_named_and_passed_over():
  done = scripts.run('benchmark_nets', networks='cifarnet,alexnet_v2,lenet',
                     image_size=24, frozen=True, num_clones=2, **TINY)
  assert done.returncode == 1
  assert 'alexnet_v2: skipped' in done.stderr
  assert '1 of 3 networks failed: alexnet_v2' in done.stderr
  assert len(re.findall(CLASSIC.format('Forward'), done.stdout, re.MULTILINE)) == 2
  assert 'batch 2 for each of 2 clones' in done.stdout


def test_records_show_what_bounds_the_step(digits_dir, tmp_path):
  output = tmp_path / 'new' / 'times.jsonl'
  done = scripts.run('benchmark_nets', networks='lenet', dataset_name='digits',
                     dataset_dir=digits_dir, output=output,
                     mixed_precision='bfloat16', **TINY)
  assert done.returncode == 0, done.stderr
  rows = stored_rows(output)
  assert {row['precision'] for row in rows} == {'bfloat16'}
  assert [row['what'] for row in rows] == [
      'forward', 'forward_backward', 'step', 'input', 'records']
  shares = rows[-1]['shares']
  assert list(shares) == ['input', 'forward', 'backward', 'update']
  assert sum(shares.values()) == pytest.approx(1)
  named = max(shares, key=shares.get)
  assert rows[-1]['bottleneck'] == named
  assert f'bottleneck: {named} (the input alone delivers' in done.stdout


@pytest.mark.parametrize(('flags', 'words'), [
    ({'networks': 'lenett'}, ["no network 'lenett'", "'lenet'"]),
    ({'networks': 'lenet', 'batch_sizes': '4,x'}, ['--batch_sizes', "'x'"]),
    ({'networks': 'lenet', 'frozen': True, 'mode': 'train'}, ['--mode=train']),
    ({'networks': 'lenet', 'mixed_precision': 'bfloat16', 'precision': 'float32'},
     ['--precision=float32 and --mixed_precision=bfloat16', 'leave it out']),
    ({'networks': 'lenet', 'data_format': 'NCHW', 'frozen': True},
     ['--data_format=NCHW', '--frozen']),
    ({'networks': 'lenet', 'num_readers': 2}, ['--num_readers', '--dataset_dir']),
    ({}, ['--networks is empty']),
], ids=lambda value: '-'.join(value) or 'none')
def test_wrong_flags_are_answered_in_one_line(flags, words):
  scripts.answer(scripts.run('benchmark_nets', **flags), *words, code=1)


def answering(name, seconds, order):
  def run(task):
    order.append(name)
    return {'seconds': [seconds[task['what']]] * 3}
  return paired_runs.Contender(name, run)


def test_contenders_run_in_turn_and_a_stopped_comparison_goes_on(tmp_path):
  path, order = tmp_path / 'runs.jsonl', []
  contenders = [answering('a', {'x': 1.0}, order), answering('b', {'x': 2.0}, order)]
  tasks = [{'what': 'x'}]
  paired_runs.Runs(path).compare(tasks, contenders, rounds=1)
  with open(path, 'a') as file:
    file.write('{"task": {"what"')  # As a kill leaves it.
  with open(path, 'a') as file:
    file.write('\n')
  runs = paired_runs.Runs(path)
  runs.compare(tasks, contenders, rounds=2)
  assert order == ['a', 'b', 'a', 'b']
  assert runs.ratio(tasks[0], 'a', 'b').median == 2.0
  assert paired_runs.Runs(path).medians(tasks[0], 'b') == {0: 2.0, 1: 2.0}


def test_ratios_are_of_each_round():
  runs = paired_runs.Runs('/nonexistent/file')
  # The machine is at half its speed in the second round: no ratio changes.
  for number, (ours, theirs) in enumerate([(1, 3), (2, 6), (1, 3)]):
    for name, seconds in (('ours', ours), ('theirs', theirs)):
      runs.done[number, name] = {'task': {}, 'contender': name, 'round': number,
                                 'seconds': [seconds], 'busy_before': 0.5}
  assert runs.ratio({}, 'ours', 'theirs') == ratios.Ratio(3, 3, 3, 3)
  assert paired_runs.conditions(runs).endswith(
      'DO NOT PUBLISH: other processes used 50% of the cores, at most 10% is allowed:'
      ' stop them and measure again, and at least 5 rounds are expected')


@pytest.mark.parametrize(('values', 'low', 'high'), [
    ([1.0], 1, 1), ([3, 1, 2], 1, 3), ([1, 2, 3, 4, 5], 1, 5),
    # With seven, 87.5% would be left by dropping one at each end; with eight, 93%.
    (range(7), 0, 6), (range(8), 1, 6), (range(20), 5, 14)])
def test_intervals_leave_out_as_many_as_90_percent_allow(values, low, high):
  assert ratios.interval(list(values)) == (low, high)


@pytest.mark.parametrize(('ours', 'theirs', 'words', 'is_equal'), [
    ([2, 2, 2, 2, 2], [1, 1, 1, 1, 1], '2.00 (2.00 to 2.00)', False),
    ([11, 12, 13, 14, 15], [10] * 5, '1.30 (1.10 to 1.50)', False),
    ([9, 12, 13, 14, 15], [10] * 5, 'equal (0.90 to 1.50)', True),
    ([10, 12, 13, 14, 15], [10] * 5, 'equal (1.00 to 1.50)', True),
    ([8, 9, 10, 11, 16], [10] * 5, 'equal (0.80 to 1.60)', True),
    ([8, 9, 10, 11, 17], [10] * 5, 'undecided (0.80 to 1.70)', True),
    ([11, 12, 13, 14, 50], [10] * 5, '1.30 (1.10 to 5.00)', False),
    ([2, 2], [1, 1], '2.00 (2 rounds)', True),
    ([2], [1], '2.00 (1 round)', True),
])
def test_a_ratio_near_one_is_equal(ours, theirs, words, is_equal):
  ratio = ratios.of_rounds(dict(enumerate(ours)), dict(enumerate(theirs)))
  assert (ratio.text(), ratio.is_equal) == (words, is_equal)
  assert ratios.of_rounds(dict(enumerate(ours)), {}) is None


def test_the_control_is_the_first_contender_in_each_round(tmp_path):
  order = []
  contenders = paired_runs.with_control(
      [answering('a', {'x': 1.0}, order), answering('b', {'x': 2.0}, order)])
  runs = paired_runs.Runs(tmp_path / 'runs.jsonl')
  runs.compare([{'what': 'x'}], contenders, rounds=2)
  assert order == ['a', 'b', 'a'] * 2
  assert runs.ratio({'what': 'x'}, 'a', paired_runs.CONTROL).median == 1
  assert runs.fewest_rounds() == 2


def test_who_did_not_run_was_not_disturbed():
  runs = paired_runs.Runs('/nonexistent/file')
  runs.done['a'] = {'seconds': [1], 'busy_before': 0.02}
  runs.done['b'] = {'skipped': 'not installed', 'busy_before': 0.5}
  assert runs.busiest() == 0.02


@pytest.mark.parametrize(('module', 'python', 'task', 'why'), [
    ('keras_applications', sys.executable, {'network': 'lenet'}, 'has no lenet'),
    ('torch_timm', '/nonexistent/python', {'network': 'vgg_16'}, 'no such file'),
    ('no_such_module', sys.executable, {}, 'failed: '),
], ids=['unknown', 'no interpreter', 'failing'])
def test_a_peer_that_does_not_run_is_skipped_with_a_reason(
    module, python, task, why, tmp_path, capsys):
  peer = paired_runs.Contender('peer', paired_runs.runner(f'peers.{module}', python))
  runs = paired_runs.Runs(tmp_path / 'runs.jsonl')
  runs.compare([task], [peer], rounds=3)
  assert why in runs.skipped(task, 'peer')
  assert capsys.readouterr().err.count(why) == 1


def test_a_package_that_is_missing_is_a_reason(monkeypatch, capsys):
  from benchmarks.peers import reports, torch_timm
  monkeypatch.setattr(sys, 'argv', ['runner', json.dumps({'network': 'vgg_16'})])
  monkeypatch.setitem(sys.modules, 'timm', None)
  reports.print_result(torch_timm.measure)
  assert "'timm' is not installed" in json.loads(capsys.readouterr().out)['skipped']


def test_peak_memory_is_that_of_the_process_alone():
  import resource
  of_this_process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
  assert of_this_process > 200  # TensorFlow is in it.
  done = subprocess.run(
      [sys.executable, '-c', 'from benchmarks.peers import reports;'
       ' print(reports.peak_mib()); x = bytes(range(256)) * 400_000;'
       ' print(reports.peak_mib())'], cwd=ROOT, text=True, capture_output=True,
      check=True)
  before, after = map(int, done.stdout.split())
  assert before < 100
  assert 90 <= after - before <= 110


def test_the_machine_is_described_without_names():
  described = machine.describe()
  assert described['cores'] >= 1
  import platform
  assert platform.node() not in machine.description(described)


@pytest.mark.parametrize('log', [False, True])
def test_a_chart_is_drawn_of_groups_that_lack_a_bar(tmp_path, log):
  path = tmp_path / 'chart.png'
  charts.write_bars(path, 'Rates', {'a': {'x': 1.0, 'y': 2.0}, 'b': {'y': 300.0}},
                    'rate', 'a note', log)
  assert path.stat().st_size > 5000


def test_a_logarithmic_axis_has_plain_numbers(tmp_path, monkeypatch):
  figures = []
  monkeypatch.setattr(charts, 'save', lambda figure, path: figures.append(figure))
  charts.write_bars(tmp_path / 'chart.png', 'Rates', {'a': {'x': 2, 'y': 3000}}, 'rate',
                    log=True)
  axis = figures[0].axes[0].xaxis
  labels = [axis.get_major_formatter()(place) for place in (10, 100, 1000)]
  assert labels == ['10', '100', '1,000']
  assert not figures[0].axes[0].patches  # No bars.


def test_a_chart_is_drawn_of_intervals(tmp_path):
  path = tmp_path / 'chart.png'
  charts.write_intervals(
      path, 'Ratios', {'a': {'x': charts.Interval(1.2, 1.1, 1.3, '1.20')},
                       'b': {'x': charts.Interval(1.0, 0.9, 1.1, 'equal', True)}},
      'ratio', line_at=1.0)
  assert path.stat().st_size > 5000
