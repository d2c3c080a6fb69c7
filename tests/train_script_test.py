"""train_image_classifier.py as its users meet it."""

import os
import re
import shutil
import signal
import subprocess

import numpy as np
import pytest

from slim_zoo.config.training import TrainConfig
from slim_zoo.tf_compat import tf
from tests import records_for_tests, scripts
from tests.conftest import on_digits


def train(**flags):
  return scripts.run('train_image_classifier', **flags)


def values(path):
  """Returns all variables of a checkpoint by name."""
  reader = tf.train.load_checkpoint(str(path))
  return {name: reader.get_tensor(name)
          for name in reader.get_variable_to_shape_map()}


def test_run_says_what_it_does_and_a_finished_run_does_nothing(digits_dir, tmp_path):
  flags = dict(on_digits(digits_dir), train_dir=tmp_path, max_number_of_steps=40,
               log_every_n_steps=20, batch_size=16, rmsprop_decay=0.8)
  done = train(**flags)
  assert done.returncode == 0, done.stderr
  assert done.stderr == ''
  for words in ('lenet, 3.27 M parameters', '1,442 of 10 classes', 'batch          16',
                'epoch          90 steps', 'every 180 steps', 'random weights',
                '--rmsprop_decay=0.8 has no effect with --optimizer=adam',
                str(tmp_path)):
    assert words in done.stdout, done.stdout
  assert re.search(r'step 20/40  loss \d+\.\d+  learning rate 0\.001  [\d,]+ images/s'
                   r'  input wait \d+%  0:\d\d left', done.stdout)
  assert tf.train.latest_checkpoint(str(tmp_path)).endswith('model.ckpt-40')
  assert int(values(tmp_path / 'model.ckpt-40')['global_step']) == 40
  assert 'name: "global_step"' in (tmp_path / 'graph.pbtxt').read_text()

  before = sorted(os.listdir(tmp_path))
  again = train(**flags)
  assert again.returncode == 0
  assert 'nothing is left to do' in again.stdout
  assert sorted(os.listdir(tmp_path)) == before


def test_a_signal_saves_and_the_same_command_goes_on(digits_dir, tmp_path):
  flags = dict(on_digits(digits_dir), train_dir=tmp_path / 'run', batch_size=8,
               log_every_n_steps=1)
  stopped, first = stop(tmp_path, flags, signal.SIGINT, 130, after=5)
  assert 'resumes' not in first
  again, second = stop(tmp_path, flags, signal.SIGTERM, 143, after=stopped + 3)
  assert again >= stopped + 3
  assert f'resumes step {stopped} ' in second
  assert f'\nstep {stopped + 1} ' in second
  assert f'\nstep {stopped} ' not in second


def stop(outputs, flags, number, code, after):
  """Stops a run after a step; returns the step that it saved, and its output."""
  process = scripts.Started(outputs, scripts.command('train_image_classifier', **flags))
  assert process.wait_for(f'\nstep {after} '), process.stderr
  process.signal(number)
  done = process.wait()
  assert done.returncode == code, done.stderr
  stopped = int(re.search(r'at step (\d+), saved', done.stderr)[1])
  assert 'Traceback' not in done.stderr
  folder = flags['train_dir']
  assert tf.train.latest_checkpoint(str(folder)).endswith(f'-{stopped}')
  assert int(values(folder / f'model.ckpt-{stopped}')['global_step']) == stopped
  return stopped, done.stdout


def test_checkpoints_are_of_one_step(digits_dir, tmp_path):
  """All that counts steps in a checkpoint agrees with its name."""
  done = train(**dict(on_digits(digits_dir), train_dir=tmp_path, batch_size=4,
                      max_number_of_steps=150, save_interval_secs=1))
  assert done.returncode == 0, done.stderr
  saved = tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths
  assert len(saved) > 1
  for path in saved:
    step = int(path.rsplit('-', 1)[1])
    content = values(path)
    assert int(content['global_step']) == step
    # Adam multiplies its power by beta1 at every update.
    np.testing.assert_allclose(content['beta1_power'], 0.9 ** (step + 1), rtol=1e-3)


