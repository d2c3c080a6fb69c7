"""The libraries of the trackers, on this machine: what they have of a run."""

import pathlib

import pytest

from slim_zoo.tracking import (
    mlflow_tracker,
    sending,
    stored_runs,
    tracker,
    wandb_tracker,
)


def send(kind, folder, parameters, begin, steps):
  """Sends the steps of one process; returns the id of the run."""
  facts = tracker.RunFacts(None, None, str(folder), False, parameters, begin, 'lenet')
  lines = []
  sender = sending.Sender(
      kind(facts, {'NETRC': str(folder / 'none')}), stored_runs.StoredRuns(str(folder)),
      begin > 0, print_line=lines.append)
  sender.start()
  for step in steps:
    sender.record(step, 'progress', {'progress/mean_loss': 1 / step})
  (folder / 'card.md').write_text('card')
  sender.end(tracker.FINISHED, [(str(folder / 'card.md'), '')])
  sender.join(300)
  line, = lines
  assert sender.run in line
  return sender.run


def test_mlflow_has_each_step_once(tmp_path):
  mlflow = pytest.importorskip('mlflow', reason='needs MLflow, which is an extra')
  kind = mlflow_tracker.MlflowTracker
  run = send(kind, tmp_path, {'rate': 0.1}, 0, range(10, 60, 10))
  assert send(kind, tmp_path, {'rate': 0.2}, 30, range(40, 90, 10)) == run
  client = mlflow.MlflowClient(f'sqlite:///{tmp_path}/mlflow.db')
  found = client.get_run(run)
  assert (found.info.status, found.info.run_name) == ('FINISHED', 'lenet')
  assert found.data.params == {'rate': '0.1'}
  assert found.data.tags['rate from step 30'] == '0.2'
  assert [metric.step for metric in client.get_metric_history(
      run, 'progress/mean_loss')] == [10, 20, 30, 40, 50, 60, 70, 80]
  assert [file.path for file in client.list_artifacts(run)] == ['card.md']


def test_wandb_writes_offline_files(tmp_path):
  pytest.importorskip('wandb', reason='needs wandb, which is an extra')
  kind = wandb_tracker.WandbTracker
  run = send(kind, tmp_path, {'rate': 0.1}, 0, range(10, 60, 10))
  assert send(kind, tmp_path, {'rate': 0.2}, 30, range(40, 90, 10)) == run
  files = [pathlib.Path(path) for path in tmp_path.glob(f'wandb/offline-run-*{run}')]
  assert files
  assert all((path / f'run-{run}.wandb').stat().st_size > 100 for path in files)
  assert all((path / 'files' / 'card.md').exists() for path in files)
