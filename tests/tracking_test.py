"""Trackers of experiments: what is sent, in which order, and what a failure does."""

import contextlib
import json
import sys
import threading

import numpy as np
import pytest

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.hyperparameters import hyperparameters
from slim_zoo.config.training import TrainConfig
from slim_zoo.tasks import run_logging
from slim_zoo.tracking import (
    mlflow_tracker,
    sending,
    stored_runs,
    tracker,
    wandb_tracker,
)
from tests import fake_trackers
from tests.conftest import on_digits


class ListTracker(tracker.Tracker):
  """Stores what it receives; fails as often as `failures` says."""

  name = 'list'

  def __init__(self, failures=0, store='here', blocks=None):
    super().__init__(None, {})
    self.records, self.files, self.ended, self.started = [], [], None, []
    self._failures, self._store, self._blocks = failures, store, blocks

  @property
  def store(self):
    return self._store

  def start(self, run):
    if self._blocks:
      self._blocks.wait()
    if self._failures:
      self._failures -= 1
      raise ConnectionError('no server\nat all')
    self.started.append(run)
    return run or 'new'

  def describe(self):
    return 'it is here'

  def log(self, records):
    self.records += [(record.kind, record.step, dict(record.values))
                     for record in records]

  def add(self, path, folder):
    self.files.append((path, folder))

  def end(self, status):
    self.ended = status


def sent(made, folder, records, resumes=False, ends=True, seconds=20):
  """Sends (step, kind) records through a `Sender`; returns the lines it said."""
  lines = []
  sender = sending.Sender(
      made, stored_runs.StoredRuns(folder), resumes, pause=0.01,
      print_line=lines.append)
  sender.start()
  for step, kind in records:
    sender.record(np.int64(step), kind, {'loss': step / 2, 'unknown': None})
  if ends:
    sender.end(tracker.FINISHED, [('card', '')])
    sender.join(seconds)
  return lines


def test_numbers_are_sent_in_order_and_the_run_is_ended(tmp_path):
  made = ListTracker()
  lines = sent(made, tmp_path, [(5, 'progress'), (5, 'validation'), (10, 'progress')])
  assert made.records == [('progress', 5, {'loss': 2.5}),
                          ('validation', 5, {'loss': 2.5}),
                          ('progress', 10, {'loss': 5.0})]
  assert (made.started, made.files, made.ended) == (
      [None], [('card', '')], tracker.FINISHED)
  assert lines == ['list: it is here']
  # The libraries take no numbers of NumPy.
  assert {type(step) for _, step, _ in made.records} == {int}


def test_a_run_that_goes_on_after_a_kill_sends_no_step_twice(tmp_path):
  sent(ListTracker(), tmp_path, [(10, 'progress'), (20, 'progress'),
                                 (20, 'validation')])
  second = ListTracker()
  # It continues from the checkpoint of step 5.
  sent(second, tmp_path, [(10, 'progress'), (15, 'validation'), (20, 'progress'),
                          (25, 'validation'), (30, 'progress')], resumes=True)
  assert second.started == ['new']
  assert [record[:2] for record in second.records] == [
      ('validation', 25), ('progress', 30)]


@pytest.mark.parametrize('change', ['other store', 'new run', 'damaged file'])
def test_a_run_is_new_in_another_store_and_without_a_checkpoint(change, tmp_path):
  sent(ListTracker(), tmp_path, [(10, 'progress')])
  if change == 'damaged file':
    (tmp_path / stored_runs.FILE).write_text('{"list": {"store": 3}}')
  made = ListTracker(store='elsewhere' if change == 'other store' else 'here')
  sent(made, tmp_path, [(10, 'progress')], resumes=change != 'new run')
  assert made.started == [None]
  assert len(made.records) == 1


def test_a_server_that_fails_costs_one_line_and_no_number(tmp_path):
  made = ListTracker(failures=3)
  lines = sent(made, tmp_path, [(1, 'progress')], ends=False)
  for _ in range(2000):
    if made.records:
      break
    threading.Event().wait(0.005)
  assert len(made.records) == 1
  assert lines == [
      'note: list fails: no server; the run continues and tries again',
      'list: it is here']


