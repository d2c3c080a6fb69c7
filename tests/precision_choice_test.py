"""--precision: by the rewriter, by auto, and what the answers in bfloat16 are worth."""

import contextlib
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import slim_zoo
from slim_zoo import diagnostics
from slim_zoo.checkpoints import quantization
from slim_zoo.config.benchmark import BenchmarkConfig
from slim_zoo.config.classification import ClassifyConfig
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.config.training import TrainConfig
from slim_zoo.deployment import (
  graph_rewrite,
  precision_hint,
  precision_trial,
  processor,
  small_trials,
)
from slim_zoo.deployment.session_settings import SessionSettings
from slim_zoo.evaluation import precision_choice
from slim_zoo.files import user_cache
from slim_zoo.inference import precision_check
from slim_zoo.prediction import precise_model
from slim_zoo.tasks import inference_precision
from slim_zoo.tf_compat import tf
from tests import scripts
from tests.computation_test import Clock
from tests.conftest import ROOT, on_digits

CHOSEN = r'--precision=auto: (float32|bfloat16), \S+'


def skip_without_rewriter():
  """Skips a test where TensorFlow has no kernels for bfloat16."""
  try:
    graph_rewrite.check('bfloat16')
  except diagnostics.UserError as refusal:
    pytest.skip(str(refusal))


@pytest.fixture
def cache_dir(tmp_path, monkeypatch):
  """Returns a cache folder that is used by this process, and is not there yet."""
  monkeypatch.setenv(user_cache.VARIABLE, str(tmp_path / 'cache'))
  return tmp_path / 'cache'


@pytest.fixture
def bfloat16_is_faster(monkeypatch):
  """Makes each trial find that bfloat16 takes half the time."""
  skip_without_rewriter()
  monkeypatch.setattr(precision_trial, 'without_trial', lambda **_: None)
  monkeypatch.setattr(precision_trial, 'choose',
                      lambda *_: precision_trial.of_factor(2.0))


# --- The option and its old name.

@pytest.mark.parametrize('config', [TrainConfig, BenchmarkConfig])
@pytest.mark.parametrize(('options', 'wanted'), [
    ({}, 'float32'), ({'precision': 'bfloat16'}, 'bfloat16'),
    ({'mixed_precision': 'bfloat16'}, 'bfloat16'),
    ({'mixed_precision': 'none'}, 'float32'), ({'precision': 'auto'}, 'auto'),
    ({'mixed_precision': 'float16', 'precision': 'float16'}, 'float16')])
def test_the_old_name_says_the_same(config, options, wanted):
  made = config.from_options(options)
  made.precision.check_names(made.user_options)
  assert made.precision.wanted == wanted


@pytest.mark.parametrize('options', [
    {'mixed_precision': 'bfloat16', 'precision': 'float32'},
    {'mixed_precision': 'none', 'precision': 'auto'}])
def test_two_different_values_are_refused(options):
  made = TrainConfig.from_options(options)
  with pytest.raises(diagnostics.UserError, match='differ'):
    made.precision.check_names(made.user_options)


@pytest.mark.parametrize(('config', 'options', 'words'), [
    (EvaluateConfig, {'precision': 'bfloat16', 'master': 'grpc://a:1'}, '--master='),
    (ClassifyConfig, {'precision': 'auto', 'export': 'x'}, 'leave out --export or')])
def test_what_another_program_computes_has_its_own_precision(config, options, words):
  with pytest.raises(diagnostics.UserError, match=words):
    config.from_options(options).check()


@pytest.mark.parametrize(('command', 'near'), [
    ('train', 'precision'), ('eval', 'precision'), ('classify', 'precision')])
def test_the_option_is_found_by_other_names(command, near):
  scripts.answer(scripts.run(command, dtype='bfloat16'), f"did you mean '{near}'")


# --- The machine.

@pytest.mark.parametrize(('instructions', 'has'), [
    ((), False), (('avx2', 'fma', 'avx512f', 'avx512_vnni'), False),
    (('avx512f', 'avx512_bf16'), True), (('amx_tile', 'amx_bf16'), True),
    (('asimd', 'bf16'), True)])
