"""Training without parameter servers: workers that reduce their gradients."""

import json
import re
import signal
import sys

import numpy as np
import pytest

from slim_zoo.deployment import collectives
from slim_zoo.tf_compat import tf
from tests import jobs, scripts
from tests.conftest import ROOT, on_digits

SECONDS = scripts.TIMEOUT_SECS
STEPS = 3
PROGRAM = ROOT / 'tests' / 'all_reduce_program.py'


@pytest.mark.parametrize(('sizes', 'limit', 'buffers'), [
    ([], 10, []),
    ([3, 4], 10, [[(0, 0, 3), (1, 0, 4)]]),
    ([8, 4], 10, [[(0, 0, 8)], [(1, 0, 4)]]),
    ([2, 25, 3], 10,
     [[(0, 0, 2)], [(1, 0, 9)], [(1, 9, 18)], [(1, 18, 25), (2, 0, 3)]]),
    ([1, 0, 1], 10, [[(0, 0, 1), (1, 0, 0), (2, 0, 1)]]),
])
def test_buffers_hold_all_pieces_in_order(sizes, limit, buffers):
  planned = collectives.plan_buffers(sizes, limit)
  assert [[(piece.tensor, piece.start, piece.stop) for piece in buffer]
          for buffer in planned] == buffers


def test_packed_sums_are_those_of_each_tensor():
  """With one replica the sum is the tensor; small buffers cut it into pieces."""
  random = np.random.default_rng(0)
  values = [random.normal(size=shape).astype(np.float32)
            for shape in ([3, 4], [], [50], [2, 2, 2])] + [np.int64(7)]
  replica = collectives.Replica(9, 1, '/device:CPU:0')
  sums = replica.sum_packed([tf.constant(value) for value in values], buffer_bytes=64)
  with tf.Session() as session:
    for value, total in zip(values, session.run(sums), strict=True):
      np.testing.assert_array_equal(value, total)
      assert value.dtype == total.dtype


def variables(path):
  with np.load(path) as file:
    return {name.replace('|', '/'): file[name] for name in file.files}


def run_program(folder, count, network, steps=STEPS, clip=0, clones=1, sync=False,
                copies=False):
  """Runs the program in so many processes; returns the variables of each."""
  arguments = [network, steps, clip, clones, sync, copies]
  folder.mkdir()
  addresses = jobs.free_addresses(count)
  processes = []
  for task in range(count):
    environment = {} if count == 1 else {'TF_CONFIG': json.dumps({
        'cluster': {'worker': addresses}, 'task': {'type': 'worker', 'index': task}})}
    processes.append(scripts.Started(
        folder, [sys.executable, str(PROGRAM), str(folder), *map(str, arguments)],
        environment))
  for process in processes:
    done = process.wait(SECONDS)
    assert done.returncode == 0, done.stderr
  return [variables(folder / f'worker_{task}.npz') for task in range(count)]


