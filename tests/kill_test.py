"""A run that is killed loses at most the steps since its last whole checkpoint."""

import os
import random
import re
import shutil

import pytest

from slim_zoo.tf_compat import tf
from tests import scripts
from tests.conftest import on_digits

# Kills in the suite; more by hand: KILLS=20 python -m pytest tests/kill_test.py
KILLS = int(os.environ.get('KILLS', '3'))


def whole_steps(folder):
  """Returns the steps of the checkpoints that can be read to their last value."""
  steps = []
  for index in folder.glob('model.ckpt-*.index'):
    try:
      reader = tf.train.load_checkpoint(str(index.with_suffix('')))
      for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)
      steps.append(int(reader.get_tensor('global_step')))
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError):
      continue
  return sorted(steps)


def test_kills_at_random_moments_lose_no_whole_checkpoint(digits_dir, tmp_path):
  """The learning rate is 0 here: speed is all that matters."""
  chance = random.Random(5)
  flags = dict(on_digits(digits_dir), train_dir=tmp_path, batch_size=2,
               log_every_n_steps=1, save_interval_secs=1)
  known = 0
  for _ in range(KILLS):
    writing = chance.random() < 0.5
    steps = chance.randrange(5, 60)
    unfinished = set(tmp_path.glob('*.tempstate*'))

    def moment(printed, writing=writing, steps=steps, unfinished=unfinished):
      if writing:  # While files of a new checkpoint come to be.
        return bool(set(tmp_path.glob('*.tempstate*')) - unfinished)
      return printed.count('\nstep ') >= steps

    killed = scripts.run_killed(moment, 'train_image_classifier', **flags)
    assert killed.returncode == -9, killed.stderr
    resumed = re.search(r'resumes step (\d+)', killed.stdout)
    assert known == (int(resumed[1]) if resumed else 0)
    whole = whole_steps(tmp_path)
    known = max([known, *whole])

  done = scripts.run('train_image_classifier', **dict(
      flags, max_number_of_steps=known + 3))
  assert done.returncode == 0, done.stderr
  if known:
    assert f'resumes step {known}' in done.stdout
  assert max(whole_steps(tmp_path)) == known + 3
  assert not list(tmp_path.glob('*.tempstate*'))
  # The saver continues to delete what its predecessors wrote.
  assert len(list(tmp_path.glob('model.ckpt-*.index'))) <= 5


@pytest.fixture(scope='module')
def run_dir(digits_dir, tmp_path_factory):
  """Returns the folder of a run with checkpoints at the steps 2 and 4."""
  folder = tmp_path_factory.mktemp('run')
  for last in (2, 4):
    done = scripts.run('train_image_classifier', **dict(
        on_digits(digits_dir), train_dir=folder, batch_size=2,
        max_number_of_steps=last))
    assert done.returncode == 0, done.stderr
  return folder


@pytest.mark.parametrize('suffix', ['.index', '.data-00000-of-00001'])
def test_a_torn_checkpoint_is_passed_over_loudly(
    digits_dir, run_dir, tmp_path, suffix):
  folder = shutil.copytree(run_dir, tmp_path / 'run')
  torn = folder / f'model.ckpt-4{suffix}'
  torn.write_bytes(torn.read_bytes()[:-100])
  done = scripts.run('train_image_classifier', **dict(
      on_digits(digits_dir), train_dir=folder, batch_size=2, max_number_of_steps=5))
  assert done.returncode == 0, done.stderr
  assert 'WARNING: model.ckpt-4 is newer but damaged' in done.stdout
  assert '2 steps are lost' in done.stdout
  assert 'resumes step 2' in done.stdout
  assert whole_steps(folder)[-1] == 5