def test_a_server_that_fails_to_the_end_is_said_once_more(tmp_path):
  lines = sent(ListTracker(failures=10**6), tmp_path, [(1, 'progress')])
  # The first line is missing if the run ends before the first try.
  assert lines[-1] == 'note: list: not everything was sent: no server'
  assert lines[:-1] in ([], [
      'note: list fails: no server; the run continues and tries again'])


class FailingTracker(ListTracker):
  """Fails in one method."""

  def __init__(self, method):
    super().__init__()
    setattr(self, method, self._fail)

  def _fail(self, *unused):
    raise FileNotFoundError(2, 'No such file', 'report')


@pytest.mark.parametrize('method', ['add', 'log'])
def test_a_run_that_cannot_be_sent_whole_is_ended_as_failed(tmp_path, method):
  made = FailingTracker(method)
  lines = sent(made, tmp_path, [(1, 'progress')])
  assert made.ended == tracker.FAILED
  assert lines[-1].startswith('note: list: not everything was sent: ')
  assert "'report'" in lines[-1]


def test_a_server_that_does_not_answer_delays_nothing(tmp_path):
  blocks = threading.Event()
  lines = sent(ListTracker(blocks=blocks), tmp_path, [(1, 'progress')], seconds=0.05)
  assert lines == [
      'note: list: not everything was sent, because it did not answer in time']
  blocks.set()


@pytest.mark.parametrize(('message', 'said'), [
    ('API request to http://me:p%40ss@host:5000/api failed with 404',
     'API request to http://host:5000/api failed with 404'),
    ("no access to 'https://key:se@cret@host'", "no access to 'https://host'"),
    ('no one at me@host', 'no one at me@host')])
def test_a_failure_is_said_without_the_password_of_an_address(
    message, said, tmp_path, monkeypatch):
  def fail(self, run):
    raise ConnectionError(message)

  monkeypatch.setattr(ListTracker, 'start', fail)
  lines = sent(ListTracker(), tmp_path, [(1, 'progress')])
  assert len(lines) == 2
  assert lines[0].startswith(f'note: list fails: {said}; ')
  assert lines[1] == f'note: list: not everything was sent: {said}'


class Waiting:
  """In place of a `Sender` whose server does not answer."""

  def __init__(self):
    self.ended, self.seconds = None, None

  def end(self, status, files):
    self.ended = (status, files)

  def join(self, seconds):
    self.seconds = seconds


@pytest.mark.parametrize(('status', 'low', 'high'), [
    (tracker.FINISHED, 50, 60), (tracker.FAILED, 50, 60), (tracker.STOPPED, 5, 9)])
def test_the_end_waits_less_after_a_signal(status, low, high):
  senders = [Waiting(), Waiting()]
  sending.finish(senders, status, iter([('card', '')]))
  for sender in senders:
    assert sender.ended == (status, [('card', '')])
    assert low < sender.seconds <= high


def test_the_stored_run_has_no_address(tmp_path):
  sent(ListTracker(store='http://user:secret@host'), tmp_path, [(1, 'progress')])
  text = (tmp_path / stored_runs.FILE).read_text()
  assert 'secret' not in text
  assert 'host' not in text
  assert json.loads(text)['list']['steps'] == {'progress': 1}


def facts(folder, **more):
  return tracker.RunFacts(**{
      'name': None, 'project': None, 'folder': str(folder), 'folder_is_given': False,
      'parameters': {'learning_rate': 0.1, 'xla': False}, 'default_name': 'lenet',
      **more})


def records(*steps):
  return [tracker.Record(step, 'progress', {'loss': 1.0 / step}, 7.0)
          for step in steps]


def test_mlflow_gets_a_run_of_a_local_database(tmp_path, monkeypatch):
  runs = fake_trackers.install(monkeypatch, 'mlflow')
  made = mlflow_tracker.MlflowTracker(facts(tmp_path), {})
  assert made.start(None) == 'run-0'
  assert f'mlflow ui --backend-store-uri=sqlite:///{tmp_path}/mlflow.db' in (
      made.describe())
  made.log(records(*range(1, 2502)))
  (tmp_path / 'a').mkdir()
  for name in ('card.md', 'a/page.html'):
    (tmp_path / name).write_text(name)
  made.add(str(tmp_path / 'card.md'), '')
  made.add(str(tmp_path / 'a'), 'report')
  made.end(tracker.STOPPED)
  run = runs['run-0']
  assert (run.name, run.tags['experiment']) == ('lenet', 'of slim-zoo')
  assert run.params == {'learning_rate': '0.1', 'xla': 'False'}
  assert run.steps('loss') == list(range(1, 2502))
  assert run.files == {'card.md': b'card.md', 'report/page.html': b'a/page.html'}
  assert run.status == 'KILLED'
  experiment = sys.modules['mlflow'].experiments['slim-zoo']
  assert experiment.files == (tmp_path / 'mlflow_files').as_uri()


