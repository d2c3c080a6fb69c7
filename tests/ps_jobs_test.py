"""Jobs with a parameter server: real processes on this machine, killed and stopped."""

import json
import pathlib
import re
import signal
import time

import pytest

from slim_zoo.tf_compat import tf
from tests import jobs, scripts
from tests.conftest import on_digits

# Only what hangs takes so long.
SECONDS = scripts.TIMEOUT_SECS
# TensorFlow itself does not answer a signal for minutes.
SECONDS_AFTER_SIGNAL = 90
# `ps_cases_test` has a short synchronous job.
MODES = pytest.mark.parametrize('sync_replicas', [
    False, pytest.param(True, marks=jobs.on_demand)], ids=['async', 'sync'])


def job(tmp_path, digits_dir, **flags):
  """Returns a job of a chief, a worker and a parameter server."""
  (tmp_path / 'output').mkdir()
  return jobs.Job(tmp_path / 'output', 'train_image_classifier',
                  {'chief': 1, 'worker': 1, 'ps': 1}, **{
                      **on_digits(digits_dir), 'train_dir': tmp_path / 'run',
                      'batch_size': 8, **flags})


def step_in(prefix):
  """Returns the global step that a checkpoint contains."""
  return int(tf.train.load_checkpoint(str(prefix)).get_tensor('global_step'))


@MODES
def test_a_job_validates_each_interval_once_and_ends_together(
    digits_dir, tmp_path, sync_replicas):
  with job(tmp_path, digits_dir, max_number_of_steps=5000, log_every_n_steps=5,
           validation_split_name='test', validate_every_steps=10,
           early_stop_patience=2, early_stop_min_delta=1,
           sync_replicas=sync_replicas) as started:
    done = started.run(SECONDS)
  for key, process in done.items():
    assert (process.returncode, process.stderr) == (0, ''), (key, process.stdout)
  chief, worker = done['chief', 0].stdout, done['worker', 0].stdout
  images = 16 if sync_replicas else 8
  assert f'batch          {images} images' in chief
  assert f'epoch          {1442 // images} steps' in chief

  # The first one is an improvement, of the two others none is.
  steps = [int(step) for step in re.findall(r'^validation at step (\d+)', chief, re.M)]
  assert [step // 10 for step in steps] == [1, 2, 3]
  assert not sync_replicas or steps == [10, 20, 30]
  last = steps[-1]
  assert re.search(rf'step {last}: stopped early.*the checkpoint is in', chief)
  assert 'stopped early' in worker.splitlines()[-1]
  assert 'the checkpoint is in' not in worker

  folder = tmp_path / 'run'
  prefix = tf.train.latest_checkpoint(str(folder))
  assert (prefix, step_in(prefix)) == (f'{folder}/model.ckpt-{last}', last)
  best = tf.train.latest_checkpoint(str(folder / 'best'))
  measured = json.loads(pathlib.Path(f'{best}.json').read_text())
  assert measured['step'] == step_in(best)
  assert best.endswith(f'-{measured["step"]}')
  again = scripts.run_for_numbers(
      'eval_image_classifier', checkpoint_path=best, dataset_name='digits',
      dataset_dir=digits_dir, model_name='lenet', eval_dir=tmp_path / 'eval')
  report = json.loads((tmp_path / 'eval' / 'report' / 'report.json').read_text())
  assert report['top1']['correct'] == measured['correct'], again.stdout


def stop(process, number=signal.SIGTERM):
  """Sends a signal; returns what the process answers."""
  start = time.monotonic()
  process.signal(number)
  done = process.wait(SECONDS)
  assert time.monotonic() - start < SECONDS_AFTER_SIGNAL
  assert done.returncode == 128 + number, done.stdout + done.stderr
  assert len(done.stderr.splitlines()) == 1, done.stderr
  return done.stderr


def more_steps(*processes):
  """Waits until each process has printed two more progress lines."""
  counts = [process.stdout.count(' images/s ') for process in processes]
  overdue = time.monotonic() + SECONDS
  for process, count in zip(processes, counts, strict=True):
    while process.stdout.count(' images/s ') < count + 2:
      assert process.poll() is None, process.stdout + process.stderr
      assert time.monotonic() < overdue, process.stdout
      time.sleep(0.02)


@MODES
def test_every_process_of_a_job_may_end_and_come_back(
    digits_dir, tmp_path, sync_replicas):
  folder = tmp_path / 'run'
  with job(tmp_path, digits_dir, log_every_n_steps=1, save_interval_secs=1,
           save_summaries_secs=0, sync_replicas=sync_replicas) as started:
    # Nothing is there yet.
    worker = started.start('worker')
    assert worker.wait_for('waiting for ps 0 (localhost:', SECONDS)
    stop(worker, signal.SIGINT)
    server, worker = started.start('ps'), started.start('worker')
    assert worker.wait_for('waiting for the chief (localhost:', SECONDS)
    assert ' images/s ' not in worker.stdout
    chief = started.start('chief')
    more_steps(chief, worker)

    # The parameter server is killed.
    while not list(folder.glob('model.ckpt-*.index')):
      more_steps(chief)
    server.signal(signal.SIGKILL)
    for process in (chief, worker):
      assert process.wait_for('lost ', SECONDS)
      assert process.wait_for('waiting for ps 0 (localhost:', SECONDS)
    assert 'joins the job again' in stop(worker)
    saved = step_in(tf.train.latest_checkpoint(str(folder)))
    started.start('ps')
    worker = started.start('worker')
    assert chief.wait_for(f'continues from {folder}/model.ckpt-{saved}', SECONDS)
    more_steps(chief, worker)

    # The chief is killed.
    chief.signal(signal.SIGKILL)
    chief.wait()
    saved = step_in(tf.train.latest_checkpoint(str(folder)))
    chief = started.start('chief')
    assert chief.wait_for(f'resumes step {saved} ', SECONDS)
    assert worker.wait_for('the chief has stopped or restarts', SECONDS)
    more_steps(chief, worker)

    # The worker is killed.
    worker.signal(signal.SIGKILL)
    worker.wait()
    if sync_replicas:
      # The chief waits in a step for its gradients, and saves all the same.
      assert 'saved in' in stop(chief)
      chief = started.start('chief')
    worker = started.start('worker')
    more_steps(chief, worker)

    # The chief is stopped, then the worker that waits for it.
    stopped = int(re.search(r'at step (\d+), saved', stop(chief))[1])
    assert step_in(tf.train.latest_checkpoint(str(folder))) == stopped
    assert worker.wait_for('waiting for the chief', SECONDS)
    stop(worker)


def test_a_chief_that_fails_before_the_first_step_ends_the_others(
    digits_dir, tmp_path):
  (tmp_path / 'damaged.index').write_text('no checkpoint')
  with job(tmp_path, digits_dir) as started:
    server, worker = started.start('ps'), started.start('worker')
    assert worker.wait_for('waiting for the chief', SECONDS)
    chief = started.start('chief', checkpoint_path=tmp_path / 'damaged')
    line = scripts.answer(chief.wait(SECONDS), f'{tmp_path}/damaged', code=1)
    scripts.answer(worker.wait(SECONDS), 'the job has failed', line.split(': ', 1)[1],
                   code=1)
    scripts.answer(server.wait(SECONDS), 'the chief (localhost:', 'has failed', code=1)
