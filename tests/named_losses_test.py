"""Losses with names and weights, and a run of slim.learning.train that shows them."""

import os
import re
import signal
import time

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.checkpoints import checkpoint_names
from slim_zoo.deployment import model_deploy, session_configs
from slim_zoo.drawing import overlays, sheets
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import named_losses, stopping
from slim_zoo.training.callbacks import callback, example_pictures, slim_steps

ROWS = (named_losses.OutputLoss('a', 2, lambda output, target: output - target),
        named_losses.OutputLoss('b', 10, lambda output, target: output * target))
MAP = np.zeros([2, 4, 2], np.float32)
MAP[:, :2, 0] = MAP[:, 2, 1] = 1


def clones_of(num_clones):
  """Builds clones with the losses 2 * (w - n) and 10 * w * (n + 1) in clone n."""
  numbers = iter(range(num_clones))

  def build():
    number = float(next(numbers))
    weight = slim.model_variable(
        'w', [], initializer=tf.constant_initializer(5.0),
        regularizer=lambda value: 0.5 * value)
    named_losses.add_all(
        ROWS, {'a': weight, 'b': weight, 'unused': weight},
        {'a': tf.constant(number), 'b': tf.constant(number + 1)})

  config = model_deploy.DeploymentConfig(
      num_clones, clone_devices=[f'/device:CPU:{n}' for n in range(num_clones)])
  return config, model_deploy.create_clones(config, build)


@pytest.mark.parametrize('num_clones', [1, 2, 11])
def test_the_total_is_the_weighted_sum_and_each_part_is_shown(num_clones):
  _, clones = clones_of(num_clones)
  total = model_deploy.total_clone_loss(model_deploy.clone_losses(clones))
  parts = named_losses.summarized(clones)
  model_deploy.keep_first_clone_items(clones, tf.GraphKeys.SUMMARIES)
  with tf.Session(config=session_configs.session_config(num_cpus=11)) as session:
    session.run(tf.global_variables_initializer())
    total, parts, data = session.run([total, parts, tf.summary.merge_all()])
  numbers = np.arange(num_clones)
  assert parts == pytest.approx({
      'a': 2 * np.mean(5 - numbers), 'b': 10 * np.mean(5 * (numbers + 1)),
      'regularization': 2.5})
  assert total == pytest.approx(sum(parts.values()))
  shown = {value.tag: value.simple_value
           for value in tf.Summary.FromString(data).value}
  assert {name: shown[f'losses/{name}'] for name in parts} == pytest.approx(parts)


def test_losses_without_a_name_are_no_parts():
  tf.losses.add_loss(tf.constant(1.0))
  clones = [model_deploy.Clone(None, '', '')]
  assert named_losses.means(clones) == {}
  named_losses.add('a', tf.constant(1.0))
  assert list(named_losses.means(clones)) == ['a']


@pytest.mark.parametrize(('arguments', 'words'), [
    (('a', 1.0), "there is a loss 'a' already"),
    (('a b', 1.0), "the name 'a b'"),
    (('x/y', 1.0), "the name 'x/y'"),
    (('regularization', 1.0), "not 'regularization'"),
    (('b', 1.0, -1), 'the weight -1: expected 0 or more'),
    (('b', 1.0, float('nan')), 'the weight nan'),
    (('b', [1.0, 2.0]), r'float32 of the shape \(2,\): expected a float scalar'),
    (('b', 1), 'int32 of the shape'),
])
def test_losses_that_are_refused(arguments, words):
  named_losses.add('a', tf.constant(1.0))
  with pytest.raises(diagnostics.UserError, match=words):
    named_losses.add(*arguments)


@pytest.mark.parametrize(('outputs', 'targets', 'words'), [
    ({'aa': 1.0}, {'a': 1.0}, "no output 'a' for the loss 'a'; did you mean 'aa'"),
    ({'a': 1.0}, {'b': 1.0}, "no target 'a' for the loss 'a'"),
])
def test_an_output_that_is_missing(outputs, targets, words):
  with pytest.raises(diagnostics.UserError, match=words):
    named_losses.add_all(ROWS, outputs, targets)


