"""report.html: what is in it, its limits, and how a browser shows it."""

import contextlib
import dataclasses
import json
import math
import re
import time

import numpy as np
import pytest
from selenium.webdriver.common.by import By

from slim_zoo import diagnostics
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.evaluation import (
    label_errors,
    near_duplicates,
    paired_comparison,
    report,
    selective_accuracy,
)
from slim_zoo.evaluation.metrics import Predictions, Records, evaluate
from slim_zoo.evaluation.page import content, pictures, selection, writing
from slim_zoo.evaluation.page.extras import PageParts
from slim_zoo.prediction import checkpoint_model, classifier
from slim_zoo.tasks import report_page
from tests import browser, scripts
from tests.evaluation_report_test import HEADER, gray_image, make_metrics

HOSTILE = '</script><script>document.title="run"</script>'
NAMES = ['zero', HOSTILE, '<img src=x onerror=alert(1)>', 'drei & "vier"']


class StoredImages:
  """In place of `RecordImages`: two files of records."""

  files = ('/data/one.tfrecord', '/data/<b>two</b>.tfrecord')

  def __init__(self, count):
    self.keys = {number: (0, number) if number < 25 else (1, number - 25)
                 for number in range(count)}

  def name(self, number):
    return f'<i>{number}</i>.png' if number % 2 else ''

  def pixels(self, number, side=None):
    return gray_image(number)


