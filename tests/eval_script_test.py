"""eval_image_classifier.py as its users meet it."""

import csv
import json
import os
import re
import shutil

import pytest

from slim_zoo.input import records
from slim_zoo.tf_compat import tf
from tests import records_for_tests, scripts


def evaluate(run=scripts.run_for_numbers, **flags):
  return run('eval_image_classifier', **flags)


@pytest.fixture
def flags(digits_dir, trained_dir, tmp_path):
  return {'dataset_name': 'digits', 'dataset_dir': digits_dir, 'model_name': 'lenet',
          'checkpoint_path': trained_dir, 'eval_dir': tmp_path / 'eval'}


def report_of(folder):
  return json.loads((folder / 'report' / 'report.json').read_text())


def rows_of(folder):
  with open(folder / 'report' / 'predictions.csv', newline='') as file:
    return list(csv.DictReader(file))


def summaries_of(folder):
  """Returns {tag: [(step, value)]} of the events in a folder."""
  found = {}
  for name in sorted(os.listdir(folder)):
    if 'tfevents' in name:
      for event in tf.train.summary_iterator(str(folder / name)):
        for value in event.summary.value:
          found.setdefault(value.tag, []).append((event.step, value.simple_value))
  return found


def test_every_image_counts_once_whatever_the_batch_size(flags, tmp_path):
  accuracies = []
  for batch_size in (1, 100, 1000):
    folder = tmp_path / str(batch_size)
    done = evaluate(**dict(flags, eval_dir=folder, batch_size=batch_size))
    assert done.returncode == 0, done.stderr
    assert '355 images' in done.stdout
    rows = rows_of(folder)
    assert [int(row['key']) for row in rows] == list(range(355))
    accuracy = float(re.search(r'accuracy +([\d.]+)%', done.stdout)[1])
    correct = sum(row['correct'] in ('1', 'True') for row in rows)
    assert accuracy == pytest.approx(100 * correct / 355, abs=0.006)
    accuracies.append(accuracy)
  assert accuracies[0] == accuracies[1] == accuracies[2]
  assert accuracies[0] > 60


def test_report_and_summaries(flags, tmp_path):
  done = evaluate(scripts.run, **flags)
  assert done.returncode == 0, done.stderr
  folder = flags['eval_dir']
  made = set(os.listdir(folder / 'report'))
  assert {'report.json', 'report.png', 'per_class.csv', 'predictions.csv',
          'confusion_matrix.png', 'worst_mistakes.png'} <= made
  report = report_of(folder)
  assert report['eval/Accuracy'] <= report['eval/Recall_5'] <= 1
  summaries = summaries_of(folder)
  assert summaries['eval/Accuracy'] == [
      (60, pytest.approx(report['eval/Accuracy'], abs=1e-6))]
  assert summaries['eval/Recall_5'][0][1] == pytest.approx(
      report['eval/Recall_5'], abs=1e-6)
  for line in done.stderr.splitlines():
    assert line.startswith('evaluating:'), done.stderr


def test_unreadable_images_are_mistakes_and_named(flags, tmp_path):
  images = [records_for_tests.png(value, 28) for value in range(20)]
  images[4] = b'no image'
  records_for_tests.write(tmp_path / 'digits_test.tfrecord', images,
                          [value % 10 for value in range(20)])
  done = evaluate(**dict(flags, dataset_dir=tmp_path))
  assert done.returncode == 0, done.stderr
  assert 'cannot decode record 4' in done.stdout
  assert 'of 20 images' in done.stdout
  assert '355 images were expected' in done.stdout
  rows = rows_of(flags['eval_dir'])
  assert len(rows) == 20
  assert rows[4]['label'] == '4'
  assert rows[4]['correct'] in ('0', 'False')


def test_a_part_is_said_to_be_a_part(flags):
  done = evaluate(**dict(flags, batch_size=10, max_num_batches=3))
  assert done.returncode == 0, done.stderr
  assert 'of 30 images' in done.stdout
  assert 'first 3 batches only' in done.stdout


