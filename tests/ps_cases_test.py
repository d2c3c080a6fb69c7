"""Less usual jobs with parameter servers: counts of servers and gradients, --master.

  JOB_CASES=1 python -m pytest tests/ps_cases_test.py   # all of them, 10 minutes
"""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from slim_zoo import diagnostics
from slim_zoo.deployment import peers
from slim_zoo.tf_compat import tf
from slim_zoo.training import determinism, step_watch
from slim_zoo.training.callbacks import callback
from tests import jobs, scripts, small_updates
from tests.conftest import ROOT, on_digits

SECONDS = 240


def flags_of(digits_dir, tmp_path, **flags):
  return {**on_digits(digits_dir), 'train_dir': tmp_path / 'run', 'batch_size': 8,
          'save_summaries_secs': 0, 'log_every_n_steps': 1, **flags}


def check_ended(done, folder, steps, last_steps=0):
  """Checks that all processes ended in order, without noise, after the last step."""
  for key, process in done.items():
    assert (process.returncode, process.stderr) == (0, ''), (key, process.stdout)
    assert 'WARNING' not in process.stdout
  newest = tf.train.latest_checkpoint(str(folder))
  saved = int(tf.train.load_checkpoint(newest).get_tensor('global_step'))
  assert saved in range(steps, steps + 1 + last_steps)
  assert newest.endswith(f'-{saved}')


def wait_for_another(process, words):
  """Waits until a process prints words once more."""
  before, overdue = process.stdout.count(words), time.monotonic() + SECONDS
  while process.stdout.count(words) == before:
    assert time.monotonic() < overdue, process.stdout
    assert process.poll() is None, process.stdout + process.stderr
    time.sleep(0.1)


CASES = [
    pytest.param(2, True, 1, id='several servers, fewer gradients than workers'),
    pytest.param(1, True, 3, id='more gradients than workers', marks=jobs.on_demand),
    pytest.param(2, True, 2, id='several servers', marks=jobs.on_demand),
    pytest.param(2, False, None, id='several servers, asynchronous',
                 marks=jobs.on_demand)]


