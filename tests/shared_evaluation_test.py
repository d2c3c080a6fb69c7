"""Evaluation and validation by several processes give the numbers of one process."""

import json
import re

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.config.clusters import adopt_evaluation_cluster
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.evaluation import (
  metrics,
  multi_label,
  multi_label_report,
  predictions,
  report,
  shards,
)
from slim_zoo.input import plain_records, records
from slim_zoo.tf_compat import tf
from tests import jobs, scripts

SECONDS = 180
CLASSES = 7
# The numbers of records in each file of a split.
FILES = (6, 1, 4)


def places():
  return [(file, position) for file, count in enumerate(FILES)
          for position in range(count)]


def collected(is_multi_label, of_process=lambda number: True):
  """Returns predictions for the images of a process, and their record keys."""
  random = np.random.default_rng(4)
  found = (multi_label if is_multi_label else predictions).Predictions()
  keys, number = {}, 0
  for index, place in enumerate(places()):
    values = random.random(CLASSES).astype(np.float32)
    labels = random.integers(0, CLASSES, 2)
    if not of_process(index):
      continue
    is_readable = index not in (2, 6)
    if is_multi_label:
      target = np.isin(np.arange(CLASSES), labels).astype(int)
      if is_readable:
        found.add([number], [target], [values])
      else:
        found.add_unreadable([number], [labels.tolist()], CLASSES)
    elif is_readable:
      found.add([number], labels[:1], values[None] / values.sum())
    else:
      found.add_unreadable([number], labels[:1])
    keys[number] = place
    number += 1
  return found, keys


@pytest.mark.parametrize('is_multi_label', [False, True])
@pytest.mark.parametrize('count', [1, 2, 3, 11, 14])
def test_shards_are_put_together_as_one_process_collects_them(is_multi_label, count):
  """With more processes than images, and with a process that reads no image."""
  parts = [shards.packed(*collected(
      is_multi_label, lambda number, task=task: number % count == task), CLASSES)
      for task in range(count)]
  found, keys = shards.merged(parts, is_multi_label, sum(FILES))
  wanted, wanted_keys = collected(is_multi_label)
  assert keys == wanted_keys
  module, pages = ((multi_label, multi_label_report) if is_multi_label else
                   (metrics, report))
  assert pages.report_values(module.evaluate(found, CLASSES), {}) == (
      pages.report_values(module.evaluate(wanted, CLASSES), {}))


def test_missing_and_repeated_images_are_refused():
  half = shards.packed(*collected(False, lambda number: number < 5), CLASSES)
  rest = shards.packed(*collected(False, lambda number: number >= 5), CLASSES)
  for parts in ([half], [half, half, rest], [half, half]):
    with pytest.raises(diagnostics.UserError, match='of 11 images'):
      shards.merged(parts, False, 11)


def report_of(folder):
  values = json.loads((folder / 'report' / 'report.json').read_text())
  del values['run']
  return values


@pytest.fixture(scope='module')
def things(digits_dir, tmp_path_factory):
  """Digits with the labels even and above 4; one image cannot be decoded."""
  folder = tmp_path_factory.mktemp('things')
  for split, count in (('train', 100), ('test', 61), ('few', 1)):
    source = str(
        digits_dir / f'digits_{"train" if split == "few" else split}.tfrecord')
    written = []
    for position, data in enumerate(records.read_records(source, range(count))):
      feature = tf.train.Example.FromString(data).features.feature
      digit, = feature['image/class/label'].int64_list.value
      image = feature['image/encoded'].bytes_list.value[0]
      written.append(plain_records.example({
          'image/encoded': plain_records.texts(
              b'no image' if (split, position) == ('test', 5) else image),
          'image/format': plain_records.texts(b'png'),
          'image/class/label': plain_records.ints(*[
              label for label, is_so in enumerate((digit % 2 == 0, digit > 4))
              if is_so])}))
    plain_records.write(str(folder / f'{split}.tfrecord'), written)
  (folder / 'dataset.json').write_text(json.dumps({
      'format_version': 1, 'name': 'things', 'num_classes': 2, 'channels': 1,
      'multi_label': True, 'splits': {
          split: {'images': count, 'files': f'{split}.tfrecord'}
          for split, count in (('train', 100), ('test', 61), ('few', 1))}}))
  return folder


def evaluate_with_two(folder, **flags):
  """Evaluates in two processes; returns the report and what the processes printed."""
  folder.mkdir()
  with jobs.Job(folder, 'eval_image_classifier', {'worker': 2},
                eval_dir=folder / 'eval', **flags) as job:
    done = job.run(SECONDS)
  for process in done.values():
    assert process.returncode == 0, process.stderr
    # The progress only.
    assert re.fullmatch('(.*evaluating: .*\n)*', process.stderr)
  return report_of(folder / 'eval'), [process.stdout for process in done.values()]


def evaluate_alone(folder, **flags):
  done = scripts.run_for_numbers('eval_image_classifier', eval_dir=folder, **flags)
  assert done.returncode == 0, done.stderr
  return report_of(folder)


def close(found, wanted):
  """Compares reports: counts exactly, float numbers to the rounding of float32."""
  if isinstance(wanted, dict):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
      close(found[name], value)
  elif isinstance(wanted, list):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
      close(one, other)
  else:
    assert found == (pytest.approx(wanted, rel=1e-4) if isinstance(wanted, float)
                     else wanted)


def test_two_processes_write_the_report_of_one(digits_dir, trained_dir, tmp_path):
  flags = {'dataset_name': 'digits', 'dataset_dir': digits_dir, 'model_name': 'lenet',
           'checkpoint_path': trained_dir}
  found, printed = evaluate_with_two(tmp_path / 'two', **flags)
  close(found, evaluate_alone(tmp_path / 'one', **flags))
  assert found['num_images'] == 355
  assert '178 images of this process' in printed[0]
  assert '177 images of this process' in printed[1]
  assert 'accuracy' in printed[0]
  assert 'accuracy' not in printed[1]