def test_mlflow_continues_a_run_and_tags_what_has_changed(tmp_path, monkeypatch):
  runs = fake_trackers.install(monkeypatch, 'mlflow')
  mlflow_tracker.MlflowTracker(facts(tmp_path), {}).start(None)
  made = mlflow_tracker.MlflowTracker(facts(
      tmp_path, step=40, parameters={'learning_rate': 0.2, 'seed': 3}), {})
  assert made.start('run-0') == 'run-0'
  assert runs['run-0'].params == {'learning_rate': '0.1', 'xla': 'False', 'seed': '3'}
  assert runs['run-0'].tags['learning_rate from step 40'] == '0.2'


@pytest.mark.parametrize(('given', 'variables', 'experiment', 'uri'), [
    ({}, {'MLFLOW_TRACKING_URI': 'http://host', 'MLFLOW_EXPERIMENT_NAME': 'pets'},
     'of pets', 'http://host'),
    ({}, {'MLFLOW_EXPERIMENT_ID': '17'}, '17', 'sqlite:///'),
    ({'project': 'mine'}, {'MLFLOW_EXPERIMENT_ID': '17'}, 'of mine', 'sqlite:///')])
def test_variables_of_mlflow_count(
    given, variables, experiment, uri, tmp_path, monkeypatch):
  runs = fake_trackers.install(monkeypatch, 'mlflow')
  made = mlflow_tracker.MlflowTracker(facts(tmp_path, **given), variables)
  made.start(None)
  assert runs['run-0'].tags['experiment'] == experiment
  assert made.store.startswith(uri)


def test_wandb_is_offline_without_a_key(tmp_path, monkeypatch):
  runs = fake_trackers.install(monkeypatch, 'wandb')
  made = wandb_tracker.WandbTracker(
      facts(tmp_path), {'NETRC': str(tmp_path / 'no netrc')})
  assert made.mode == 'offline'
  made.start(None)
  assert 'offline, as there is no WANDB_API_KEY; to send it later: wandb sync ' in (
      made.describe())
  made.log(records(1, 2))
  (tmp_path / 'a' / 'b').mkdir(parents=True)
  (tmp_path / 'a' / 'b' / 'page.html').write_text('page')
  made.add(str(tmp_path / 'a'), 'report')
  made.end(tracker.FINISHED)
  run = runs['run-0']
  assert run.params == {'learning_rate': 0.1, 'xla': False}
  assert (run.steps('loss'), run.status, run.name) == ([1, 2], 0, 'lenet')
  assert run.files == {'report/b/page.html': b'page'}
  options, = sys.modules['wandb'].inits
  assert (options['mode'], options['project'], options['dir']) == (
      'offline', 'slim-zoo', str(tmp_path))


@pytest.mark.parametrize(('variables', 'mode'), [
    ({'WANDB_API_KEY': 'x'}, 'online'), ({'WANDB_MODE': 'disabled'}, 'disabled'),
    ({'WANDB_API_KEY': 'x', 'WANDB_MODE': 'offline'}, 'offline'),
    ({'NETRC': 'netrc'}, 'online'),
    ({'NETRC': 'netrc', 'WANDB_BASE_URL': 'https://wandb.of.us'}, 'offline')])
def test_variables_of_wandb_count(variables, mode, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'netrc').write_text('machine api.wandb.ai login user password x\n')
  assert wandb_tracker.WandbTracker(
      facts(tmp_path), {'NETRC': 'none', **variables}).mode == mode