@pytest.mark.parametrize(('servers', 'sync', 'aggregated'), CASES)
def test_a_job_comes_to_its_end(digits_dir, tmp_path, servers, sync, aggregated):
  flags = flags_of(
      digits_dir, tmp_path, max_number_of_steps=30, validation_split_name='test',
      validate_every_steps=10, moving_average_decay=0.9, **(
          {'sync_replicas': True, 'replicas_to_aggregate': aggregated} if sync else {}))
  (tmp_path / 'output').mkdir()
  with jobs.Job(tmp_path / 'output', 'train_image_classifier',
                {'chief': 1, 'worker': 1, 'ps': servers}, **flags) as job:
    done = job.run(SECONDS)
  check_ended(done, tmp_path / 'run', 30, last_steps=3)
  chief = done['chief', 0].stdout
  assert f'batch          {8 * (aggregated or 1)} images' in chief
  assert 'those of the chief' in done['worker', 0].stdout
  validated = [int(step) for step in re.findall(
      r'^validation at step (\d+)', chief, re.MULTILINE)]
  assert [step // 10 for step in validated][:3] == [1, 2, 3]


@jobs.on_demand
@pytest.mark.parametrize('sync_replicas', [False, True])
def test_servers_that_another_program_started(digits_dir, tmp_path, sync_replicas):
  addresses = jobs.free_addresses(3)
  program = subprocess.Popen(
      [sys.executable, str(ROOT / 'tests' / 'servers_program.py'), *addresses],
      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
  try:
    assert program.stdout.readline() == 'ready\n'
    flags = flags_of(digits_dir, tmp_path, max_number_of_steps=30, worker_replicas=2,
                     num_ps_tasks=1, validation_split_name='test',
                     validate_every_steps=10)
    if sync_replicas:
      flags['sync_replicas'] = True
    workers = {task: scripts.Started(tmp_path, scripts.command(
        'train_image_classifier', master=f'grpc://{addresses[1 + task]}', task=task,
        **flags), {'TF_CPP_MIN_LOG_LEVEL': '3'}) for task in range(2)}
    done = {task: worker.wait(SECONDS) for task, worker in workers.items()}
  finally:
    program.kill()
    program.wait()
  check_ended(done, tmp_path / 'run', 30, last_steps=3)


@jobs.on_demand
@pytest.mark.parametrize('servers', [1, 2])
def test_a_synchronous_chief_that_waits(digits_dir, tmp_path, servers):
  """It names the worker, notices that a server came back, and answers a signal."""
  flags = flags_of(digits_dir, tmp_path, sync_replicas=True, save_interval_secs=1)
  (tmp_path / 'output').mkdir()
  with jobs.Job(tmp_path / 'output', 'train_image_classifier',
                {'chief': 1, 'worker': 1, 'ps': servers}, **flags) as job:
    for task in range(servers):
      job.start('ps', task)
    chief = job.start('chief')
    # The worker was never there.
    assert chief.wait_for('waiting for worker 1', SECONDS)
    worker = job.start('worker')
    assert worker.wait_for('\nstep 3 ', SECONDS)
    worker.signal(signal.SIGKILL)
    worker.wait()
    wait_for_another(chief, 'waiting for worker 1')

    last = job.processes['ps', servers - 1]
    last.signal(signal.SIGKILL)
    last.wait()
    job.start('ps', servers - 1)
    assert chief.wait_for('continues from', 60), chief.stdout

    wait_for_another(chief, 'waiting for worker 1')
    start = time.monotonic()
    chief.signal(signal.SIGTERM)
    done = chief.wait(SECONDS)
    assert time.monotonic() - start < 10
    scripts.answer(done, 'stopped by SIGTERM', code=128 + signal.SIGTERM)


def test_moving_averages_are_of_the_step_that_the_workers_end():
  """They are updated before the workers get their tokens."""
  small_updates.build(small_updates.make('sgd'), moving_average_decay=0.9,
                      replicas_to_aggregate=1)
  token, = (operation for operation in tf.get_default_graph().get_operations()
            if operation.type == 'QueueEnqueueManyV2'
            and 'sync_token_q' in operation.inputs[0].op.name)
  before = {operation.name for operation in determinism._ancestors(token)}
  assert any('ExponentialMovingAverage' in name for name in before)


def test_another_program_at_the_address_of_a_worker_is_one_line():
  with socket.create_server(('localhost', 0)) as stranger:
    def answer():
      while True:
        try:
          line, _ = stranger.accept()
        except OSError:
          return
        with line, contextlib.suppress(OSError):
          line.sendall(b'SSH-2.0-another program\r\n')
          line.settimeout(5)
          line.recv(100)

    threading.Thread(target=answer, daemon=True).start()
    address = f'localhost:{stranger.getsockname()[1]}'
    with pytest.raises(diagnostics.UserError, match='worker 1: another program uses'):
      peers.wait_for({'worker 1': address}, 30, print)


def test_a_server_of_another_job_is_one_line(digits_dir, tmp_path):
  server = tf.train.Server({'worker': jobs.free_addresses(1)})
  address = server.target.removeprefix('grpc://')
  done = scripts.run(
      'train_image_classifier', **flags_of(digits_dir, tmp_path), ps_hosts=address,
      worker_hosts=jobs.free_addresses(1)[0], job_name='worker', task=0,
      max_number_of_steps=2)
  scripts.answer(done, address, 'is not ps 0 of this job: another job uses its port',
                 code=1)


def test_a_server_of_tensorflow_is_no_stranger():
  server = tf.train.Server.create_local_server()
  address = server.target.removeprefix('grpc://')
  assert not peers.uses_other_protocol(address)
  peers.wait_for({'the server': address}, 30, print)


def test_a_step_that_waited_long_does_not_hide_the_next_one(monkeypatch):
  """A worker that joins late makes the first step of a chief take minutes."""
  now = [0.0]
  monkeypatch.setattr(step_watch.time, 'monotonic', lambda: now[0])
  watch = step_watch.StepWatch({})
  for seconds in (100, 1, 1, 1):
    with watch.step():
      now[0] += seconds
  with watch.step():
    now[0] += 4
    assert watch.hangs()
  assert not watch.hangs()


def test_a_worker_that_is_away_is_told_at_once(monkeypatch):
  """Not with the next line, half a minute after the first look."""
  monkeypatch.setattr(step_watch, '_SECONDS_UNTIL_LOOK', 0.1)
  answers, told = iter([[], ['worker 1']]), threading.Event()
  monkeypatch.setattr('builtins.print', lambda *unused, **options: told.set())
  watch = step_watch.StepWatch({}, lambda: next(answers))
  with watch.watching(print), watch.step():
    assert told.wait(20)


def test_a_lost_worker_is_told_once(capsys):
  callbacks = callback.CallbackList()
  lost = 'worker 1 (b:1) has ended: start all workers again'
  callbacks.note(diagnostics.UserError(f'validation failed: {lost}'), 'validation')
  callbacks.note(diagnostics.UserError(lost), 'the run')
  assert capsys.readouterr().out == ''
  callbacks.note(OSError('disk full'), 'the last summary')
  assert 'the last summary failed after that: disk full' in capsys.readouterr().out
