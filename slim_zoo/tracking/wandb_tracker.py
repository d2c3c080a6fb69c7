"""Runs in Weights & Biases: its server with a key, else files to send later.

The library reads its variables WANDB_*; an option that is given goes before them.
https://docs.wandb.ai
"""

import netrc
import os
import urllib.parse

from slim_zoo.tracking.tracker import FINISHED, PROJECT, Tracker

_SERVER = 'https://api.wandb.ai'
_SECONDS_TO_BEGIN = '30'
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
    """As WANDB_MODE says, else 'online' where there is a key, or 'offline'."""
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
    # The lines of the program stay its own.
    os.environ.setdefault('WANDB_SILENT', 'true')
    os.environ.setdefault('WANDB_INIT_TIMEOUT', _SECONDS_TO_BEGIN)
    import wandb
    os.makedirs(self._files, exist_ok=True)
    named = self.facts.name or self.variables.get('WANDB_NAME')
    self._run = wandb.init(
        project=self._project, name=named or self.facts.default_name, id=run,
        dir=self._files, mode=self.mode,
        # A mode without a server knows of no run.
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
    """Sends numbers; see `Tracker`."""
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
    """Copies a file to the run's files: a later change does not reach it."""
    target = os.path.join(self._run.dir, folder, os.path.basename(path))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(path, 'rb') as source, open(target, 'wb') as copy:
      copy.write(source.read())
    self._run.save(target, base_path=self._run.dir, policy='now')

  def end(self, status):
    """Ends the run; see `Tracker`."""
    self._run.finish(exit_code=0 if status == FINISHED else 1)
