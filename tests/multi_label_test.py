"""Images of any number of classes: records, batches, losses, numbers, scripts."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as reference

from slim_zoo import diagnostics
from slim_zoo.catalog import datasets as catalog
from slim_zoo.datasets import record_dataset
from slim_zoo.evaluation import multi_label, predictions
from slim_zoo.input import (
  batch_labels,
  held_out,
  label_counts,
  pipeline,
  plain_records,
  records,
)
from slim_zoo.tf_compat import tf
from tests import records_for_tests, scripts
from tests.conftest import ROOT

# Labels of the records; none, several, one twice.
LABELS = [[2, 0], [], [1], [1, 1, 3], [0, 1, 2, 3], [3]]


def describe(folder, counts, num_classes=4, multi_label_value=True):
  values = {'format_version': 1, 'name': 'things', 'num_classes': num_classes,
            'channels': 1, 'multi_label': multi_label_value,
            'splits': {split: {'images': count, 'files': f'{split}.tfrecord'}
                       for split, count in counts.items()}}
  (folder / catalog.DESCRIPTION_FILENAME).write_text(json.dumps(values))


def record(image, labels, name=''):
  return plain_records.example({
      'image/encoded': plain_records.texts(image),
      'image/format': plain_records.texts(b'png'),
      'image/filename': plain_records.texts(name.encode()),
      'image/class/label': plain_records.ints(*labels)})


def write(folder, labels, split='train', images=None):
  images = images or [records_for_tests.png(value) for value in range(len(labels))]
  plain_records.write(str(folder / f'{split}.tfrecord'), [
      record(image, of_image, f'{number}.png')
      for number, (image, of_image) in enumerate(zip(images, labels, strict=True))])
  describe(folder, {split: len(labels)})
  return record_dataset.read_dataset('things', split, str(folder))


def batches_of(source):
  with tf.Session() as session:
    session.run(source.initializer)
    batch = source.next_batch()
    found = []
    try:
      while True:
        found.append(session.run((batch.images, batch.labels, batch.numbers)))
        source.log.deliver(found[-1][2])
    except tf.errors.OutOfRangeError:
      return found
    except tf.errors.OpError as error:
      raise source.failure(error) or error from error


def targets_of(labels, num_classes=4, offset=0):
  targets = np.zeros([len(labels), num_classes], np.float32)
  for row, of_image in zip(targets, labels, strict=True):
    row[[label - offset for label in of_image]] = 1
  return targets


def test_the_description_says_so(tmp_path):
  describe(tmp_path, {'train': 6})
  spec = catalog.read_description(str(tmp_path))
  assert spec.multi_label
  assert 'may be none' in spec.label_description
  assert json.loads(catalog.description(spec))['multi_label'] is True
  describe(tmp_path, {'train': 6}, multi_label_value='yes')
  with pytest.raises(diagnostics.UserError, match='multi_label'):
    catalog.read_description(str(tmp_path))
  assert not catalog.DATASETS['flowers'].multi_label


@pytest.mark.parametrize('batch_size', [2, 6])
def test_batches_hold_ones_for_the_labels(tmp_path, batch_size):
  dataset = write(tmp_path, LABELS)
  assert batch_labels.is_multi_label(dataset)
  found = batches_of(pipeline.evaluation_input(
      dataset, records_for_tests.as_they_are, batch_size))
  labels = np.concatenate([batch[1] for batch in found])
  assert labels.dtype == np.float32
  np.testing.assert_array_equal(labels, targets_of(LABELS))
  images = np.concatenate([batch[0] for batch in found])
  np.testing.assert_array_equal(images[:, 0, 0, 0], range(6))


def test_the_offset_is_taken_off_and_unreadable_images_are_passed_over(tmp_path):
  labels = [[1], [2, 3], [], [3]]
  images = [records_for_tests.png(value) for value in range(4)]
  images[1] = b'no image'
  found = batches_of(pipeline.evaluation_input(
      write(tmp_path, labels, images=images), records_for_tests.as_they_are, 4,
      labels_offset=1))
  np.testing.assert_array_equal(
      found[0][1], targets_of([[1], [], [3]], 3, offset=1))
  assert found[0][2].tolist() == [0, 2, 3]


@pytest.mark.parametrize(('wrong', 'offset'), [(4, 0), (-1, 0), (0, 1)])
def test_a_wrong_label_is_named(tmp_path, wrong, offset):
  dataset = write(tmp_path, [[1], [2, wrong]])
  text = f'label {wrong} of record 1 of .*1.png.* none of the {4 - offset} classes'
  with pytest.raises(diagnostics.UserError, match=text):
    batches_of(pipeline.evaluation_input(
        dataset, records_for_tests.as_they_are, 2, labels_offset=offset))
  spec = catalog.find_dataset('things', str(tmp_path))
  with pytest.raises(diagnostics.UserError, match=text):
    label_counts.count([str(tmp_path / 'train.tfrecord')], spec, offset)


def test_training_batches_can_be_mixed(tmp_path):
  source = pipeline.training_input(
      write(tmp_path, LABELS), records_for_tests.as_they_are, 3,
      mix=lambda images, targets, seed: (images, targets / 2))
  assert source.next_batch().labels.dtype == tf.float32
  with tf.Session() as session:
    session.run(source.initializer)
    labels = session.run(source.next_batch().labels)
  assert set(np.unique(labels)) == {0, 0.5}


def test_several_labels_where_one_is_expected(tmp_path):
  dataset = write(tmp_path, LABELS)
  describe(tmp_path, {'train': 6}, multi_label_value=False)
  dataset = record_dataset.read_dataset('things', 'train', str(tmp_path))
  with pytest.raises(diagnostics.UserError, match=r'2 labels.*"multi_label": true'):
    pipeline.evaluation_input(dataset, records_for_tests.as_they_are, 2)


def test_labels_are_counted_from_the_records(tmp_path, capsys):
  write(tmp_path, LABELS)
  files = [str(tmp_path / 'train.tfrecord')]
  spec = catalog.find_dataset('things', str(tmp_path))
  assert label_counts.count(files, spec).tolist() == [2, 3, 2, 3]
  assert 'counting labels: 6/6 images' in capsys.readouterr().err
  assert records.labels_of(records.read_features(files, 0, 3)) == [1, 1, 3]
  for is_held_out in (True, False):
    part = held_out.Part(0.5, is_held_out)
    kept = [LABELS[position] for _, position in part.keys(files)]
    assert 0 < len(kept) < len(LABELS)
    np.testing.assert_array_equal(
        label_counts.count(files, spec, part=part), targets_of(kept).sum(0))
  plain_records.write(files[0], [
      record(b'', [1]), record(b'', [2]), record(b'', [1])])
  describe(tmp_path, {'train': 3}, multi_label_value=False)
  spec = catalog.find_dataset('things', str(tmp_path))
  assert label_counts.count(files, spec, 1).tolist() == [2, 1, 0]
  plain_records.write(files[0], [record(b'', [1]), record(b'', [])])
  with pytest.raises(diagnostics.UserError, match=(
      r'record 1 of .*: its image/class/label is an empty list; expected one int64')):
    label_counts.count(files, spec)


def some_predictions(images=200, classes=5, seed=3):
  """Targets and coarse probabilities, with many ties; class 4 has no image."""
  drawn = np.random.default_rng(seed)
  targets = drawn.random([images, classes]) < [0.5, 0.1, 0.02, 0.3, 0]
  rows = np.round(drawn.random([images, classes]) * 0.6 + targets * 0.3, 1)
  return targets, np.clip(rows, 0, 1).astype(np.float32)


def test_numbers_are_those_of_another_library():
  targets, rows = some_predictions()
  collected = multi_label.Predictions()
  # In batches, and not in the order of the split.
  for keys in (range(100, 200), range(0, 37), range(37, 100)):
    collected.add(keys, targets[keys], rows[keys])
  found = multi_label.evaluate(collected, 5)
  given = rows >= 0.5
  wanted = [reference.average_precision_score(targets[:, i], rows[:, i])
            for i in range(4)]
  np.testing.assert_allclose(found.per_class.average_precision, [*wanted, np.nan])
  assert found.mean_average_precision == pytest.approx(np.mean(wanted))
  precision, recall, f1, _ = reference.precision_recall_fscore_support(
      targets, given, average='micro', zero_division=0)
  assert (found.micro.precision, found.micro.recall, found.micro.f1) == (
      pytest.approx(precision), pytest.approx(recall), pytest.approx(f1))
  np.testing.assert_allclose(
      found.per_class.f1[:4],
      reference.f1_score(targets, given, average=None, zero_division=0)[:4])
  assert found.exact == round(200 * reference.accuracy_score(targets, given))
  np.testing.assert_array_equal(found.per_class.support, targets.sum(0))


@pytest.mark.parametrize(('truth', 'values', 'wanted'), [
    ([1, 0, 1], [0.9, 0.8, 0.7], (1 + 2 / 3) / 2),
    ([1, 0, 1], [0.5, 0.5, 0.5], 2 / 3),
    ([0, 1], [0.9, 0.1], 1 / 2),
    ([1, 1], [0.9, np.nan], 1 / 2),
    ([1], [np.nan], 0),
    ([0, 0], [0.9, 0.1], np.nan),
])
def test_average_precision_by_hand(truth, values, wanted):
  found = multi_label.average_precision(np.array(truth, bool), np.array(values))
  np.testing.assert_allclose(found, wanted)


def test_unreadable_images_miss_all_their_classes():
  collected = multi_label.Predictions()
  collected.add([0], [[1, 0]], [[0.9, 0.2]])
  collected.add_unreadable([1, 2], [[0, 1], []], 2)
  found = multi_label.evaluate(collected, 2)
  assert (found.num_images, found.num_unreadable, found.exact) == (3, 2, 1)
  assert found.micro == multi_label.Micro(correct=1, predicted=1, true=3)
  np.testing.assert_allclose(found.per_class.average_precision, [0.5, 0])


@pytest.mark.parametrize(('keys', 'targets', 'rows', 'error'), [
    ([0], [[1, 0]], [[np.nan, 0]], predictions.NotFiniteError),
    ([0], [[1, 0]], [[2.0, 0]], ValueError),
    ([0], [[0.5, 0]], [[1.0, 0]], ValueError),
    ([0, 0], [[1, 0]] * 2, [[1.0, 0]] * 2, ValueError),
    ([0], [[1, 0]], [[1.0, 0, 0]], ValueError),
])
def test_predictions_that_make_no_sense(keys, targets, rows, error):
  with pytest.raises(error):
    multi_label.Predictions().add(keys, targets, np.array(rows))


@pytest.fixture(scope='module')
def things(digits_dir, tmp_path_factory):
  """Digits with the labels even, above 4 and multiple of 3; 1 and 7 may have none."""
  folder = tmp_path_factory.mktemp('things')
  for split, count in (('train', 600), ('test', 200)):
    path = str(digits_dir / f'digits_{split}.tfrecord')
    written = []
    for data in records.read_records(path, range(count)):
      feature = tf.train.Example.FromString(data).features.feature
      (digit,) = feature['image/class/label'].int64_list.value
      labels = [label for label, is_so in enumerate(
          (digit % 2 == 0, digit > 4, digit % 3 == 0)) if is_so]
      written.append(record(feature['image/encoded'].bytes_list.value[0], labels))
    if split == 'test':
      written[5] = record(b'no image', [0, 2])
    plain_records.write(str(folder / f'{split}.tfrecord'), written)
  describe(folder, {'train': 600, 'test': 200}, num_classes=3)
  (folder / 'labels.txt').write_text('0:even\n1:above 4\n2:multiple of 3\n')
  return folder


def test_training_and_evaluation(things, tmp_path):
  flags = {'dataset_name': 'things', 'dataset_dir': things, 'model_name': 'lenet'}
  training = dict(flags, train_dir=tmp_path, optimizer='adam', opt_epsilon=1e-8,
                  learning_rate=0.003, seed=7, max_number_of_steps=60,
                  validation_split_name='test', sample_predictions=0)
  scripts.answer(scripts.run('train_image_classifier', **training),
                 '--loss=softmax', 'things', 'use --loss=sigmoid')
  done = scripts.run('train_image_classifier', **training,
                     loss='sigmoid:1,sigmoid_focal:0.5', class_weights='1,2,1',
                     save_summaries_secs=1)
  assert done.returncode == 0, done.stderr
  assert '1 (even) to 2 (above 4)' in done.stdout
  validated = re.search(
      r'validation at step 60: mean average precision ([0-9.]+)%', done.stdout)
  done = scripts.run('eval_image_classifier', **flags, checkpoint_path=tmp_path,
                     eval_dir=tmp_path / 'eval')
  assert done.returncode == 0, done.stderr
  assert 'cannot decode record 5' in done.stdout
  assert '1 images, given no class' in done.stdout
  folder = tmp_path / 'eval' / 'report'
  report = json.loads((folder / 'report.json').read_text())
  assert report['num_images'] == 200
  assert report['mean_average_precision'] > 0.75
  assert float(validated[1]) == pytest.approx(
      100 * report['mean_average_precision'], abs=0.006)
  assert [row['name'] for row in report['classes']] == [
      'even', 'above 4', 'multiple of 3']
  assert {path.name for path in folder.iterdir()} == {
      'report.json', 'per_class.csv', 'per_class.png', 'predictions.csv'}
  with open(folder / 'predictions.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert rows[5]['label_names'] == 'even;multiple of 3'
  assert rows[5]['predictions'] == 'unreadable'
  exact = sum(row['labels'] == row['predictions'] for row in rows)
  assert exact == report['exactly_right'] == sum(int(row['correct']) for row in rows)
  tags = {value.tag: value.simple_value
          for path in (tmp_path / 'eval').glob('events*')
          for event in tf.train.summary_iterator(str(path))
          for value in event.summary.value}
  assert tags['eval/mean_average_precision'] == pytest.approx(
      report['mean_average_precision'])
  assert tags['eval/micro_f1'] == pytest.approx(report['micro']['f1'])


def test_the_records_of_the_documentation_can_be_read(tmp_path, monkeypatch):
  text = (ROOT / 'docs' / 'losses.md').read_text()
  code = re.search(r'```python\n(import json.*?)```', text, re.DOTALL)[1]
  for name in ('beach', 'forest', 'wall'):
    Image.new('RGB', (8, 8)).save(tmp_path / f'{name}.jpg')
  monkeypatch.chdir(tmp_path)
  exec(compile(code, 'docs/losses.md', 'exec'), {})
  dataset = record_dataset.read_dataset('places', 'train', 'data/places')
  assert dataset.labels_to_names == {0: 'water', 1: 'trees', 2: 'people'}

  def preprocess(number, image):
    return tf.ensure_shape(tf.cast(image, tf.float32), [8, 8, 3])
  (batch,) = batches_of(pipeline.evaluation_input(dataset, preprocess, 3))
  np.testing.assert_array_equal(batch[1], [[1, 0, 1], [0, 1, 0], [0, 0, 0]])
