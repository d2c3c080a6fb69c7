"""Other test sets of ImageNet: folders of its classes, a part of them, ReaL labels."""

import csv
import json

import numpy as np
import pytest

from slim_zoo import diagnostics
from slim_zoo.catalog import imagenet_names
from slim_zoo.config.evaluation import EvaluateConfig
from slim_zoo.dataset_building import image_folder, imagenet_folders
from slim_zoo.datasets import dataset_utils
from slim_zoo.evaluation import present_classes, real_labels
from slim_zoo.evaluation.predictions import Predictions
from slim_zoo.images.image_check import Storing
from slim_zoo.tf_compat import tf
from tests import scripts, stored_images
from tests.image_kinds import TURNED_RIGHT, oriented
from tests.stored_images import encoded, picture

IDS = imagenet_names.wordnet_ids()


def test_the_ids_are_those_of_the_names():
  assert len(IDS) == len(set(IDS)) == 1000
  assert sorted(IDS) == IDS
  names = imagenet_names.names(1000)
  # Facts that every user of ImageNet knows.
  assert (IDS[0], names[0]) == ('n01440764', 'tench, Tinca tinca')
  assert len(imagenet_names.names(1001)) == 1001


def folder_of(tmp_path, paths):
  return stored_images.fill(tmp_path / 'in', {
      path: encoded(picture(number, 8, 8)) for number, path in enumerate(paths)})


def labels_of(survey):
  return {source.path: (source.label, source.split) for source in survey.sources}


def test_folders_named_by_wordnet_ids_and_by_numbers(tmp_path):
  folder = folder_of(tmp_path, [f'{IDS[1]}/a.png', f'{IDS[999]}/b.png'])
  assert labels_of(imagenet_folders.survey(str(folder))) == {
      f'{IDS[1]}/a.png': (2, 'test'), f'{IDS[999]}/b.png': (1000, 'test')}
  folder = folder_of(tmp_path / 'v2', ['v2/0/a.png', 'v2/10/b.png', 'v2/9/c.png'])
  assert labels_of(imagenet_folders.survey(str(folder))) == {
      'v2/0/a.png': (1, 'test'), 'v2/10/b.png': (11, 'test'),
      'v2/9/c.png': (10, 'test')}
  folder = folder_of(tmp_path / 'c', [
      f'fog/1/{IDS[3]}/a.png', f'fog/2/{IDS[3]}/a.png', f'train/{IDS[4]}/a.png'])
  assert labels_of(imagenet_folders.survey(str(folder))) == {
      f'fog/1/{IDS[3]}/a.png': (4, 'fog_1'), f'fog/2/{IDS[3]}/a.png': (4, 'fog_2'),
      f'train/{IDS[4]}/a.png': (5, 'train')}


@pytest.mark.parametrize(('paths', 'words'), [
    (['cat/a.png'], "'cat' .* is not a class of ImageNet: expected WordNet"),
    ([f'{IDS[0]}/a.png', 'n01440765/b.png'], "did you mean 'n01440764'"),
    (['0/a.png', '1000/b.png'], "'1000' .* from 0 to 999"),
    (['a.png'], 'has no folders of images')])
def test_other_folders_are_refused(tmp_path, paths, words):
  with pytest.raises(diagnostics.UserError, match=words):
    imagenet_folders.survey(str(folder_of(tmp_path, paths)))


def test_records_have_the_labels_of_imagenet_and_images_as_they_are(tmp_path):
  turned = encoded(picture(1, 20, 30), 'JPEG', **oriented(TURNED_RIGHT))
  folder = stored_images.fill(tmp_path / 'in', {
      f'{IDS[5]}/a.jpg': turned, f'{IDS[7]}/b.png': encoded(picture(2, 8, 8)),
      f'{IDS[7]}/c.png': b'text'})
  report = image_folder.convert(
      str(folder), str(tmp_path / 'data'), 'part', num_workers=1,
      storing=Storing(upright=False), classes_of='imagenet')
  assert report.spec.splits == {'test': 2}
  assert report.spec.num_classes == 1001
  assert [path for path, _ in report.refused] == [f'{IDS[7]}/c.png']
  examples = stored_images.stored_examples(tmp_path / 'data')
  assert {name: example['image/class/label'].int64_list.value[0]
          for name, example in examples.items()} == {
              f'{IDS[5]}/a.jpg': 6, f'{IDS[7]}/b.png': 8}
  assert examples[f'{IDS[5]}/a.jpg']['image/encoded'].bytes_list.value[0] == turned


def test_probabilities_of_a_part_of_the_classes():
  logits = np.array([[5, 1, 2, 0], [0, 0, -300, 800]], np.float32)
  with tf.Session() as session:
    found = session.run(present_classes.probabilities(tf.constant(logits), [1, 2]))
  expected = np.exp([1, 2]) / np.exp([1, 2]).sum()
  np.testing.assert_allclose(found[0], [0, *expected, 0], rtol=1e-6)
  np.testing.assert_allclose(found[1], [0, 1, 0, 0], atol=1e-6)
  assert present_classes.classes_with_images(np.array([0, 3, 0, 1])) == [1, 3]


def test_a_note_on_few_classes():
  support = np.zeros(1001, int)
  support[1:] = 50
  assert present_classes.note(support) is None
  support[201:] = 0
  assert '200 of 1,001 classes' in present_classes.note(support)
  assert present_classes.note(np.array([1, 0])) is None


# --- ReaL.


