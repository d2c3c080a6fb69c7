"""Processes of a job are killed at random moments, each followed by the same command.

  JOB_KILLS=20 python -m pytest -rP tests/field/job_kills_test.py
  JOB_KILLS=20 KILLS_SEED=3 python -m pytest tests/field/job_kills_test.py

JOB_KILLS is the number of kills of a job; without it these tests are left out, as
`ps_jobs_test` kills each process of a job once. The seed decides who is killed, and
when.
"""

import os
import random
import re
import signal
import time

import pytest

from tests import jobs, scripts
from tests.conftest import on_digits
from tests.field import whole_files

KILLS = int(os.environ.get('JOB_KILLS', '0'))
SEED = int(os.environ.get('KILLS_SEED', '1'))
PROCESSES = [('chief', 0), ('worker', 0), ('ps', 0)]
# Only what hangs takes so long.
SECONDS = scripts.TIMEOUT_SECS


def last_step(process):
  """Returns the last step that a process printed, 0 before the first."""
  steps = re.findall(r'^step (\d+)/', process.stdout, re.MULTILINE)
  return int(steps[-1]) if steps else 0


def wait_for_step(job, step):
  """Waits until the chief has passed a step, or the job has ended."""
  overdue = time.monotonic() + SECONDS
  while last_step(job.processes['chief', 0]) < step:
    for key, process in job.processes.items():
      assert process.poll() in (None, 0), (key, process.stdout, process.stderr)
    assert time.monotonic() < overdue, {
        key: process.stdout[-1500:] for key, process in job.processes.items()}
    time.sleep(0.02)


@pytest.mark.skipif(not KILLS, reason='takes minutes: set JOB_KILLS=20')
@pytest.mark.parametrize('sync_replicas', [False, True], ids=['async', 'sync'])
def test_a_job_whose_processes_are_killed_comes_to_its_end(
    digits_dir, tmp_path, sync_replicas):
  chance = random.Random(SEED)
  order = [PROCESSES[index % 3] for index in range(KILLS)]
  chance.shuffle(order)
  folder, steps = tmp_path / 'run', 20 * (KILLS + 1)
  (tmp_path / 'output').mkdir()
  with jobs.Job(tmp_path / 'output', 'train_image_classifier',
                {'chief': 1, 'worker': 1, 'ps': 1}, **{
                    **on_digits(digits_dir), 'train_dir': folder, 'batch_size': 4,
                    'max_number_of_steps': steps, 'log_every_n_steps': 1,
                    'save_interval_secs': 1, 'save_summaries_secs': 0,
                    'validation_share': 0.2, 'validate_every_steps': 15,
                    'sync_replicas': sync_replicas}) as job:
    job.start_all()
    known = 0
    for kill, key in enumerate(order):
      # In any phase: the start, steps, validation, a checkpoint.
      wait_for_step(job, chance.randint(1, 20 * (kill + 1)))
      time.sleep(chance.random())
      job.processes[key].signal(signal.SIGKILL)
      job.processes[key].wait()
      saved = max(whole_files.whole_steps(folder), default=0)
      assert saved >= known, 'a whole checkpoint is lost'
      known = saved
      print(f'kill {kill + 1}: {key[0]} at step {last_step(job.processes["chief", 0])},'
            f' saved {saved}', flush=True)
      job.start(*key)
    done = {key: process.wait(SECONDS) for key, process in job.processes.items()}
  for key, process in done.items():
    assert process.returncode == 0, (key, process.stdout, process.stderr)
    assert 'Traceback' not in process.stdout + process.stderr
  whole = whole_files.whole_steps(folder)
  assert whole[-1] in range(steps, steps + 2)
  whole_files.check_run_folder(folder)
  whole_files.check_validation(folder, ended=True)
