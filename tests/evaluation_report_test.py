"""The report folder: files, their content, and what a broken run leaves."""

import csv
import json
import os
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from slim_zoo.drawing import sheets
from slim_zoo.evaluation import figures, panels, report
from slim_zoo.evaluation.metrics import Predictions, evaluate

FILES = {
    'report.html', 'report.png', 'report.json', 'per_class.csv', 'predictions.csv',
    'confusion_matrix.png', 'per_class.png', 'reliability.png',
    'worst_mistakes.png'}
PICTURES = sorted(name for name in FILES if name.endswith('.png'))
HEADER = {'network': 'lenet', 'data set': 'digits', 'split': 'test',
          'checkpoint': '/runs/digits/model.ckpt-300', 'step': np.int64(300),
          'preprocessing': 'lenet', 'image size': 28, 'command': 'eval --all'}


def make_metrics(classes=4, count=60, unreadable=0, names=None, sure=2.0):
  random = np.random.default_rng(classes)
  labels = random.integers(0, classes, count)
  logits = random.normal(size=[count, classes])
  logits[np.arange(count), labels] += sure
  powers = np.exp(logits)
  probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
  predictions = Predictions()
  good = count - unreadable
  if good:
    predictions.add(np.arange(good), labels[:good], probabilities[:good])
  predictions.add_unreadable(np.arange(good, count), labels[good:])
  return evaluate(predictions, classes, names)


def gray_image(key):
  return np.full([8, 8], key % 256, np.uint8)


def write(folder, metrics, names=None, header=HEADER, read_image=gray_image):
  report.write_report(folder, metrics, names, header, read_image)


