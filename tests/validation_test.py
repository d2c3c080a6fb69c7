"""Validation inside a run: what it counts, keeps, warns of, and leaves alone."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.deployment import model_deploy
from slim_zoo.evaluation import (
  checkpoint_evaluation,
  over_split,
  predictions,
  recalibration,
)
from slim_zoo.input import held_out, pipeline
from slim_zoo.nets import normalization
from slim_zoo.tf_compat import slim, tf
from slim_zoo.training import eval_network, graph, intervals, loop_options, whole_run
from slim_zoo.training.callbacks import batch_norm_health, best_checkpoint, validation
from slim_zoo.training.callbacks.callback import InputFailure
from slim_zoo.training.callbacks.validation import Finding, History
from slim_zoo.training.updates.learning_rates import Schedule
from tests import records_for_tests, scripts
from tests.conftest import on_digits

CONFIG = model_deploy.DeploymentConfig(clone_on_cpu=True)


# --- The held-out share.


def write_two_files(folder, count=60):
  """Writes records whose pixels and labels count on; returns the files."""
  return [records_for_tests.write(
      folder / f'digits_train_{index}.tfrecord',
      [records_for_tests.png(index * count + value) for value in range(count)],
      [value % 10 for value in range(count)]) for index in range(2)]


def pixels_of(images, num_batches=None):
  """Returns the value of every image that an input gives, as its pixels have it."""
  batch, found = images.next_batch(), []
  with tf.Session() as session:
    session.run(images.initializer)
    while num_batches is None or len(found) < num_batches:
      try:
        found.append(session.run(batch.images)[:, 0, 0, 0].astype(int).tolist())
      except tf.errors.OutOfRangeError:
        break
  return [value for values in found for value in values]


@pytest.mark.parametrize('seed', [1, 2])
@pytest.mark.parametrize('first_record', [0, 500])
def test_no_image_is_trained_on_and_validated_on(tmp_path, seed, first_record):
  files = write_two_files(tmp_path)
  dataset = records_for_tests.dataset(tmp_path / '*', 120)
  rest = held_out.Part(0.25, is_held_out=False)
  validated = pixels_of(pipeline.evaluation_input(
      dataset, records_for_tests.as_they_are, 7, part=rest.other))
  keys = rest.other.keys(files)
  assert validated == (keys[:, 0] * 60 + keys[:, 1]).tolist()
  assert 18 <= len(validated) <= 42

  trained_input = pipeline.training_input(
      dataset, records_for_tests.as_they_are, 10, seed=seed,
      first_record=first_record, part=rest)
  assert trained_input.count_records() == 120 - len(validated)
  trained = pixels_of(trained_input, num_batches=3 * 120 // 10)
  assert set(trained) == set(range(120)) - set(validated)


def test_a_share_is_about_as_large_as_asked_for_and_grows_with_it():
  index, position = np.meshgrid(np.arange(100), np.arange(1000))
  smaller = held_out.Part(0.1, True).keeps(index, position)
  assert smaller.mean() == pytest.approx(0.1, abs=0.003)
  assert smaller.mean(0).max() < 0.15
  for period in (2, 3, 10):
    assert smaller[::period].mean() == pytest.approx(0.1, abs=0.01)
  larger = held_out.Part(0.2, True).keeps(index, position)
  assert larger.mean() == pytest.approx(0.2, abs=0.004)
  assert larger[smaller].all()


# --- What is kept of the findings.


def finding(step, score, **others):
  return Finding(step, score, 0 if score is None else round(100 * score), 100, **others)


def test_findings_survive_and_are_rewound_to_the_step_that_is_resumed(tmp_path):
  history = History(str(tmp_path), 'test of digits')
  for step, score in ((10, 0.5), (20, 0.9), (30, None), (40, 0.9), (50, 0.91)):
    history.add(finding(step, score))
  assert history.best().step == 50

  resumed = History(str(tmp_path), 'test of digits')
  assert resumed.findings == history.findings
  resumed.rewind(45)
  assert resumed.best().step == 20
  assert resumed.without_improvement() == 2
  resumed.add(finding(50, 0.95))
  assert resumed.without_improvement() == 0
  assert resumed.without_improvement(min_delta=0.1) == 3

  other = History(str(tmp_path), 'validation of digits')
  assert (other.findings, other.forgotten) == ([], 'test of digits')


def test_the_best_checkpoint_is_whole_at_any_moment(tmp_path, monkeypatch):
  variable = tf.Variable(1.0, name='weight')
  best = best_checkpoint.BestCheckpoint(str(tmp_path / 'best'))
  assert best.finding() is None

  def kept():
    reader = tf.train.load_checkpoint(str(tmp_path / 'best'))
    return best.finding()['step'], reader.get_tensor('weight')

  with tf.Session() as session:
    for step, value in ((10, 1.0), (20, 2.0)):
      variable.load(value, session)
      best.save(session, step, {'step': step})
      assert kept() == (step, value)
      assert {path.name.split('.')[1] for path in (tmp_path / 'best').glob('model*')
              } == {f'ckpt-{step}'}

    variable.load(3.0, session)
    def fail(session, path, step):
      # As far as a kill just before the file `checkpoint` is written lets it come.
      pathlib.Path(f'{path}-{step}.index').write_text('torn')
      raise OSError('no room')

    with monkeypatch.context() as patch:
      patch.setattr(best._saver, 'save', fail)
      with pytest.raises(OSError, match='no room'):
        best.save(session, 30, {'step': 30})
    assert kept() == (20, 2.0)
    (tmp_path / 'best' / 'model.ckpt-30.index').write_text('torn')
    assert kept() == (20, 2.0)
    best.save(session, 40, {'step': 40})
    assert kept() == (40, 3.0)
    assert not list((tmp_path / 'best').glob('*-30*'))
    variable.load(4.0, session)
    with monkeypatch.context() as patch:
      patch.setattr(best._saver, 'save', fail)
      with pytest.raises(OSError, match='no room'):
        best.save(session, 40, {'step': 40})
    assert kept() == (40, 3.0)
    for _ in range(3):
      best.save(session, 40, {'step': 40})
      assert kept() == (40, 4.0)
    assert len(list((tmp_path / 'best').glob('*.index'))) == 1

  moved = best.rename_existing()
  assert tf.train.latest_checkpoint(moved) == f'{moved}/model.ckpt-again-40'
  assert best.finding() is None


# --- When it validates, and when it stops.


class Best:
  """Stands in for a `BestCheckpoint`, and keeps the findings only."""

  def __init__(self):
    self.saved = []

  def finding(self):
    return self.saved[-1] if self.saved else None

  def save(self, session, step, found):
    self.saved.append(found)


def validator(folder, scores, decays=None, **rules):
  """Returns a validator every 10 steps that finds given scores, and its Best."""
  left, best = list(scores), Best()

  def evaluate(session, step, is_to_stop):
    if is_to_stop():
      raise validation.ValidationStoppedError
    return finding(step, left.pop(0))

  return validation.Validator(
      evaluate,
      validation.Rules(10, **rules), History(str(folder), 'images'), best,
      decays or {}), best


def run(callback, steps, begin=0):
  """Shows a validator some steps; returns the reason to stop and the last step."""
  callback.begin(None, begin, None)
  for step in range(begin + 1, begin + steps + 1):
    reason = callback.after_step(None, step)
    if reason:
      break
  callback.end(None, step)
  return reason, step


def test_patience_counts_over_a_resumed_run(tmp_path, capsys):
  first, best = validator(tmp_path, [0.5, 0.7, 0.7, 0.6], patience=3)
  assert run(first, 35) == (None, 35)
  assert [found['step'] for found in best.saved] == [10, 20]
  assert capsys.readouterr().out.splitlines()[2:] == [
      'validation at step 30: accuracy 70.00% (70 of 100 images), best 70.00% at step'
      ' 20',
      'validation at step 35: accuracy 60.00% (60 of 100 images), best 70.00% at step'
      ' 20']

  second, best = validator(tmp_path, [0.69], patience=3)
  best.saved.append({'step': 20, 'score': 0.7})
  reason, step = run(second, 100, begin=35)
  assert step == 40
  assert 'the last 3 validations were no improvement (best: step 20)' in reason
  assert second.report()['validation']['best'] == {'step': 20, 'score': 0.7}


def test_small_gains_are_no_improvement_but_the_best_all_the_same(tmp_path):
  callback, best = validator(
      tmp_path, [0.5, 0.505, 0.509], patience=2, min_delta=0.01)
  assert run(callback, 100)[1] == 30
  assert [found['step'] for found in best.saved] == [10, 20, 30]


def test_nan_in_evaluation_mode_is_said_and_is_never_the_best(tmp_path, capsys):
  callback, best = validator(tmp_path, [None, 0.3, None], patience=4)
  assert run(callback, 30) == (None, 30)
  assert [found['step'] for found in best.saved] == [20]
  assert 'step 30: the network gives NaN' in capsys.readouterr().out
  with pytest.raises(predictions.NotFiniteError):
    predictions.Predictions().add([0], [1], np.array([[np.nan, 0.5]]))


def test_a_run_that_a_signal_ends_is_not_validated_any_more(tmp_path):
  callback, best = validator(tmp_path, [0.5])
  callback.is_asked_to_stop = lambda: True
  assert run(callback, 10) == (None, 10)
  assert not best.saved


def test_a_signal_breaks_a_validation_off_and_the_next_one_is_whole(shades):
  images = pipeline.evaluation_input(shades, records_for_tests.as_they_are, 10)
  batch = images.next_batch()
  guesses = tf.fill([tf.size(batch.labels), 4], 0.25)
  with tf.Session() as session:
    with pytest.raises(over_split.EvaluationStoppedError):
      over_split.evaluate(session, images, batch, guesses, 4, shows_progress=False,
                          is_to_stop=lambda: True)
    metrics, _ = over_split.evaluate(
        session, images, batch, guesses, 4, shows_progress=False)
  assert (metrics.top1.correct, metrics.num_images) == (16, 65)


def test_a_broken_off_validation_leaves_no_finding(tmp_path):
  def stop(session, step, is_to_stop):
    raise validation.ValidationStoppedError
  history = History(str(tmp_path), '')
  callback = validation.Validator(stop, validation.Rules(1, 1), history, Best(), {})
  assert run(callback, 2) == (None, 2)
  assert not history.findings


def test_images_a_second_leave_validation_out(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(intervals.time, 'monotonic', lambda: now[0])
  interval = intervals.Interval()
  interval.start()
  interval.add(1, 1.0, 1.0)
  now[0] += 4
  with interval.paused():
    now[0] += 60
  sums = interval.restart()
  assert (sums.seconds, sums.step_seconds, sums.wait_share) == (4, 64, 0.25)
  now[0] += 2
  assert interval.restart().seconds == 2


def test_the_cause_of_a_failed_validation_is_told(tmp_path):
  def fail(session, step, is_to_stop):
    raise diagnostics.UserError('record 3 is damaged')
  callback = validation.Validator(
      fail, validation.Rules(1), History(str(tmp_path), ''), Best(), {})
  with pytest.raises(InputFailure, match='step 1 failed: record 3 is damaged'):
    callback.after_step(None, 1)


# --- Batch norm.


@pytest.mark.parametrize(('decay', 'step', 'words'), [
    (0.9997, 200, ['200 steps', '0.9997', 'still hold 94%', 'step 7,675',
                   '--recalibrate_batch_norm']),
    (0.999, 2301, ['still hold 10%']),
    (0.999, 2302, None), (0.9, 100, None), (1.0, 10**6, ['100%', 'to the end']),
])
def test_stale_statistics_are_told_from_decay_and_steps(decay, step, words):
  text = batch_norm_health.stale({'fast': 0.5, 'slow': decay}, step)
  assert (text is None) == (words is None)
  for word in words or ():
    assert word in text
  assert batch_norm_health.stale({}, step) is None


def small_network(is_training, kept=0.8):
  """Returns the function of a network with batch norm and dropout, for 4 classes."""
  def network_fn(images):
    with (slim.arg_scope([slim.conv2d], normalizer_fn=normalization.batch_norm),
          slim.arg_scope([slim.batch_norm], decay=0.999, scale=True),
          slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training)):
      net = slim.conv2d(images, 8, 3, stride=2, scope='Small/one')
      net = slim.conv2d(net, 8, 3, stride=2, scope='Small/two')
      net = slim.dropout(tf.reduce_mean(net, [1, 2]), kept, scope='Small/dropout')
      return slim.fully_connected(net, 4, activation_fn=None, scope='Small/logits'), {}

  return network_fn


def test_both_modes_leave_the_training_graph_as_it_was():
  images = tf.constant(np.random.RandomState(0).rand(16, 8, 8, 1), tf.float32)
  trained, _ = small_network(True, kept=1.0)(images)
  averages = tf.train.ExponentialMovingAverage(0.5)
  averages.apply(slim.get_model_variables())
  names = tf.get_default_graph().get_all_collection_keys()
  before = {name: list(tf.get_collection(name)) for name in names}
  assert normalization.decays() == {
      'Small/one/BatchNorm': 0.999, 'Small/two/BatchNorm': 0.999}

  in_eval_mode = eval_network.build(small_network(False), images, CONFIG).logits
  with normalization.batch_statistics():
    in_train_mode = eval_network.build(small_network(False), images, CONFIG).logits
  averaged = eval_network.build(
      small_network(False), images, CONFIG, eval_network.moving_averages()).logits
  assert {name: list(tf.get_collection(name)) for name in names} == before
  assert normalization.decays().keys() == {'Small/one/BatchNorm', 'Small/two/BatchNorm'}

  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    statistics = session.run(slim.get_model_variables())
    one = session.run(in_train_mode)
    assert np.array_equal(one, session.run(in_train_mode))
    np.testing.assert_allclose(one, session.run(trained), rtol=1e-5)
    assert np.abs(one - session.run(in_eval_mode)).max() > 0.01
    for was, now in zip(statistics, session.run(slim.get_model_variables()),
                        strict=True):
      assert np.array_equal(was, now)
    for variable in slim.get_model_variables():
      averages.average(variable).load(session.run(variable) * 1.5, session)
    changed = session.run(averaged)
    assert np.abs(changed - session.run(in_eval_mode)).max() > 0.01
    for variable in slim.get_model_variables():
      variable.load(session.run(variable) * 1.5, session)
    np.testing.assert_allclose(changed, session.run(in_eval_mode), rtol=1e-5)


@pytest.fixture
def shades(tmp_path):
  """Returns 64 gray images of 4 classes by their brightness, and an unreadable one."""
  values = range(0, 256, 4)
  records_for_tests.write(
      tmp_path / 'shades.tfrecord',
      [records_for_tests.png(value) for value in values] + [b'no image'],
      [value // 64 for value in values] + [2])
  return records_for_tests.dataset(tmp_path / 'shades.tfrecord', 65, num_classes=4)


def train_on(shades, train_dir, steps):
  """Trains the small network and validates it on the same images."""
  def loss_fn(logits, unused_end_points, labels):
    tf.losses.sparse_softmax_cross_entropy(labels, logits)

  images = pipeline.training_input(shades, records_for_tests.as_they_are, 32)
  training_graph = graph.build(
      CONFIG, images.next_batch, small_network(True), loss_fn,
      Schedule('fixed', 0.02), tf.train.AdamOptimizer)
  checked = pipeline.evaluation_input(shades, records_for_tests.as_they_are, 10)
  batch = checked.next_batch()
  inputs = tf.placeholder_with_default(batch.images, [None, 8, 8, 1])

  def build():
    return eval_network.build(small_network(False), inputs, CONFIG)

  network = build()
  probabilities = tf.nn.softmax(network.logits)

  def evaluate(session, step, is_to_stop):
    found, _ = over_split.evaluate(
        session, checked, batch, probabilities, 4, shows_progress=False)
    return Finding(int(step), found.top1.value, int(found.top1.correct),
                   found.num_images)

  history = History(str(train_dir), 'shades')
  callback = validation.Validator(
      evaluate, validation.Rules(steps), history,
      best_checkpoint.BestCheckpoint(str(train_dir / 'best')), normalization.decays(),
      batch_norm_health.ModeGap(
          network, build, shades, records_for_tests.as_they_are, checked, 0, 32))
  whole_run.run(training_graph, loop_options.LoopOptions(
      str(train_dir), steps, 0, 0, 0, 32), images, callbacks=[callback])
  return history.findings[-1]


def recalibrate(shades, checkpoint):
  with tf.Graph().as_default():
    images = pipeline.training_input(shades, records_for_tests.as_they_are, 32)
    return recalibration.Recalibration(images, small_network(False)).run(checkpoint, 4)


def test_the_batch_norm_trap_is_told_of_and_recalibration_cures_it(
    shades, tmp_path, capsys):
  tf.set_random_seed(3)
  (tmp_path / 'run').mkdir()
  found = train_on(shades, tmp_path / 'run', 150)
  output = capsys.readouterr().out
  assert found.images == 65
  assert max(found.score, found.eval_mode_accuracy) < 0.6
  assert found.train_mode_accuracy > 0.85
  assert 'decay 0.999 the statistics of batch norm still hold 86%' in output
  assert 'WARNING: batch norm: of the same 64 images' in output
  assert output.count('cannot decode') == 1

  tf.reset_default_graph()
  checkpoint = str(tmp_path / 'run' / 'model.ckpt-150')
  evaluation = checkpoint_evaluation.build(
      pipeline.evaluation_input(shades, records_for_tests.as_they_are, 10),
      small_network(False), 4)
  assert evaluation.run(checkpoint)[0].top1.correct == found.correct
  before = (tmp_path / 'run' / 'model.ckpt-150.data-00000-of-00001').read_bytes()
  target = recalibrate(shades, checkpoint)
  assert target == checkpoint + '-recalibrated'
  assert evaluation.run(target)[0].top1.value > 0.85
  after = (tmp_path / 'run' / 'model.ckpt-150.data-00000-of-00001').read_bytes()
  assert before == after
  old, new = (tf.train.load_checkpoint(path) for path in (checkpoint, target))
  assert old.get_variable_to_shape_map() == new.get_variable_to_shape_map()
  changed = {name for name in old.get_variable_to_shape_map()
             if not np.array_equal(old.get_tensor(name), new.get_tensor(name))}
  assert changed == {f'Small/{layer}/BatchNorm/moving_{kind}' for layer in (
      'one', 'two') for kind in ('mean', 'variance')}
  with pytest.raises(diagnostics.UserError, match='is there already'):
    recalibrate(shades, checkpoint)


def test_recalibrated_statistics_are_those_of_all_images_together():
  sums = {'a/moving_mean': np.array([3.0]), 'a/moving_variance': np.array([2.0])}
  squares = {'a/moving_mean': np.array([5.0]), 'a/moving_variance': np.array([9.0])}
  # Batches with means 1 and 2, and variances that add up to 2.
  totals = recalibration._totals(sums, squares, 2)
  assert totals['a/moving_mean'] == [1.5]
  assert totals['a/moving_variance'] == [1.25]


# --- The scripts.


def train(folder, digits_dir, **flags):
  return scripts.run('train_image_classifier', train_dir=folder, **{
      **on_digits(digits_dir), 'batch_size': 8, **flags})


def evaluate(folder, digits_dir, checkpoint, **flags):
  """Returns the CompletedProcess of an evaluation on digits' test split."""
  done = scripts.run_for_numbers(
      'eval_image_classifier', dataset_name='digits', dataset_dir=digits_dir,
      eval_dir=folder / 'eval', checkpoint_path=checkpoint,
      **{'model_name': 'lenet', **flags})
  assert done.returncode == 0, done.stderr
  return done


