"""slim-zoo average: the mean of the weights, and new statistics of batch norm."""

import os
import shutil

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.checkpoints import averaging, restore, writing
from slim_zoo.config.averaging import AverageConfig
from tests import scripts

WEIGHTS, MEAN = 'net/conv/weights', 'net/conv/BatchNorm/moving_mean'


def checkpoint(folder, step, weight, shape=(2, 3)):
  path = str(folder / f'model.ckpt-{step}')
  writing.write(path, {
      WEIGHTS: np.full(shape, weight, np.float32),
      f'{WEIGHTS}/Momentum': np.ones(shape, np.float32),
      f'{WEIGHTS}/ExponentialMovingAverage': np.ones(shape, np.float32),
      MEAN: np.full([3], 2 * weight, np.float32), 'global_step': np.int64(step)})
  return path


def test_weights_are_averaged_and_the_step_is_the_last(tmp_path):
  paths = [checkpoint(tmp_path, step, step / 10) for step in (10, 20, 60)]
  averaging.average(paths, str(tmp_path / 'mean'))
  shapes = restore.verify(str(tmp_path / 'mean'))
  assert set(shapes) == {WEIGHTS, MEAN, 'global_step'}
  values = restore.read_values(str(tmp_path / 'mean'), shapes)
  np.testing.assert_allclose(values[WEIGHTS], np.full([2, 3], 3.0), rtol=1e-6)
  np.testing.assert_allclose(values[MEAN], np.full([3], 6.0), rtol=1e-6)
  assert values['global_step'] == 60


def test_other_networks_and_bad_numbers_are_refused(tmp_path):
  good = checkpoint(tmp_path, 1, 0.5)
  other = checkpoint(tmp_path, 2, 0.5, (4, 3))
  with pytest.raises(diagnostics.UserError, match='are of different networks'):
    averaging.average([other, good], str(tmp_path / 'mean'))
  bad = checkpoint(tmp_path, 3, np.nan)
  with pytest.raises(diagnostics.UserError, match=f"'{WEIGHTS}' is not finite|BatchNo"):
    averaging.average([bad, good], str(tmp_path / 'mean'))
  assert not os.path.exists(tmp_path / 'mean.index')


def test_the_last_checkpoints_of_a_run_are_averaged(trained_dir, tmp_path):
  """A LeNet of one short run: it has no batch norm, so no images are needed."""
  run = shutil.copytree(trained_dir, tmp_path / 'run')
  last = str(run / 'model.ckpt-60')
  shapes = restore.verify(last)
  values = restore.read_values(last, shapes)
  earlier = {name: value * (0 if name == 'LeNet/fc4/biases' else 1)
             for name, value in values.items()}
  earlier['global_step'] = np.int64(2)
  writing.write(str(run / 'model.ckpt-2'), earlier)
  done = scripts.run('average', checkpoint_path=run, last=2)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == [
      'averaged', f'  {run}/model.ckpt-2', f'  {last}', f'wrote {last}-averaged',
      f'checkpoint {last}-averaged']
  found = restore.read_values(f'{last}-averaged', ['LeNet/fc4/biases'])
  np.testing.assert_allclose(
      found['LeNet/fc4/biases'], values['LeNet/fc4/biases'] / 2, rtol=1e-6)
  answer = scripts.run('inspect', checkpoint_path=f'{last}-averaged')
  assert 'lenet' in answer.stdout
  again = scripts.run('average', checkpoint_path=run, last=2)
  scripts.answer(again, 'is there already', code=1)


def test_statistics_of_batch_norm_need_images(tmp_path):
  paths = ','.join(checkpoint(tmp_path, step, 1.0) for step in (1, 2))
  done = scripts.run('average', checkpoint_path=paths)
  scripts.answer(done, '--dataset_name and --dataset_dir', code=1)
  done = scripts.run('average', '--norecalibrate_batch_norm', checkpoint_path=paths)
  assert done.returncode == 0, done.stderr
  assert done.stdout.endswith('model.ckpt-2-averaged\n')


@pytest.mark.parametrize(('given', 'words'), [
    ({}, 'no --checkpoint_path'), ({'checkpoint_path': ['{one}']}, 'one checkpoint'),
    ({'checkpoint_path': ['{one}', '{folder}/model.ckpt-9']}, 'model.ckpt-9'),
    ({'checkpoint_path': ['{one}', '{one}'], 'last': 2}, '--last=2'),
    ({'checkpoint_path': ['{folder}'], 'last': 1}, '--last=1')])
def test_mistakes_are_told_in_one_line(tmp_path, given, words):
  places = {'folder': tmp_path, 'one': checkpoint(tmp_path, 1, 1.0)}
  given = {**given, 'checkpoint_path': [
      path.format(**places) for path in given.get('checkpoint_path', ())]}
  with pytest.raises(diagnostics.UserError, match=words):
    AverageConfig.from_options(given).check()


def test_a_folder_with_too_few_checkpoints():
  options = AverageConfig.from_options({'checkpoint_path': [os.sep], 'last': 4})
  with pytest.raises(diagnostics.UserError, match='3 whole checkpoints, 4 are needed'):
    options.checkpoints.chosen(['a', 'b', 'c'])
  options = AverageConfig.from_options({'checkpoint_path': [os.sep]})
  with pytest.raises(diagnostics.UserError, match='1 whole checkpoint, two or more'):
    options.checkpoints.chosen(['a'])
  paths = list('abcdefg')
  assert options.checkpoints.chosen(paths) == (paths[-5:], [])
  assert options.checkpoints.chosen(paths[:3]) == (
      paths[:3], [f"'{os.sep}' has 3 checkpoints: all are averaged"])