class Noting(callback.Callback):
  """Notes the calls, and fails or ends the run at a step."""

  def __init__(self, fails_at=None, ends_at=None):
    self.calls, self._fails_at, self._ends_at = [], fails_at, ends_at

  def begin(self, session, step, writer):
    self.calls.append(('begin', step))

  def after_step(self, session, step):
    self.calls.append(('after', step))
    if step == self._fails_at:
      raise diagnostics.UserError('the disk is full')
    return 'enough' if step == self._ends_at else None

  def validated(self, step, numbers):
    self.calls.append(('validated', step, numbers))

  def end(self, session, step):
    self.calls.append(('end', step))


def train(folder, callbacks, num_clones=1, steps=5):
  config, clones = clones_of(num_clones)
  with tf.device(config.variables_device()):
    global_step = tf.train.get_or_create_global_step()
  optimizer = model_deploy.CloneOptimizer(
      tf.train.GradientDescentOptimizer(0.0), clones)
  train_op = slim.learning.create_train_op(
      optimizer.total_loss, optimizer, global_step)
  writer = tf.summary.FileWriter(str(folder))
  step_fn = slim_steps.SlimSteps(
      callbacks, named_losses.means(clones), writer, 2, steps)
  with step_fn.saving_at_signals(str(folder)):
    slim.learning.train(
        train_op, str(folder), number_of_steps=steps, summary_writer=writer,
        save_summaries_secs=0, train_step_fn=step_fn,
        session_config=session_configs.session_config(num_cpus=num_clones))


def pictures(folder):
  images = tf.placeholder(tf.float32, [None, 2, 4])
  shown = np.zeros([3, 20, 40], np.uint8)

  def show(index, values):
    return example_pictures.Example(
        shown[index], {'map': values[index]}, [sheets.Line(f'example {index}')])

  return example_pictures.ExamplePictures(
      tf.stack([images, 1 - images], 3), {images: np.tile(MAP[..., 0], [3, 1, 1])},
      3, show, 2, str(folder / 'pictures'))


def test_a_run_with_two_clones_prints_the_parts_and_draws_pictures(tmp_path, capsys):
  noting = Noting()
  train(tmp_path, [noting, pictures(tmp_path)], num_clones=2)
  lines = [line for line in capsys.readouterr().out.splitlines() if 'step' in line]
  assert [re.sub(r'  [\d.e+]+ steps/s.*', '', line) for line in lines] == [
      f'step {step}/5  loss 86.5000 (a 9.0000, b 75.0000, regularization 2.5000)'
      for step in (2, 4, 5)]
  assert noting.calls == [('begin', 0), *(('after', step) for step in range(1, 6)),
                          ('end', 5)]
  names = [f'examples-{step}.png' for step in (0, 2, 4, 5)]
  assert sorted(path.name for path in (tmp_path / 'pictures').iterdir()) == names
  drawn = [event.step for path in tmp_path.glob('events*')
           for event in tf.train.summary_iterator(str(path))
           for value in event.summary.value if value.tag == 'examples']
  assert drawn == [0, 2, 4, 5]
  # A wide image has no empty square around it.
  with Image.open(tmp_path / 'pictures' / names[0]) as sheet:
    assert sheet.height < 3 * sheets.THUMBNAIL_SIDE + 100


@pytest.mark.parametrize(('noting', 'error'), [
    (Noting(fails_at=2), 'the disk is full'), (Noting(ends_at=2), None)])
def test_a_callback_ends_the_run(noting, error, tmp_path, capsys):
  if error:
    with pytest.raises(diagnostics.UserError, match=error):
      train(tmp_path, [noting])
  else:
    train(tmp_path, [noting])
    assert 'enough' in capsys.readouterr().out
  assert noting.calls == [('begin', 0), ('after', 1), ('after', 2), ('end', 2)]


class Validating(callback.Callback):
  """Announces the numbers of a validation after every step."""

  def after_step(self, session, step):
    self.announce(step, {'validation/accuracy': step / 10})