def read_content(path):
  """Returns the data in a page."""
  text = path.read_text(encoding='utf-8')
  return json.loads(re.search(
      r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


# --- Numbers.


@pytest.mark.parametrize(('first', 'second', 'p_value'), [
    (0, 0, 1), (1, 0, 1), (5, 5, 1), (10, 2, 158 / 4096), (2, 10, 158 / 4096),
    (0, 8, 2 / 256),
    # Agresti 1990, Categorical Data Analysis: approval at two times.
    (150, 86, 3.716e-05)])
def test_mcnemar(first, second, p_value):
  assert paired_comparison.mcnemar(first, second) == pytest.approx(p_value, rel=1e-3)


@pytest.mark.parametrize(('first', 'second'), [(520, 481), (560, 445), (600, 600)])
def test_mcnemar_of_many_disagreements_is_near_the_exact_value(first, second):
  count = first + second
  exact = min(1, 2 * sum(math.comb(count, wins) for wins in range(
      min(first, second) + 1)) / 2 ** count)
  assert paired_comparison.mcnemar(first, second) == pytest.approx(exact, rel=0.02)


def records(labels, top, probabilities):
  """Returns Records of images whose most probable classes are given."""
  labels, top = np.array(labels), np.array(top, np.int32)
  probabilities = np.array(probabilities, np.float32)
  is_label = top == labels[:, None]
  ranks = np.where(is_label.any(axis=1), is_label.argmax(axis=1), 2)
  return Records(
      np.arange(len(labels)), labels, top, probabilities,
      np.where(is_label.any(axis=1), (probabilities * is_label).max(axis=1), 0.01
               ).astype(np.float32),
      np.where(top[:, 0] < 0, -1, ranks).astype(np.int32))


def test_accuracy_against_coverage():
  """Images of equal confidence count together; unreadable ones are the last."""
  found = selective_accuracy.curve(records(
      [0, 0, 0, 0, 0], [[0, 1], [0, 1], [1, 0], [0, 1], [-1, -1]],
      [[0.9, 0.1], [0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [np.nan, np.nan]]))
  np.testing.assert_allclose(found.coverage, [0.2, 0.6, 0.8, 1])
  np.testing.assert_allclose(found.accuracy, [1, 2 / 3, 3 / 4, 3 / 5])
  np.testing.assert_allclose(found.confidence, [0.9, 0.8, 0.6, np.nan], rtol=1e-6)


def test_a_long_curve_has_few_points_and_the_accuracy_at_its_end():
  metrics = make_metrics(count=5000)
  found = selective_accuracy.curve(metrics.records)
  assert 150 < len(found.coverage) <= 200
  assert (np.diff(found.coverage) > 0).all()
  assert found.coverage[-1] == 1
  assert found.accuracy[-1] == metrics.top1.value


def test_wrong_labels_are_suspected():
  """Class 1 is rarely sure: 0.4 is enough for it, and for class 0 it is not."""
  labels = [0, 0, 0, 1, 1, 1, 0, 1]
  top = [[0, 1], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [1, 0], [0, 1]]
  sure = [0.9, 0.9, 0.9, 0.55, 0.55, 0.55, 0.6, 0.55]
  found = label_errors.find(
      records(labels, top, [[share, 1 - share] for share in sure]), 3)
  assert (found.rows.tolist(), found.classes.tolist()) == ([6], [1])


def test_suspects_are_ordered_and_unreadable_images_are_none():
  metrics = make_metrics(classes=5, count=400, unreadable=3, sure=1.0)
  records_of = metrics.records
  found = label_errors.find(records_of, 5)
  assert 0 < len(found.rows) < 200
  assert records_of.readable[found.rows].all()
  assert (found.classes != records_of.labels[found.rows]).all()
  margins = records_of.label_probabilities[found.rows] - np.array([
      records_of.top_probabilities[row][records_of.top_classes[row] == label][0]
      for row, label in zip(found.rows, found.classes, strict=True)])
  assert (np.diff(margins) >= 0).all()


def test_copies_are_the_most_similar_images():
  random = np.random.default_rng(1)
  # Features of a network have much in common.
  shared = 5 * random.random(64)
  here, there = (shared + random.random([count, 64]) for count in (50, 300))
  for image, copy in ((7, 120), (31, 299)):
    there[copy] = here[image] + 0.02 * random.random(64)
  search = near_duplicates.Search(here.astype(np.float32))
  for start in range(0, 300, 32):
    part = there[start:start + 32].astype(np.float32)
    numbers = np.arange(start, start + len(part))
    search.add(part, numbers % 10, np.column_stack([numbers // 100, numbers % 100]))

  def read(key):
    # The copies are 7 and 120; the pixels of 31 and 299 differ.
    seed = {1007: 1, (1, 20): 1}.get(key, key)
    return np.random.default_rng(seed).integers(0, 256, [8, 8]).astype(np.uint8)

  assert search.others[7] == (1, 20)
  found = search.compare_pixels(np.arange(50) + 1000, 'train', read, read)
  assert (found.num_pairs, found.num_images, found.num_others) == (1, 50, 300)
  assert found.others[:2].tolist() == [[1, 20], [2, 99]]
  assert found.numbers[:2].tolist() == [1007, 1031]
  assert found.other_labels[:2].tolist() == [0, 9]
  assert found.agreements[0] == 1 > found.agreements[1:].max()
  assert (np.diff(found.similarities[1:]) <= 0).all()
  (pair,) = found.values()['near_duplicates']
  assert (pair['key'], pair['file'], pair['position']) == (1007, 1, 20)
  assert '1 of 50 images' in found.line()


@pytest.mark.parametrize('change', [
    lambda image: image, lambda image: image[:, ::-1], lambda image: image[::2, ::2],
    lambda image: (0.7 * image).astype(np.uint8),
    lambda image: np.repeat(image[:, :, None], 3, axis=2)])
def test_the_pixels_of_copies_agree(change):
  waves = np.sin(np.arange(128) / 9)
  image = (100 + 60 * waves[:, None] + 40 * waves[None, ::-1] ** 3).astype(np.uint8)
  assert near_duplicates.agreement(image, change(image)) > near_duplicates.THRESHOLD


def test_the_pixels_of_other_images_do_not_agree():
  random = np.random.default_rng(5).integers(0, 256, [2, 64, 64]).astype(np.uint8)
  assert abs(near_duplicates.agreement(*random)) < 0.2
  assert near_duplicates.agreement(255 - random[0], random[0]) < 0.2
  gray = np.full([8, 8], 7, np.uint8)
  assert near_duplicates.agreement(gray, random[0]) == 0
  assert near_duplicates.agreement(gray, gray) == 1


# --- Comparison with another report.


@pytest.fixture(scope='module')
def two_reports(tmp_path_factory):
  """Returns the folder of a report, and the metrics of another evaluation."""
  folder = tmp_path_factory.mktemp('other')
  other = make_metrics(count=200, names=NAMES, sure=2.0)
  report.write_report(folder, other, NAMES, HEADER, gray_image)
  return folder, other, make_metrics(count=200, names=NAMES, sure=4.0)


def test_two_evaluations_are_compared(two_reports):
  folder, other, metrics = two_reports
  found = paired_comparison.compare(metrics, paired_comparison.read(str(folder)))
  here, there = metrics.records.correct, other.records.correct
  assert found.other_accuracy.correct == there.sum()
  assert found.only_this.tolist() == np.flatnonzero(here & ~there).tolist()
  assert found.only_other.tolist() == np.flatnonzero(there & ~here).tolist()
  difference, low, high = found.difference
  assert difference == pytest.approx(here.mean() - there.mean())
  assert low < difference < high
  spread = (here.astype(float) - there).std() / math.sqrt(200)
  assert high - difference == pytest.approx(1.96 * spread, rel=1e-3)
  assert found.other_correct.sum() == there.sum()
  values = found.values()
  assert values['p_value'] == paired_comparison.mcnemar(
      values['only_this_correct'], values['only_other_correct'])
  assert 'lenet' in found.line()


def test_an_evaluation_compared_with_itself_does_not_differ(two_reports):
  folder, other, _ = two_reports
  found = paired_comparison.compare(other, paired_comparison.read(str(folder)))
  assert (found.p_value, found.difference) == (1, (0, 0, 0))


@pytest.mark.parametrize(('count', 'names', 'words'), [
    (199, NAMES, 'has 200 images, this evaluation 199'),
    (200, ['a', 'b', 'c', 'd'], 'other classes')])
def test_other_images_are_not_compared(two_reports, count, names, words):
  metrics = make_metrics(count=count, names=names)
  with pytest.raises(diagnostics.UserError, match=words):
    paired_comparison.compare(metrics, paired_comparison.read(str(two_reports[0])))


def test_a_report_that_cannot_be_read_is_named(tmp_path):
  (tmp_path / 'report.json').write_text('{"run": {}}')
  (tmp_path / 'predictions.csv').write_text('name\nx\n')
  with pytest.raises(diagnostics.UserError, match=f'--compare_with={tmp_path}'):
    paired_comparison.read(str(tmp_path))


@pytest.mark.parametrize(('changed', 'words'), [
    ({'compare_with': '{here}'}, 'is not a report of an evaluation'),
    ({'compare_with': '{here}/train'}, 'is of another split: train, this'),
    ({'compare_with': '{here}/part'}, 'another part: the first 3 batches only, this'),
    ({'compare_with': '{here}/boxes'}, 'images with one class each'),
    ({'compare_with': '{here}/damaged'}, 'report.json is not a report'),
    ({'near_duplicates_of': 'test'}, 'is the evaluated split'),
    ({'near_duplicates_of': 'trian'}, "no split 'trian' in digits; did you mean"),
    ({'dataset_dir': '{here}', 'dataset_name': 'tags', 'grad_cam': True},
     '--grad_cam does not fit tags, which is multi-label')])
def test_mistaken_options_are_told_before_the_evaluation(
    digits_dir, trained_dir, tmp_path, changed, words):
  run = {'data set': 'digits', 'split': 'test'}
  for name, values in (
      ('train', {'run': {**run, 'split': 'train'}, 'top1': {}}),
      ('part', {'run': {**run, 'part': 'the first 3 batches only'}, 'top1': {}}),
      ('boxes', {'run': run}), ('damaged', [])):
    (tmp_path / name / 'report').mkdir(parents=True)
    (tmp_path / name / 'report' / 'report.json').write_text(json.dumps(values))
    (tmp_path / name / 'report' / 'predictions.csv').write_text('')
  (tmp_path / 'test.tfrecord').write_bytes(b'')
  (tmp_path / 'dataset.json').write_text(json.dumps({
      'format_version': 1, 'name': 'tags', 'num_classes': 2, 'channels': 1,
      'multi_label': True,
      'splits': {'test': {'images': 1, 'files': 'test.tfrecord'}}}))
  options = {'dataset_name': 'digits', 'dataset_dir': str(digits_dir),
             'checkpoint_path': str(trained_dir), 'model_name': 'lenet', **changed}
  config = EvaluateConfig.from_options({
      name: value.format(here=tmp_path) if isinstance(value, str) else value
      for name, value in options.items()})
  with pytest.raises(diagnostics.UserError, match=words):
    config.check()


def test_the_command_compares_and_searches(digits_dir, trained_dir, tmp_path):
  flags = {'dataset_name': 'digits', 'dataset_dir': digits_dir,
           'checkpoint_path': trained_dir}
  first = scripts.run('eval', eval_dir=tmp_path / 'first', tta='flip', **flags)
  assert first.returncode == 0, first.stderr
  assert 'compared with' not in first.stdout
  done = scripts.run('eval', eval_dir=tmp_path / 'second', near_duplicates_of='train',
                     grad_cam=True, compare_with=tmp_path / 'first', **flags)
  assert done.returncode == 0, done.stderr
  assert 'features of train: 1442/1442 images' in done.stderr
  assert '  compared with  ' in done.stdout
  assert re.search(r'  duplicates     \d+ of 355 images are .* of the 1442 images of'
                   ' train', done.stdout)
  values = json.loads((tmp_path / 'second/report/report.json').read_text())
  other = json.loads((tmp_path / 'first/report/report.json').read_text())
  assert 'comparison' not in other
  assert values['comparison']['correct'] == other['top1']['correct']
  found = read_content(tmp_path / 'second/report' / writing.NAME)
  assert found['hasHeat']
  assert found['records'] == {'files': ['digits_test.tfrecord'], 'runs': [[0, 0, 0]]}
  assert len(found['pictures']) == 355
  pair = found['nearDuplicates']['pairs'][0]
  assert re.fullmatch(r'record \d+ of digits_train.tfrecord', pair['record'])
  assert pair['source'].startswith('data:image/png')


# --- Pictures.


def test_pictures_stay_within_their_bytes():
  """The first ones are kept; a second request of an image is not counted."""
  noise = np.random.default_rng(2).integers(0, 256, [200, 100, 3]).astype(np.uint8)
  one = len(pictures.data_url(pictures.sheets.image_of(noise)))
  made = pictures.Pictures(lambda number: noise, limit=pictures.ByteLimit(5 * one + 10))
  made.add([3, 1, 3])
  made.add(range(100))
  assert list(made.by_number) == [3, 1, 0, 2, 4]
  assert made.limit.left_out == 95
  assert made.add_drawn(pictures.sheets.image_of(noise)) == ''


def test_images_that_cannot_be_decoded_have_no_picture():
  def read(number):
    if number == 1:
      raise diagnostics.UserError('damaged')
    return gray_image(number)

  made = pictures.Pictures(read)
  made.add([0, 1, 2])
  assert list(made.by_number) == [0, 2]
  assert made.limit.left_out == 0
  assert made.by_number[0].source.startswith('data:image/png;base64,')


def test_each_cell_has_a_picture_before_any_has_two():
  labels = np.array([0] * 9 + [1] * 3)
  guesses = np.array([1] * 5 + [2] * 2 + [0] * 2 + [1, 1, 0])
  predictions = Predictions()
  predictions.add(np.arange(12), labels, np.eye(3, dtype=np.float32)[guesses])
  metrics = evaluate(predictions, 3)
  rows = selection.of_cells(metrics)
  assert sorted(rows) == list(range(12))
  # 0 as 1 (5 images), 0 as 2 (2), 1 as 0 (1); the second of each; then right ones.
  assert rows[:3] == [0, 5, 11]
  assert rows[3:5] == [1, 6]
  assert rows[8:10] == [7, 9]
  assert selection.of_cells(metrics, 4) == rows[:4]


def test_grad_cam_is_of_the_class_that_is_reported(monkeypatch):
  """It may differ from the most probable class of one view, which is another."""
  asked = []

  class Model(contextlib.nullcontext):
    def predict(self, images, explained):
      asked.extend(zip(images, explained, strict=True))
      return classifier.Predictions(
          None, pictures=np.zeros([len(images), 8, 8, 1], np.uint8),
          heat=np.ones([len(images), 2, 2], np.float32))

    def prepare(self, data):
      return data

    def __enter__(self):
      return self

  class Encoded(StoredImages):
    def encoded(self, number):
      return number

  monkeypatch.setattr(checkpoint_model, 'CheckpointModel', lambda *unused: Model())
  drawn = report_page.grad_cam(
      None, Encoded(20), {number: number % 3 for number in range(20)}, None,
      [*range(19, 4, -1)])
  assert [*drawn] == [*range(19, 4, -1)]
  assert asked == [(number, number % 3) for number in range(19, 4, -1)]


def test_a_report_that_is_written_again_repeats_no_work(capsys):
  explained, notes = [], [['one'], ['one', 'two']]

  def explain(numbers):
    explained.extend(numbers)
    return {number: f'picture {number}' for number in numbers}

  def write(extras):
    assert extras.explain([3, 1]) == {3: 'picture 3', 1: 'picture 1'}
    assert extras.explain([3, 4])[4] == 'picture 4'
    return notes.pop(0)

  last = report_page.write_with_slow_parts(
      write, PageParts(explain=explain),
      lambda extras: dataclasses.replace(extras, other_images='other'))
  assert (last.other_images, notes) == ('other', [])
  assert explained == [3, 1, 4]
  assert capsys.readouterr().out.split() == ['note', 'one', 'note', 'two']


# --- The file.


@pytest.fixture(scope='module')
def page(tmp_path_factory, two_reports):
  """Returns the page of an evaluation with all parts, 2 of 60 images unreadable."""
  folder = tmp_path_factory.mktemp('page')
  report.write_report(folder / 'other', make_metrics(unreadable=2, names=NAMES, sure=3),
                      NAMES, HEADER, gray_image)
  metrics = make_metrics(unreadable=2, names=NAMES, sure=1.5)
  images = StoredImages(60)
  search = near_duplicates.Search(np.random.default_rng(0).random([60, 8]))
  search.add(np.random.default_rng(1).random([30, 8]), np.arange(30) % 4,
             np.column_stack([np.zeros(30, int), np.arange(30)]))

  def explain(numbers):
    return {number: pictures.sheets.image_of(np.full([140, 140], number, np.uint8))
            for number in numbers}

  report.write_report(
      folder, metrics, NAMES, {**HEADER, 'note': HOSTILE}, gray_image, PageParts(
          images, explain, paired_comparison.compare(
              metrics, paired_comparison.read(str(folder / 'other'))),
          search.compare_pixels(np.arange(60), 'train', gray_image,
                       lambda key: gray_image(key[1])), images))
  return folder / writing.NAME, metrics


BIDI_CONTROLS = frozenset(
    '\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069')


@pytest.mark.parametrize('kind', [
    'class', 'fact', 'title', 'image', 'record file', 'other report'])
def test_names_do_not_change_the_direction_of_the_page(tmp_path, kind):
  hostile, escaped = '\u202eltr\u2067', r'\u202eltr\u2067'

  class Images(StoredImages):
    files = tuple(f'/data/{hostile if kind == "record file" else number}'
                  for number in (1, 2))

    def name(self, number):
      return hostile if kind == 'image' else ''

  names = ['zero', hostile if kind == 'class' else 'one', '\u05d7\u05ea', 'drei']
  metrics = make_metrics(names=names)
  header = {**HEADER, **{'fact': {'note': hostile}, 'title': {'network': hostile}}.get(
      kind, {})}
  comparison = None
  if kind == 'other report':
    report.write_report(tmp_path / hostile, metrics, names, HEADER, gray_image)
    comparison = paired_comparison.compare(
        metrics, paired_comparison.read(str(tmp_path / hostile)))
  report.write_report(tmp_path, metrics, names, header, gray_image,
                      PageParts(Images(60), comparison=comparison))
  text = (tmp_path / writing.NAME).read_text(encoding='utf-8')
  shown = json.dumps(read_content(tmp_path / writing.NAME), ensure_ascii=False)
  assert not BIDI_CONTROLS & {*text, *shown}
  assert json.dumps(escaped)[1:-1] in shown
  assert '\u05d7\u05ea' in shown


def test_the_page_has_the_numbers_of_the_report(page):
  path, metrics = page
  found = read_content(path)
  values = json.loads((path.parent / 'report.json').read_text())
  assert found['summary']['accuracy']['correct'] == metrics.top1.correct
  assert found['summary']['calibrationError'] == values['calibration_error']
  assert found['perClass']['support'] == metrics.per_class.support.tolist()
  cells = found['cells']
  assert sum(cells['images']) == 58
  for true, predicted, images in zip(*(cells[name] for name in (
      'true', 'predicted', 'images')), strict=True):
    assert images == metrics.confusion[true, predicted]
  assert found['images']['number'] == list(range(60))
  assert found['images']['prediction'] == metrics.records.predictions.tolist()
  assert found['images']['probability'][-1] is None
  assert found['worst'] == metrics.mistakes()[:24].tolist()
  assert found['records']['runs'] == [[0, 0, 0], [25, 1, 0]]
  assert values['comparison']['only_this_correct'] == found['comparison']['numOnlyThis']
  assert values['near_duplicates']['pairs'] == found['nearDuplicates']['total']


def test_the_page_is_one_file_that_names_no_other(page):
  text = page[0].read_text(encoding='utf-8')
  assert HOSTILE not in text
  # The script and the data; the text of a class name ends neither.
  assert text.count('</script>') == 2
  assert not re.findall(r'https?://(?!www\.w3\.org/2000/svg)', text)
  assert not re.findall(r'<link|@import|src="(?!data:)', text)
  assert "default-src 'none'" in text


def test_without_room_and_without_records_the_page_says_so(tmp_path, monkeypatch):
  monkeypatch.setattr(content, 'MAX_LISTED', 50)
  metrics, problems = make_metrics(classes=12, count=900, sure=3.0), []

  def explain(numbers):
    raise MemoryError('no memory for the network')

  found = content.of_evaluation(
      metrics, HEADER, gray_image, PageParts(explain=explain), problems)
  (problem,) = problems
  assert problem == (
      'Grad-CAM is left out of report.html: no memory for the network')
  assert not found['hasHeat']
  listed = set(found['images']['number'])
  assert listed >= {*found['worst'], *map(int, found['pictures'])}
  assert any('are not listed' in note for note in found['notes'])
  assert sum(found['cells']['images']) < 900
  assert any('largest cells' in note for note in found['notes'])
  assert found['records'] == {'files': [], 'runs': []}


def test_listed_images_without_a_picture_are_in_the_page(monkeypatch):
  """All that the lists show has its class and probability in the page."""
  monkeypatch.setattr(content, 'MAX_LISTED', 5)

  def damaged(number):
    raise diagnostics.UserError('damaged')

  found = content.of_evaluation(
      make_metrics(count=300), HEADER, damaged, PageParts(), [])
  assert not found['pictures']
  assert set(found['images']['number']) >= {*found['worst'], *found['uncertain']}


def test_pictures_of_the_other_split_share_the_limit(monkeypatch):
  """What is left out of them is said, too."""
  search = near_duplicates.Search(np.random.default_rng(0).random([60, 8]))
  search.add(np.random.default_rng(1).random([30, 8]), np.arange(30) % 4,
             np.column_stack([np.zeros(30, int), np.arange(30)]))
  pairs = search.compare_pixels(np.arange(60), 'train', gray_image,
                       lambda key: gray_image(key[1]))
  images, sizes, make_limit = StoredImages(60), {}, pictures.ByteLimit
  for part in (1, 0.9, 0.5):
    limit = make_limit(int(part * sizes.get(1, pictures.MAX_BYTES)))
    monkeypatch.setattr(pictures, 'ByteLimit', lambda limit=limit: limit)
    found = content.of_evaluation(
        make_metrics(), HEADER, gray_image,
        PageParts(images=images, near_duplicates=pairs, other_images=images), [])
    shown = [*found['pictures'].values(), *(
        pair for pair in found['nearDuplicates']['pairs'] if 'source' in pair)]
    sizes[part] = sum(len(picture['source']) for picture in shown)
    noted = [note for note in found['notes'] if 'left out' in note]
    assert bool(noted) == bool(limit.left_out)
    if part < 1:
      assert sizes[part] <= part * sizes[1]
      assert noted[0].startswith(f'{60 + selection.SHOWN - len(shown)} pictures')
  assert sizes[1] > sizes[0.9] > sizes[0.5]


# --- In a browser.


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
  with browser.opened(tmp_path_factory.mktemp('profile')) as opened:
    yield opened


@pytest.fixture
def shown(driver, page):
  """The page, loaded anew."""
  driver.get(page[0].as_uri())
  return driver


def texts(driver, selector):
  return [one.text for one in driver.find_elements(By.CSS_SELECTOR, selector)]


def column(driver, number):
  return texts(driver, f'#classes tbody td:nth-child({number})')


def test_the_page_has_all_parts_and_no_error(shown):
  assert texts(shown, 'nav a') == texts(shown, 'section > h2') == [
      'Comparison', 'Classes', 'Confusion matrix', 'Worst predictions',
      'Least certain predictions', 'Reliability', 'Accuracy against coverage',
      'Suspected label errors', 'Near-duplicates in train', 'Left out of this page']
  assert shown.get_log('browser') == []
  sizes = shown.execute_script(
      'return [...document.images].filter(image => image.loading != "lazy" ||'
      ' image.complete).map(image => image.naturalWidth)')
  assert sizes
  assert all(sizes)


def test_hostile_names_are_texts(shown):
  assert HOSTILE in column(shown, 1)
  assert NAMES[2] in column(shown, 1)
  assert shown.title == 'lenet on digits, test'
  assert not shown.find_elements(By.CSS_SELECTOR, 'td img, i, b > script')


def test_headings_sort_the_classes(shown, page):
  support = [f'{count}' for count in page[1].per_class.support]
  heading, = [one for one in shown.find_elements(By.CSS_SELECTOR, '#classes th')
              if one.text.startswith('images')]
  heading.find_element(By.TAG_NAME, 'button').click()
  assert column(shown, 2) == sorted(support, key=int)
  assert heading.get_attribute('aria-sort') == 'ascending'
  heading.find_element(By.TAG_NAME, 'button').click()
  assert column(shown, 2) == sorted(support, key=int, reverse=True)
  assert heading.get_attribute('aria-sort') == 'descending'


def test_a_field_filters_the_classes(shown):
  field = shown.find_element(By.CSS_SELECTOR, '#classes input')
  field.send_keys('ZER')
  assert column(shown, 1) == ['zero']
  assert '1 of 4' in shown.find_element(By.ID, 'classes').text
  field.clear()
  field.send_keys('no such class')
  assert column(shown, 1) == []


def test_a_cell_opens_its_images(shown, page):
  label, prediction, count = page[1].confused_pairs(1)[0]
  row = shown.find_elements(By.CSS_SELECTOR, '.matrix tbody tr')[label]
  cell = row.find_elements(By.TAG_NAME, 'td')[prediction]
  assert cell.text == str(count)
  cell.find_element(By.TAG_NAME, 'button').click()
  dialog = shown.find_element(By.ID, 'opened')
  assert dialog.find_element(By.TAG_NAME, 'h2').text == (
      f'{NAMES[label]} → {NAMES[prediction]}: {count} images')
  cards = dialog.find_elements(By.CLASS_NAME, 'card')
  assert len(cards) == count
  assert all(NAMES[prediction] in card.text for card in cards)
  dialog.find_element(By.CLASS_NAME, 'close').click()
  assert not dialog.is_displayed()


def large_metrics(classes=1000, count=50_000):
  """Returns metrics without the probabilities of all classes."""
  random = np.random.default_rng(0)
  labels = random.integers(0, classes, count)
  top = (labels[:, None] + random.integers(0, classes, [count, 5])) % classes
  top[:, 0] = np.where(random.random(count) < 0.75, labels, top[:, 0])
  probabilities = -np.sort(-random.dirichlet(np.ones(5), count), axis=1)
  right = top[:, 0] == labels
  return evaluate(Predictions.of_arrays({
      'keys': np.arange(count), 'labels': labels, 'top_classes': top.astype(np.int32),
      'top_probabilities': probabilities.astype(np.float32),
      'label_probabilities': np.where(right, probabilities[:, 0], 0.01).astype(
          np.float32),
      'label_ranks': np.where(right, 0, 9).astype(np.int32)}), classes, [
          f'class {label}, and a synonym' for label in range(classes)])


def test_50000_images_of_1000_classes(driver, tmp_path):
  """Each picture is noise, which takes the most bytes."""
  random = np.random.default_rng(3)
  noise = random.integers(0, 256, [128, 128, 3]).astype(np.uint8)
  found = content.of_evaluation(
      large_metrics(), HEADER, lambda number: noise,
      PageParts(images=StoredImages(50_000)), [])
  writing.write(tmp_path, 'large', found)
  path = tmp_path / writing.NAME
  assert len(found['images']['number']) == 50_000
  assert 300 < len(found['pictures']) < 600
  assert path.stat().st_size < 20_000_000
  started = time.monotonic()
  driver.get(path.as_uri())
  seconds = time.monotonic() - started
  print(f'{path.stat().st_size / 1e6:.1f} MB, loaded in {seconds:.2f} s')
  assert seconds < 30
  assert driver.execute_script(
      'return document.querySelectorAll("#classes tbody tr").length') == 1000
  # A dot of the matrix opens its images, too.
  canvas = driver.find_element(By.TAG_NAME, 'canvas')
  driver.execute_script('arguments[0].scrollIntoView()', canvas)
  canvas.click()
  dialog = driver.find_element(By.ID, 'opened')
  assert dialog.is_displayed()
  assert re.search(r': \d+ images?$', dialog.find_element(By.TAG_NAME, 'h2').text)
  assert driver.get_log('browser') == []
