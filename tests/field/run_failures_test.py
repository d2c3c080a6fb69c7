"""What fails in a run at any moment: every callback ends, and the weights are saved."""

import errno
import inspect
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from slim_zoo import diagnostics, training
from slim_zoo.tf_compat import tf
from slim_zoo.training import graph, loop_options, rate_search, stopping, whole_run
from slim_zoo.training.callbacks import (
  example_pictures,
  graph_files,
  hparams,
  mask_pictures,
  profile,
  summaries,
  tracked_run,
  validation,
)
from slim_zoo.training.callbacks.callback import Callback
from slim_zoo.training.updates import numerics
from tests import records_for_tests, scripts
from tests.conftest import on_digits
from tests.small_runs import STEPS, Recorder, run, saved_step, small_graph

# Where a callback may fail, and the step that it is then: 0 is before the first one.
PLACES = [('begin', 0), ('measured', 1), ('after_step', 1), ('after_step', 2),
          ('after_step', STEPS), ('end', STEPS), ('before_save', STEPS),
          ('after_save', STEPS)]


def raising(error):
  """Returns a function that raises an error."""
  def fail():
    raise error

  return fail


@pytest.mark.parametrize('fails_first', [True, False], ids=['first', 'last'])
@pytest.mark.parametrize(('place', 'step'), PLACES)
def test_what_a_callback_raises_keeps_no_other_from_its_end(
    place, step, fails_first, tmp_path):
  failing = Recorder(place, step, raising(diagnostics.UserError('it is damaged')))
  other = Recorder()
  with pytest.raises(diagnostics.UserError, match=r'it is damaged.*checkpoint') as end:
    run(tmp_path, [failing, other] if fails_first else [other, failing])
  saved = None if step == 0 or place == 'before_save' else step
  assert saved_step(tmp_path) == saved
  assert (f'model.ckpt-{step}' in str(end.value)) == (saved is not None)
  for callback in (failing, other):
    assert [call for call in callback.calls if call[0] == 'end'] == [('end', step)]
  # Nothing is left out that the failure does not concern.
  assert {method for method, _ in other.calls} >= (
      {'begin', 'end'} if step == 0 else {'begin', 'measured', 'after_step', 'end'})
  assert (tmp_path / graph_files.TEXT_NAME).exists() == (step > 0)


@pytest.mark.parametrize(('place', 'step'), PLACES)
@pytest.mark.parametrize(('error', 'answer'), [
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'events'),
     (diagnostics.UserError, 'the disk is full.*(after step|first step)')),
    (AttributeError('a fault of ours'), (AttributeError, 'a fault of ours')),
    (KeyboardInterrupt(), (KeyboardInterrupt, None))], ids=['disk', 'fault', 'ctrl-c'])
def test_other_failures_of_a_callback_save_the_weights_too(
    place, step, error, answer, tmp_path):
  if place == 'before_save' and isinstance(error, KeyboardInterrupt):
    pytest.skip('a checkpoint that Ctrl-C breaks off is none')
  other = Recorder()
  kind, words = answer
  with pytest.raises(kind, match=words):
    run(tmp_path, [Recorder(place, step, raising(error)), other])
  assert saved_step(tmp_path) == (None if step == 0 or place == 'before_save' else step)
  assert ('end', step) in other.calls


@pytest.mark.parametrize(('place', 'step'), PLACES)
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_callback_ends_the_run_in_order(place, step, number, tmp_path):
  other = Recorder()
  stop = Recorder(place, step, lambda: os.kill(os.getpid(), number))
  with pytest.raises(stopping.Stopped, match=number.name) as end:
    run(tmp_path, [stop, other])
  assert end.value.exit_code == 128 + number
  assert saved_step(tmp_path) == (step or None)
  assert (f'at step {step}, saved' in str(end.value)) == (step > 0)
  assert other.calls.count(('end', step)) == 1
  assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)