def findings(folder):
  return json.loads((folder / 'validation.json').read_text())['findings']


def values_of(checkpoint):
  reader = tf.train.load_checkpoint(str(checkpoint))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_it_counts_as_the_evaluation_does_and_changes_nothing(digits_dir, tmp_path):
  flags = {'max_number_of_steps': 25, 'deterministic': True,
           'moving_average_decay': 0.8}
  done = train(tmp_path / 'without', digits_dir, **flags)
  assert done.returncode == 0, done.stderr
  done = train(tmp_path / 'with', digits_dir, validate_every_steps=10,
               validation_split_name='test', **flags)
  assert done.returncode == 0, done.stderr
  found = findings(tmp_path / 'with')
  assert [one['step'] for one in found] == [10, 20, 25]
  assert f'validation at step 10: accuracy {found[0]["score"]:.2%}' in done.stdout
  last, same = (values_of(tmp_path / name / 'model.ckpt-25')
                for name in ('with', 'without'))
  assert last.keys() == same.keys()
  for name, value in last.items():
    assert np.array_equal(value, same[name]), name
  card = json.loads((tmp_path / 'with' / 'run_card.json').read_text())
  assert card['results']['validation']['last']['score'] == found[-1]['score']

  best = max(found, key=lambda one: one['score'])
  for checkpoint, one in (('model.ckpt-25', found[-1]), ('best', best)):
    evaluate(tmp_path, digits_dir, tmp_path / 'with' / checkpoint,
             moving_average_decay=0.8)
    report = json.loads((tmp_path / 'eval' / 'report' / 'report.json').read_text())
    assert report['run']['step'] == one['step']
    assert report['top1']['correct'] == one['correct']
    assert report['top1']['accuracy'] == one['score']
    assert report['cross_entropy'] == pytest.approx(one['loss'], rel=1e-5)


