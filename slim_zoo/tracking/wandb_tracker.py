"""Runs in Weights & Biases: on its server if there is a key, else in local files.

The library reads the environment variables WANDB_*. Options of slim-zoo override them.
https://docs.wandb.ai
"""

import netrc
import os
import urllib.parse

from slim_zoo.tracking.tracker import FINISHED, PROJECT, Tracker

_SERVER = 'https://api.wandb.ai'
_START_SECONDS = '30'
_OFFLINE_FILES = os.path.join('wandb', 'offline-run-*')


class WandbTracker(Tracker):
  """Sends a run to Weights & Biases."""

  name = 'wandb'

  def __init__(self, facts, variables):
    super().__init__(facts, variables)
    self._run = None

  @property
  def _url(self):
    return self.variables.get('WANDB_BASE_URL', _SERVER)

  @property
  def _project(self):
    return (self.facts.project or self.variables.get('WANDB_PROJECT') or PROJECT)

  @property
  def _files(self):
    """The folder of the local files."""
    named = self.variables.get('WANDB_DIR')
    return self.folder if self.facts.folder_is_given or not named else named

  @property
  def mode(self) -> str:
    """The value of WANDB_MODE; else 'online' if there is a key, or 'offline'."""
    return self.variables.get('WANDB_MODE') or (
        'online' if self._has_key() else 'offline')

  def _has_key(self):
    if any(self.variables.get(name) for name in (
        'WANDB_API_KEY', 'WANDB_IDENTITY_TOKEN_FILE')):
      return True
    try:
      keys = netrc.netrc(self.variables.get('NETRC'))
      return bool(keys.authenticators(urllib.parse.urlsplit(self._url).netloc))
    except (OSError, netrc.NetrcParseError):
      return False

  @property
  def store(self):
    """The server and the project, or the local folder."""
    place = self._files if self.mode == 'offline' else self._url
    return f'{place} {self.variables.get("WANDB_ENTITY", "")}/{self._project}'

  def start(self, run):
    """Begins a run with its parameters, or continues it; see `Tracker`."""
    # The library prints no lines.
    os.environ.setdefault('WANDB_SILENT', 'true')
    os.environ.setdefault('WANDB_INIT_TIMEOUT', _START_SECONDS)
    import wandb
    os.makedirs(self._files, exist_ok=True)
    named = self.facts.name or self.variables.get('WANDB_NAME')
    self._run = wandb.init(
        project=self._project, name=named or self.facts.default_name, id=run,
        dir=self._files, mode=self.mode,
        # Without a server, no run can be continued.
        resume='allow' if run and self.mode == 'online' else None,
        group=self.facts.parent, reinit='create_new',
        settings=wandb.Settings(console='off', silent=True))
    self._run.config.update(dict(self.facts.parameters), allow_val_change=True)
    return self._run.id

  def describe(self):
    """Returns the address of the run, or the command that sends it."""
    if self.mode == 'offline':
      why = '' if self.variables.get('WANDB_MODE') else ', as there is no WANDB_API_KEY'
      files = os.path.join(self._files, _OFFLINE_FILES)
      return (f'run {self._run.id}, offline{why}; to send it later: wandb sync'
              f' {files}{self._run.id}')
    return f'run {self._run.url or self._run.id}'

  def log(self, records):
    """Sends metrics; see `Tracker`."""
    for record in records:
      self._run.log(dict(record.values), step=record.step)

  def add(self, path, folder):
    """Sends a file, or all files of a folder; see `Tracker`."""
    if not os.path.isdir(path):
      self._save(path, folder)
      return
    for place, _, names in os.walk(path):
      for name in sorted(names):
        below = os.path.relpath(place, path)
        self._save(os.path.join(place, name),
                   os.path.normpath(os.path.join(folder, below)))

  def _save(self, path, folder):
    """Copies a file to the run's files, so that later changes have no effect."""
    target = os.path.join(self._run.dir, folder, os.path.basename(path))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(path, 'rb') as source, open(target, 'wb') as copy:
      copy.write(source.read())
    self._run.save(target, base_path=self._run.dir, policy='now')

  def end(self, status):
    """Ends the run; see `Tracker`."""
    self._run.finish(exit_code=0 if status == FINISHED else 1)
