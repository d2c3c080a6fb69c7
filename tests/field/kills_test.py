"""Commands are killed at random moments; the same command continues and ends right.

  python -m pytest tests/field/kills_test.py                      # a few
  KILLS=200 python -m pytest -rP tests/field/kills_test.py        # with a table
  KILLS=200 KILLS_SEED=3 python -m pytest tests/field/kills_test.py

KILLS is the number of kills of all kinds of work together. The seed decides the
signals and the moments as shares of a run's time; it is printed.
"""

import os
import random
import shutil
import signal
import statistics
import types

import numpy as np
import pytest

from tests import checkpoint_files, scripts, small_archives, stored_images
from tests.conftest import on_digits
from tests.field import whole_files
from tests.field.kills import Command, Tally, kill_repeatedly

KILLS = int(os.environ.get('KILLS', '6'))
SEED = int(os.environ.get('KILLS_SEED', '1'))
# In the suite the runs are short.
_IS_LONG = 'KILLS' in os.environ


class Training(Command):
  """A training run that saves every second."""

  name, unit = 'training', 'steps'
  steps = 300 if _IS_LONG else 120
  flags = types.MappingProxyType({})

  def __init__(self, folder, digits_dir):
    super().__init__()
    self.folder = folder / self.name.replace(' ', '_')
    self.known = 0
    self.seconds_lost = []
    self._digits_dir = digits_dir

  def begin(self):
    shutil.rmtree(self.folder, ignore_errors=True)
    self.known = 0

  def line(self):
    return scripts.command('train_image_classifier', **dict(
        on_digits(self._digits_dir), train_dir=self.folder, batch_size=2,
        max_number_of_steps=self.steps, log_every_n_steps=1, save_interval_secs=1,
        save_summaries_secs=1, **self.flags))

  def unfinished(self):
    return {path.name for pattern in ('*.tempstate*', '.*.part', 'best/.*.part',
                                      'best/*.tempstate*')
            for path in self.folder.glob(pattern)}

  def check_killed(self, killed):
    if 'resumes step' in killed.output:
      assert f'resumes step {self.known} ' in killed.output
    whole = whole_files.whole_steps(self.folder)
    newest = max(whole, default=0)
    # No whole checkpoint is lost, even while a new one is being written.
    assert newest >= self.known
    last = self.known if killed.step is None else killed.step
    self.known = newest
    if killed.number == signal.SIGTERM:
      assert newest == last
    elif last > newest:
      saved = self.folder / (f'model.ckpt-{newest}.index' if newest else 'checkpoint')
      if saved.exists():
        self.seconds_lost.append(killed.time - saved.stat().st_mtime)
    card = whole_files.check_json(self.folder / 'run_card.json')
    assert card is None or card['results'].get('step', 0) <= max(last, newest)
    return last - newest

  def check_finished(self, output):
    if self.known:
      assert (f'resumes step {self.known} ' in output
              or f'is at step {self.steps} of {self.steps}' in output), output[:2000]
    whole = whole_files.whole_steps(self.folder)
    assert whole[-1] == self.steps
    # The saver continues to delete what earlier processes wrote.
    assert len(list(self.folder.glob('model.ckpt-*.index'))) == len(whole) <= 5
    whole_files.check_run_folder(self.folder)
    card = whole_files.check_json(self.folder / 'run_card.json')
    assert (self.folder / f"{card['results']['checkpoint']}.index").exists()


class Validation(Training):
  """A training run that is validated every 30 steps and keeps the best."""

  name = 'validation in a run'
  steps = 150 if _IS_LONG else 90
  flags = types.MappingProxyType({'validation_share': 0.2, 'validate_every_steps': 30})

  def check_killed(self, killed):
    whole_files.check_validation(self.folder, ended=False)
    return super().check_killed(killed)

  def check_finished(self, output):
    super().check_finished(output)
    whole_files.check_validation(self.folder, ended=True)
    history = whole_files.check_json(self.folder / 'validation.json')
    assert [result['step'] for result in history['findings']] == list(
        range(30, self.steps + 1, 30))


