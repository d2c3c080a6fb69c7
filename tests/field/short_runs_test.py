"""Runs too short for --save_summaries_secs have curves all the same."""

import collections
import signal
import time

import pytest

from slim_zoo.tf_compat import tf
from slim_zoo.training import stopping
from tests import records_for_tests, scripts
from tests.conftest import on_digits
from tests.small_runs import STEPS, Recorder, run

CURVES = ('total_loss', 'learning_rate', 'accuracy/training_batch',
          'cross_entropy/training_batch')


def written(folder, tags=CURVES):
  """Returns the steps of each tag, as often as they were written, and all values."""
  steps, values = collections.defaultdict(list), {}
  for path in sorted(folder.glob('events.out.tfevents.*')):
    for event in tf.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.tag in tags:
          steps[value.tag].append(event.step)
          values[value.tag, event.step] = value.simple_value
  return dict(steps), values


def check_curves(folder, steps):
  """Checks that every curve has exactly these steps, each once."""
  assert written(folder)[0] == {tag: list(steps) for tag in CURVES}


def check_drawn(tmp_path, *folders):
  done = scripts.run('curves', *folders, output=tmp_path / 'curves.png')
  assert (done.returncode, done.stderr) == (0, '')
  assert (tmp_path / 'curves.png').stat().st_size > 5000


# --- The loop, with default intervals.

@pytest.mark.parametrize('steps', [1, 2, STEPS])
def test_the_first_and_the_last_step_are_written_once(steps, tmp_path):
  run(tmp_path, [], steps)
  check_curves(tmp_path, sorted({1, steps}))


def test_a_resumed_run_writes_its_own_first_and_last_step(tmp_path):
  run(tmp_path, [], 2)
  for last in (3, 7):
    tf.reset_default_graph()
    time.sleep(1.1)  # The name of an event file has whole seconds.
    run(tmp_path, [], last)
  check_curves(tmp_path, [1, 2, 3, 4, 7])


def test_steps_with_all_summaries_are_not_written_again(tmp_path):
  run(tmp_path, [], save_summaries_secs=1e-9)
  check_curves(tmp_path, range(1, STEPS + 1))


def test_without_summaries_there_are_no_curves(tmp_path):
  run(tmp_path, [], save_summaries_secs=0)
  assert written(tmp_path)[0] == {}


@pytest.mark.parametrize(('callback', 'failure'), [
    (Recorder('after_step', 3, lambda: signal.raise_signal(signal.SIGTERM)),
     stopping.Stopped),
    (Recorder('after_step', 3, lambda: {}['no such key']), KeyError)])
def test_the_last_step_is_written_whatever_ends_the_run(callback, failure, tmp_path):
  with pytest.raises(failure):
    run(tmp_path, [callback], steps=100)
  check_curves(tmp_path, [1, 3])


# --- As users meet it.

def train(data, folder, **flags):
  done = scripts.run('train_image_classifier', **dict(
      on_digits(data), train_dir=folder, batch_size=4, **flags))
  assert (done.returncode, done.stderr) == (0, '')
  return done


def test_one_step_and_a_resumed_run_with_clones_and_averages(digits_dir, tmp_path):
  folder = tmp_path / 'run'
  data = tmp_path / 'data'
  data.mkdir()
  for split in ('train', 'test'):
    records_for_tests.write(data / f'digits_{split}.tfrecord',
                            [records_for_tests.png(1, 28)] * 16, [3] * 16)
  flags = {'num_clones': 2, 'moving_average_decay': 0.9, 'weight_decay': 0.01,
           'validation_split_name': 'test'}
  train(data, folder, max_number_of_steps=1, **flags)
  check_curves(folder, [1])
  check_drawn(tmp_path, folder)
  train(data, folder, max_number_of_steps=3, **flags)
  check_curves(folder, [1, 2, 3])
  steps, values = written(folder, (*CURVES, 'validation/loss', 'validation/accuracy'))
  assert steps['validation/loss'] == steps['validation/accuracy']
  assert {1, 3} <= set(steps['validation/loss'])
  # Like with like: no penalty, which LeNet's weights make large.
  assert values['total_loss', 1] > values['cross_entropy/training_batch', 1] + 1
  evaluated = scripts.run_for_numbers(
      'eval_image_classifier', checkpoint_path=folder, eval_dir=tmp_path / 'eval',
      dataset_name='digits', dataset_dir=data, model_name='lenet')
  assert evaluated.returncode == 0, evaluated.stderr
  check_drawn(tmp_path, folder, tmp_path / 'eval')