def test_wandb_continues_a_run_of_its_server_only(tmp_path, monkeypatch):
  fake_trackers.install(monkeypatch, 'wandb')
  for variables in ({'WANDB_API_KEY': 'x', 'WANDB_PROJECT': 'pets',
                     'WANDB_NAME': 'third', 'WANDB_DIR': str(tmp_path / 'files')},
                    {'WANDB_MODE': 'offline'}):
    wandb_tracker.WandbTracker(facts(tmp_path), variables).start('abc')
  online, offline = sys.modules['wandb'].inits
  assert (online['id'], online['resume'], online['project'], online['name']) == (
      'abc', 'allow', 'pets', 'third')
  assert online['dir'] == str(tmp_path / 'files')
  assert (offline['id'], offline['resume']) == ('abc', None)


@pytest.mark.parametrize(('error', 'status'), [
    (None, 'FINISHED'), (ValueError(), 'FAILED'), (SystemExit(1), 'FAILED'),
    (KeyboardInterrupt(), 'KILLED'), (SystemExit(130), 'KILLED'),
    (SystemExit(143), 'KILLED')])
def test_an_evaluation_that_a_signal_ends_is_no_failure(
    error, status, tmp_path, monkeypatch):
  """So ends nearly each one with --watch."""
  runs = fake_trackers.install(monkeypatch, 'mlflow')
  monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
  (tmp_path / 'report').mkdir()
  config = EvaluateConfig.from_options({'log_to': 'mlflow', 'eval_dir': str(tmp_path)})
  with contextlib.suppress(type(error) if error else ()):
    with run_logging.EvaluationLogger(config) as tracking:
      tracking.add(str(tmp_path / 'model.ckpt-5'), 5, 'lenet', {'eval/Accuracy': 0.5})
      if error:
        raise error
  assert runs['run-0'].status == status
  assert runs['run-0'].steps('eval/Accuracy') == [5]


@pytest.mark.parametrize('name', ['mlflow', 'wandb'])
def test_an_evaluation_without_its_report_is_ended_as_failed(
    name, tmp_path, monkeypatch, capsys):
  runs = fake_trackers.install(monkeypatch, name)
  for variable in ('MLFLOW_TRACKING_URI', 'WANDB_API_KEY', 'WANDB_MODE'):
    monkeypatch.delenv(variable, raising=False)
  config = EvaluateConfig.from_options({'log_to': name, 'eval_dir': str(tmp_path)})
  with run_logging.EvaluationLogger(config) as tracking:
    tracking.add(str(tmp_path / 'model.ckpt-5'), 5, 'lenet', {'eval/Accuracy': 0.5})
  assert runs['run-0'].status in ('FAILED', 1)
  assert runs['run-0'].steps('eval/Accuracy') == [5]
  assert f'note: {name}: not everything was sent: ' in capsys.readouterr().out


# --- Options.


def test_the_parameters_are_the_important_options_and_those_that_are_set():
  config = TrainConfig.from_options({
      'model_name': 'lenet', 'dataset_dir': 'data', 'train_dir': 'runs/a',
      'label_smoothing': 0.1, 'trainable_scopes': ['a', 'b'], 'log_every_n_steps': 3,
      'num_clones': 2, 'checkpoint_path': 'published:vgg_16', 'log_to_name': 'first'})
  assert hyperparameters(config) == {
      'model_name': 'lenet', 'dataset_name': 'imagenet', 'dataset_split_name': 'train',
      'batch_size': 32, 'learning_rate': 0.01, 'learning_rate_decay_type':
      'exponential', 'optimizer': 'rmsprop', 'weight_decay': 0.00004, 'precision':
      'float32', 'label_smoothing': 0.1, 'trainable_scopes': 'a,b',
      'checkpoint_path': 'published:vgg_16'}


@pytest.mark.parametrize('kind', [TrainConfig, EvaluateConfig])
def test_a_tracker_that_is_unknown_is_answered(kind):
  with pytest.raises(diagnostics.UserError, match="did you mean 'mlflow'"):
    kind.from_options({'log_to': 'mlfow'})


def test_a_tracker_that_is_not_installed_is_answered(monkeypatch, tmp_path):
  """A folder of wandb's files is not a package."""
  monkeypatch.setattr(sys, 'path', [str(tmp_path)])
  for name in ('mlflow', 'wandb'):
    monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / name).mkdir()
    options = TrainConfig.from_options({'log_to': name}).tracking
    with pytest.raises(diagnostics.UserError, match=(
        f'^--log_to={name} needs {name}, which is not installed: python -m pip')):
      options.check()
    options.check(is_chief=False)


