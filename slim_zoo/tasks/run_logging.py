"""Makes the callbacks and trackers that log a run or an evaluation."""

import dataclasses
import os
from collections.abc import Mapping

from slim_zoo.checkpoints import run_card
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.hyperparameters import hyperparameters
from slim_zoo.config.tracking import Tracking
from slim_zoo.config.training import TrainConfig
from slim_zoo.tracking import (
    mlflow_tracker,
    sending,
    stored_runs,
    tracker,
    wandb_tracker,
)
from slim_zoo.tracking.sending import Sender
from slim_zoo.training.callbacks import hparams, tracked_run
from slim_zoo.training.callbacks.callback import Callback

_TRACKERS = {
    kind.name: kind for kind in (
        mlflow_tracker.MlflowTracker, wandb_tracker.WandbTracker)}


def training_loggers(
    config: TrainConfig, start, seed: int, image_size: int, card) -> list:
  """Returns the callbacks that log a run: HParams and trackers; only for the chief.

  They are context managers. Enter them before the run card.

  Args:
    config: config of the run.
    start: `StartingPoint` of the run.
    seed: seed of the run.
    image_size: height and width in pixels.
    card: `RunCard` of the run.
  """
  if not config.distribution.is_chief:
    return []
  parameters = {
      **hyperparameters(config), 'train_image_size': image_size, 'seed': seed,
      'images_per_step': config.images_per_step}
  folder, results = config.run.train_dir, lambda: card.card['results']
  made: list[Callback] = []
  if config.logging.save_summaries_secs:
    made.append(hparams.HParams(folder, parameters, results))
  if config.tracking.log_to:
    runs = stored_runs.StoredRuns(folder)
    facts = _facts(config.tracking, folder, _name_of(folder), parameters, start.step)
    run = tracked_run.TrackedRun(folder, [
        Sender(_TRACKERS[name](facts, os.environ), runs, bool(start.resumed))
        for name in dict.fromkeys(config.tracking.log_to)], results)
    card.add_report(run.report)
    made.append(run)
  return made


def _facts(options: Tracking, folder, name, parameters, step):
  return tracker.RunFacts(
      options.log_to_name, options.log_to_project, options.log_to_dir or folder,
      options.log_to_dir is not None, parameters, step, name)


def _name_of(folder):
  return os.path.basename(os.path.abspath(folder))


class EvaluationLogger:
  """Sends the results of an evaluation to the trackers of --log_to.

  The evaluation is logged as a separate run. If the training run was logged, MLflow and
  Weights & Biases show both together.

  Args:
    config: config of the evaluation.
  """

  def __init__(self, config: EvaluateConfig):
    self._config, self._senders = config, []
    self._files: list[tuple[str, str]] = []

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    sending.finish(self._senders, tracked_run.status_of(error), self._files)

  def add(self, checkpoint: str, step: int, network: str,
          numbers: Mapping[str, float]) -> None:
    """Sends the metrics of one checkpoint. The report is sent at the end.

    Args:
      checkpoint: prefix of the checkpoint.
      step: global step of the checkpoint.
      network: name of the network.
      numbers: values by tag.
    """
    if not self._senders:
      self._start(checkpoint, network)
    for sender in self._senders:
      sender.record(step, 'evaluation', numbers)
    report = self._config.results.report_dir
    self._files = [(report, os.path.basename(report))]

  def _start(self, checkpoint, network):
    options, folder = self._config.tracking, os.path.dirname(checkpoint)
    if os.path.basename(folder) == run_card.BEST_FOLDER:
      folder = os.path.dirname(folder)
    facts = _facts(
        options, self._config.results.eval_dir,
        f'{_name_of(folder)} on {self._config.data.dataset_split_name}',
        {**hyperparameters(self._config), 'model_name': network}, 0)
    trained = stored_runs.StoredRuns(folder)
    for kind in dict.fromkeys(options.log_to):
      made = _TRACKERS[kind](facts, os.environ)
      parent, _ = trained.find(kind, made.store)
      made.facts = dataclasses.replace(facts, parent=parent)
      sender = Sender(made, None, False)
      sender.start()
      self._senders.append(sender)
