"""Searches for hyperparameters of LeNet on the digits, with Optuna.

  slim-zoo download --dataset_name=digits --dataset_dir=data/digits
  python -m examples.tune_hyperparameters --dataset_dir=data/digits \\
      --study_dir=runs/study --trials=20

Each trial trains on 80% of the training images and is validated on the others. A trial
that is worse than the median of the others at the same step ends early. The same
command continues after an interruption. At the end the best trial is evaluated once on
the test images, which no trial has seen; the study keeps the result.
"""

import argparse
import importlib.util
import os
import sys
import warnings

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.catalog import datasets
from slim_zoo.training.callbacks.callback import Callback

NAME = 'lenet on digits'


class Pruning(Callback):
  """Reports each validation to a trial, and ends the run of a trial that is pruned."""

  def __init__(self, trial):
    self._trial, self.pruned = trial, False

  def validated(self, step, numbers):
    """Reports the accuracy; NaN is reported as 0."""
    self._trial.report(numbers.get('validation/accuracy', 0.0), step)
    self.pruned = self._trial.should_prune()

  def after_step(self, session, step):
    """Ends a pruned run."""
    return 'pruned, as other trials are better at this step' if self.pruned else None


def objective(trial, options):
  """Trains one network; returns its best validation accuracy."""
  import optuna
  pruning = Pruning(trial)
  optimizer = trial.suggest_categorical('optimizer', ['adam', 'momentum', 'rmsprop'])
  # An established default: adam and rmsprop of this size need a smaller one.
  epsilon = {} if optimizer == 'momentum' else {'opt_epsilon': 1e-6}
  try:
    run = slim_zoo.train(
        model_name='lenet', dataset_name='digits', dataset_dir=options.dataset_dir,
        train_dir=os.path.join(options.study_dir, f'trial_{trial.number}'),
        max_number_of_steps=options.steps, optimizer=optimizer, **epsilon,
        learning_rate=trial.suggest_float('learning_rate', 1e-4, 1, log=True),
        weight_decay=trial.suggest_float('weight_decay', 1e-6, 1e-1, log=True),
        validation_share=0.2, validate_every_steps=max(1, options.steps // 10),
        seed=0, sample_predictions=0, log_every_n_steps=0, callbacks=[pruning])
  except slim_zoo.UserError as error:
    from slim_zoo.training.updates import numerics  # Now TensorFlow may be loaded.
    if not isinstance(error.__cause__ or error, numerics.BadNumbers):
      raise
    raise optuna.TrialPruned('the loss is not finite') from error
  if pruning.pruned:
    raise optuna.TrialPruned
  return (run.validation['best'] or {'score': 0.0})['score']


def open_study(path):
  """Opens the study in an SQLite file; a trial that was killed counts as failed."""
  import optuna
  study = optuna.create_study(
      study_name=NAME, storage=f'sqlite:///{os.path.abspath(path)}',
      load_if_exists=True, direction='maximize', pruner=optuna.pruners.MedianPruner(
          n_startup_trials=5))
  # Other random numbers than those of an earlier process.
  study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
  for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
  return study


def run_trial(study, options):
  """Runs one trial, and stores how it ends; prints a line.

  `Study.optimize` would print the traceback of an error that the user can correct.
  """
  import optuna
  trial = study.ask()
  try:
    value = objective(trial, options)
  except optuna.TrialPruned as error:
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    print(f'trial {trial.number} ends early{f": {error}" if str(error) else ""}')
  except Exception:
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    raise
  else:
    study.tell(trial, value)
    print(f'trial {trial.number}: {value:.2%}, {trial.params}')


def draw(study, path):
  """Draws the accuracy of the complete trials, and the best so far."""
  import optuna
  warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
  plot = optuna.visualization.matplotlib.plot_optimization_history(
      study, target_name='best validation accuracy')
  plot.set_title(study.study_name)
  plot.figure.set_size_inches(9, 4)
  plot.figure.savefig(path, dpi=100, bbox_inches='tight')


def test_accuracy(study, options):
  """Returns the accuracy of the best trial on the test images, from 0 to 1.

  The study keeps it, so that a trial is evaluated once.
  """
  number = study.best_trial.number
  known = study.user_attrs.get('test', {})
  if known.get('trial') != number:
    result = slim_zoo.evaluate(
        checkpoint_path=os.path.join(options.study_dir, f'trial_{number}', 'best'),
        dataset_name='digits', dataset_dir=options.dataset_dir,
        eval_dir=os.path.join(options.study_dir, 'eval'))
    known = {'trial': number, 'accuracy': float(result.accuracy)}
    study.set_user_attr('test', known)
  return known['accuracy']


def check(options):
  """Raises UserError for options that cannot be used, before there is a study."""
  for name in ('trials', 'steps'):
    if getattr(options, name) < 1:
      raise slim_zoo.UserError(
          f'--{name}={getattr(options, name)}: expected 1 or more')
  if importlib.util.find_spec('optuna') is None:
    raise slim_zoo.UserError(
        'tune_hyperparameters needs optuna, which is not installed: python -m pip'
        ' install "optuna>=5,<6"')
  spec = datasets.find_dataset('digits', options.dataset_dir)
  for split in spec.splits:
    datasets.split_files(spec, split, options.dataset_dir)


def main(arguments):
  """Runs the trials that are left, draws the history, evaluates the best trial."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--dataset_dir', required=True, help='Folder of the digits.')
  parser.add_argument('--study_dir', required=True, help='Folder of study and runs.')
  parser.add_argument('--trials', type=int, default=20, help='Trials in all.')
  parser.add_argument('--steps', type=int, default=300, help='Steps of a trial.')
  options = parser.parse_args(arguments)
  check(options)
  os.makedirs(options.study_dir, exist_ok=True)
  study = open_study(os.path.join(options.study_dir, 'study.db'))
  done = [trial.state.name for trial in study.trials
          if trial.state.name in ('COMPLETE', 'PRUNED')]
  for _ in range(options.trials - len(done)):
    run_trial(study, options)
  draw(study, os.path.join(options.study_dir, 'study.png'))
  if all(trial.state.name != 'COMPLETE' for trial in study.trials):
    raise slim_zoo.UserError(
        f"no trial of '{options.study_dir}' is complete: run more of them with a larger"
        ' --trials')
  best = study.best_trial
  print(f'best trial {best.number}: {best.value:.2%} of the validation images,'
        f' {best.params}')
  print('the best trial on the test images:'
        f' {test_accuracy(study, options):.2%}')


def run(arguments):
  """Calls `main`; an error that the user can correct is one line."""
  try:
    main(arguments)
  except slim_zoo.UserError as error:
    sys.exit(f'tune_hyperparameters: {diagnostics.printable(str(error))}')
  except OSError as error:
    if error.errno is None:
      raise
    line = diagnostics.printable(diagnostics.explain_os_error(error))
    sys.exit(f'tune_hyperparameters: {line}')


if __name__ == '__main__':
  run(sys.argv[1:])
