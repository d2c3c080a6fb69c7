"""slim-zoo robustness: exact counts on corrupted images, the files, continued runs."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from slim_zoo import diagnostics
from slim_zoo.catalog.corruptions import GROUPS, KINDS, SEVERITIES
from slim_zoo.config.robustness import RobustnessConfig
from slim_zoo.datasets import dataset_utils
from slim_zoo.evaluation import robustness, robustness_report
from slim_zoo.evaluation.corruptions import table
from slim_zoo.evaluation.robustness import Counts
from slim_zoo.tf_compat import tf
from tests import scripts
from tests.stored_images import encoded


def run(digits_dir, trained_dir, folder, *flags, **options):
  return scripts.run(
      'robustness', *flags, dataset_name='digits', dataset_dir=digits_dir,
      checkpoint_path=trained_dir, output_dir=folder, seed=3, **options)


@pytest.fixture(scope='module')
def tested(digits_dir, trained_dir, tmp_path_factory):
  """Returns a folder with the results of two kinds, and what was printed."""
  folder = tmp_path_factory.mktemp('robustness') / 'out'
  done = run(digits_dir, trained_dir, folder, corruptions='jpeg,fog')
  assert done.returncode == 0, done.stderr
  return folder, done


def evaluated(digits_dir, trained_dir, folder):
  """Returns how many images of a folder of records an evaluation finds right."""
  done = scripts.run_for_numbers(
      'eval', dataset_name='digits', dataset_dir=digits_dir,
      checkpoint_path=trained_dir, eval_dir=folder)
  assert done.returncode == 0, done.stderr
  return json.loads((folder / 'report' / 'report.json').read_text())['top1']['correct']


def corrupted_records(digits_dir, folder, kind, severity):
  """Writes the test split with corrupted images."""
  examples = []
  for number, record in enumerate(
      tf.io.tf_record_iterator(str(digits_dir / 'digits_test.tfrecord'))):
    example = tf.train.Example.FromString(record)
    stored = example.features.feature['image/encoded'].bytes_list
    image = np.asarray(Image.open(io.BytesIO(stored.value[0])))[..., np.newaxis]
    stored.value[0] = encoded(table.corrupt(image, kind, severity, number, 3)[..., 0])
    examples.append(example)
  folder.mkdir()
  dataset_utils.write_records(str(folder / 'digits_test.tfrecord'), iter(examples))
  return folder


def test_counts_are_those_of_evaluations_of_corrupted_records(
    tested, digits_dir, trained_dir, tmp_path):
  values = json.loads((tested[0] / 'robustness.json').read_text())
  assert values['images'] == 355
  assert values['clean']['correct'] == evaluated(
      digits_dir, trained_dir, tmp_path / 'clean')
  records = corrupted_records(digits_dir, tmp_path / 'records', 'fog', 4)
  found = values['corruptions']['fog']['severities'][3]
  assert (found['severity'], found['images']) == (4, 355)
  assert found['correct'] == evaluated(records, trained_dir, tmp_path / 'fog')


def test_files_and_table(tested):
  folder, done = tested
  assert sorted(path.name for path in folder.iterdir()) == [
      'examples.png', 'robustness.csv', 'robustness.json', 'robustness.png']
  with open(folder / 'robustness.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [(row['corruption'], row['severity']) for row in rows] == [
      ('none', '0'), *(('fog', str(number)) for number in range(1, 6)),
      *(('jpeg', str(number)) for number in range(1, 6))]
  for row in rows:
    share = int(row['correct']) / 355
    assert float(row['accuracy']) == pytest.approx(share)
    assert float(row['low_95']) < share < float(row['high_95'])
  mean = sum(int(row['correct']) for row in rows[1:]) / 355 / 10
  assert f'mean over 2 corruptions and 5 severities: {mean:.2%}' in done.stdout
  assert 'corrupted images: 1065/1065 images' in done.stderr
  assert Image.open(folder / 'robustness.png').width > 500


def test_a_test_goes_on_with_the_next_kind(tested, digits_dir, trained_dir, tmp_path):
  folder = tmp_path / 'out'
  folder.mkdir()
  (folder / 'robustness.json').write_text(
      (tested[0] / 'robustness.json').read_text())
  done = run(digits_dir, trained_dir, folder, corruptions='fog,contrast')
  assert done.returncode == 0, done.stderr
  assert 'note: 1 of 2 corruptions are those of an earlier run' in done.stdout
  assert 'corrupted images: 355/355 images' in done.stderr
  before, after = (json.loads((place / 'robustness.json').read_text())
                   for place in (tested[0], folder))
  assert before['corruptions']['fog'] == after['corruptions']['fog']
  assert list(after['corruptions']) == ['fog', 'jpeg', 'contrast']
  assert 'mean over 2 corruptions' in done.stdout
  assert after['mean_of'] == ['fog', 'contrast']
  assert after['mean_accuracy'] == pytest.approx(np.mean([
      after['corruptions'][kind]['mean_accuracy'] for kind in after['mean_of']]))


COUNTS = Counts(10, 9, {'fog': (9, 8, 7, 5, 1), 'snow': (5, 5, 5, 5, 5)})


def test_numbers_of_counts():
  assert COUNTS.accuracy().value == 0.9
  assert COUNTS.accuracy('fog', 5).percent == '10.00%'
  assert COUNTS.mean_of('fog') == pytest.approx(0.6)
  assert COUNTS.mean == pytest.approx(0.55)
  assert len(COUNTS.rows()) == 11


def test_only_whole_results_of_the_same_key_are_used_again(tmp_path):
  robustness_report.save(str(tmp_path), 'key', COUNTS, {'network': 'lenet'}, ['fog'])
  assert robustness_report.load(str(tmp_path), 'key') == COUNTS
  assert robustness_report.load(str(tmp_path), 'other') is None
  assert robustness_report.load(str(tmp_path / 'none'), 'key') is None
  path = tmp_path / 'robustness.json'
  values = json.loads(path.read_text())
  for damage in ({'images': None}, {'corruptions': {'fog': {'severities': []}}},
                 {'corruptions': {'rain': values['corruptions']['fog']}}):
    path.write_text(json.dumps({**values, **damage}))
    assert robustness_report.load(str(tmp_path), 'key') is None
  path.write_text(path.read_text()[:50])
  assert robustness_report.load(str(tmp_path), 'key') is None


@pytest.mark.parametrize('kinds', [('fog',), GROUPS['noise'], KINDS])
def test_the_chart_has_a_panel_for_each_kind(kinds, tmp_path):
  counts = Counts(50, 40, dict.fromkeys(kinds, (40, 35, 30, 20, 10)))
  robustness_report.draw_chart(str(tmp_path / 'a.png'), counts, 'lenet on $x$')
  assert Image.open(tmp_path / 'a.png').width > 300


def test_the_examples_are_corrupted_as_the_evaluated_images(tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(robustness_report.sheets, 'image_of', lambda image: (
      drawn.append(image), Image.new('RGB', (8, 8)))[1])
  image = np.random.default_rng(0).integers(0, 256, [300, 330, 3]).astype(np.uint8)
  assert not robustness_report.write(
      str(tmp_path), COUNTS, 'lenet', image, 3, robustness.shortest_side(224))
  for kind, shown in (('fog', drawn[:5]), ('snow', drawn[5:])):
    small = table.reduced(image, 256)
    np.testing.assert_array_equal(shown, [
        table.corrupt(small, kind, severity, 0, 3) for severity in SEVERITIES])


@pytest.mark.parametrize(('changed', 'words'), [
    ({'corruptions': 'fogg'}, "did you mean 'fog'"),
    ({'corruptions': 'weathr'}, "did you mean 'weather'"),
    ({'output_dir': None}, 'no --output_dir'),
    ({'dataset_split_name': 'tset'}, "no split 'tset'"),
    ({'checkpoint_path': None}, 'no --checkpoint_path'),
    ({'checkpoint_path': 'nowhere'}, "'nowhere'")])
def test_mistakes_are_told_in_one_line(changed, words, digits_dir, trained_dir):
  values = {'dataset_name': 'digits', 'dataset_dir': str(digits_dir), 'output_dir': 'x',
            'checkpoint_path': str(trained_dir), **changed}
  with pytest.raises(diagnostics.UserError, match=words) as caught:
    RobustnessConfig.from_options(
        {name: value for name, value in values.items() if value}).check()
  assert '\n' not in str(caught.value)


def test_groups_and_order_of_kinds():
  options = {'corruptions': 'jpeg,weather'}
  assert RobustnessConfig.from_options(options).corruptions.kinds == (
      *GROUPS['weather'], 'jpeg')
  assert RobustnessConfig.from_options({}).corruptions.kinds == KINDS
