"""Runs in MLflow: a tracking server, or an SQLite file in a folder.

MLFLOW_TRACKING_URI names the server, MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID the
experiment. https://mlflow.org/docs/latest/ml/tracking
"""

import itertools
import logging
import os
import pathlib
from collections.abc import Mapping

from slim_zoo.tracking.tracker import FAILED, FINISHED, PROJECT, STOPPED, Tracker

_DATABASE, _FILES = 'mlflow.db', 'mlflow_files'
# Limits of MLflow: metrics and parameters of one request, characters of a parameter.
_MAX_METRICS, _MAX_PARAMETERS, _MAX_CHARACTERS = 1000, 100, 500
_STATUS = {FINISHED: 'FINISHED', STOPPED: 'KILLED', FAILED: 'FAILED'}


class MlflowTracker(Tracker):
  """Sends a run to MLflow."""

  name = 'mlflow'

  def __init__(self, facts, variables):
    super().__init__(facts, variables)
    self._client = self._run = None

  @property
  def _server(self):
    return self.variables.get('MLFLOW_TRACKING_URI')

  @property
  def store(self):
    """The address of the server, or that of the local database."""
    return self._server or f'sqlite:///{os.path.join(self.folder, _DATABASE)}'

  def start(self, run):
    """Begins a run with its parameters, or continues it; see `Tracker`."""
    if not self._server:
      # All data stay on this machine, so no usage reports are sent.
      os.environ.setdefault('MLFLOW_DISABLE_TELEMETRY', 'true')
    # `sending` tries again. The retries of MLflow take minutes.
    os.environ.setdefault('MLFLOW_HTTP_REQUEST_MAX_RETRIES', '1')
    os.environ.setdefault('MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT', 'true')
    logging.getLogger('urllib3').setLevel(logging.ERROR)
    import mlflow
    # Hides the lines about the tables of a new database. The import sets the levels.
    for name in ('mlflow', 'alembic'):
      logging.getLogger(name).setLevel(logging.WARNING)
    self._client = mlflow.MlflowClient(tracking_uri=self.store)
    parameters = {name: str(value)[:_MAX_CHARACTERS]
                  for name, value in self.facts.parameters.items()}
    if run is None:
      parent = self.facts.parent
      found = self._client.create_run(
          self._experiment(), tags={'mlflow.parentRunId': parent} if parent else None,
          run_name=self.facts.name or self.facts.default_name)
      before: Mapping[str, str] = {}
    else:
      found = self._client.get_run(run)
      before = found.data.params
      self._client.update_run(run, status='RUNNING')
    self._run = found.info.run_id
    self._log_parameters(parameters, before)
    return self._run

  def _experiment(self):
    """Returns the id of the experiment; creates it if it does not exist."""
    if self.facts.project is None and 'MLFLOW_EXPERIMENT_ID' in self.variables:
      return self.variables['MLFLOW_EXPERIMENT_ID']
    name = (self.facts.project or self.variables.get('MLFLOW_EXPERIMENT_NAME')
            or PROJECT)
    found = self._client.get_experiment_by_name(name)
    if found is not None:
      return found.experiment_id
    files = None if self._server else pathlib.Path(self.folder, _FILES).as_uri()
    return self._client.create_experiment(name, artifact_location=files)

  def _log_parameters(self, parameters, before):
    """Logs the parameters. Parameters that a continued run has changed become tags.

    In MLflow the value of a parameter cannot be changed.
    """
    from mlflow.entities import Param, RunTag
    new = [Param(name, value) for name, value in parameters.items()
           if name not in before]
    tags = [RunTag(f'{name} from step {self.facts.step}', value)
            for name, value in parameters.items() if before.get(name, value) != value]
    for part in _parts(new, _MAX_PARAMETERS):
      self._client.log_batch(self._run, params=part)
    for part in _parts(tags, _MAX_PARAMETERS):
      self._client.log_batch(self._run, tags=part)

  def describe(self):
    """Returns the address of the run, or the command that shows it."""
    if self._server:
      return f'run {self._run} of the server of MLFLOW_TRACKING_URI'
    return (f'run {self._run} in {os.path.join(self.facts.folder, _DATABASE)}; to show'
            f' it: mlflow ui --backend-store-uri={self.store}')

  def log(self, records):
    """Sends metrics; see `Tracker`."""
    from mlflow.entities import Metric
    metrics = [Metric(tag, value, int(1000 * record.seconds), record.step)
               for record in records for tag, value in record.values.items()]
    for part in _parts(metrics, _MAX_METRICS):
      self._client.log_batch(self._run, metrics=part)

  def add(self, path, folder):
    """Sends a file, or all files of a folder; see `Tracker`."""
    send = (self._client.log_artifacts if os.path.isdir(path)
            else self._client.log_artifact)
    send(self._run, path, folder or None)

  def end(self, status):
    """Ends the run; see `Tracker`."""
    self._client.set_terminated(self._run, _STATUS[status])


def _parts(items, size):
  """Yields the items in lists of at most `size` items."""
  items = iter(items)
  while part := list(itertools.islice(items, size)):
    yield part