def test_the_seed_repeats_a_run(digits_dir, tmp_path):
  def losses(folder, seed):
    done = train(**dict(on_digits(digits_dir), train_dir=tmp_path / folder, seed=seed,
                        max_number_of_steps=3, log_every_n_steps=1, batch_size=8))
    return re.findall(r'loss (\S+)', done.stdout)
  first, again, other = losses('a', 1), losses('b', 1), losses('c', 2)
  assert len(first) == 3
  # Threads may add up in another order, so the last digits may differ.
  np.testing.assert_allclose(np.float64(first), np.float64(again), rtol=1e-3)
  assert first != other


def test_clones_train_together(digits_dir, tmp_path):
  done = train(**dict(on_digits(digits_dir), train_dir=tmp_path, num_clones=2,
                      batch_size=8, max_number_of_steps=5, moving_average_decay=0.9))
  assert done.returncode == 0, done.stderr
  assert done.stderr == ''
  assert '16 images: 8 for each of 2 clones on the CPU' in done.stdout
  names = set(values(tmp_path / 'model.ckpt-5'))
  assert 'LeNet/fc4/weights/ExponentialMovingAverage' in names
  assert not any(name.startswith('clone_') for name in names)


def test_synchronous_replicas_come_to_an_end(digits_dir, tmp_path):
  """The stock loop waits two minutes for a thread, and fails: a RuntimeError."""
  done = train(**dict(on_digits(digits_dir), train_dir=tmp_path, batch_size=8,
                      max_number_of_steps=4, sync_replicas=True))
  assert done.returncode == 0, done.stderr
  assert done.stderr == ''
  assert int(values(tmp_path / 'model.ckpt-4')['global_step']) == 4


def test_fine_tuning_restores_what_it_says(digits_dir, trained_dir, tmp_path):
  done = train(**dict(on_digits(digits_dir), train_dir=tmp_path, max_number_of_steps=1,
                      checkpoint_path=trained_dir, learning_rate=0,
                      checkpoint_exclude_scopes='LeNet/fc4',
                      trainable_scopes='LeNet/fc4'))
  assert done.returncode == 0, done.stderr
  assert re.search(r'restored +6 ', done.stdout)
  assert re.search(r'excluded +2  LeNet/fc4/weights, LeNet/fc4/biases', done.stdout)
  before = values(tf.train.latest_checkpoint(str(trained_dir)))
  after = values(tmp_path / 'model.ckpt-1')
  np.testing.assert_array_equal(before['LeNet/conv1/weights'],
                                after['LeNet/conv1/weights'])
  assert np.abs(before['LeNet/fc4/weights'] - after['LeNet/fc4/weights']).max() > 0
  # The slots are of the trained variables only.
  assert {name for name in after if name.endswith('/Adam')} == {
      'LeNet/fc4/weights/Adam', 'LeNet/fc4/biases/Adam'}

  resumed = train(**dict(on_digits(digits_dir), train_dir=tmp_path,
                         max_number_of_steps=2, checkpoint_path=trained_dir,
                         trainable_scopes='LeNet/fc4'))
  assert resumed.returncode == 0, resumed.stderr
  assert 'resumes step 1' in resumed.stdout
  assert 'is not used' in resumed.stdout


def test_an_unreadable_image_does_not_end_the_run(tmp_path):
  images = [records_for_tests.png(value, 28) for value in range(40)]
  images[7] = b'no image'
  records_for_tests.write(tmp_path / 'digits_train.tfrecord', images,
                          [value % 10 for value in range(40)])
  done = train(**dict(on_digits(tmp_path), train_dir=tmp_path / 'run', batch_size=8,
                      max_number_of_steps=12))
  assert done.returncode == 0, done.stderr
  assert 'skipped record 7' in done.stdout
  assert '(1 so far)' in done.stdout
  assert '(2 so far)' not in done.stdout


