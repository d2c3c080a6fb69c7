"""The study of hyperparameters: short trials, an interruption, missing data."""

import argparse
import json
import logging

import pytest

import slim_zoo

optuna = pytest.importorskip('optuna', reason='needs Optuna, which is an extra')

from examples import tune_hyperparameters  # noqa: E402


def test_a_study_goes_on_after_an_interruption(
    digits_dir, tmp_path, capsys, monkeypatch):
  flags = [f'--dataset_dir={digits_dir}', f'--study_dir={tmp_path}', '--steps=2']
  tune_hyperparameters.main([*flags, '--trials=1'])
  study = tune_hyperparameters.open_study(tmp_path / 'study.db')
  study.ask()  # A trial that was killed.
  tune_hyperparameters.main([*flags, '--trials=2'])
  states = [trial.state.name for trial in tune_hyperparameters.open_study(
      tmp_path / 'study.db').trials]
  assert states == ['COMPLETE', 'FAIL', 'COMPLETE']
  assert (tmp_path / 'study.png').stat().st_size > 1000
  lines = results(capsys)
  assert len(lines) == 2
  # The test images are not used again for the same trial.
  monkeypatch.setattr(slim_zoo, 'evaluate', None)
  tune_hyperparameters.main([*flags, '--trials=2'])
  assert results(capsys) == lines[1:]


def results(capsys):
  """Returns the printed lines on the test images."""
  return [line for line in capsys.readouterr().out.splitlines()
          if line.startswith('the best trial on the test images: ')]


def test_a_better_trial_is_evaluated_once(tmp_path, monkeypatch):
  evaluated = []

  def evaluate(checkpoint_path, **_):
    evaluated.append(checkpoint_path)
    return argparse.Namespace(accuracy=len(evaluated) / 10)

  monkeypatch.setattr(slim_zoo, 'evaluate', evaluate)
  found = []
  for value in (0.5, 0.4, 0.6):
    study = tune_hyperparameters.open_study(tmp_path / 'study.db')
    study.tell(study.ask(), value)
    found += [tune_hyperparameters.test_accuracy(study, options('data', tmp_path))
              for _ in range(2)]
  assert found == [0.1, 0.1, 0.1, 0.1, 0.2, 0.2]
  assert evaluated == [f'{tmp_path}/trial_{number}/best' for number in (0, 2)]


def options(digits_dir, folder):
  return argparse.Namespace(
      dataset_dir=str(digits_dir), study_dir=str(folder), steps=4)


def test_a_loss_that_is_not_finite_prunes_its_trial(digits_dir, tmp_path):
  trial = optuna.trial.FixedTrial({
      'optimizer': 'momentum', 'learning_rate': 1.0, 'weight_decay': 1e20})
  with pytest.raises(optuna.TrialPruned, match='not finite'):
    tune_hyperparameters.objective(trial, options(digits_dir, tmp_path))


def test_a_pruned_trial_ends_its_run(digits_dir, tmp_path):
  study = tune_hyperparameters.open_study(tmp_path / 'study.db')
  for _ in range(5):
    trial = study.ask()
    for step in (1, 2, 3, 4):
      trial.report(1.0, step)
    study.tell(trial, 1.0)
  with pytest.raises(optuna.TrialPruned):
    tune_hyperparameters.objective(study.ask(), options(digits_dir, tmp_path))
  card = json.loads((tmp_path / 'trial_5' / 'run_card.json').read_text())
  assert card['results']['stopped_by'].startswith('pruned')
  assert card['results']['step'] == 1


@pytest.mark.parametrize(('flag', 'words'), [
    ('--dataset_dir={folder}/nowhere', "no folder '.*nowhere'"),
    ('--dataset_dir={folder}', 'no file'), ('--trials=0', '--trials=0: expected 1'),
    ('--trials=-1', 'expected 1'), ('--steps=0', '--steps=0: expected 1')])
def test_options_are_checked_before_there_is_a_study(
    digits_dir, tmp_path, flag, words):
  with pytest.raises(slim_zoo.UserError, match=words):
    tune_hyperparameters.main([
        f'--dataset_dir={digits_dir}', f'--study_dir={tmp_path}/study', '--trials=1',
        flag.format(folder=tmp_path)])
  assert not any(tmp_path.iterdir())


def test_a_study_without_a_complete_trial_is_one_line(
    digits_dir, tmp_path, monkeypatch):
  def pruned(trial, options):
    raise optuna.TrialPruned

  monkeypatch.setattr(tune_hyperparameters, 'objective', pruned)
  with pytest.raises(slim_zoo.UserError, match=r'no trial .* is complete'):
    tune_hyperparameters.main([
        f'--dataset_dir={digits_dir}', f'--study_dir={tmp_path}', '--trials=1'])


@pytest.mark.parametrize('kind', ['missing folder', 'file in place of a folder'])
def test_an_error_is_one_line(digits_dir, tmp_path, kind):
  wrong = tmp_path / 'wrong'
  if kind == 'missing folder':
    flags = [f'--dataset_dir={wrong}', f'--study_dir={tmp_path}/study']
  else:
    wrong.write_text('text')
    flags = [f'--dataset_dir={digits_dir}', f'--study_dir={wrong}']
  with pytest.raises(SystemExit, match=r'^tune_hyperparameters: .*wrong.*$') as raised:
    tune_hyperparameters.run([*flags, '--trials=1'])
  assert '\n' not in raised.value.code
  assert not (tmp_path / 'study').exists()


def test_an_error_of_a_trial_is_one_line(digits_dir, tmp_path, monkeypatch):
  def refuse(**options):
    raise slim_zoo.UserError('the disk is full: free some space')

  monkeypatch.setattr(slim_zoo, 'train', refuse)
  lines = []
  handler = logging.Handler()
  handler.emit = lambda record: lines.append(record.getMessage())
  logging.getLogger('optuna').addHandler(handler)
  try:
    with pytest.raises(SystemExit) as raised:
      tune_hyperparameters.run([
          f'--dataset_dir={digits_dir}', f'--study_dir={tmp_path}/study'])
  finally:
    logging.getLogger('optuna').removeHandler(handler)
  assert raised.value.code == (
      'tune_hyperparameters: the disk is full: free some space')
  assert not [line for line in lines if 'disk' in line]
  trial, = tune_hyperparameters.open_study(tmp_path / 'study' / 'study.db').trials
  assert trial.state == optuna.trial.TrialState.FAIL