@pytest.mark.parametrize('clip', [pytest.param(0, marks=jobs.on_demand), 0.1])
def test_workers_equal_each_other_and_one_process(tmp_path, clip):
  one, = run_program(tmp_path / 'one', 1, 'lenet', clip=clip)
  first, second = run_program(tmp_path / 'two', 2, 'lenet', clip=clip)
  assert one.keys() == first.keys() == second.keys()
  assert int(one['global_step']) == STEPS
  for name, value in first.items():
    np.testing.assert_array_equal(value, second[name], name)
    np.testing.assert_allclose(value, one[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_moving_averages_are_means_over_the_workers(tmp_path):
  one, = run_program(tmp_path / 'one', 1, 'normalized', 1)
  first, second = run_program(tmp_path / 'two', 2, 'normalized', 1)
  name = 'one/BatchNorm/moving_mean'
  np.testing.assert_array_equal(first[name], second[name])
  np.testing.assert_allclose(first[name], one[name], rtol=1e-5, atol=1e-7)


@pytest.fixture(scope='module')
def one_clone(tmp_path_factory):
  """Returns the variables of one clone that trained on the whole batch."""
  folder = tmp_path_factory.mktemp('clone') / 'one'
  return run_program(folder, 1, 'normalized', clip=0.5)[0]


@pytest.mark.parametrize(('workers', 'clones', 'copies'), [
    pytest.param(2, 1, False, marks=jobs.on_demand), (1, 2, False),
    pytest.param(1, 2, True, marks=jobs.on_demand), (2, 2, True)])
def test_synchronized_batch_norm_equals_one_clone_on_the_whole_batch(
    tmp_path, one_clone, workers, clones, copies):
  """Clones share their variables, or each has its own."""
  one = one_clone
  for found in run_program(tmp_path / 'many', workers, 'normalized', clip=0.5,
                           clones=clones, sync=True, copies=copies):
    assert one.keys() == found.keys()
    for name, value in found.items():
      np.testing.assert_allclose(
          value, one[name], rtol=1e-4, atol=1e-6, err_msg=name)


@jobs.on_demand
@pytest.mark.parametrize(('workers', 'clones'), [(2, 1), (1, 2)])
def test_six_synchronized_batch_norms_equal_those_of_the_whole_batch(
    tmp_path, workers, clones):
  """Losses, weights, statistics and gradients, which momentum keeps, of two steps."""
  one, = run_program(tmp_path / 'one', 1, 'smooth', steps=2)
  assert len([name for name in one if name.endswith('moving_mean')]) == 6
  for found in run_program(tmp_path / 'many', workers, 'smooth', steps=2,
                           clones=clones, sync=True):
    assert one.keys() == found.keys()
    for name, value in found.items():
      largest = np.abs(one[name]).max()
      np.testing.assert_allclose(
          value, one[name], rtol=0, atol=1e-4 * largest, err_msg=name)


def job_of_two(tmp_path, digits_dir, evaluators=0, **flags):
  counts = {'chief': 1, 'worker': 1} | (
      {'evaluator': evaluators} if evaluators else {})
  return jobs.Job(tmp_path, 'train_image_classifier', counts, **{
      **on_digits(digits_dir), 'train_dir': tmp_path / 'run', 'batch_size': 8,
      'log_every_n_steps': 1, 'save_summaries_secs': 0, **flags})


def saved_steps(folder):
  return sorted(int(re.search(r'(\d+)\.index', path.name)[1])
                for path in folder.glob('model.ckpt-*.index'))


def test_only_the_chief_writes_and_a_run_goes_on(digits_dir, tmp_path):
  flags = {'validation_split_name': 'test', 'validate_every_steps': 3}
  for last in (4, 8):
    with job_of_two(tmp_path, digits_dir, max_number_of_steps=last, **flags) as job:
      done = job.run(SECONDS)
    for key, process in done.items():
      assert process.returncode == 0, (key, process.stdout, process.stderr)
  chief, worker = done['chief', 0].stdout, done['worker', 0].stdout
  assert 'resumes step 4' in chief
  assert 'those of the chief, at step 4' in worker
  assert 'validation at step' in chief
  assert 'validation at step' not in worker
  assert 'batch          16 images' in chief
  assert saved_steps(tmp_path / 'run') == [4, 8]
  # The workers count together as one process does.
  finding = json.loads((tmp_path / 'run' / 'validation.json').read_text())[
      'findings'][-1]
  alone = scripts.run_for_numbers('eval_image_classifier', **{
      name: on_digits(digits_dir)[name] for name in (
          'dataset_name', 'dataset_dir', 'model_name')},
      checkpoint_path=tmp_path / 'run', eval_dir=tmp_path / 'eval')
  assert alone.returncode == 0, alone.stderr
  report = json.loads((tmp_path / 'eval' / 'report' / 'report.json').read_text())
  assert finding['step'] == report['run']['step'] == 8
  assert (finding['correct'], finding['images']) == (
      report['top1']['correct'], report['num_images'])
  assert finding['loss'] == pytest.approx(report['cross_entropy'], rel=1e-5)
  losses = [re.findall(r'^step \d+/8  loss ([\d.]+)', text, re.M)
            for text in (chief, worker)]
  assert losses[0] == losses[1] != []

  with job_of_two(tmp_path, digits_dir, max_number_of_steps=8, **flags) as job:
    for process in job.run(SECONDS).values():
      assert process.returncode == 0, process.stderr
      assert 'nothing is left to do' in process.stdout


def test_a_run_keeps_its_global_batch_with_other_workers(digits_dir, tmp_path):
  flags = {'global_batch_size': 16, 'batch_size': 8}
  with job_of_two(tmp_path, digits_dir, max_number_of_steps=2, **flags) as job:
    for process in job.run(SECONDS).values():
      assert process.returncode == 0, process.stderr
  alone = scripts.run('train_image_classifier', **{
      **on_digits(digits_dir), 'train_dir': tmp_path / 'run', 'max_number_of_steps': 3,
      **flags})
  assert alone.returncode == 0, alone.stderr
  assert 'batch          16 images: 8, 2 times a step' in alone.stdout
  assert 'flags.worker_replicas: 2 before, now 1' in alone.stdout
  assert 'images_per_step' not in alone.stdout
  changed = scripts.run('train_image_classifier', **{
      **on_digits(digits_dir), 'train_dir': tmp_path / 'run', 'max_number_of_steps': 4,
      'batch_size': 8})
  assert 'images_per_step: 16 before, now 8' in changed.stdout
  sessions = json.loads((tmp_path / 'run' / 'run_card.json').read_text())['sessions']
  assert [session['changed'].get('images_per_step') for session in sessions] == [
      None, None, [16, 8]]


@pytest.mark.parametrize(('killed', 'left', 'after', 'is_back'), [
    (('worker', 0), ('chief', 0), '\nstep 3', False),
    # Before the first step, TensorFlow waits for the chief for ever; one that is back
    # answers at the same address.
    (('chief', 0), ('worker', 0), '\ncheckpoints', True),
    pytest.param(('chief', 0), ('worker', 0), '\nstep 3', False, marks=jobs.on_demand)],
    ids=str)
def test_a_dead_peer_is_named_in_one_line(
    digits_dir, tmp_path, killed, left, after, is_back):
  with job_of_two(tmp_path, digits_dir) as job:
    others = job.start_all() | {}
    assert others[left].wait_for(after, SECONDS)
    others[killed].signal(signal.SIGKILL)
    if is_back:
      others[killed].wait(SECONDS)
      job.start(*killed)
    done = others[left].wait(SECONDS)
  name = 'worker 1' if killed[0] == 'worker' else 'the chief'
  scripts.answer(done, f'{name} ({job.cluster[killed[0]][0]}) has ended', code=1)


@jobs.on_demand
def test_a_worker_that_hangs_ends_the_others(digits_dir, tmp_path):
  with job_of_two(tmp_path, digits_dir, worker_timeout_secs=15) as job:
    job.start_all()
    assert job.processes['chief', 0].wait_for('\nstep 3', SECONDS)
    job.processes['worker', 0].signal(signal.SIGSTOP)
    done = job.processes['chief', 0].wait(SECONDS)
  scripts.answer(done, 'another worker took no step for 15 s', code=1)


def test_a_worker_waits_for_the_others_and_names_them(digits_dir, tmp_path):
  with job_of_two(tmp_path, digits_dir) as job:
    chief = job.start('chief')
    assert chief.wait_for(
        f"waiting for worker 1 ({job.cluster['worker'][0]})", SECONDS)
    chief.signal(signal.SIGTERM)
    done = chief.wait(SECONDS)
  scripts.answer(done, 'stopped by SIGTERM', code=128 + signal.SIGTERM)


def test_a_signal_stops_all_workers_at_the_same_step(digits_dir, tmp_path):
  with job_of_two(tmp_path, digits_dir) as job:
    job.start_all()
    assert job.processes['chief', 0].wait_for('\nstep 3', SECONDS)
    job.processes['worker', 0].signal(signal.SIGTERM)
    done = {key: process.wait(SECONDS) for key, process in job.processes.items()}
  steps = {}
  for key, process in done.items():
    line = scripts.answer(process, 'at step', code=128 + signal.SIGTERM)
    steps[key] = int(re.search(r'at step (\d+)', line)[1])
  assert len(set(steps.values())) == 1
  assert saved_steps(tmp_path / 'run') == [steps['chief', 0]]


def test_early_stopping_reaches_all_workers_and_the_evaluator(digits_dir, tmp_path):
  with job_of_two(tmp_path, digits_dir, evaluators=1, validation_split_name='test',
                  learning_rate=0, validate_every_steps=2,
                  early_stop_patience=1) as job:
    done = job.run(SECONDS)
  for process in done.values():
    assert process.returncode == 0, process.stderr
  assert 'stopped early' in done['chief', 0].stdout
  assert 'another worker ended the run' in done['worker', 0].stdout
  last, = saved_steps(tmp_path / 'run')
  evaluator = done['evaluator', 0].stdout
  assert f'model.ckpt-{last}' in evaluator
  assert 'accuracy' in evaluator
  assert 'the run has ended' in evaluator


def test_workers_with_other_flags_are_refused_in_one_line(digits_dir, tmp_path):
  with job_of_two(tmp_path, digits_dir) as job:
    job.start('chief')
    job.start('worker', batch_size=16)
    for process in job.processes.values():
      scripts.answer(process.wait(SECONDS), '--batch_size of worker 1')


def test_a_chief_that_fails_before_the_first_step_ends_the_others(
    digits_dir, tmp_path):
  (tmp_path / 'damaged.index').write_text('no checkpoint')
  with job_of_two(tmp_path, digits_dir) as job:
    job.start('worker')
    job.start('chief', checkpoint_path=tmp_path / 'damaged')
    done = {key: process.wait(SECONDS) for key, process in job.processes.items()}
  scripts.answer(done['chief', 0], f'{tmp_path}/damaged', code=1)
  scripts.answer(done['worker', 0], f"the chief ({job.cluster['chief'][0]}) has failed",
                 code=1)


def test_weights_that_differ_stop_the_run(digits_dir, tmp_path, monkeypatch):
  """The program of worker 1 computes one weight wrongly after the broadcast."""
  with job_of_two(tmp_path, digits_dir, max_number_of_steps=3) as job:
    job.start('chief')
    job.start_as('worker', ROOT / 'tests' / 'faulty_worker.py')
    for process in job.processes.values():
      scripts.answer(process.wait(SECONDS), "the variable 'LeNet/conv1/weights'",
                     'worker 1', 'at step 3')
  assert saved_steps(tmp_path / 'run') == []