def test_the_first_of_several_failures_is_the_answer(tmp_path, capsys):
  with pytest.raises(diagnostics.UserError, match='the first one'):
    run(tmp_path, [
        Recorder('after_step', 2, raising(diagnostics.UserError('the first one'))),
        Recorder('after_step', 2, raising(diagnostics.UserError('the second one'))),
        Recorder('end', 2, raising(OSError(errno.ENOSPC, 'third')))])
  printed = capsys.readouterr().out
  assert 'Recorder.after_step failed after that: the second one' in printed
  assert 'Recorder.end failed after that' in printed
  assert saved_step(tmp_path) == 2


def test_a_run_that_has_exploded_ends_its_callbacks_and_saves_nothing(tmp_path):
  other, guard = Recorder(), numerics.ExplosionGuard(1e-9)
  with pytest.raises(diagnostics.UserError, match=r'exploded.*no checkpoint yet'):
    run(tmp_path, [guard, other])
  assert saved_step(tmp_path) is None
  assert other.calls[-1] == ('end', 3)
  assert other.is_asked_to_stop()  # A validation of such weights is a waste.


@pytest.mark.parametrize('place', ['before_save', 'after_save'])
def test_a_failure_around_a_checkpoint_in_between_ends_the_run(place, tmp_path):
  other = Recorder()
  failing = Recorder(place, 1, raising(diagnostics.UserError('no good')))
  with pytest.raises(diagnostics.UserError, match='no good'):
    run(tmp_path, [failing, other], save_interval_secs=1e-9)
  assert other.calls.count(('end', 1)) == 1
  assert saved_step(tmp_path) == (1 if place == 'after_save' else None)


@pytest.mark.parametrize('step', [1, 2])
def test_a_step_that_fails_ends_the_callbacks(step, tmp_path):
  def fail(value):
    failing.count += 1
    if failing.count == step:
      raise MemoryError('no more')
    return value

  failing, other = types.SimpleNamespace(count=0), Recorder()
  built, images = small_graph()
  with tf.control_dependencies([tf.py_func(fail, [np.float32(0)], tf.float32)]):
    broken = graph.dataclasses.replace(built, train_op=tf.identity(built.train_op))
  with pytest.raises((tf.errors.OpError, diagnostics.UserError)):
    whole_run.run(
        broken, loop_options.LoopOptions(str(tmp_path), STEPS, 0, 600, 0, 2), images,
        callbacks=[other])
  assert other.calls[-1] == ('end', step - 1)
  assert saved_step(tmp_path) is None


# --- Signals while the main thread is inside native code, as in a long step.