def test_flags_without_effect_are_said():
  """A run prints them: the first test."""
  notes = '\n'.join(TrainConfig.from_options({
      'optimizer': 'adam', 'rmsprop_decay': 0.8, 'learning_rate_decay_type': 'fixed',
      'learning_rate_decay_factor': 0.5}).notes())
  assert '--rmsprop_decay=0.8 has no effect with --optimizer=adam' in notes
  assert '--learning_rate_decay_factor=0.5 has no effect' in notes
  assert '--opt_epsilon=1e-8 is usual' in notes


@pytest.fixture
def run(trained_dir, tmp_path):
  """Returns a copy of a run of 60 steps."""
  return shutil.copytree(trained_dir, tmp_path / 'run')


def test_nan_names_the_step_and_the_last_good_checkpoint(digits_dir, run):
  done = train(**dict(on_digits(digits_dir), train_dir=run, batch_size=8,
                      max_number_of_steps=500, learning_rate=1e30))
  line = scripts.answer(done, 'not finite', 'lower --learning_rate', 'model.ckpt-60')
  assert 'after step' in line or 'first step' in line
  assert tf.train.latest_checkpoint(str(run)).endswith('model.ckpt-60')


def test_help_shows_every_flag_by_its_group():
  done = train(help=True)
  assert done.returncode == 0
  for words in ('--model_name', '--num_clones', '--checkpoint_path', '--optimizer:',
                'The optimizer: how gradients become updates.'):
    assert words in done.stdout


# --- Mistakes that are answered before TensorFlow is imported.

@pytest.mark.parametrize(('flags', 'words'), [
    ({'model_name': 'resnet_v1_5'}, ["no network 'resnet_v1_5'", "'resnet_v1_50'"]),
    ({'dataset_name': 'digit'}, ["no data set 'digit'", "did you mean 'digits'"]),
    ({'dataset_split_name': 'valid'}, ["no split 'valid' in digits", 'train, test']),
    ({'optimizer': 'adamm'}, ['optimizer', 'adamm', 'rmsprop']),
    ({'batch_size': 0}, ['--batch_size=0']),
    ({'batch_size': 'many'}, ['--batch_size=many']),
    ({'batchsize': 3}, ['no flag --batchsize', "'batch_size'"]),
    ({'preprocessing_name': 'incepton'}, ["'incepton'", "'inception'"]),
    ({'dataset_dir': '/no/such/folder'}, ['/no/such/folder']),
    ({'labels_offset': 10}, ['labels_offset 10']),
    ({'mixed_precision': 'half'}, ['mixed_precision', 'bfloat16']),
    ({'precision': 'half'}, ['precision', 'bfloat16']),
    ({'precision': 'float16', 'sync_replicas': True}, ['--sync_replicas']),
    ({'precision': 'auto', 'mixed_precision': 'none'}, ['differ', 'leave it out']),
    ({'precision': 'auto', 'master': 'grpc://a:1'}, ['--master=grpc://a:1']),
    ({'precision': 'auto', 'deterministic': True}, ['--deterministic']),
    ({'xla': True, 'master': 'grpc://a:1'}, ['--master=grpc://a:1']),
    ({'checkpoint_exclude_scopes': 'a'}, ['--checkpoint_path']),
    ({'task': 2}, ['--task=2', '--worker_replicas=1']),
    ({'worker_replicas': 2}, ['--num_ps_tasks']),
])
def test_mistaken_flags(digits_dir, tmp_path, flags, words):
  done = train(**{**on_digits(digits_dir), 'train_dir': tmp_path, **flags})
  scripts.answer(done, *words)
  assert os.listdir(tmp_path) == []


def test_an_empty_data_folder(tmp_path):
  scripts.answer(train(**dict(on_digits(tmp_path), train_dir=tmp_path / 'run')),
                 str(tmp_path), 'digits_train.tfrecord')


def test_a_train_dir_that_cannot_be_written(digits_dir, tmp_path):
  (tmp_path / 'file').write_text('in the way')
  scripts.answer(train(**dict(on_digits(digits_dir), train_dir=tmp_path / 'file')),
                 str(tmp_path / 'file'))
  # /proc is read-only even for root.
  scripts.answer(train(**dict(on_digits(digits_dir), train_dir='/proc/no')), '/proc/no')