def test_options_without_effect_are_noted():
  notes = TrainConfig.from_options({'log_to_name': 'a'}).notes()
  assert '--log_to_name=a has no effect with no --log_to' in notes
  notes = TrainConfig.from_options({'log_to': 'mlflow', 'log_every_n_steps': 0}).notes()
  assert any(note.startswith('--log_to gets no progress') for note in notes)


# --- Runs.


def train(digits_dir, folder, steps, **more):
  return slim_zoo.train(**{
      **on_digits(digits_dir), 'train_dir': folder, 'max_number_of_steps': steps,
      'log_every_n_steps': 2, 'validation_split_name': 'test', 'batch_size': 8,
      'validate_every_steps': 3, 'log_to': ['mlflow', 'wandb'], **more})


@pytest.fixture
def runs(monkeypatch, tmp_path):
  """Returns the runs of both trackers by name of the tracker; no server is named."""
  for variable in ('MLFLOW_TRACKING_URI', 'WANDB_API_KEY', 'WANDB_MODE'):
    monkeypatch.delenv(variable, raising=False)
  monkeypatch.setenv('NETRC', str(tmp_path / 'no netrc'))
  return {name: fake_trackers.install(monkeypatch, name)
          for name in ('mlflow', 'wandb')}


def test_a_run_and_its_evaluation_are_logged(runs, digits_dir, tmp_path, capsys):
  folder = tmp_path / 'lenet'
  train(digits_dir, folder, 5, learning_rate=0.002)
  train(digits_dir, folder, 7, learning_rate=0.001)
  for of_tracker in runs.values():
    run, = of_tracker.values()
    # The second session continues from step 5.
    assert run.steps('progress/mean_loss') == [2, 4, 5, 6, 7]
    assert run.steps('validation/accuracy') == [3, 5, 6, 7]
    assert run.steps('results/best_accuracy') == [5, 7]
    assert {'learning_rate', 'accuracy/training_batch'} <= {
        tag for _, tag, _ in run.metrics}
    assert {'run_card.md', 'run_card.json', 'run_card.flags',
            'validation.json'} == set(run.files)
    card = json.loads(run.files['run_card.json'])
    assert card['results']['stopped_by'] == 'done'
    assert card['results']['tracking'] == {'mlflow': 'run-0', 'wandb': 'run-0'}
    assert run.status in ('FINISHED', 0)
    assert run.params['images_per_step'] in (8, '8')
  tags = runs['mlflow']['run-0'].tags
  assert tags['learning_rate from step 5'] == '0.001'
  printed = capsys.readouterr().out
  assert 'mlflow: run run-0 in ' in printed
  assert 'wandb: run run-0, offline' in printed
  slim_zoo.evaluate(
      checkpoint_path=folder, dataset_name='digits', dataset_dir=digits_dir,
      eval_dir=folder, max_num_batches=1, log_to='mlflow')
  evaluation = runs['mlflow']['run-1']
  assert evaluation.name == 'lenet on test'
  assert evaluation.tags['mlflow.parentRunId'] == 'run-0'
  assert evaluation.steps('eval/Accuracy') == [7]
  assert 'report/report.json' in evaluation.files
  # The next session still continues the run that trains.
  assert json.loads((folder / stored_runs.FILE).read_text())['mlflow']['run'] == 'run-0'


def test_a_failing_server_does_not_end_the_run(
    runs, digits_dir, tmp_path, capsys):
  sys.modules['mlflow'].fails = True
  result = train(digits_dir, tmp_path / 'run', 2, log_to='mlflow')
  assert (result.step, result.end) == (2, 'done')
  printed = capsys.readouterr().out
  assert printed.count('no server at http://localhost:1') == 2
  assert 'more lines' not in printed


def test_a_missing_library_is_answered_before_any_work(
    digits_dir, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'mlflow', None)
  with pytest.raises(diagnostics.UserError, match='pip install "mlflow>='):
    train(digits_dir, tmp_path / 'run', 2, log_to='mlflow')
  assert not (tmp_path / 'run').exists()