def test_the_processor_says_whether_it_has_bfloat16(instructions, has):
  assert processor.has_bfloat16(instructions) == has
  if not has:
    choice = precision_trial.without_trial(instructions, '/device:CPU:0')
    assert choice.line() == ('--precision=auto: float32, because this processor has no'
                             ' instructions for bfloat16')


def ran_types(config):
  """Returns the types of each kind of operation that a small network ran in."""
  random = np.random.default_rng(0)
  filters = lambda *shape: tf.constant(random.normal(size=shape).astype(np.float32))
  images = tf.placeholder(tf.float32, [None, 16, 16, 8])
  net = tf.nn.relu6(tf.nn.conv2d(images, filters(3, 3, 8, 16), 1, 'SAME'))
  net = tf.nn.relu6(tf.nn.depthwise_conv2d(
      net, filters(3, 3, 16, 1), [1, 1, 1, 1], 'SAME'))
  net = tf.nn.relu6(tf.nn.conv2d(net, filters(1, 1, 16, 32), 1, 'SAME'))
  net = tf.nn.softmax(tf.matmul(tf.reduce_mean(net, [1, 2]), filters(32, 5)))
  metadata = tf.RunMetadata()
  with tf.Session(config=config) as session:
    session.run(net, {images: random.normal(size=[4, 16, 16, 8])},
                options=tf.RunOptions(output_partition_graphs=True),
                run_metadata=metadata)
  types = {}
  for part in metadata.partition_graphs:
    for node in part.node:
      kind = next((kind for kind in ('DepthwiseConv2d', 'Conv2D', 'MatMul', 'Softmax')
                   if kind in node.op), None)
      if kind:
        types.setdefault(kind, set()).add(tf.as_dtype(node.attr['T'].type).name)
  return types


@pytest.mark.parametrize(('dtype', 'factor', 'of_depthwise'), [
    ('float32', 2.0, 'float32'), ('bfloat16', 0.9, 'float32'),
    ('bfloat16', 1.2, 'bfloat16')])
def test_products_are_rewritten_and_depthwise_ones_where_that_is_faster(
    dtype, factor, of_depthwise, monkeypatch):
  skip_without_rewriter()
  monkeypatch.setattr(small_trials, 'factor_of_depthwise', lambda cache: factor)
  monkeypatch.setenv(graph_rewrite._KEPT, '')
  monkeypatch.delenv(graph_rewrite._KEPT)
  types = ran_types(graph_rewrite.set_precision(tf.ConfigProto(), dtype))
  assert types['Conv2D'] == types['MatMul'] == {dtype}
  assert types['Softmax'] == {'float32'}
  assert types['DepthwiseConv2d'] == {of_depthwise}


def test_the_factor_of_an_operation_is_measured_once(cache_dir, monkeypatch):
  factor = small_trials.factor_of_depthwise(user_cache.UserCache(small_trials.FILE))
  assert factor > 0
  monkeypatch.setattr(small_trials, '_seconds', no_trial)
  again = small_trials.factor_of_depthwise(user_cache.UserCache(small_trials.FILE))
  assert again == factor


def test_float16_of_finished_networks_is_for_gpus(monkeypatch):
  monkeypatch.setattr(graph_rewrite, 'is_on_gpu', lambda device='': False)
  with pytest.raises(diagnostics.UserError, match=r'float16.*use --precision=bfloat16'):
    graph_rewrite.check('float16')