class CountingSession:
  """Counts steps, without TensorFlow."""

  step = 0

  def run(self, fetches):
    if fetches == 'step':
      return self.step
    self.step += 1
    return 1.0, {}


def test_all_callbacks_get_the_numbers_of_a_validation():
  noting, session = Noting(), CountingSession()
  step_fn = slim_steps.SlimSteps([Validating(), noting], number_of_steps=2)
  while not step_fn(session, 'op', 'step', {})[1]:
    pass
  assert noting.calls == [
      ('begin', 0), ('validated', 1, {'validation/accuracy': 0.1}), ('after', 1),
      ('validated', 2, {'validation/accuracy': 0.2}), ('after', 2), ('end', 2)]


class Signalling(Noting):
  """Sends this process a signal: before its first step, or after its second one."""

  def __init__(self, number, at_begin):
    super().__init__()
    self._number, self._at_begin, self.is_asked = number, at_begin, []

  def begin(self, session, step, writer):
    super().begin(session, step, writer)
    if self._at_begin:
      os.kill(os.getpid(), self._number)
      time.sleep(0.1)

  def after_step(self, session, step):
    if step == 2:
      os.kill(os.getpid(), self._number)
      time.sleep(0.1)
    self.is_asked.append(self.is_asked_to_stop())


@pytest.mark.parametrize(('number', 'code'), [
    (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_after_a_step_that_is_saved(number, code, tmp_path):
  signalling = Signalling(number, at_begin=False)
  with pytest.raises(stopping.Stopped, match=(
      f'stopped by {number.name} at step 2, saved in {tmp_path}')) as stopped:
    train(tmp_path, [signalling])
  assert stopped.value.exit_code == code
  assert checkpoint_names.step_of(checkpoint_names.latest(str(tmp_path))) == 2
  assert signalling.is_asked == [False, True]


def test_a_signal_before_the_first_step_ends_the_run_at_once(tmp_path):
  with pytest.raises(stopping.Stopped, match='before the first step'):
    train(tmp_path, [Signalling(signal.SIGTERM, at_begin=True)])


def test_the_first_step_does_not_count_for_the_time_left(monkeypatch, capsys):
  """It takes 50 s, and each of the others 2 s."""
  now = [0.0]
  monkeypatch.setattr(slim_steps.time, 'monotonic', lambda: now[0])

  class Session:
    step = 90

    def run(self, fetches):
      if fetches == 'step':
        return self.step
      now[0] += 50 if self.step == 90 else 2
      self.step += 1
      return 1.0, {}

  step_fn = slim_steps.SlimSteps(every_steps=10, number_of_steps=130)
  session = Session()
  while not step_fn(session, 'op', 'step', {})[1]:
    pass
  printed = capsys.readouterr().out.splitlines()
  assert [line.split('  ', 2)[2] for line in printed] == [
      '0.5 steps/s  1:00 left', '0.5 steps/s  0:40 left', '0.5 steps/s  0:20 left',
      '0.5 steps/s']


def test_an_overlay_has_the_colour_of_its_channel():
  gray = Image.fromarray(np.full([20, 40], 100, np.uint8))
  pixels = np.asarray(overlays.maps_over(gray, MAP, 80), np.float64)
  assert pixels.shape == (40, 80, 3)
  first, second = 255 * overlays.palette(2)
  np.testing.assert_allclose(pixels[0, 0], 0.35 * 100 + 0.65 * first, atol=2)
  np.testing.assert_allclose(pixels[-1, 50], 0.35 * 100 + 0.65 * second, atol=2)
  np.testing.assert_allclose(pixels[0, -1], 100, atol=1)


def test_colours_of_many_channels_differ():
  found = overlays.palette(20)
  distances = np.abs(found[:, None] - found).max(2) + np.eye(20)
  assert found.shape == (20, 3)
  assert distances.min() > 0.05


@pytest.mark.parametrize('shape', [(2,), (0, 3, 1), (1, 2, 3, 4)])
def test_maps_of_another_shape_are_refused(shape):
  with pytest.raises(ValueError, match='expected'):
    overlays.maps_over(Image.new('L', (4, 4)), np.zeros(shape))