def test_a_share_is_validated_by_the_chief_and_a_run_stops_early_over_a_resume(
    digits_dir, tmp_path):
  flags = {'validation_share': 0.2, 'validate_every_steps': 2, 'num_clones': 2,
           'batch_size': 16, 'clone_on_cpu': True, 'early_stop_patience': 3,
           'learning_rate': 1e-9, 'save_summaries_secs': 1}
  (tmp_path / 'best').mkdir()
  (tmp_path / 'best' / 'mine').write_text('kept')
  done = train(tmp_path, digits_dir, max_number_of_steps=5, **flags)
  assert done.returncode == 0, done.stderr
  held = held_out.count([str(digits_dir / 'digits_train.tfrecord')],
                        held_out.Part(0.2, True))
  assert {one['images'] for one in findings(tmp_path)} == {held}
  assert f'images         {1442 - held:,} of 10 classes' in done.stdout
  assert '0.2 of train of digits, every 2 steps' in done.stdout
  assert (tmp_path / 'best-before-1' / 'mine').exists()
  done = train(tmp_path, digits_dir, max_number_of_steps=100, **flags)
  assert done.returncode == 0, done.stderr
  assert 'step 6: stopped early, as the last 3 validations' in done.stdout
  assert [one['step'] for one in findings(tmp_path)] == [2, 4, 5, 6]
  assert not (tmp_path / 'best-before-2').exists()
  tags = {value.tag for path in tmp_path.glob('events*')
          for event in tf.train.summary_iterator(str(path))
          for value in event.summary.value}
  assert {'validation/accuracy', 'validation/loss'} <= tags