def read_csv(path):
  with open(path, encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


@pytest.fixture
def quick_pictures(monkeypatch):
  """Files with a word in them, where only the folder is of interest."""
  def write_figures(folder, *unused):
    for name in PICTURES:
      (folder / name).write_text('drawn')
  monkeypatch.setattr(figures, 'write_figures', write_figures)


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """A report of 4 classes, the third without a name, 2 images unreadable."""
  folder = tmp_path_factory.mktemp('written')
  names = {0: 'zero', 1: 'one, uno', 3: 'drei "3"'}
  metrics = make_metrics(unreadable=2, names=names)
  asked = []
  write(folder, metrics, names,
        read_image=lambda key: asked.append(key) or gray_image(key))
  return folder, metrics, asked


def test_folder_holds_exactly_the_files(written):
  assert set(os.listdir(written[0])) == FILES


@pytest.mark.parametrize('name', PICTURES)
def test_pictures_are_png_files_of_a_sensible_size(written, name):
  with Image.open(written[0] / name) as picture:
    picture.load()
    assert picture.format == 'PNG'
    assert 'Software' not in picture.info
    assert 900 <= picture.width <= 2000
    assert 150 <= picture.height <= 2000
    extremes = picture.convert('L').getextrema()
  assert extremes[0] < 100
  assert extremes[1] == 255


def test_json_holds_every_number(written):
  folder, metrics, _ = written
  values = json.loads((folder / 'report.json').read_text(encoding='utf-8'))
  assert values['run'] == {**HEADER, 'step': 300}
  assert values['eval/Accuracy'] == metrics.top1.correct / 60
  assert values['eval/Recall_5'] == metrics.topk.correct / 60
  assert values['top1']['correct'] == metrics.top1.correct
  assert values['top1']['interval_95'] == list(metrics.top1.interval)
  assert values['topk'] == {
      'k': 4, 'correct': 58, 'total': 60, 'accuracy': 58 / 60,
      'interval_95': list(metrics.topk.interval)}
  assert values['num_images'] == 60
  assert values['num_unreadable'] == 2
  assert values['unreadable'] == [58, 59]
  assert values['cross_entropy'] == metrics.cross_entropy
  assert values['macro']['f1'] == metrics.macro.f1
  assert values['calibration_error'] == metrics.calibration.error
  assert [row['images'] for row in values['calibration_bins']] == (
      metrics.calibration.images.tolist())
  np.testing.assert_array_equal(values['confusion_matrix'], metrics.confusion)
  assert [row['name'] for row in values['classes']] == [
      'zero', 'one, uno', '2', 'drei "3"']
  assert [row['f1'] for row in values['classes']] == metrics.per_class.f1.tolist()


def test_json_keys_are_stable(written):
  values = json.loads((written[0] / 'report.json').read_text(encoding='utf-8'))
  assert list(values) == [
      'run', 'num_images', 'num_unreadable', 'num_classes', 'eval/Accuracy',
      'eval/Recall_5', 'top1', 'topk', 'cross_entropy', 'macro',
      'calibration_error', 'calibration_bins', 'classes', 'confused_pairs',
      'worst_mistakes', 'unreadable', 'confusion_matrix']


def test_undefined_numbers_are_null_and_empty_cells(tmp_path):
  metrics = make_metrics(classes=8, count=3)
  write(tmp_path, metrics)
  text = (tmp_path / 'report.json').read_text(encoding='utf-8')
  assert 'NaN' not in text
  absent = int(np.flatnonzero(metrics.per_class.support == 0)[0])
  assert json.loads(text)['classes'][absent]['recall'] is None
  assert read_csv(tmp_path / 'per_class.csv')[absent]['recall'] == ''


def test_class_table_has_a_row_per_class(written):
  folder, metrics, _ = written
  rows = read_csv(folder / 'per_class.csv')
  assert list(rows[0])[:7] == [
      'label', 'name', 'images', 'correct', 'precision', 'recall', 'f1']
  assert [row['label'] for row in rows] == ['0', '1', '2', '3']
  assert [row['name'] for row in rows] == ['zero', 'one, uno', '2', 'drei "3"']
  assert sum(int(row['images']) for row in rows) == metrics.num_images
  assert sum(int(row['correct']) for row in rows) == metrics.top1.correct
  assert sum(int(row['unreadable']) for row in rows) == 2
  for column in ('precision', 'recall', 'f1'):
    assert [float(row[column]) for row in rows] == (
        getattr(metrics.per_class, column).tolist())


def test_image_table_has_a_row_per_image(written):
  folder, metrics, _ = written
  rows = read_csv(folder / 'predictions.csv')
  assert list(rows[0]) == ['key', 'label', 'label_name', 'prediction',
                           'prediction_name', 'probability', 'correct']
  assert [int(row['key']) for row in rows] == list(range(60))
  assert sum(int(row['correct']) for row in rows) == metrics.top1.correct
  for row, label, prediction, confidence in zip(
      rows[:58], metrics.records.labels, metrics.records.predictions,
      metrics.records.confidences, strict=False):
    assert (int(row['label']), int(row['prediction'])) == (label, prediction)
    assert row['prediction_name'] == metrics.class_names[prediction]
    assert np.float32(row['probability']) == confidence
  for row in rows[58:]:
    assert row['prediction'] == row['probability'] == ''
    assert (row['prediction_name'], row['correct']) == ('unreadable', '0')


def test_each_image_is_read_once_the_most_confident_mistakes_first(written):
  """The page of the report has pictures of all 58 readable images."""
  _, metrics, asked = written
  records = metrics.records
  wrong = [key for key in range(58)
           if records.predictions[key] != records.labels[key]]
  wrong.sort(key=lambda key: -records.confidences[key])
  shown = wrong[:figures.NUM_WORST_MISTAKES]
  assert asked[:len(shown)] == shown
  assert sorted(asked) == list(range(58))


def test_the_most_confident_mistakes_are_the_pictures_shown(tmp_path):
  # Each image is of a colour of its own, found again in its cell of the sheet.
  metrics = make_metrics(classes=3, count=40, sure=1.0)
  keys = metrics.records.keys[metrics.mistakes()]
  colours = {int(key): (7 * place % 256, 90, 255 - 5 * place)
             for place, key in enumerate(keys)}
  write(tmp_path, metrics, read_image=lambda key: np.full(
      [20, 20, 3], colours.get(key, (0, 0, 0)), np.uint8))
  with Image.open(tmp_path / 'worst_mistakes.png') as picture:
    pixels = np.asarray(picture.convert('RGB'))
  places = []
  for key in keys[:24]:
    rows, columns = np.nonzero((pixels == colours[int(key)]).all(axis=2))
    assert len(rows) > 10000
    places.append((round(rows.mean(), -1), round(columns.mean(), -1)))
  assert places == sorted(places)


@pytest.mark.parametrize('shape', [
    (8, 8), (8, 8, 1), (8, 8, 3), (300, 500, 3), (1, 700), (700, 1, 1)])
def test_images_of_every_shape_become_small_rgb_pictures(shape):
  pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  picture = sheets.thumbnail(sheets.image_of(pixels), side=256)
  assert picture.mode == 'RGB'
  assert max(picture.size) == 256
  if min(shape[:2]) > 1:
    assert picture.width / picture.height == pytest.approx(
        shape[1] / shape[0], rel=0.02)


def test_tiny_images_keep_their_pixels_as_squares():
  pixels = np.arange(0, 256, 4, dtype=np.uint8).reshape([8, 8])
  enlarged = np.asarray(sheets.thumbnail(sheets.image_of(pixels), side=256))
  np.testing.assert_array_equal(
      enlarged[..., 0], np.kron(pixels, np.ones([32, 32], np.uint8)))


@pytest.mark.parametrize('image', [
    np.zeros([8, 8, 4], np.uint8), np.zeros([8, 8], np.float32),
    np.zeros([8], np.uint8)])
def test_what_is_no_image_is_refused(image):
  with pytest.raises(ValueError, match=r'expected uint8 \[h, w\]'):
    sheets.image_of(image)


@pytest.mark.parametrize(('classes', 'count', 'sure', 'unreadable'), [
    (1, 3, 1.0, 0),      # Nothing to be confused with.
    (2, 30, 0.5, 0),
    (5, 20, 99.0, 0),    # No mistakes.
    (5, 20, 99.0, 2),    # None but unreadable ones.
    (3, 2, 1.0, 2),      # Nothing could be read.
    (25, 200, 2.0, 1),   # A matrix with names and without counts.
    (41, 200, 2.0, 0),   # A matrix without names.
])
def test_a_report_is_whole_in_every_case(tmp_path, classes, count, sure, unreadable):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    write(tmp_path, make_metrics(classes, count, unreadable, sure=sure))
  assert set(os.listdir(tmp_path)) == FILES
  for name in PICTURES:
    with Image.open(tmp_path / name) as picture:
      picture.load()
      assert picture.width >= 900
  json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))