class Watch(Command):
  """`eval --watch` on a folder in which one checkpoint after the other appears."""

  name, unit = 'eval --watch', 'results'

  def __init__(self, folder, digits_dir, trained_dir):
    super().__init__()
    self.folder, self.eval_dir = folder / 'checkpoints', folder / 'eval'
    self._digits_dir, self._trained_dir = digits_dir, trained_dir
    self._steps = whole_files.whole_steps(trained_dir)
    self._given, self._printed, self._begins_anew = 0, 0, True
    self._numbers = None

  def begin(self):
    for folder in (self.folder, self.eval_dir):
      shutil.rmtree(folder, ignore_errors=True)
    self.folder.mkdir()
    self._given = self._printed = 0
    self._give()

  def _give(self):
    if self._given == len(self._steps):
      return
    prefix = f'model.ckpt-{self._steps[self._given]}'
    for path in self._trained_dir.glob(f'{prefix}.*'):
      os.link(path, self.folder / path.name)
    state = self.folder / '.state'
    state.write_text(f'model_checkpoint_path: "{prefix}"\n')
    os.replace(state, self.folder / 'checkpoint')
    self._given += 1

  def line(self):
    data = on_digits(self._digits_dir)
    return scripts.command(
        'eval_image_classifier', watch=True, watch_timeout_secs=2,
        checkpoint_path=self.folder, eval_dir=self.eval_dir,
        **{name: data[name] for name in ('dataset_name', 'dataset_dir', 'model_name')})

  def unfinished(self):
    return {path.name for path in self.eval_dir.glob('report/.unfinished-*/*')}

  def while_running(self, printed):
    if printed.count('  accuracy  ') >= self._given:
      self._give()

  def check_killed(self, killed):
    whole_files.check_report(self.eval_dir / 'report')
    self._printed += killed.output.count('  accuracy  ')
    steps = whole_files.steps_with('eval/Accuracy', self.eval_dir)
    # For the run that follows.
    while self._given < len(self._steps):
      self._give()
    return max(0, self._printed - len(steps))

  def check_finished(self, output):
    assert '  accuracy  ' in output
    whole_files.check_eval_folder(self.eval_dir)
    report = whole_files.check_report(self.eval_dir / 'report')
    assert report['run']['step'] == self._steps[-1]
    assert self._steps[-1] in whole_files.steps_with('eval/Accuracy', self.eval_dir)
    numbers = {name: report[name] for name in ('top1', 'topk', 'confusion_matrix')}
    self._numbers = self._numbers or numbers
    assert numbers == self._numbers


class FolderConversion(Command):
  """slim-zoo convert-images, which replaces an earlier conversion."""

  name, unit = 'image folder conversion', 'records'

  def __init__(self, folder):
    super().__init__()
    self.folder = folder / 'pets'
    self._images = folder / 'photos'
    stored_images.plain_folder(self._images, 100, ('cat', 'dog', 'owl'))
    earlier = stored_images.plain_folder(folder / 'fewer_photos', 20)
    self._earlier = folder / 'earlier'
    stored_images.convert(earlier, self._earlier, num_shards=4)
    self._whole = [whole_files.visible(self._earlier)]

  def begin(self):
    shutil.rmtree(self.folder, ignore_errors=True)
    shutil.copytree(self._earlier, self.folder)
    self._left = set()

  def line(self):
    return scripts.command('convert-images', image_dir=self._images, num_shards=4,
                           dataset_dir=self.folder, dataset_name='pets', num_workers=2)

  def unfinished(self):
    return {str(path) for path in self.folder.glob('.unfinished-*/new/*')}

  def check_killed(self, killed):
    files = whole_files.visible(self.folder)
    if 'dataset.json' in files:
      assert files in self._whole
    left = set(self.folder.glob('.unfinished-*'))
    # Ended in order, it leaves at most what an earlier kill had left.
    assert killed.returncode < 0 or left <= self._left
    self._left = left
    return whole_files.count_records(*self.folder.glob('.unfinished-*/new/*'))

  def check_finished(self, output):
    assert not list(self.folder.glob('.*'))
    files = whole_files.visible(self.folder)
    if len(self._whole) == 1:
      self._whole.append(files)
    assert files == self._whole[1]