def busy_program(has_progress):
  """Starts a program that listens for signals, and computes without end."""
  process = subprocess.Popen(
      [sys.executable, '-c', f"""
import hashlib, sys
from slim_zoo.training import stopping
request = stopping.StopRequest('runs/a')
request.has_progress = {has_progress}
try:
  with request.listening():
    print('ready', flush=True)
    hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2**31 - 1)
except stopping.Stopped as stopped:  # The signal came before the native code began.
  print(f'-c: {{stopped}}', file=sys.stderr)
  sys.exit(stopped.exit_code)
"""], cwd=scripts.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  assert process.stdout.readline() == 'ready\n'
  return process


def test_a_second_signal_ends_a_long_step_at_once():
  process = busy_program(has_progress=True)
  process.send_signal(signal.SIGINT)
  assert 'SIGINT: stopping after this step' in process.stdout.readline()
  process.send_signal(signal.SIGINT)  # Of the same stop: it is passed on twice.
  time.sleep(2 * stopping._SAME_STOP_SECONDS)
  assert process.poll() is None
  process.send_signal(signal.SIGTERM)
  _, stderr = process.communicate(timeout=scripts.TIMEOUT_SECS)
  assert process.returncode == 143
  assert len(stderr.splitlines()) == 1
  assert 'stopped by SIGTERM a second time' in stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_long_first_step_ends_it(number):
  process = busy_program(has_progress=False)
  process.send_signal(number)
  _, stderr = process.communicate(timeout=scripts.TIMEOUT_SECS)
  assert process.returncode == 128 + number
  assert len(stderr.splitlines()) == 1
  assert f'stopped by {number.name} before the first step' in stderr


# --- Each kind of callback.

def kinds():
  """Returns every class of callbacks in training/."""
  found = set()
  for module in pkgutil.walk_packages(training.__path__, 'slim_zoo.training.'):
    names = vars(__import__(module.name, fromlist=['*'])).values()
    found |= {value for value in names if inspect.isclass(value)
              and issubclass(value, Callback) and value is not Callback}
  return sorted(found, key=lambda kind: kind.__name__)


def test_every_kind_is_one_that_is_tested_here():
  assert {kind.__name__ for kind in kinds()} == {
      'AugmentationPictures', 'CheckpointGuard', 'ExamplePictures', 'ExplosionGuard',
      'GraphFiles', 'HParams', 'LossRecorder', 'MaskPictures', 'Profile',
      'ProgressSummaries', 'Report', 'RunCard', 'SamplePredictions', 'ShardValidator',
      'TrackedRun', 'Validator', 'WeightsComparison', 'RandomStateReplay'}


@pytest.mark.parametrize('kind', [
    lambda folder: graph_files.GraphFiles(str(folder)),
    lambda folder: profile.Profile(str(folder), 2, 3),
    lambda folder: summaries.ProgressSummaries(600, 2),
    lambda folder: numerics.ExplosionGuard(1e4),
    lambda folder: example_pictures.ExamplePictures({}, {}, 1, None, 1, str(folder)),
    lambda folder: mask_pictures.MaskPictures(
        types.SimpleNamespace(logits=tf.zeros([1, 2, 2, 3])), [], None, None, 600),
    lambda folder: rate_search.LossRecorder(),
    lambda folder: hparams.HParams(str(folder), {}, dict),
    lambda folder: tracked_run.TrackedRun(str(folder), [], dict)],
    ids=['GraphFiles', 'Profile', 'ProgressSummaries', 'ExplosionGuard',
         'ExamplePictures', 'MaskPictures', 'LossRecorder', 'HParams', 'TrackedRun'])
def test_a_callback_that_nothing_was_called_of_may_end(kind, tmp_path):
  kind(tmp_path).end(None, 0)


@pytest.mark.parametrize('of_shard', [False, True], ids=['chief', 'worker'])
def test_a_validation_that_fails_at_the_first_step_saves_the_weights(
    tmp_path, of_shard):
  """At the third step it was saved, at the first one a thread was missing."""
  def evaluate(session, step, is_to_stop):
    raise diagnostics.UserError('record 3 is damaged')

  history = types.SimpleNamespace(rewind=lambda step: None, findings=[])
  callback = validation.ShardValidator(evaluate, 1) if of_shard else (
      validation.Validator(evaluate, validation.Rules(1), history, None, {}))
  with pytest.raises(diagnostics.UserError, match='at step 1 failed: record 3'):
    run(tmp_path, [callback])
  assert saved_step(tmp_path) == 1


@pytest.mark.parametrize('every', [1, 5], ids=['first step', 'end'])
def test_a_wrong_label_to_validate_on_as_a_user_meets_it(every, digits_dir, tmp_path):
  """With all callbacks that default flags and validation make."""
  data, folder = tmp_path / 'data', tmp_path / 'run'
  shutil.copytree(digits_dir, data)
  records_for_tests.write(data / 'digits_test.tfrecord',
                          [records_for_tests.png(1, 28)] * 20, [3] * 12 + [10] * 8)
  done = scripts.run('train_image_classifier', **dict(
      on_digits(data), train_dir=folder, batch_size=4, max_number_of_steps=2,
      moving_average_decay=0.9, validation_split_name='test',
      validate_every_steps=every))
  step = min(every, 2)
  scripts.answer(done, f'validation at step {step} failed: ', 'label 10',
                 f'model.ckpt-{step}')
  assert saved_step(folder) == step
  assert (folder / 'graph.pbtxt').exists()
  card = (folder / 'run_card.md').read_text()
  assert f'validation at step {step} failed' in card