@pytest.fixture(scope='module')
def validated(things, tmp_path_factory):
  """Returns the folder of a run of two workers on images of several classes.

  And its flags, and what the workers printed.
  """
  flags = {'dataset_name': 'things', 'dataset_dir': things, 'model_name': 'lenet'}
  folder = tmp_path_factory.mktemp('validated')
  with jobs.Job(folder, 'train_image_classifier', {'worker': 2}, **{
      **flags, 'train_dir': folder / 'run', 'loss': 'sigmoid', 'batch_size': 4,
      'seed': 7, 'max_number_of_steps': 6, 'validate_every_steps': 4,
      'learning_rate': 0.01, 'validation_split_name': 'test',
      'save_summaries_secs': 0}) as job:
    done = job.run(SECONDS)
  for process in done.values():
    assert (process.returncode, process.stderr) == (0, ''), process.stdout
  return folder / 'run', flags, ''.join(process.stdout for process in done.values())


def test_all_reduce_workers_validate_as_one_process(validated, tmp_path):
  """Images of several classes, and one that cannot be decoded."""
  run, flags, printed = validated
  findings = json.loads((run / 'validation.json').read_text())['findings']
  assert [finding['step'] for finding in findings] == [4, 6]
  # Each worker reads its own part.
  assert printed.count('cannot decode record 5') == 1
  alone = evaluate_alone(tmp_path / 'eval', checkpoint_path=run, **flags)
  assert findings[-1]['images'] == alone['num_images'] == 61
  assert findings[-1]['correct'] == alone['exactly_right']
  assert findings[-1]['score'] == pytest.approx(alone['mean_average_precision'])


@jobs.on_demand
def test_a_process_without_images_takes_part(validated, tmp_path):
  run, flags, _ = validated
  few = {**flags, 'checkpoint_path': run, 'dataset_split_name': 'few'}
  found, printed = evaluate_with_two(tmp_path / 'few', **few)
  close(found, evaluate_alone(tmp_path / 'few_alone', **few))
  assert any('0 images of this process' in text for text in printed)


def test_a_process_with_other_options_is_named(digits_dir, trained_dir, tmp_path):
  flags = {'dataset_name': 'digits', 'dataset_dir': digits_dir, 'model_name': 'lenet',
           'checkpoint_path': trained_dir, 'eval_dir': tmp_path / 'eval'}
  with jobs.Job(tmp_path, 'eval_image_classifier', {'worker': 2}, **flags) as job:
    job.start('worker', 0)
    job.start('worker', 1, dataset_split_name='train')
    for process in job.processes.values():
      scripts.answer(process.wait(SECONDS), '--dataset_split_name of worker 1')


TWO = json.dumps({'cluster': {'worker': ['a:1', 'b:1']},
                  'task': {'type': 'worker', 'index': 1}})


@pytest.mark.parametrize(('text', 'options', 'task'), [
    (None, {}, None), (None, {'cluster': 'a:1'}, None),
    (None, {'cluster': 'a:1,b:1', 'task': 1}, 1), (TWO, {}, 1),
    (json.dumps({'cluster': {'chief': ['a:1'], 'worker': ['b:1'], 'ps': ['c:1']},
                 'task': {'type': 'chief', 'index': 0}}), {}, 0),
    (json.dumps({'cluster': {'worker': ['a:1', 'b:1']},
                 'task': {'type': 'evaluator', 'index': 0}}), {}, None)])
def test_the_processes_of_an_evaluation(text, options, task):
  config = adopt_evaluation_cluster(
      EvaluateConfig.from_options(options), {'TF_CONFIG': text} if text else {})
  config.server.check(config.user_options)
  own = config.server.own_cluster
  assert (own and (own.task, own.workers)) == (
      None if task is None else (task, ('a:1', 'b:1')))
  assert config.server.is_chief == (not task)


@pytest.mark.parametrize(('text', 'options', 'words'), [
    (TWO, {'cluster': 'a:1,b:1'}, '--cluster=a:1,b:1: TF_CONFIG names'),
    (TWO, {'master': 'grpc://a:1'}, '--master=grpc://a:1: TF_CONFIG names'),
    (TWO, {'precision': 'auto'}, '--precision=auto with several processes'),
    (TWO, {'watch': True}, '--watch with several processes'),
    (TWO, {'recalibrate_batch_norm': True}, '--recalibrate_batch_norm with several'),
    (TWO, {'max_num_batches': 2}, '--max_num_batches with several processes'),
    (None, {'task': 1}, '--task=1 has no effect'),
    (None, {'cluster': 'a:1,b:1', 'task': 2}, 'the tasks are 0 to 1'),
    (None, {'cluster': 'a:1,b:1', 'master': 'c:1'}, 'both name servers'),
    (None, {'cluster': 'a,b'}, 'is not of the form HOST:PORT'),
    (json.dumps({'cluster': {'worker': ['a:1', 'b:1'], 'ps': ['c:1']},
                 'task': {'type': 'ps', 'index': 0}}), {}, 'is a parameter server'),
])
def test_what_does_not_fit_several_processes_is_one_line(text, options, words):
  def check():
    config = adopt_evaluation_cluster(
        EvaluateConfig.from_options(options), {'TF_CONFIG': text} if text else {})
    config.server.check(config.user_options, config.precision.precision)

  with pytest.raises(diagnostics.UserError) as error:
    check()
  assert words in str(error.value)
  assert '\n' not in str(error.value)