class ArchiveConversion(FolderConversion):
  """download_and_convert_data.py, which continues an earlier run."""

  name = 'archive conversion'

  def __init__(self, folder):
    Command.__init__(self)
    self.folder = folder / 'flowers'
    self._source = folder / 'source'
    self._source.mkdir()
    small_archives.flowers(self._source / 'flower_photos.tgz', 60)
    self._whole = [None]
    self._losses = []

  def begin(self):
    shutil.rmtree(self.folder, ignore_errors=True)

  def line(self):
    return scripts.command(
        'download_and_convert_data', dataset_name='flowers', dataset_dir=self.folder,
        source=self._source, num_workers=2)

  def unfinished(self):
    return {str(path) for path in self.folder.glob('.unfinished-flowers/*/*')}

  def check_killed(self, killed):
    files = whole_files.visible(self.folder)
    if 'dataset.json' in files:
      assert files in self._whole
    hidden = self.folder / '.unfinished-flowers'
    # What has no note is written again.
    return whole_files.count_records(*hidden.glob('*/*.partial'))


class Copies(Command):
  """Decoded copies by --cache_dir, made before the first step of a run."""

  name, unit = 'copies by --cache_dir', 'records'

  def __init__(self, folder):
    super().__init__()
    self.folder, self._train_dir = folder / 'cache', folder / 'run'
    self._records = folder / 'records'
    photos = stored_images.fill(folder / 'photos', {
        f'{name}/{index:03d}.png': stored_images.encoded(
            stored_images.picture(1000 * label + index, 64, 64))
        for label, name in enumerate(('cat', 'dog')) for index in range(400)})
    stored_images.convert(photos, self._records, num_shards=4)
    self._whole = None

  def begin(self):
    for folder in (self.folder, self._train_dir):
      shutil.rmtree(folder, ignore_errors=True)

  def line(self):
    return scripts.command(
        'train_image_classifier', dataset_name='pets', dataset_dir=self._records,
        model_name='lenet', train_dir=self._train_dir, cache_dir=self.folder,
        batch_size=2, max_number_of_steps=2, validation_split_name='validation',
        sample_predictions=0)

  def unfinished(self):
    return {str(path) for path in self.folder.glob('.unfinished-*/new/*')}

  def check_killed(self, killed):
    for name, data in whole_files.visible(self.folder).items():
      assert data == self._whole[name], name
    return whole_files.count_records(*self.folder.glob('.unfinished-*/new/*'))

  def check_finished(self, output):
    assert not list(self.folder.glob('.*'))
    files = whole_files.visible(self.folder)
    self._whole = self._whole or files
    assert files == self._whole


def _share(kind):
  """Returns how many of the kills are of a kind of work."""
  return KILLS // len(_KINDS) + (list(_KINDS).index(kind) < KILLS % len(_KINDS))


@pytest.fixture(scope='session')
def checkpoints_dir(trained_dir, tmp_path_factory):
  """Returns a folder with the weights of a run as those of several steps."""
  folder = tmp_path_factory.mktemp('checkpoints')
  weights = {name: value for name, value in checkpoint_files.values_of(
      trained_dir / 'model.ckpt-60').items() if '/Adam' not in name}
  for step in (20, 40, 60) if _IS_LONG else (20, 60):
    checkpoint_files.write_quickly(
        folder / f'model.ckpt-{step}', {**weights, 'global_step': np.int64(step)})
  return folder


_KINDS = {
    'training': lambda folder, request: Training(
        folder, request.getfixturevalue('digits_dir')),
    'validation': lambda folder, request: Validation(
        folder, request.getfixturevalue('digits_dir')),
    'watch': lambda folder, request: Watch(
        folder, request.getfixturevalue('digits_dir'),
        request.getfixturevalue('checkpoints_dir')),
    'folder': lambda folder, request: FolderConversion(folder),
    'archive': lambda folder, request: ArchiveConversion(folder),
    'copies': lambda folder, request: Copies(folder),
}


@pytest.mark.parametrize('kind', [
    pytest.param(kind, marks=pytest.mark.skipif(
        kind == 'training' and not _IS_LONG,
        reason='a part of the kind validation, and of kill_test: set KILLS=200'))
    for kind in _KINDS])
def test_the_same_command_continues_after_a_kill(kind, tmp_path, request):
  print(f'KILLS_SEED={SEED}')
  command = _KINDS[kind](tmp_path, request)
  tally = Tally(command.name, command.unit)
  try:
    kill_repeatedly(command, _share(kind), random.Random(f'{SEED} {kind}'), tally)
  finally:
    print(tally.row())
    seconds = getattr(command, 'seconds_lost', [])
    if seconds:
      print(f'SIGKILL: seconds since the last checkpoint: max {max(seconds):.2f},'
            f' median {statistics.median(seconds):.2f}')