def test_a_report_of_1001_classes_is_whole(tmp_path):
  names = [f'a quite long name {label}, and a synonym' for label in range(1001)]
  metrics = make_metrics(classes=1001, count=2000, names=names, sure=4.0)
  write(tmp_path, metrics, names)
  assert set(os.listdir(tmp_path)) == FILES
  values = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
  assert np.trace(values['confusion_matrix']) == metrics.top1.correct
  for name in PICTURES:
    with Image.open(tmp_path / name) as picture:
      assert max(picture.size) <= 2000


def test_odd_class_names_are_drawn_and_nothing_is_said(tmp_path, capfd):
  names = ['$\\x$', 'a_b^{c', '猫', '', 'x' * 300]
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    write(tmp_path, make_metrics(classes=5, names=names), names,
          header={'network': '$\\n$', 'note': '$'})
  assert capfd.readouterr() == ('', '')
  assert read_csv(tmp_path / 'per_class.csv')[2]['name'] == '猫'


def test_the_same_evaluation_writes_the_same_files(tmp_path):
  for name in ('first', 'second'):
    write(tmp_path / name, make_metrics())
  for name in FILES:
    assert (tmp_path / 'first' / name).read_bytes() == (
        tmp_path / 'second' / name).read_bytes(), name


@pytest.mark.usefixtures('quick_pictures')
def test_a_failed_report_leaves_the_old_one_whole(tmp_path):
  write(tmp_path, make_metrics(count=40))
  (tmp_path / 'notes.txt').write_text('mine')
  before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

  def fail(key):
    raise OSError('the record is gone')

  with pytest.raises(OSError, match='gone'):
    write(tmp_path, make_metrics(count=60), read_image=fail)
  assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
  write(tmp_path, make_metrics(count=60))
  assert (tmp_path / 'notes.txt').read_text() == 'mine'
  assert len(read_csv(tmp_path / 'predictions.csv')) == 60