def test_what_xla_compiles_is_in_bfloat16_too():
  skip_without_rewriter()
  program = ('from slim_zoo.deployment import computation, graph_rewrite;'
             " computation.check_xla(); graph_rewrite.check('bfloat16')")
  done = subprocess.run(
      [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True,
      check=False, env={
          **os.environ, 'TF_XLA_FLAGS': '--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit'})
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(('is_quantized', 'precision', 'taken'), [
    (True, 'auto', 'float32'), (True, 'float32', 'float32'), (True, 'bfloat16', None),
    (True, 'float16', None), (False, 'auto', 'auto'), (False, 'bfloat16', 'bfloat16')])
def test_a_network_that_rounds_computes_in_float32(
    monkeypatch, is_quantized, precision, taken):
  monkeypatch.setattr(graph_rewrite, 'check', lambda *_: None)
  monkeypatch.setattr(processor, 'has_bfloat16', lambda _: True)
  network = SimpleNamespace(
      checkpoint='a', quantized=quantization.Quantized(9) if is_quantized else None)
  if taken is None:
    with pytest.raises(diagnostics.UserError, match='use --precision=float32'):
      inference_precision.checked(precision, network)
    return
  dtype, notes = inference_precision.checked(precision, network)
  assert dtype == taken
  assert len(notes) == (is_quantized and precision == 'auto')


# --- The choice.

@pytest.mark.parametrize(('factor', 'dtype'), [
    (0.5, 'float32'), (1.0, 'float32'), (1.029, 'float32'), (1.03, 'bfloat16'),
    (4.0, 'bfloat16')])
def test_bfloat16_is_to_be_faster(factor, dtype):
  choice = precision_trial.of_factor(factor)
  assert (choice.dtype, choice.factor) == (dtype, factor)
  assert f'auto: {dtype}, ' in choice.line()
  assert f'{factor:.2f} times as fast' in choice.line()


def test_the_types_take_turns_in_each_round():
  clock = Clock()
  usual, reduced = clock.taking('usual', [9, 9, 0.02]), clock.taking(
      'reduced', [9, 9, 0.01])
  times = precision_trial.seconds_in_turn(usual, reduced, lambda: clock.now)
  assert {(round(one, 6), round(other, 6)) for one, other in times} == {(0.02, 0.01)}
  assert 3 <= len(times) <= 9


def test_a_slow_graph_has_few_rounds():
  clock = Clock()
  times = precision_trial.seconds_in_turn(
      clock.taking('usual', [5]), clock.taking('reduced', [50]), lambda: clock.now)
  assert times == [(5, 50)] * 3


@contextlib.contextmanager
def no_trial(dtype):
  raise AssertionError(f'{dtype} is timed again')
  yield


def test_a_choice_is_kept_for_the_next_command(cache_dir):
  sleeps = {'float32': 0.03, 'bfloat16': 0.01}
  clock = Clock()

  @contextlib.contextmanager
  def open_run(dtype):
    yield clock.taking(dtype, [sleeps[dtype]])

  first = precision_trial.choose(
      'key', open_run, user_cache.UserCache('precision.json'))
  again = precision_trial.choose(
      'key', no_trial, user_cache.UserCache('precision.json'))
  assert again.dtype == first.dtype
  assert 'measured on' in again.line()
  assert os.listdir(cache_dir) == ['precision.json']
  with pytest.raises(AssertionError, match='timed again'):
    precision_trial.choose(
        'another', no_trial, user_cache.UserCache('precision.json'))


def test_keys_tell_graphs_and_batches_apart_but_not_weights():
  def key(layers, value, batch):
    with tf.Graph().as_default() as graph:
      images = tf.placeholder(tf.float32, [None, 8])
      for _ in range(layers):
        images = tf.matmul(images, tf.fill([8, 8], value))
      return precision_trial.key_of(graph, [batch, 8], 'frozen')

  assert key(1, 1.0, 4) == key(1, 2.0, 4)
  assert len({key(1, 1.0, 4), key(2, 1.0, 4), key(1, 1.0, 8)}) == 3


def test_keys_differ_for_xla_and_numbers_of_threads(monkeypatch):
  def key(**settings):
    return precision_trial.key_of(
        tf.Graph(), [4, 8], 'step', SessionSettings(**settings))

  monkeypatch.delenv('TF_XLA_FLAGS', raising=False)
  keys = [key(), key(intra_op_parallelism_threads=1),
          key(inter_op_parallelism_threads=1)]
  monkeypatch.setenv('TF_XLA_FLAGS', '--tf_xla_auto_jit=2')
  keys.append(key())
  assert len(set(keys)) == 4
  assert key(allow_growth=False) == key()


# --- The cache.

@pytest.mark.parametrize('content', [b'{"a": {', b'[1, 2]', b'\xff\xfe', b''])
def test_a_damaged_cache_is_ignored_and_replaced(content, cache_dir):
  cache_dir.mkdir()
  (cache_dir / 'x.json').write_bytes(content)
  cache = user_cache.UserCache('x.json')
  assert cache.find('a') is None
  (note,) = cache.take_notes()
  assert 'is ignored' in note
  cache.add('a', {'factor': 2.0})
  assert json.loads((cache_dir / 'x.json').read_text()) == {'a': {'factor': 2.0}}


@pytest.mark.parametrize('entry', [
    {}, {'factor': 'x'}, {'factor': None}, {'factor': -1}, {'factor': float('nan')}])
def test_a_damaged_entry_is_measured_again(entry, cache_dir):
  cache = user_cache.UserCache('x.json')
  cache.add('key', entry)
  assert precision_trial.find('key', user_cache.UserCache('x.json')) is None


def test_two_commands_keep_the_entries_of_each_other(cache_dir):
  one, other = user_cache.UserCache('x.json'), user_cache.UserCache('x.json')
  one.add('a', {'factor': 1.0})
  other.add('b', {'factor': 2.0})
  assert set(json.loads((cache_dir / 'x.json').read_text())) == {'a', 'b'}


def test_a_cache_that_cannot_be_written_is_told_and_works_in_memory(
    tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('no folder')
  monkeypatch.setenv(user_cache.VARIABLE, str(tmp_path / 'file' / 'cache'))
  cache = user_cache.UserCache('x.json')
  cache.take_notes()
  cache.add('a', {'factor': 2.0})
  assert cache.find('a') == {'factor': 2.0}
  (note,) = cache.take_notes()
  assert 'is not written' in note


# --- The comparison of answers.

def probabilities(count, changed=0, change=0.0):
  """Returns those of float32, and others in which some images change their class."""
  usual = np.tile(np.float32([0.2, 0.7, 0.1]), (count, 1))
  reduced = np.tile(np.float32([0.2, 0.7 - change, 0.1 + change]), (count, 1))
  reduced[:changed] = [0.7, 0.2, 0.1]
  return usual, reduced


@pytest.mark.parametrize(('count', 'changed', 'change', 'words'), [
    (200, 0, 0.0, None), (200, 0, 0.002, None), (10, 0, 0.0, None),
    (200, 2, 0.0, 'top-1 class of 2 of 200 images'),
    (10, 1, 0.0, 'top-1 class of 1 of 10 images'),
    (400, 0, 0.1, 'cross entropy of 400 images from 0.3567 to 0.5108')])
def test_answers_that_differ_are_told(count, changed, change, words):
  check = precision_check.PrecisionCheck()
  labels = np.ones(count, np.int64)
  labels[:changed] = -1  # No class: only the change of the answer counts.
  check.add(*probabilities(count, changed, change), labels)
  fault = check.fault()
  assert (fault is None) == (words is None), fault
  if words:
    assert words in fault


def test_without_labels_the_answers_of_float32_are_the_targets():
  check = precision_check.PrecisionCheck()
  check.add(*probabilities(200, change=0.01))
  assert check.fault() is None
  check.add(*probabilities(200, change=0.4))
  assert 'class of 200 of 400' in check.fault()


def test_any_class_of_a_multi_label_image_counts():
  usual = np.tile(np.float32([0.9, 0.51]), (200, 1))
  reduced = usual.copy()
  reduced[:2, 1] = 0.49
  check = precision_check.PrecisionCheck(multi_label=True)
  check.add(usual, reduced, np.ones([200, 2], np.float32))
  assert 'the classes of 2 of 200 images' in check.fault()


def test_a_value_that_is_not_finite_is_a_fault():
  check = precision_check.PrecisionCheck()
  usual, reduced = probabilities(200)
  reduced[0, 0] = np.nan
  check.add(usual, reduced)
  assert check.fault()


# --- Evaluation and classification.

def evaluate(trained_dir, digits_dir, eval_dir, **options):
  return slim_zoo.evaluate(
      checkpoint_path=trained_dir, eval_dir=eval_dir, dataset_name='digits',
      dataset_dir=digits_dir, model_name='lenet', **options)


def test_an_evaluation_in_bfloat16_is_near_that_in_float32(
    trained_dir, digits_dir, tmp_path):
  skip_without_rewriter()
  usual, reduced = [
      evaluate(trained_dir, digits_dir, tmp_path, precision=dtype)
      for dtype in ('float32', 'bfloat16')]
  assert (usual.precision, reduced.precision) == ('float32', 'bfloat16')
  assert reduced.accuracy == pytest.approx(usual.accuracy, abs=0.01)
  assert reduced.metrics.cross_entropy != usual.metrics.cross_entropy
  report = json.loads((tmp_path / 'report' / 'report.json').read_text())
  assert report['run']['precision'] == 'bfloat16'


def test_auto_takes_one_type_and_says_which(
    trained_dir, digits_dir, tmp_path, cache_dir, capsys):
  results = [evaluate(trained_dir, digits_dir, tmp_path, precision='auto')
             for _ in range(2)]
  chosen = re.findall(CHOSEN, capsys.readouterr().out)
  assert chosen == [result.precision for result in results]
  assert chosen[0] == chosen[1] or not cache_dir.exists()


def test_auto_stays_with_float32_where_classes_change(
    trained_dir, digits_dir, tmp_path, bfloat16_is_faster, monkeypatch, capsys):
  network = precision_choice._network

  @contextlib.contextmanager
  def changed(batch, probabilities, dtype, settings):
    with network(batch, probabilities, dtype, settings) as run:
      yield run if dtype == 'float32' else lambda images: run(images)[:, ::-1]

  assert evaluate(trained_dir, digits_dir, tmp_path,
                  precision='auto').precision == 'bfloat16'
  monkeypatch.setattr(precision_choice, '_network', changed)
  assert evaluate(trained_dir, digits_dir, tmp_path,
                  precision='auto').precision == 'float32'
  assert re.search(r'auto: float32, because bfloat16 changes the top-1 class of \d+ of'
                   r' \d+ images', capsys.readouterr().out)


def small_model(precision):
  """Returns a `PreciseModel` of a layer, and images for it."""
  random = np.random.default_rng(0)
  images = tf.placeholder(tf.float32, [None, 8, 8, 3])
  filters = tf.constant(random.normal(size=[3, 3, 3, 16]).astype(np.float32))
  net = tf.nn.relu(tf.nn.conv2d(images, filters, 1, 'SAME'))
  filters = tf.constant(random.normal(size=[3, 3, 16, 5]).astype(np.float32) / 20)
  net = tf.nn.relu(tf.nn.conv2d(net, filters, 1, 'SAME'))
  fetches = {'probabilities': tf.nn.softmax(tf.reduce_mean(net, [1, 2]))}
  return (precise_model.PreciseModel(images, fetches, precision),
          random.normal(size=[150, 8, 8, 3]).astype(np.float32))


def test_the_first_classified_images_have_the_answers_of_float32(
    bfloat16_is_faster, monkeypatch, capsys):
  monkeypatch.setattr(precision_check.PrecisionCheck, 'fault', lambda self: None)
  model, images = small_model('auto')
  usual, _ = small_model('float32')
  answers = [model.run(images)['probabilities'] for _ in range(3)]
  wanted = usual.run(images)['probabilities']
  for answer in answers[:2]:
    np.testing.assert_array_equal(answer, wanted)
  assert (answers[2] != wanted).any()
  assert list(model._sessions) == ['bfloat16']
  assert ('auto: bfloat16, 2.00 times as fast as float32 here; the first 200 images, in'
          ' whole batches, are computed in both types') in capsys.readouterr().err
  model.close()
  usual.close()


def test_a_classification_goes_on_in_float32_where_classes_change(
    bfloat16_is_faster, monkeypatch, capsys):
  monkeypatch.setattr(precision_check.PrecisionCheck, 'fault',
                      lambda self: 'because a test says so')
  model, images = small_model('auto')
  first, _, third = [model.run(images)['probabilities'] for _ in range(3)]
  np.testing.assert_array_equal(first, third)
  assert list(model._sessions) == ['float32']
  assert 'auto: float32, because a test says so' in capsys.readouterr().err
  model.close()


# --- Training.

def train(folder, digits_dir, steps, **options):
  return slim_zoo.train(train_dir=folder, max_number_of_steps=steps, batch_size=8,
                        save_summaries_secs=0, log_every_n_steps=0,
                        **on_digits(digits_dir), **options)


def test_a_run_goes_on_in_another_precision(digits_dir, tmp_path, capsys):
  skip_without_rewriter()
  for steps, options in (
      (2, {'precision': 'bfloat16', 'validation_split_name': 'test',
           'validate_every_steps': 2}), (4, {})):
    train(tmp_path, digits_dir, steps, **options)
    card = json.loads((tmp_path / 'run_card.json').read_text())
    wanted = options.get('precision', 'float32')
    assert card['run']['computation']['precision'] == wanted
  assert card['sessions'][-1]['changed']['flags.precision'] == ['bfloat16', 'float32']
  assert 'flags.precision: bfloat16 before, now float32' in capsys.readouterr().out
  findings = json.loads((tmp_path / 'validation.json').read_text())['findings']
  assert [finding['precision'] for finding in findings] == ['bfloat16']


def test_auto_chooses_for_a_run(digits_dir, tmp_path, cache_dir, capsys):
  train(tmp_path / 'run', digits_dir, 2, precision='auto')
  (chosen,) = re.findall(CHOSEN, capsys.readouterr().out)
  card = json.loads((tmp_path / 'run' / 'run_card.json').read_text())
  computation = card['run']['computation']
  assert computation['precision'] == chosen
  assert re.match(CHOSEN, computation['chosen_by'])


# --- The hint.

@pytest.mark.parametrize(('network', 'images', 'passes', 'is_long'), [
    ('resnet_v1_50', 50_000, precision_hint.FORWARD, True),
    ('resnet_v1_50', 50, precision_hint.FORWARD, False),
    ('lenet', 1000, precision_hint.TRAINING, False),
    ('lenet', None, precision_hint.TRAINING, True)])
def test_hints_are_for_long_work(network, images, passes, is_long):
  assert precision_hint.is_long(network, images, passes) == is_long


@pytest.mark.parametrize(('factor', 'words'), [
    (2.5, 'bfloat16 is 2.50 times as fast'), (0.8, None)])
def test_a_hint_is_by_an_earlier_trial(factor, words, cache_dir):
  cache = user_cache.UserCache('x.json')
  cache.add('key', {'factor': factor, 'when': '2026-01-31'})
  line = precision_hint.line('key', cache)
  assert (line is None) == (words is None)
  if words:
    assert words in line
    assert '--precision=bfloat16' in line


@pytest.mark.parametrize(('factor', 'words'), [
    (4.6, '4.6 times as fast in bfloat16: --precision=auto'), (1.1, None)])
def test_without_a_trial_a_hint_is_by_products(factor, words, cache_dir, monkeypatch):
  monkeypatch.setattr(precision_trial, 'without_trial', lambda **_: None)
  cache = user_cache.UserCache('x.json')
  cache.add(small_trials.machine_key('products of matrices'), {'factor': factor})
  line = precision_hint.line('key', cache)
  assert (line is None) == (words is None)
  assert words is None or words in line
