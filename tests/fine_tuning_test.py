"""Fine-tuning by train_image_classifier.py: to other classes, and back."""

import json

import numpy as np
import pytest

from slim_zoo.datasets import digits, labels
from slim_zoo.tf_compat import tf
from tests import checkpoint_files, records_for_tests, scripts
from tests.conftest import on_digits

# Two of the digits, in another order than theirs, and a class of another kind.
FEW = ('seven', 'none', 'two')
CONV, HEAD = 'LeNet/conv1/weights', 'LeNet/fc4/weights'
AVERAGE = '/ExponentialMovingAverage'


@pytest.fixture(scope='module')
def few_dir(tmp_path_factory):
  """Returns a folder with a data set of three classes."""
  folder = tmp_path_factory.mktemp('few')
  images, numbers = digits.load_images()
  chosen = [(digits.encode(images[index]), 0 if numbers[index] == 7 else 2)
            for index in range(300) if numbers[index] in (2, 7)]
  chosen += [(records_for_tests.png(255, 28), 1)] * 5
  records_for_tests.write(folder / 'few_train.tfrecord', *zip(*chosen, strict=True))
  labels.write_label_file(dict(enumerate(FEW)), folder)
  (folder / 'dataset.json').write_text(json.dumps({
      'format_version': 1, 'name': 'few', 'num_classes': 3, 'channels': 1,
      'splits': {'train': {'images': len(chosen), 'files': 'few_train.tfrecord'}}}))
  return folder


def train(data, folder, **flags):
  """Takes two steps that change nothing but moving averages."""
  flags = {**on_digits(data), 'train_dir': folder, 'learning_rate': 0,
           'max_number_of_steps': 2, 'batch_size': 8, **flags}
  return scripts.run('train_image_classifier', **flags)


def test_to_other_classes_and_back(digits_dir, trained_dir, few_dir, tmp_path):
  on_few = {'dataset_name': 'few', 'checkpoint_path': trained_dir}
  refused = train(few_dir, tmp_path / 'few', **on_few)
  scripts.answer(refused, 'the checkpoint has 10 classes, the data set 3',
                 '--checkpoint_exclude_scopes=auto')
  assert 'shape differs                  2  LeNet/fc4/weights' in refused.stdout

  # Every flag that may begin a run here.
  there = train(few_dir, tmp_path / 'few', **on_few, init='finetune',
                checkpoint_exclude_scopes='auto', moving_average_decay=0.9)
  assert there.returncode == 0, there.stderr
  assert 'restored                       6  ' in there.stdout
  assert 'excluded                       2  LeNet/fc4/weights' in there.stdout
  assert 'the head LeNet/fc4 is initialized' in there.stdout
  begun = checkpoint_files.values_of(tf.train.latest_checkpoint(str(trained_dir)))
  few = checkpoint_files.values_of(tmp_path / 'few' / 'model.ckpt-2')
  np.testing.assert_array_equal(few[CONV], begun[CONV])
  np.testing.assert_array_equal(few[CONV + AVERAGE], begun[CONV])
  assert few[HEAD].shape == (1024, 3)

  back = train(digits_dir, tmp_path / 'back', checkpoint_path=tmp_path / 'few',
               transfer_classes_from=few_dir / 'labels.txt',
               checkpoint_rename=f'{AVERAGE}=')
  assert back.returncode == 0, back.stderr
  assert '2 of 10 classes keep the weights' in back.stdout
  values = checkpoint_files.values_of(tmp_path / 'back' / 'model.ckpt-2')
  np.testing.assert_array_equal(values[CONV], begun[CONV])
  np.testing.assert_array_equal(values[HEAD][:, [7, 2]], few[HEAD][:, [0, 2]])
  assert set(FEW[::2]) <= set(digits.CLASS_NAMES)


def test_a_torn_checkpoint_costs_its_steps_and_no_more(digits_dir, tmp_path):
  flags = {'max_number_of_steps': 60, 'save_interval_secs': 1}
  assert train(digits_dir, tmp_path, **flags).returncode == 0
  checkpoint_files.cut(checkpoint_files.data(tmp_path / 'model.ckpt-60'), 1000)
  before = tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths
  assert len(before) > 1
  step = int(before[-2].rpartition('-')[2])
  done = train(digits_dir, tmp_path, max_number_of_steps=61, save_interval_secs=0)
  assert done.returncode == 0, done.stderr
  assert f'resumes step {step} of' in done.stdout
  assert 'WARNING: model.ckpt-60 is newer but damaged' in done.stdout
  assert f'{60 - step} steps are lost' in done.stdout
  after = tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths
  # The saver's list lives on, without the torn one, whose files stay.
  assert list(after) == [*before[:-1], str(tmp_path / 'model.ckpt-61')][-5:]
  assert (tmp_path / 'model.ckpt-60.index').exists()
  assert checkpoint_files.values_of(tmp_path / 'model.ckpt-61')['global_step'] == 61


@pytest.mark.parametrize(('flags', 'words'), [
    ({'init': 'finetune'}, ['--init=finetune needs --checkpoint_path']),
    ({'init': 'scratch', 'checkpoint_path': 'a'}, ['--init=scratch', 'leave out one']),
    ({'init': 'resume'}, ['holds no run']),
    ({'checkpoint_rename': 'a=b'}, ['no effect without --checkpoint_path']),
    ({'checkpoint_rename': 'ab', 'checkpoint_path': 'a'}, ["'ab' is not a rule"]),
    ({'transfer_classes_from': '/no/labels.txt', 'checkpoint_path': 'a'},
     ['/no/labels.txt', 'no such file']),
])
def test_flags_that_contradict(digits_dir, tmp_path, flags, words):
  scripts.answer(train(digits_dir, tmp_path, **flags), *words)