@pytest.mark.usefixtures('quick_pictures')
def test_report_json_never_stands_beside_other_files(tmp_path, monkeypatch):
  write(tmp_path, make_metrics(count=40))
  before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
  rename, moved = os.rename, []

  def fail_at(number):
    def move(source, target):
      moved.append(os.path.relpath(target, tmp_path))
      if len(moved) == number:
        raise OSError('the disk is full')
      rename(source, target)
    return move

  # While old files leave, and while new ones come: the old report is back, and whole.
  for number in (3, len(FILES) + 3):
    moved.clear()
    monkeypatch.setattr(os, 'rename', fail_at(number))
    with pytest.raises(OSError, match='full'):
      write(tmp_path, make_metrics(count=60))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
  moved.clear()
  monkeypatch.setattr(os, 'rename', fail_at(None))
  write(tmp_path, make_metrics(count=60))
  assert os.path.basename(moved[0]) == 'report.json'
  assert set(moved[len(FILES):]) == FILES
  assert moved[-1] == 'report.json'
  assert set(os.listdir(tmp_path)) == FILES


def test_summary_tells_counts_classes_and_pairs():
  labels = np.array([0] * 4 + [1] * 4 + [2] * 4)
  guesses = np.array([0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 0])
  predictions = Predictions()
  predictions.add(np.arange(12), labels, np.eye(3, dtype=np.float32)[guesses])
  predictions.add_unreadable([12], [2])
  names = ['cat', 'dog', 'owl']
  metrics = evaluate(predictions, 3, names)
  assert report.summary_lines(
      metrics, names, {**HEADER, 'report': 'runs/report'}) == [
          'lenet on digits, test',
          '  accuracy       69.23%, 9 of 13 images'
          ' (95% interval 42.37% to 87.32%)',
          '  top-3          92.31%, 12 of 13 images',
          '  cross entropy  21.834',
          '  worst classes  cat (F1 0.571, 2 of 4 found);'
          ' owl (F1 0.750, 3 of 5 found); dog (F1 0.800, 4 of 4 found)',
          '  most confused  cat predicted as dog (2 times);'
          ' owl predicted as cat (once)',
          '  unreadable     1 images, counted as mistakes',
          '  report         runs/report',
      ]


@pytest.mark.parametrize('name', ['\u202eltr', '\u2067a', '\x1b[31mred', 'a\nb'])
def test_the_summary_is_printable(name):
  lines = report.summary_lines(make_metrics(2, 60, names=[name, 'b'], sure=0), None, {})
  assert all(map(str.isprintable, lines))
  assert name.encode('unicode_escape').decode() in '\n'.join(lines)


def test_summary_of_a_perfect_network_names_no_class():
  lines = report.summary_lines(make_metrics(5, 20, sure=99.0), None, {})
  assert lines[0] == 'evaluation'
  assert '100%, 20 of 20 images' in lines[1]
  assert lines[4:] == ['  worst classes  none is wrong',
                       '  most confused  no pair']


@pytest.mark.parametrize(('name', 'width', 'short'), [
    ('dog', 3, 'dog'), ('great white shark, white shark', 18, 'great white shark'),
    ('great white shark, white shark', 8, 'great w…'),
    ('a, b', 4, 'a, b')])
def test_long_names_lose_their_synonyms_first(name, width, short):
  assert panels.shorten(name, width) == short


def test_nothing_of_pyplot_is_used():
  # Its global state, and a window system where there is none.
  script = ('import sys; from slim_zoo.evaluation import report;'
            ' sys.exit("matplotlib.pyplot" in sys.modules)')
  root = os.path.dirname(os.path.dirname(os.path.abspath(report.__file__)))
  assert os.spawnve(os.P_WAIT, sys.executable, [sys.executable, '-c', script],
                    {**os.environ, 'PYTHONPATH': root}) == 0