def test_moving_averages_are_evaluated(digits_dir, flags, tmp_path):
  from tests.conftest import on_digits
  averaged = tmp_path / 'averaged'
  done = scripts.run('train_image_classifier', train_dir=averaged, batch_size=16,
                     max_number_of_steps=6, moving_average_decay=0.95,
                     **on_digits(digits_dir))
  assert done.returncode == 0, done.stderr
  flags['checkpoint_path'] = averaged
  plain = evaluate(**flags)
  plain_rows = rows_of(flags['eval_dir'])
  with_averages = evaluate(**dict(flags, moving_average_decay=0.95))
  assert plain.returncode == with_averages.returncode == 0
  assert [row['probability'] for row in plain_rows] != [
      row['probability'] for row in rows_of(flags['eval_dir'])]


def test_watching_evaluates_each_new_checkpoint(flags, trained_dir, tmp_path):
  folder = tmp_path / 'watched'
  folder.mkdir()
  process = scripts.Started(tmp_path, scripts.command('eval_image_classifier', **dict(
      flags, checkpoint_path=folder, watch=True, watch_timeout_secs=15)))
  assert process.wait_for('waiting for checkpoints'), process.stderr
  latest = os.path.basename(tf.train.latest_checkpoint(str(trained_dir)))
  for name in os.listdir(trained_dir):
    if name.startswith(latest):
      shutil.copy(trained_dir / name, folder)
  (folder / 'checkpoint').write_text(f'model_checkpoint_path: "{latest}"\n')
  done = process.wait()
  assert done.returncode == 0, done.stderr
  assert done.stdout.count('accuracy') == 1
  assert summaries_of(flags['eval_dir'])['eval/Accuracy'][0][0] == 60


@pytest.mark.parametrize(('changed', 'words'), [
    ({'model_name': 'lennet'}, ["no network 'lennet'", "'lenet'"]),
    ({'dataset_split_name': 'validation'}, [
        "no split 'validation'", 'train, test', 'name one with --dataset_split_name']),
    ({'quantize': True}, ['--quantize', 'has no ranges']),
    ({'watch_timeout_secs': 3}, ['--watch']),
    ({'batch_size': 0}, ['--batch_size=0']),
])
def test_mistaken_flags(flags, changed, words):
  scripts.answer(evaluate(**{**flags, **changed}), *words)


def test_checkpoints_that_are_not_there_or_do_not_fit(flags, trained_dir, tmp_path):
  scripts.answer(evaluate(**dict(flags, checkpoint_path=tmp_path)), 'no checkpoint in')
  scripts.answer(
      evaluate(**dict(flags, checkpoint_path=trained_dir / 'model.ckpt-61')),
      'no checkpoint', 'model.ckpt-60')
  scripts.answer(evaluate(**dict(flags, model_name='cifarnet')), 'another network')
  scripts.answer(evaluate(**dict(flags, moving_average_decay=0.9)),
                 'no moving averages')
  scripts.answer(evaluate(**dict(flags, eval_image_size=32)), 'images of 28 x 28',
                 '--eval_image_size=28')
  latest = tf.train.latest_checkpoint(str(trained_dir))
  damaged = tmp_path / 'model.ckpt-1'
  shutil.copy(latest + '.data-00000-of-00001', f'{damaged}.data-00000-of-00001')
  (tmp_path / 'model.ckpt-1.index').write_bytes(b'nothing of an index')
  scripts.answer(evaluate(**dict(flags, checkpoint_path=damaged)),
                 'cannot read the checkpoint', 'model.ckpt-1')


def test_a_checkpoint_cut_short(flags, trained_dir, tmp_path):
  latest = tf.train.latest_checkpoint(str(trained_dir))
  for suffix in ('.index', '.data-00000-of-00001'):
    shutil.copy(latest + suffix, tmp_path / f'model.ckpt-1{suffix}')
  with open(tmp_path / 'model.ckpt-1.data-00000-of-00001', 'r+b') as file:
    file.truncate(100000)
  scripts.answer(evaluate(**dict(flags, checkpoint_path=tmp_path / 'model.ckpt-1')),
                 'model.ckpt-1', 'damaged')


@pytest.mark.parametrize('left', [6, 100])
def test_records_cut_short_are_not_passed_over(flags, digits_dir, tmp_path, left):
  """Even where TensorFlow takes the cut for the end of the file."""
  path = tmp_path / 'digits_test.tfrecord'
  shutil.copy(digits_dir / 'digits_test.tfrecord', path)
  *_, (last, _) = records._record_ranges(str(path))
  with open(path, 'r+b') as file:
    file.truncate(last - 12 + left)
  scripts.answer(evaluate(**dict(flags, dataset_dir=tmp_path)),
                 'digits_test.tfrecord', 'damaged at record 354')