def test_validation_images_that_cannot_be_read_do_not_cost_the_weights(
    digits_dir, tmp_path):
  data = tmp_path / 'data'
  shutil.copytree(digits_dir, data)
  (path,) = data.glob('*test*.tfrecord')
  spoiled = bytearray(path.read_bytes())
  spoiled[len(spoiled) // 2] ^= 1
  path.write_bytes(bytes(spoiled))
  done = train(tmp_path / 'run', data, max_number_of_steps=9, validate_every_steps=3,
               validation_split_name='test')
  scripts.answer(done, 'validation at step 3 failed', 'is damaged at record',
                 'model.ckpt-3', code=1)


def test_a_finished_checkpoint_is_recalibrated_and_evaluated(digits_dir, tmp_path):
  done = train(tmp_path, digits_dir, model_name='mobilenet_v1_025',
               train_image_size=32, max_number_of_steps=2, validation_share=0.02,
               batch_size=8, sample_predictions=0)
  assert done.returncode == 0, done.stderr
  assert 'still hold' in done.stdout
  (one,) = findings(tmp_path)
  assert one['train_mode_accuracy'] is not None
  done = evaluate(tmp_path, digits_dir, tmp_path, model_name='mobilenet_v1_025',
                  eval_image_size=32, recalibrate_batch_norm=True,
                  recalibration_images=50, batch_size=20, max_num_batches=1)
  assert 'batch norm statistics of 40 images of train' in done.stdout
  report = json.loads((tmp_path / 'eval' / 'report' / 'report.json').read_text())
  assert report['run']['checkpoint'].endswith('model.ckpt-2-recalibrated')
  assert tf.train.latest_checkpoint(str(tmp_path)).endswith('model.ckpt-2')


@pytest.mark.parametrize(('flags', 'words'), [
    ({'early_stop_patience': 3}, ['--early_stop_patience=3', '--validation_share']),
    ({'validation_split_name': 'tset'}, [
        "no split 'tset'", "did you mean 'test'?", '--validation_split_name']),
    ({'validation_split_name': 'train'}, ['is the split that is trained on']),
    ({'validation_share': 0.1, 'validation_split_name': 'test'}, ['leave out one']),
    ({'validation_share': 1.5}, ['--validation_share=1.5', 'between 0 and 1']),
])
def test_flags_that_make_no_sense_are_refused(digits_dir, tmp_path, flags, words):
  scripts.answer(train(tmp_path, digits_dir, **flags), *words, code=1)