def predicted(classes, num_classes):
  """Returns the records of predictions; image 0 cannot be decoded."""
  predictions = Predictions()
  predictions.add_unreadable([0], [1])
  predictions.add(range(1, len(classes) + 1), [1] * len(classes),
                  np.eye(num_classes, dtype=np.float32)[classes])
  return predictions.records(num_classes)


@pytest.mark.parametrize(('offset', 'classes', 'num_classes'), [
    (0, [4, 8, 0, 7], 1001), (1, [3, 7, 999, 6], 1000)])
def test_a_prediction_is_right_if_it_is_one_of_the_labels(offset, classes, num_classes):
  lists = [[5], [3, 9], [], [1, 2], [6]]
  numbers = {number: number + 1 for number in range(5)}
  real = real_labels.evaluate(
      predicted(classes, num_classes), lists, numbers, offset)
  # Image 2 has no label; 0 cannot be decoded; 3 is wrong or the background.
  assert (real.accuracy.correct, real.accuracy.total, real.left_out) == (2, 4, 1)
  assert str(real) == '50.00%, 2 of 4 images with labels; 1 without labels are left out'
  with pytest.raises(diagnostics.UserError, match='labels of 2 images'):
    real_labels.evaluate(predicted(classes, num_classes), lists[:2], numbers, offset)
  with pytest.raises(diagnostics.UserError, match='no image of the split has labels'):
    real_labels.evaluate(predicted(classes, num_classes), [[]] * 5, numbers, offset)


@pytest.mark.parametrize(('text', 'words'), [
    ('{}', 'is not a list'), ('[]', 'is not a list'), ('[1]', 'for image 1'),
    ('[[1], [1000]]', 'for image 2'), ('[[true]]', 'for image 1'), ('x', 'not a JSON'),
    ('[' * 100000, 'not a JSON')])
def test_wrong_files_of_labels(tmp_path, text, words):
  (tmp_path / 'real.json').write_text(text)
  with pytest.raises(diagnostics.UserError, match=words):
    real_labels.read(str(tmp_path / 'real.json'))


def write_validation(folder, names):
  """Writes records of validation images of ImageNet with the labels 1, 2, ..."""
  folder.mkdir()
  examples = [dataset_utils.image_to_tfexample(
      encoded(picture(number, 28, 28)), b'png', 28, 28, number + 1, name.encode())
              for number, name in enumerate(names)]
  dataset_utils.write_records(
      str(folder / 'validation-00000-of-00001'), iter(examples))


def test_numbers_of_images_are_in_their_names(tmp_path):
  write_validation(tmp_path / 'data', [
      'ILSVRC2012_val_00000293.JPEG', 'a/ILSVRC2012_val_00000001.JPEG', 'cat.png'])
  files = [str(tmp_path / 'data/validation-00000-of-00001')]
  assert real_labels.image_numbers(files, {0: (0, 1), 1: (0, 0)}) == {0: 1, 1: 293}
  with pytest.raises(diagnostics.UserError, match=r'\(cat\.png\) is not a validation'):
    real_labels.image_numbers(files, {0: (0, 2)})


@pytest.fixture(scope='module')
def imagenet_run(tmp_path_factory):
  """Returns folders of records of a part of ImageNet and of a network for it."""
  folder = tmp_path_factory.mktemp('imagenet')
  write_validation(folder / 'data', [
      f'ILSVRC2012_val_{number:08d}.JPEG' for number in range(1, 7)])
  done = scripts.run(
      'train', model_name='lenet', dataset_name='imagenet', dataset_dir=folder / 'data',
      dataset_split_name='validation', train_dir=folder / 'run', max_number_of_steps=1,
      batch_size=2, train_image_size=28, sample_predictions=0)
  assert done.returncode == 0, done.stderr
  return folder


def test_evaluation_of_present_classes_and_real_labels(imagenet_run, tmp_path):
  lists = [[0], [], [7, 2], [3], [99], [5]]
  (tmp_path / 'real.json').write_text(json.dumps(lists))
  done = scripts.run_for_numbers(
      'eval', '--only_present_classes', dataset_name='imagenet',
      dataset_dir=imagenet_run / 'data', dataset_split_name='validation',
      checkpoint_path=imagenet_run / 'run', eval_dir=tmp_path / 'eval',
      real_labels=tmp_path / 'real.json')
  assert done.returncode == 0, done.stderr
  assert 'chosen among the 6 classes that have images, of 1,001' in done.stdout
  report = json.loads((tmp_path / 'eval/report/report.json').read_text())
  assert 'the 6 classes' in report['run']['classes']
  with open(tmp_path / 'eval/report/predictions.csv', newline='') as file:
    classes = [int(row['prediction']) for row in csv.DictReader(file)]
  assert set(classes) <= set(range(1, 7))
  correct = sum(found - 1 in lists[place] for place, found in enumerate(classes))
  assert (f'{correct} of 5 images with labels; 1 without labels are left out'
          in done.stdout)
  assert f'{correct} of 5' in report['run']['ReaL']


@pytest.mark.parametrize(('given', 'words'), [
    ({'real_labels': 'x.json'}, 'digits has 10 classes'),
    ({'only_present_classes': True, 'master': 'grpc://x:1'}, 'does not work'
     )])
def test_options_that_do_not_fit(given, words, digits_dir, trained_dir):
  config = EvaluateConfig.from_options({
      'dataset_name': 'digits', 'dataset_dir': str(digits_dir),
      'checkpoint_path': str(trained_dir), **given})
  with pytest.raises(diagnostics.UserError, match=words):
    config.check()