# --- Mistakes that only the records or the checkpoint show.

def test_labels_outside_the_classes(tmp_path):
  records_for_tests.write(tmp_path / 'digits_train.tfrecord',
                          [records_for_tests.png(1, 28)] * 10, [3] * 9 + [10])
  done = train(**dict(on_digits(tmp_path), train_dir=tmp_path / 'run', batch_size=5,
                      max_number_of_steps=20))
  scripts.answer(done, 'label 10', '10 classes', 'another data set')


def test_a_damaged_record_file(digits_dir, tmp_path):
  path = shutil.copy(digits_dir / 'digits_train.tfrecord', tmp_path)
  with open(path, 'r+b') as file:
    file.truncate(os.path.getsize(path) - 100)
  done = train(**dict(on_digits(tmp_path), train_dir=tmp_path / 'run',
                      max_number_of_steps=100))
  scripts.answer(done, 'digits_train.tfrecord', 'damaged at record 1441')


def test_a_checkpoint_that_does_not_fit(digits_dir, trained_dir, tmp_path):
  flags = dict(on_digits(digits_dir), train_dir=tmp_path, max_number_of_steps=1)
  other = train(**dict(flags, model_name='cifarnet', checkpoint_path=trained_dir))
  scripts.answer(other, 'another network', "'LeNet'", "'CifarNet'")
  offset = train(**dict(flags, checkpoint_path=trained_dir, dataset_name='digits',
                        labels_offset=0, train_image_size=32))
  scripts.answer(offset, 'does not fit', 'LeNet/fc3/weights', '3136', '4096')
  scope = train(**dict(flags, checkpoint_path=trained_dir,
                       checkpoint_exclude_scopes='LeNet/fc5'))
  scripts.answer(scope, "'LeNet/fc5' matches no variable", 'did you mean')
  missing = train(**dict(flags, checkpoint_path=tmp_path / 'nothing'))
  scripts.answer(missing, 'no checkpoint')
  trainable = train(**dict(flags, trainable_scopes='LeNet/fc9'))
  scripts.answer(trainable, "--trainable_scopes: scope 'LeNet/fc9'")


def test_a_run_of_another_network_is_not_resumed(digits_dir, run):
  before = sorted(os.listdir(run))
  done = train(**dict(on_digits(digits_dir), train_dir=run,
                      model_name='cifarnet', max_number_of_steps=100))
  scripts.answer(done, 'is not of this run', 'CifarNet')
  assert sorted(os.listdir(run)) == before


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew(digits_dir, run):
  with open(run / 'model.ckpt-60.data-00000-of-00001', 'r+b') as file:
    file.truncate(1000)
  before = sorted(os.listdir(run))
  scripts.answer(train(**dict(on_digits(digits_dir), train_dir=run, batch_size=8,
                              max_number_of_steps=63)),
                 'model.ckpt-60', 'is complete', 'another --train_dir')
  assert sorted(os.listdir(run)) == before


@pytest.fixture
def small_disk(tmp_path):
  """Returns a folder on a file system with room for one checkpoint of LeNet."""
  folder = tmp_path / 'small'
  folder.mkdir()
  mounted = subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', str(folder)],
      capture_output=True, check=False)
  if mounted.returncode != 0:
    pytest.skip('a small file system cannot be mounted here: that takes root')
  yield folder
  subprocess.run(['umount', str(folder)], check=True)


def test_a_full_disk_keeps_the_last_checkpoint(digits_dir, trained_dir, small_disk):
  shutil.copytree(trained_dir, small_disk, dirs_exist_ok=True)
  done = train(**dict(on_digits(digits_dir), train_dir=small_disk, batch_size=8,
                      max_number_of_steps=62))
  scripts.answer(done, 'the disk is full', str(small_disk), 'model.ckpt-60')
  assert tf.train.latest_checkpoint(str(small_disk)).endswith('model.ckpt-60')
  assert not [name for name in os.listdir(small_disk) if 'tempstate' in name]
