"""Modules in place of mlflow and wandb: they keep what a run sends to them."""

import dataclasses
import importlib.machinery
import os
import pathlib
import sys
import types


@dataclasses.dataclass
class StoredRun:
  """What a tracker has of a run.

  Attributes:
    id: of the run.
    name: that is shown.
    params: by name.
    metrics: (step, tag, value).
    tags: by name.
    files: the content by path.
    status: how it ended, or that it continues.
  """

  id: str
  name: str | None
  params: dict = dataclasses.field(default_factory=dict)
  metrics: list = dataclasses.field(default_factory=list)
  tags: dict = dataclasses.field(default_factory=dict)
  files: dict = dataclasses.field(default_factory=dict)
  status: str = 'RUNNING'

  def steps(self, tag):
    return [step for step, name, _ in self.metrics if name == tag]


# Variables that a tracker sets for its library.
_SET = ('MLFLOW_DISABLE_TELEMETRY', 'MLFLOW_HTTP_REQUEST_MAX_RETRIES',
        'MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT', 'WANDB_SILENT', 'WANDB_INIT_TIMEOUT')


def install(monkeypatch, name):
  """Makes a fake importable; returns its runs by id."""
  for variable in _SET:
    # So that it is removed after the test.
    monkeypatch.setenv(variable, '')
  fakes = {'mlflow': _mlflow, 'wandb': _wandb}[name]()
  for full_name, module in fakes.items():
    module.__spec__ = importlib.machinery.ModuleSpec(full_name, None, origin='fake')
    monkeypatch.setitem(sys.modules, full_name, module)
  return fakes[name].runs


def _mlflow():
  module, entities = types.ModuleType('mlflow'), types.ModuleType('mlflow.entities')
  module.runs, module.experiments, module.fails = {}, {}, False
  info = lambda run: types.SimpleNamespace(
      info=types.SimpleNamespace(run_id=run.id),
      data=types.SimpleNamespace(params=run.params))

  class MlflowClient:

    def __init__(self, tracking_uri):
      self.uri = tracking_uri
      if module.fails:
        raise ConnectionError('no server at http://localhost:1\nmore lines')

    def get_experiment_by_name(self, name):
      return module.experiments.get(name)

    def create_experiment(self, name, artifact_location):
      module.experiments[name] = types.SimpleNamespace(
          experiment_id=f'of {name}', files=artifact_location, uri=self.uri)
      return f'of {name}'

    def create_run(self, experiment, tags, run_name):
      run = StoredRun(f'run-{len(module.runs)}', run_name,
                      tags={**(tags or {}), 'experiment': experiment})
      module.runs[run.id] = run
      return info(run)

    def get_run(self, run):
      return info(module.runs[run])

    def update_run(self, run, status):
      module.runs[run].status = status

    def log_batch(self, run, metrics=(), params=(), tags=()):
      if module.fails:
        raise ConnectionError('no server at http://localhost:1\nmore lines')
      assert len(metrics) <= 1000
      assert {type(metric.step) for metric in metrics} <= {int}
      assert len(params) <= 100
      run = module.runs[run]
      for param in params:
        # A value is never changed.
        assert run.params.setdefault(param.key, param.value) == param.value
      run.metrics += [(metric.step, metric.key, metric.value) for metric in metrics]
      run.tags |= {tag.key: tag.value for tag in tags}

    def log_artifact(self, run, path, folder):
      _keep(module.runs[run].files, pathlib.Path(path), folder or '')

    def log_artifacts(self, run, path, folder):
      for file in pathlib.Path(path).rglob('*'):
        if file.is_file():
          _keep(module.runs[run].files, file, os.path.join(
              folder, str(file.relative_to(path).parent)))

    def set_terminated(self, run, status):
      module.runs[run].status = status

  module.MlflowClient = MlflowClient
  entities.Metric = _entity('Metric', 'key', 'value', 'timestamp', 'step')
  entities.Param = _entity('Param', 'key', 'value')
  entities.RunTag = _entity('RunTag', 'key', 'value')
  return {'mlflow': module, 'mlflow.entities': entities}


def _entity(name, *fields):
  return dataclasses.make_dataclass(name, fields)


def _keep(files, path, folder):
  files[os.path.normpath(os.path.join(folder, path.name))] = path.read_bytes()


def _wandb():
  module = types.ModuleType('wandb')
  module.runs, module.inits = {}, []
  module.Settings = dict

  class Config(dict):

    def update(self, values, allow_val_change):
      assert allow_val_change
      super().update(values)

  class Run:

    def __init__(self, stored, folder):
      self.stored, self.id, self.url = stored, stored.id, None
      self.config, self.dir, self.step = Config(stored.params), folder, -1

    def log(self, values, step):
      assert step >= self.step, 'such steps are dropped'
      assert type(step) is int
      self.step = step
      self.stored.metrics += [(step, tag, value) for tag, value in values.items()]

    def save(self, path, base_path, policy):
      _keep(self.stored.files, pathlib.Path(path),
            os.path.relpath(os.path.dirname(path), base_path))

    def finish(self, exit_code):
      self.stored.params = dict(self.config)
      self.stored.status = exit_code

  def init(**options):
    module.inits.append(options)
    run = options['id'] or f'run-{len(module.runs)}'
    stored = module.runs.setdefault(run, StoredRun(run, options['name']))
    folder = os.path.join(options['dir'], 'wandb', 'files')
    os.makedirs(folder, exist_ok=True)
    return Run(stored, folder)

  module.init = init
  return {'wandb': module}
